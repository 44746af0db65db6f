"""Blocks that are kept between two reports, and made by several processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import torchfloor
from torchfloor.errors import StorageError
from torchfloor.files import read_bounded
from torchfloor.garbage import uncollected
from torchfloor.provenance import digest_of
from torchfloor.records import sweep_unfinished, write_atomically
from torchfloor.report.block import Block, Task, make_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["drop_blocks", "obtain_blocks"]

_PACKAGE = Path(torchfloor.__file__).parent
_WORTH = 4
"""Blocks that take longer to make than another process takes to start."""
_MOST = 8
"""Processes: a container may have fewer cores than it sees."""
_MAX_BYTES = 2**30
_UNFIT = (OSError, ValueError, RecursionError)
"""What is raised for files that cannot be looked at, names that are no text, and nonsense."""
_NAME = re.compile(r"[0-9a-f]{64}")
_TICK = 2.0
"""Seconds within which, on some file systems, a changed file may look as it did before."""


def obtain_blocks(tasks: Sequence[Task], folder: Path) -> list[Block]:
    """Take the blocks that are kept, and make the others.

    Args:
        tasks: What to make them from.
        folder: Where to keep them for the next time, and nothing else: in a folder that need not
            exist, of one that must; if it cannot be made, none is kept.

    Returns:
        A block for each task.
    """
    with _open(folder) as shelf:
        blocks = {task: block for task in tasks if (block := shelf.find(task))}
        missing = [task for task in tasks if task not in blocks]
        hands = min(os.cpu_count() or 1, 1 + len(missing) // _WORTH, _MOST if sys.executable else 1)
        with _helping([missing[hand::hands] for hand in range(1, hands)], shelf.folder):
            blocks |= {task: shelf.make(task) for task in missing[::hands]}
        for task in (task for task in missing if task not in blocks):
            blocks[task] = shelf.find(task) or shelf.make(task)  # if its helper has not
        shelf.drop_others()
    return [blocks[task] for task in tasks]


def drop_blocks(folder: Path) -> None:
    """Remove what was kept when there were more records."""
    _Shelf(folder).drop_others()


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[_Shelf]:
    """Open a shelf; where nothing can be kept, one for what the helpers make."""
    with contextlib.ExitStack() as passing:
        try:
            folder.parent.mkdir(exist_ok=True)
            folder.mkdir(exist_ok=True)
        except OSError:
            with contextlib.suppress(OSError):  # not even that: then every block is made here
                folder = Path(passing.enter_context(tempfile.TemporaryDirectory()))
        yield _Shelf(folder)


@contextlib.contextmanager
def _helping(shares: Iterable[Sequence[Task]], folder: Path) -> Iterator[None]:
    """Have other processes make blocks meanwhile, and wait for them.

    They are started as any other command: what hands work to threads or forks itself does not do
    so while the interpreter ends, which is when a run renders its last report.
    """
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for share in shares:
            with contextlib.suppress(*_UNFIT):  # no room, or no process to be had
                helpers.append(_start(_Order(str(folder), tuple(share))))
        yield
        for helper in helpers:
            helper.wait()
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _start(order: _Order) -> subprocess.Popen[bytes]:
    # A noxfile may have put this package on the path of its own process alone.
    path = os.pathsep.join(filter(None, [str(_PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as told:
        told.write(msgspec.json.encode(order))
        told.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "torchfloor.report.shelf"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it could not make is made here
        )


class _Order(msgspec.Struct):
    """What a helper is told.

    Attributes:
        shelf: The folder to put blocks into.
        tasks: What to make them from.
    """

    shelf: str
    tasks: tuple[Task, ...]


class _Shelf:
    """A folder of blocks, under names that tell what they were made from, and by what code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[Task, tuple[Path, float, float]] = {}

    @cached_property
    def _code(self) -> str:
        return digest_of(_PACKAGE)

    def find(self, task: Task) -> Block | None:
        """Return the block that is kept, unless a file may have changed without a sign since."""
        with contextlib.suppress(*_UNFIT):
            place, changed, _ = self._place(task)
            head, _, said = read_bounded(place, _MAX_BYTES).partition(b"\n")
            if head == _head(place, said) and place.stat().st_mtime >= changed + _TICK:
                return msgspec.json.decode(said, type=Block)
        return None

    def make(self, task: Task) -> Block:
        """Make a block, and keep it if that is possible."""
        place = None
        with contextlib.suppress(*_UNFIT):
            place, _, looked = self._place(task)  # as the files are before they are read
        block = make_block(task)
        if place and block.lasting:
            with contextlib.suppress(StorageError, *_UNFIT):
                said = msgspec.json.encode(block)
                write_atomically(place, b"%s\n%s" % (_head(place, said), said))
                os.utime(place, (looked, looked))
        return block

    def drop_others(self) -> None:
        """Remove what no task has asked for, and what was never finished."""
        used = {place for place, _, _ in self._places.values()}
        with contextlib.suppress(OSError):
            for place in set(self.folder.iterdir()) - used:
                if _NAME.fullmatch(place.name):
                    place.unlink()
            sweep_unfinished(self.folder)

    def _place(self, task: Task) -> tuple[Path, float, float]:
        """Return where a task's block is kept, when the last of its files was changed, and now.

        All as it was when first asked: before the files are read.

        Raises:
            OSError: If one of them is gone.
            ValueError: If one has a name that is no text.
        """
        if task not in self._places:
            now = time.time()
            files = [os.lstat(os.path.join(task.folder, name)) for name in task.names]  # noqa: PTH118 - thousands
            seen = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in files]
            said = hashlib.sha256(msgspec.json.encode((self._code, task, seen))).hexdigest()
            changed = max(max(s.st_mtime, s.st_ctime) for s in files)
            self._places[task] = (self.folder / said, changed, now)
        return self._places[task]


def _head(place: Path, said: bytes) -> bytes:
    """Return the first line of a block's file: which it is, and a digest of all that follows."""
    return f"{place.name} {hashlib.sha256(said).hexdigest()}".encode()


def _help() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    shelf = _Shelf(Path(order.shelf))
    with uncollected():
        for task in order.tasks:
            shelf.make(task)


if __name__ == "__main__":
    _help()
