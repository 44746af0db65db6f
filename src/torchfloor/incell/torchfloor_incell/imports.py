"""Import what is tested, once and from the right place; journal why where that cannot be."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NoReturn

import pytest

from torchfloor_incell import wording
from torchfloor_incell.facts import readback
from torchfloor_incell.origin import files_of

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType

    from torchfloor_incell.journal import Journal
    from torchfloor_incell.origin import Origin


class Imports:
    """The imports before the first probe. One that cannot be ends the session.

    Args:
        journal: where to write.
        origin: holds what was imported against the wheel.
    """

    def __init__(self, journal: Journal, origin: Origin) -> None:
        self._journal = journal
        self._origin = origin

    def dependency(self, package: str, device: str) -> None:
        """Import the dependency and read the cell back.

        Raises:
            pytest.UsageError: it is broken, is not what its wheel brought, or finds no device.
        """
        facts = readback(package, self._import("dependency", package), device)
        self._journal.write("readback", **facts)
        self._hold()
        if facts["device"] != device:
            self._give_up("dependency", f"{package} finds no {device} device here")

    def subject(self, path: Path) -> None:
        """Import the subject.

        Args:
            path: the folder of a package, or a module.

        Raises:
            pytest.UsageError: it is broken, or the one that was imported lies elsewhere.
        """
        sys.meta_path.insert(0, _Finder(path))
        files = files_of(self._import("subject", path.stem))
        self._hold()
        # One that puts something else in the place of its module has no file to hold.
        if files and not any(path in (file, *file.parents) for file in files):
            where = f"{path.stem} was imported from {files[0]}, not from {path}"
            self._give_up("readback", f"{where}: leave out the companion that brings it")

    def _import(self, stage: str, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the finding
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            self._hold()  # files that are not the wheel's own explain more than what they raise
            self._give_up(stage, wording.of_exception(error), trace)
        finally:
            self._journal.end_copies()

    def _hold(self) -> None:
        faults = self._origin.faults()
        if faults:
            self._give_up("readback", wording.first_of(faults))

    def _give_up(self, stage: str, message: str, trace: str = "") -> NoReturn:
        self._journal.write("broken", stage=stage, message=message, traceback=wording.detail(trace))
        msg = f"the {stage} is broken in this cell: {message}"
        raise pytest.UsageError(msg)


class _Finder:
    """Finds the subject in the project, also where something installed goes by the same name.

    Everything else is found where Python looks: what is installed comes before what lies beside
    the subject.
    """

    def __init__(self, subject: Path) -> None:
        self._subject = subject

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Find the subject, and nothing else."""
        if name != self._subject.stem:
            return None
        return PathFinder.find_spec(name, [str(self._subject.parent)])
