"""Where a run's cells lie on disk, and whether what they download is kept for the next run."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from torchfloor import host
from torchfloor.files import read_bounded
from torchfloor.installed import written_into
from torchfloor.space import MARGIN, Download, check_space, needed_space

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torchfloor.plan import Cell

__all__ = ["ENVIRONMENT", "Storage", "drop_written", "space_to_keep"]

ENVIRONMENT = "env"
"""Where in a cell's folder it is installed."""

_RESERVE = 2 * 2**30
"""Bytes that stay free for everyone else, or nothing is kept."""
_MAX_NOTE = 4096
_GLANCE = 0.2
"""Seconds between two looks for a free turn."""
_PATIENCE = 10
"""Seconds to wait for another run's installer to leave the cache."""


@dataclass(frozen=True)
class Storage:
    """How a run uses the disk; decided once, before its first cell.

    Attributes:
        workspace: The folder that holds its cells.
        keep: Whether what they download is kept for the next run. If not, a cell is removed with
            its downloads before another one is installed.
        turns: How many cells may be installed at a time if nothing is kept.
        needs: Bytes that each cell needs at most, by identifier.
    """

    workspace: Path
    keep: bool = True
    turns: int = 1
    needs: Mapping[str, int] = field(default_factory=dict)

    def folder(self, cell: Cell) -> Path:
        """Return the folder of a cell: its environment, and all that is removed with it."""
        return self.workspace / "cells" / cell.id

    def cache(self, cell: Cell) -> Path:
        """Return uv's cache for a cell; on the environment's file system, so that uv links."""
        return self._kept / "uv" if self.keep else self.folder(cell) / "cache"

    def share_written(self, environment: Path) -> list[str]:
        """List the files that a new environment shares with a cell that wrote into them already.

        Args:
            environment: The new one, noted as it is.
        """
        others = set(self.workspace.glob(f"cells/*/{ENVIRONMENT}")) - {environment}
        return [
            file
            for other in others
            for file in written_into(other)
            if _is_same(other / file, environment / file)
        ]

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold, from before a cell is installed until it has been removed, one of the turns."""
        if self.keep:
            yield
            return
        locks = [FileLock(self.workspace / f"turn{n}.lock") for n in range(self.turns)]
        while not (free := next(filter(_take, locks), None)):
            time.sleep(_GLANCE)
        try:
            yield
        finally:
            free.release()

    def check(self, cell: Cell) -> None:
        """Refuse a cell that does not fit by now: other processes fill the disk, too.

        Raises:
            SpaceError: As `check_space`.
        """
        check_space(self.needs.get(cell.id, MARGIN), self.workspace)

    def has(self, cell: Cell) -> bool:
        """Tell whether an earlier run has kept what a cell downloads."""
        try:
            return read_bounded(self._note(cell), _MAX_NOTE).decode() == _name(cell)
        except (OSError, ValueError):  # no note of ours
            return False

    def note(self, cell: Cell) -> None:
        """Note that what a cell downloads is in the cache now, if that is kept."""
        if self.keep:
            with contextlib.suppress(OSError):  # it is only a note
                self._note(cell).write_text(_name(cell), "utf-8")

    def drop(self, *, at_once: bool = False) -> None:
        """Remove what earlier runs have kept.

        Args:
            at_once: Even if an installer of another run, which will fail, is using it.
        """
        for note in self._kept.glob("*.txt"):
            note.unlink(missing_ok=True)
        self._tidy("clean", *(["--force"] if at_once else []))

    def prune(self) -> None:
        """Remove what installers that were killed have left half unpacked in the cache."""
        if any((self._kept / "uv").glob(".tmp*")):
            self._tidy("prune")

    @property
    def _kept(self) -> Path:
        return self.workspace / "cache"

    def _note(self, cell: Cell) -> Path:
        return self._kept / f"{cell.id}.txt"

    def _tidy(self, *how: str) -> None:
        if not self._kept.exists():
            return
        command = [host.uv(), "cache", *how, "--no-config", "--quiet"]
        command += ["--cache-dir", str(self._kept / "uv")]
        # uv waits for the installers of another run; if that takes long, the next run tidies.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=_PATIENCE)  # noqa: S603 - fixed


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:  # one of them is not there
        return False


def _take(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def drop_written(folder: Path) -> None:
    """Remove what is kept for the next run if a cell wrote into its share of it.

    Args:
        folder: The cell's, in which nothing runs any more.
    """
    if written_into(folder / ENVIRONMENT):
        Storage(folder.parents[1]).drop(at_once=True)


def space_to_keep(storage: Storage, downloads: Mapping[Cell, Download]) -> int:
    """Return the bytes that must be free for what a run downloads to be kept.

    Args:
        storage: Knows what earlier runs have kept.
        downloads: What each cell downloads.
    """
    new = [download for cell, download in downloads.items() if not storage.has(cell)]
    return needed_space(new, jobs=len(new)) + _RESERVE if new else 0


def _name(cell: Cell) -> str:
    """Name what a cell downloads by its wheel; what goes beside that is small."""
    assert cell.wheel is not None, cell.id  # noqa: S101 - only cells with a wheel are installed
    return f"{cell.wheel.filename} {cell.wheel.sha256}"
