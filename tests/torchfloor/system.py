"""What tests need of the operating system, and why they are skipped where it has none of it."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path

import pytest

__all__ = ["LINKS", "POSIX", "needs"]

POSIX = pytest.mark.skipif(
    os.name == "nt", reason="Windows ends processes, words errors and guards files its own way"
)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where Python lacks what the system has none of.

    Args:
        names: Modules, and what they hold: `os.fork`, `resource`.
    """
    lacking = [name for name in names if not _exists(name)]
    return pytest.mark.skipif(bool(lacking), reason=f"there is no {', '.join(lacking)} here")


def _exists(name: str) -> bool:
    module, _, member = name.partition(".")
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    return not member or hasattr(found, member)


def _can_link() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            Path(folder, "link").symlink_to("nowhere")
        except (OSError, NotImplementedError):
            return False
    return True


LINKS = pytest.mark.skipif(not _can_link(), reason="symbolic links take a right that is not given")
