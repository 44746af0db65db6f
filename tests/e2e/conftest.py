"""What the end-to-end tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that install from the default package index."""
    config.addinivalue_line("markers", "network: needs the default package index")
