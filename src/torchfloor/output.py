"""What the processes of a cell print -> words that are fit to be kept and shown."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "bounded_files",
    "installer_words",
    "name_shortage",
    "one_line",
    "open_output",
    "printable",
    "tidy_log",
    "without_addresses",
]

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~])")
"""What a terminal obeys instead of showing (ECMA-48)."""
_LOGIN = re.compile(r"(?<=://)[^\s/]*@")
_HOST = re.compile(r"\bhttps?://[^\s/`]++(?=\S{0,500}?(?:\.(?:whl|tar\.gz|metadata)|/simple/))")
"""Scheme and host of what an installer talks to. Bounded, as _QUERY is."""
_FOLDER = re.compile(r"\bfile://\S*/")
"""Where a folder of wheels lies, in the installer's own way to quote it."""
_QUERY = re.compile(r"(\bhttps?://[^\s`)?#]{0,500}|(?<=\.whl))[?#][^\s`)]*")
"""What follows an address or a file's name: its digest, or what lets one in. Bounded, since a log
of nothing but beginnings of addresses would take for ever."""
_PART = re.compile(r"\n\s*\n|\n(?=\s*(?:cause|Caused by|hint): |\s*[╰├]─▶ )")
_CAUSE = re.compile(r"\s*(cause|Caused by): |\s*[╰├]─▶ ")
_LEAD = re.compile(r"\A(?:(?:error|cause|Caused by|hint): |[×╰├─▶ ]+)")
_SHORTAGES = {
    "memory": re.compile(
        r"MemoryError|can(not|'t) allocate memory|out of memory|OutOfMemoryError", re.IGNORECASE
    ),
    "disk": re.compile(r"No space left on device|Disk quota exceeded|File too large"),
}
_HEAD = 2**16
_TAIL = 2**20
"""Bytes of the beginning and of the end of a log that are kept."""
_LARGEST_FILE = 2**30
_LONGEST = 500


def open_output() -> None:
    """Give this process an output that takes everything: it may have been started without one.

    What an output cannot encode is shown as `?`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened, such as a lock, becomes the output
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def printable(text: str) -> str:
    """Replace what has no shape: control characters, escape sequences, halves of characters.

    Args:
        text: Anything, from anywhere.

    Returns:
        Text that neither a terminal nor a page can mistake for an order; its lines are kept.
    """
    if text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(
        c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "�" for c in text
    )


def one_line(text: str) -> str:
    """Quote text in a sentence: printable, and never the beginning of a line.

    What reads a job's log obeys some lines by their beginning, such as GitHub `::error::`, and in
    its older form, `##[error]`, wherever that stands.
    """
    return " ".join(printable(text).split()).replace("##[", "# #[")


def name_shortage(text: str) -> str:
    """Name what ran short where an error says so: `memory`, `disk` or nothing.

    It is the machine's fault, or a limit's, and says nothing about a release.
    """
    return next((name for name, sign in _SHORTAGES.items() if sign.search(text)), "")


def without_addresses(text: str) -> str:
    """Leave out where an index is, and the credentials of any address."""
    text = _HOST.sub("<index>", _without_secrets(text))
    return _QUERY.sub(r"\1", _FOLDER.sub("<index>/", text))


def _without_secrets(text: str) -> str:
    return _QUERY.sub(r"\1", _LOGIN.sub("", text))


def tidy_log(log: Path) -> None:
    """Cut the middle out of a log that is too long, and leave out what must not be kept.

    Args:
        log: The file, which nobody writes to any more; UTF-8 from now on.
    """
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        kept = file.read(_HEAD + _TAIL)
        if size > len(kept):
            file.seek(-_TAIL, 2)
            left_out = f"\n[{size - len(kept)} bytes left out]\n".encode()
            kept = kept[:_HEAD] + left_out + file.read(_TAIL)
    text = printable(_without_secrets(kept.decode("utf-8", "replace"))).encode()
    if len(text) != size or text != kept:
        log.write_bytes(text)


def installer_words(text: str) -> str:
    """Pick what uv says went wrong, and the cause that it names last, from its log."""
    begins = re.search(r"^\s*(error: |× )", text, re.MULTILINE)
    if begins is None:
        return (text.strip().splitlines() or ["the installer said nothing"])[-1][:_LONGEST]
    parts = _PART.split(text[begins.start() :])  # uv breaks lines to fit a terminal's width
    causes = [place for place, part in enumerate(parts) if _CAUSE.match(part)]
    told = [parts[0], *parts[causes[-1] :]] if causes else parts
    words = (_LEAD.sub("", " ".join(part.split())) for part in told)
    return "; ".join(filter(None, words))[:_LONGEST]


@contextlib.contextmanager
def bounded_files() -> Iterator[None]:
    """Let the processes that are started meanwhile write no file of more than 1 GiB.

    A release that prints for ever would fill the disk before its time is out. Windows knows no
    such limit.
    """
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limits = [limit for limit in (_LARGEST_FILE, soft) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
