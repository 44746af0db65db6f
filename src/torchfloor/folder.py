"""A cell's folder: empty and held by one run while that works there, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from torchfloor.process import end_strays
from torchfloor.records import storing
from torchfloor.storage import drop_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["alone", "empty"]

_ATTEMPTS = 3


@contextlib.contextmanager
def alone(folder: Path, say: Callable[[str], object] = print) -> Iterator[bool]:
    """Give a cell an empty folder that no other run uses meanwhile, and remove it at the end.

    Args:
        folder: The folder.
        say: Told in a line if another process has to be waited for.

    Yields:
        Whether it had to be waited for; it may have left a record.

    Raises:
        StorageError: If the folder cannot be made.
    """
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    waited = False
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say("another process in this checkout is running it: waiting for its end")
            waited = True
            lock.acquire()
    try:
        with storing(folder):
            empty(folder)
            folder.mkdir()
        yield waited
    finally:
        try:
            empty(folder)
        except KeyboardInterrupt:  # told to stop while it cleans up, it does that first
            empty(folder)
            raise
        finally:
            lock.release()


def empty(folder: Path) -> None:
    """Remove a cell's folder, end what was left running in it, and keep nothing it wrote into.

    What is interrupted while it starts a process may have to look twice for it.
    """
    for _ in range(_ATTEMPTS):
        if not folder.exists():
            return
        end_strays(folder)
        drop_written(folder)
        _make_writable(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _make_writable(folder: Path) -> None:
    """Let a folder be emptied, whatever a probe has done to the folders in it."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
        for within, folders, _ in os.walk(folder):
            for path in (Path(within, name) for name in folders):
                if not path.is_symlink():
                    path.chmod(0o700)
