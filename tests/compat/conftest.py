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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the raw operator last: what it may crash then takes nothing else with it."""
    items.sort(key=lambda item: item.path.name == "test_raw.py")


@pytest.fixture
def planted() -> Iterator[pytest.MonkeyPatch]:
    """Return a patch of torch; afterwards gradnorms forgets what it found out under it."""
    import gradnorms  # noqa: PLC0415 - a broken subject is the plugin's to report

    with pytest.MonkeyPatch.context() as patch:
        yield patch
    gradnorms.reset_paths()
