"""Files that others may have written or changed: read with bounds, and sealed with a digest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_unchanged", "read_bounded", "seal"]

_MARK = b',\n "digest": "'


def read_bounded(file: Path, limit: int, *, cut: bool = False) -> bytes:
    """Read a whole file that is a regular one and not too large.

    Args:
        file: The file; a symbolic link is followed.
        limit: The most bytes it may have.
        cut: Whether to take the beginning of a larger file instead of refusing it.

    Returns:
        Its content.

    Raises:
        OSError: If it cannot be read, is a FIFO, a device or a folder, or is larger.
    """
    with open(file, "rb", opener=_open_at_once) as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(file))
        # A read makes room for all it may bring. The size is a hint: it may grow while it is read.
        content = opened.read(min(about.st_size, limit) + 1)
        if about.st_size < len(content) <= limit:
            content += opened.read(limit + 1 - len(content))
    if len(content) > limit and not cut:
        raise OSError(errno.EFBIG, f"Larger than {limit // 1024} KiB", str(file))
    return content[:limit]


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a FIFO would otherwise block until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def seal(value: msgspec.Struct) -> bytes:
    """Return a struct as the JSON of a file, whose last line is a digest of all before it.

    The digest shows what was changed by hand or by a failing disk. It is no signature: who wants
    to deceive makes a digest as well.
    """
    said = msgspec.json.format(msgspec.json.encode(value), indent=1).removesuffix(b"\n}")
    return said + _ending(said)


def is_unchanged(content: bytes) -> bool:
    """Tell whether a file is as `seal` made it, but for line ends, which git may change."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    whole = memoryview(content)  # which parts of are not copied: a record is long
    mark = max(0, content.rfind(_MARK))
    return whole[mark:] == _ending(whole[:mark])


def _ending(said: bytes | memoryview) -> bytes:
    return _MARK + hashlib.sha256(said).hexdigest()[:16].encode() + b'"\n}\n'
