"""What is installed in a cell: noted before its probes run, and looked at again after them.

Where a file system cannot clone files, uv links those of an environment to those in its cache:
what is written into one is written into every cell that has it, now and later. To copy them
instead would take as long as to unpack them.
"""

from __future__ import annotations

import contextlib
import hashlib
from base64 import urlsafe_b64encode
from importlib.metadata import PackagePath, distributions
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor.files import read_bounded
from torchfloor.space import files_of, size_on_disk

if TYPE_CHECKING:
    import os

__all__ = ["forget_installed", "note_installed", "written_into"]

_NOTE = "installed.json"
"""Lies beside the environment, and goes with it."""
_MAX_NOTE = 64 * 2**20


class _State(NamedTuple):
    """What shows that a file was written into; nobody can set the last of it back."""

    inode: int
    size: int
    modified: int
    changed: int


def note_installed(environment: Path) -> int:
    """Note the state of what an environment may share with others, before anything of it runs.

    Args:
        environment: What has been installed.

    Returns:
        The bytes it takes on disk.
    """
    files = files_of(environment)
    shared = {
        str(file.relative_to(environment)): _state(status)
        for file, status in files.items()
        if status.st_nlink > 1
    }
    environment.with_name(_NOTE).write_bytes(msgspec.json.encode(shared))
    return size_on_disk(files.values())


def written_into(environment: Path) -> list[str]:
    """List the shared files of an environment that were written into since they were noted.

    Args:
        environment: As it was given to `note_installed`; if it was not, nothing has run in it.

    Returns:
        Their paths within it.
    """
    try:
        note = read_bounded(environment.with_name(_NOTE), _MAX_NOTE)
        noted = msgspec.json.decode(note, type=dict[str, _State])
    except (OSError, ValueError):
        return []
    doubtful: list[str] = []
    written: list[str] = []
    for file, was in noted.items():
        with contextlib.suppress(OSError):  # removing a file changes nobody else's
            now = _state((environment / file).lstat())
            if now.inode == was.inode and now != was:  # another file in its place is not shared
                (doubtful if now[:3] == was[:3] else written).append(file)
    return written + _differing(environment, doubtful)


def forget_installed(environment: Path) -> None:
    """Remove the note: nothing runs in the environment any more, and nothing was written into."""
    environment.with_name(_NOTE).unlink(missing_ok=True)


def _state(status: os.stat_result) -> _State:
    return _State(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _differing(environment: Path, doubtful: list[str]) -> list[str]:
    """List those of some files that are not what their wheels say.

    They look untouched but for the time of their last change, which another cell that begins or
    ceases to share them sets as well. Where a wheel was wrong about a file's size from the
    beginning, what it says proves nothing; some are edited without that.
    """
    recorded = _recorded(environment) if doubtful else {}
    return [
        file
        for file in doubtful
        if file in recorded and not _fits(environment / file, recorded[file])
    ]


def _recorded(environment: Path) -> dict[str, PackagePath]:
    """Return what the wheels say of the files, by path within the environment."""
    packages = [*environment.glob("lib/python*/site-packages"), environment / "Lib/site-packages"]
    return {
        str(Path(folder, file).relative_to(environment)): file
        for folder in packages
        for distribution in distributions(path=[str(folder)])
        for file in distribution.files or ()
    }


def _fits(file: Path, says: PackagePath) -> bool:
    if says.hash is None or says.size != file.stat().st_size:
        return True
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, says.hash.mode).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode() == says.hash.value
