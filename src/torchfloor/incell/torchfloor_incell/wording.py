"""Make the words of a failure fit for a record: short, and free of this machine's paths."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path

MESSAGE_LINES = 2
LINE_LENGTH = 300
DETAIL_LENGTH = 4000

# A directory part: starts at a root, but not inside a word, a relative path or an address (a://b/c).
_ABSOLUTE = re.compile(r"(?<![\w.:/\\~-])(?:[A-Za-z]:[\\/]|/)(?:[^\s\\/:'\"<>|()]+[\\/])+")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def _local_folders() -> list[str]:
    """Return the folders that a path is told relative to, the deepest first."""
    known = {
        *sysconfig.get_paths().values(),
        sys.prefix,
        sys.base_prefix,
        str(Path.cwd()),
        *(entry for entry in sys.path if entry),
    }
    folders = {folder.rstrip(os.sep) + os.sep for folder in known if len(Path(folder).parts) > 1}
    return sorted(folders, key=len, reverse=True)


def anonymous(text: str) -> str:
    """Return the text without local folders and memory addresses.

    A path below a known folder (the working directory, site-packages, an entry of sys.path)
    becomes relative to it; of any other absolute path only the last part is kept.
    """
    for folder in _local_folders():
        text = text.replace(folder, "")
    return _ADDRESS.sub("0x...", _ABSOLUTE.sub("", text))


def message(text: str) -> str:
    """Return the first one or two lines that say something, without local paths."""
    lines = [line.strip() for line in anonymous(text).splitlines() if line.strip()]
    return "\n".join(line[:LINE_LENGTH] for line in lines[:MESSAGE_LINES])


def detail(text: str) -> str:
    """Return the tail of a long text (at most DETAIL_LENGTH characters), without local paths."""
    return anonymous(text)[-DETAIL_LENGTH:]


def first_of(faults: list[str]) -> str:
    """Return the first of many, and how many more there are.

    Its paths stay: they are what it speaks of. The harness makes them relative to the project.
    """
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}"


def of_exception(error: BaseException) -> str:
    """Return an exception as ``Type: message``, in one or two lines."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its own words may be as broken as what it speaks of
        text = ""
    return message(f"{type(error).__name__}: {text}" if text else type(error).__name__)
