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
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(file))
        content = opened.read(limit + 1)
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
    said, _, rest = content.replace(b"\r\n", b"\n").rpartition(_MARK)
    return _MARK + rest == _ending(said)


def _ending(said: bytes) -> bytes:
    return _MARK + hashlib.sha256(said).hexdigest()[:16].encode() + b'"\n}\n'
