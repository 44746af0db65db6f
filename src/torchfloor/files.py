"""Files that others wrote: read with bounds, so that none can hang or exhaust the reader."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_bounded"]


def read_bounded(file: Path, limit: int) -> bytes:
    """Read a whole file that is a regular one and not too large.

    Args:
        file: The file; a symbolic link is followed.
        limit: The most bytes it may have.

    Returns:
        Its content.

    Raises:
        OSError: If it cannot be read, is a FIFO, a device or a folder, or is larger.
    """
    with open(file, "rb", opener=_open_at_once) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(file))
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit // 1024} KiB", str(file))
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a FIFO would otherwise block until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
