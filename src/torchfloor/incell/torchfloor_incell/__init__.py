"""The pytest plugin that runs inside a cell and journals what it finds there.

It is put on the path, never installed, and needs nothing but the standard library and pytest; the
package under test is imported by name. What it is told comes from the environment:

``TORCHFLOOR_JOURNAL``
    the file to append JSON lines to; without it there is no journal.
``TORCHFLOOR_PACKAGE``
    name of the dependency under test.
``TORCHFLOOR_SUBJECT``
    path of the package or module that uses it.
``TORCHFLOOR_DEVICE``
    where the code runs, ``cpu`` if unset.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from torchfloor_incell.evidence import Evidence
from torchfloor_incell.imports import Imports
from torchfloor_incell.journal import Journal
from torchfloor_incell.origin import Origin
from torchfloor_incell.outcomes import Outcomes, probe_of

__all__ = ["Evidence", "device", "evidence"]

JOURNAL = pytest.StashKey[Journal]()
ORIGIN = pytest.StashKey[Origin]()

MARKERS = (
    "capability(name): the row of the capability table that this probe is evidence for",
    "timing: a probe that takes times; it runs in a pass of its own",
)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Import the dependency, read the cell back, import the subject; journal what breaks.

    This comes before any conftest.py, so that one that imports the subject cannot turn a broken
    subject into a pytest that does not start.

    Raises:
        pytest.UsageError: the dependency or the subject cannot be used. The session ends at once.
    """
    journal = Journal(os.environ.get("TORCHFLOOR_JOURNAL"))
    early_config.stash[JOURNAL] = journal
    early_config.add_cleanup(journal.close)
    journal.write("begin")
    package = os.environ.get("TORCHFLOOR_PACKAGE", "")
    told = os.environ.get("TORCHFLOOR_SUBJECT", "")
    subject = Path(told) if told else None
    origin = early_config.stash[ORIGIN] = Origin(package, subject)
    imports = Imports(journal, origin)
    if package:
        imports.dependency(package, _device())
    if subject is not None:
        imports.subject(subject)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks and start journalling outcomes."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    # A module of probes that does not import is a failed probe; the others are still evidence.
    config.option.continue_on_collection_errors = True
    outcomes = Outcomes(config, config.stash[JOURNAL], config.stash[ORIGIN])
    config.pluginmanager.register(outcomes, "torchfloor-outcomes")


@pytest.fixture(scope="session")
def device() -> str:
    """Return the name of the device that the cell's code runs on: ``cpu`` or ``cuda``."""
    return _device()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Return what a probe writes its findings with."""
    package = os.environ.get("TORCHFLOOR_PACKAGE", "")
    return Evidence(request.config.stash[JOURNAL], package, probe_of(request.node), _synchronize)


def _device() -> str:
    return os.environ.get("TORCHFLOOR_DEVICE") or "cpu"


def _synchronize() -> None:
    """Wait for what was queued on the device; on the CPU nothing ever is."""
    torch = sys.modules.get("torch")
    if torch is not None and _device() == "cuda":
        torch.cuda.synchronize()
