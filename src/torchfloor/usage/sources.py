"""Paths -> the Python files they hold, and what those say."""

from __future__ import annotations

import ast
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torchfloor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LARGEST", "Found", "UnreadableError", "find_sources", "parse_source", "read_source"]

LARGEST = 10 * 2**20
"""Bytes of the largest file that is read: beyond that it is data, whatever its name."""

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


class UnreadableError(Exception):
    """A file cannot be read or parsed; the text says why."""


class Found(NamedTuple):
    """What lies under some paths.

    Attributes:
        files: Python files, sorted within each path; each file once.
        unread: Folders that could not be looked into, and why.
    """

    files: list[Path]
    unread: list[str]


def find_sources(paths: Iterable[Path]) -> Found:
    """Find the Python files under files and folders.

    A folder's hidden folders, virtual environments, `site-packages`, `node_modules` and links to
    folders are left out, unless they are named themselves. A file that is named is read whatever
    its suffix.

    Args:
        paths: Files and folders.

    Raises:
        ConfigError: If a path does not exist, is a notebook, or holds no Python file.
    """
    found = Found([], [])
    mistakes = []
    seen: set[Path] = set()
    for path in paths:
        if not os.path.lexists(path):
            mistakes.append(f"{path}: does not exist; check its spelling")
        elif path.suffix == ".ipynb":
            mistakes.append(f"{path}: notebooks are not read; convert it to a Python file first")
        else:
            here = list(_walk(path, found.unread)) if path.is_dir() else [path]
            if not here:
                mistakes.append(f"{path}: holds no Python file")
            for file in here:
                real = file.resolve() if file.is_symlink() else file.absolute()
                if real not in seen:
                    seen.add(real)
                    found.files.append(file)
    if mistakes:
        source = "requires"
        raise ConfigError(source, mistakes)
    return found


def _walk(folder: Path, unread: list[str]) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        unread.append(f"{error.filename}: {error.strerror or error}")

    for root, folders, files in os.walk(folder, onerror=tell):
        folders[:] = sorted(name for name in folders if not _is_skipped(root, name))
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(root, name)


def _is_skipped(root: str, name: str) -> bool:
    hidden = name.startswith(".") or name in _SKIPPED
    return hidden or Path(root, name, "pyvenv.cfg").exists()


def read_source(path: Path) -> bytes:
    """Read a file, within bounds.

    Raises:
        UnreadableError: If it cannot be read, is no regular file, or too large.
    """
    try:
        if not path.is_file():
            reason = "is a link that leads nowhere" if path.is_symlink() else "is no regular file"
            raise UnreadableError(reason)
        with path.open("rb") as stream:
            text = stream.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None
    if len(text) > LARGEST:
        reason = f"more than {LARGEST // 2**20} MB, which no hand wrote"
        raise UnreadableError(reason)
    return text


def parse_source(text: bytes) -> ast.Module:
    """Parse a file's bytes; an encoding cookie (PEP 263) or a byte order mark is obeyed.

    Raises:
        UnreadableError: If this Python cannot parse it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the code that is read, not about ours
        try:
            return ast.parse(text)
        except SyntaxError as error:
            place = f"line {error.lineno}: " if error.lineno else ""
            reason = f"{place}{error.msg}"
            raise UnreadableError(reason) from None
        except (ValueError, LookupError) as error:  # a NUL byte; an encoding nobody knows
            raise UnreadableError(str(error)) from None
        except (RecursionError, MemoryError):
            reason = "nested too deeply"
            raise UnreadableError(reason) from None
