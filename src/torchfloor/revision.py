"""Files of a git revision, read without checking it out: no hook, filter or shell is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from torchfloor.errors import RecordError, TorchfloorError
from torchfloor.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["name_revision", "read_revision"]

_LONGEST = 250
"""Characters of the name of a revision."""
_LARGEST = 64 * 2**20
_MOST = 2 * 2**30
"""Bytes of a file, and of all files together, that are read."""
_PATIENCE = 60
"""Seconds that git gets to find a revision and to list a folder."""
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables by which a hook leads git to the repository that it runs in."""


_QUIET = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class _Entry(NamedTuple):
    kind: str
    object_id: str
    size: int
    name: str


def name_revision(text: str, root: Path) -> str:
    """Find the commit that a revision names.

    Args:
        text: A commit, tag, branch or the like (`HEAD~1`).
        root: A folder of the repository.

    Returns:
        The commit's whole name.

    Raises:
        TorchfloorError: If there is none, or no git.
    """
    if not text or text.startswith("-") or len(text) > _LONGEST or not text.isprintable():
        why = "a revision is a word that does not begin with '-'"
    else:
        words = ("rev-parse", "--verify", "--end-of-options", f"{text}^{{commit}}")
        found = _git(words, root)
        commit = found.stdout.decode("utf-8", "replace").strip()
        if found.returncode == 0 and commit.isalnum():
            return commit
        why = f"git: {_words_of(found)}"
    msg = f"{text[:_LONGEST]!r} is neither a folder nor a git revision here ({why}); name a folder "
    msg += "of records, such as evidence or .compat/records, or a revision, such as HEAD~1, that "
    msg += "has been fetched"
    raise TorchfloorError(msg)


def read_revision(commit: str, root: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    """Read the files of a folder, as they were in a commit.

    Args:
        commit: Its whole name.
        root: The folder that `folder` lies in, in the repository's working tree.
        folder: Its name; folders in it are left out.

    Yields:
        Name and content of each file; what a symbolic link holds is where it points to.

    Raises:
        RecordError: If they are larger than any evidence.
        TorchfloorError: If git fails.
    """
    entries = _list(commit, root, folder)
    too_large = [e.name for e in entries if e.size > _LARGEST]
    if too_large or sum(entry.size for entry in entries) > _MOST:
        what = too_large[0] if too_large else f"all of {folder}/"
        msg = f"{what} at {commit[:10]} is larger than any evidence: it is not read"
        raise RecordError(msg)
    with tempfile.TemporaryFile() as wanted:  # a pipe would block, where both sides write
        wanted.write(b"".join(f"{entry.object_id}\n".encode() for entry in entries))
        wanted.seek(0)
        with subprocess.Popen(  # noqa: S603 - a fixed command line
            [_program(), "cat-file", "--batch"],
            cwd=root,
            env=_environment(),
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as git:
            assert git.stdout is not None  # noqa: S101 - it was asked for
            for entry in entries:
                head = git.stdout.readline()
                content = git.stdout.read(entry.size + 1)
                if not head.startswith(entry.object_id.encode()) or len(content) <= entry.size:
                    msg = f"git cannot read {folder}/{entry.name} at {commit[:10]}; check the "
                    msg += "repository with `git fsck`"
                    raise TorchfloorError(msg)
                yield entry.name, content[:-1]


def _list(commit: str, root: Path, folder: str) -> list[_Entry]:
    listed = _git(("ls-tree", "-z", "--long", commit, "--", f"{folder}/"), root)
    if listed.returncode:
        msg = f"git cannot list {folder}/ at {commit[:10]} ({_words_of(listed)})"
        raise TorchfloorError(msg)
    lines = filter(None, listed.stdout.decode("utf-8", "replace").split("\0"))
    return [entry for entry in map(_entry, lines) if entry.kind == "blob"]


def _entry(line: str) -> _Entry:
    facts, _, path = line.partition("\t")
    _, kind, object_id, size = facts.split()
    return _Entry(kind, object_id, int(size) if size.isdecimal() else 0, path.rpartition("/")[2])


def _git(arguments: Sequence[str], root: Path) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - a fixed command line, and a revision after its options
            [_program(), *arguments],
            cwd=root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        msg = f"git did not answer in {_PATIENCE} s; check the repository, or name a folder"
        raise TorchfloorError(msg) from None


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        msg = "git is not there, which reads revisions; install it, or name a folder of records"
        raise TorchfloorError(msg)
    return found


def _environment() -> dict[str, str]:
    """Return what git finds: it must neither ask nor fetch, nor look into another repository."""
    ours = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    return {**ours, **_QUIET}


def _words_of(ended: subprocess.CompletedProcess[bytes]) -> str:
    said = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return printable(said[0].removeprefix("fatal: "))
