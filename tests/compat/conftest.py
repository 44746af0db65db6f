"""What the probes of gradnorms share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Probes import their helpers by name, whatever pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))


_LATE = ["test_collector.py", "test_samples.py", "test_compile.py", "test_raw.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the table's rows: norms first, then what uses them, the raw operator last.

    What the raw operator may crash then takes nothing else with it.
    """
    items.sort(key=lambda item: _LATE.index(item.path.name) + 1 if item.path.name in _LATE else 0)


@pytest.fixture
def planted() -> Iterator[pytest.MonkeyPatch]:
    """Return a patch of torch; afterwards gradnorms forgets what it found out under it."""
    import gradnorms  # noqa: PLC0415 - a broken subject is the plugin's to report

    with pytest.MonkeyPatch.context() as patch:
        yield patch
    gradnorms.reset_paths()
