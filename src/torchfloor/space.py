"""What a run downloads and unpacks, against the space there is, and what files take."""

from __future__ import annotations

import stat
import subprocess
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.utils import canonicalize_name

from torchfloor import host, install
from torchfloor.errors import SpaceError
from torchfloor.index import default_index

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from torchfloor.plan import Cell
    from torchfloor.record import Record

__all__ = [
    "Download",
    "check_space",
    "estimate_downloads",
    "files_of",
    "in_bytes",
    "needed_space",
    "resolve_download",
    "size_on_disk",
]

_UNPACKED = 2.3
"""Bytes on disk for each downloaded one: wheels are compressed (PyTorch's measure 1.7 to 2.2)."""
MARGIN = 16 * 2**20
"""Bytes a cell takes beside what it installs: the empty environment, bytecode, logs."""
_BLOCK = 4096
_AT_ONCE = 4
_PATIENCE = 10
"""Seconds to resolve one cell: longer means that uv is downloading a whole wheel to look into."""


class Download(msgspec.Struct, frozen=True):
    """What a cell downloads.

    Attributes:
        size: Bytes, as far as the index tells.
        exact: Whether every file's size is known; if not, it is at least `size`.
    """

    size: int
    exact: bool


def estimate_downloads(cells: Sequence[Cell], records: Iterable[Record]) -> list[Download]:
    """Find out what cells will download, without downloading it.

    Args:
        cells: Cells with a wheel.
        records: Evidence: a cell that ran with the same wheel downloads what it did then.

    Returns:
        One for each cell.
    """
    known: dict[str | None, Download] = {
        record.identity.sha256: Download(record.provenance.download, exact=True)
        for record in records
        if record.identity and record.identity.sha256 and record.provenance.download
    }

    # Finding out the index takes a while: once for all, and not where nothing is to be resolved.
    unknown = any(_sha256(cell) not in known for cell in cells)
    environment = host.uv_environment(default_index()) if unknown else {}

    def estimate(cell: Cell) -> Download:
        return known.get(_sha256(cell)) or resolve_download(cell, environment)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(estimate, cells))


def _sha256(cell: Cell) -> str | None:
    return cell.wheel.sha256 if cell.wheel else None


def resolve_download(
    cell: Cell, environment: Mapping[str, str], python: Path | None = None
) -> Download:
    """Ask uv which files a cell installs, and add up their sizes.

    Args:
        cell: A cell with a wheel.
        environment: uv's environment variables.
        python: The cell's interpreter, if it has been installed already.

    Returns:
        The sum; only the wheel itself counts where the others cannot be found out.
    """
    assert cell.wheel is not None, cell.id  # noqa: S101 - documented
    packages = _resolve(install.requirements(cell), str(python or cell.python), environment)
    own, name = cell.wheel.size or 0, canonicalize_name(cell.package)
    sizes = [_size_of(package) for package in packages if package["name"] != name]
    return Download(own + sum(sizes), exact=bool(own and sizes) and all(sizes))


def _resolve(
    requirements: Iterable[str], python: str, environment: Mapping[str, str]
) -> list[dict[str, object]]:
    """Resolve requirements; nothing where that fails, as their installation then will."""
    with tempfile.TemporaryDirectory() as folder:
        source, lock = Path(folder, "requirements.in"), Path(folder, "pylock.toml")
        source.write_text("\n".join(requirements), "utf-8")
        command = install.resolve_arguments(host.uv(), python, source, lock)
        try:
            subprocess.run(  # noqa: S603 - arguments built by torchfloor.install
                command, env=dict(environment), capture_output=True, check=True, timeout=_PATIENCE
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return []
        packages: list[dict[str, object]] = tomllib.loads(lock.read_text("utf-8"))["packages"]
        return packages


def _size_of(package: dict[str, object]) -> int:
    """Return the size of the file that will be installed: a wheel, else the source."""
    files = package.get("wheels") or [package.get("archive") or package.get("sdist") or {}]
    assert isinstance(files, list)  # noqa: S101 - the format says so (PEP 751)
    return max((file.get("size", 0) for file in files), default=0)


def needed_space(downloads: Iterable[Download], jobs: int = 1) -> int:
    """Return the bytes that cells need at most: each is removed as soon as it is recorded.

    Args:
        downloads: What they download.
        jobs: Cells at a time.
    """
    largest = sorted((download.size for download in downloads), reverse=True)[:jobs]
    return sum(int(size * _UNPACKED) + MARGIN for size in largest)


def check_space(needed: int, folder: Path) -> None:
    """Refuse what cannot fit.

    Args:
        needed: Bytes, from `needed_space`.
        folder: Where environments will lie.

    Raises:
        SpaceError: If less is free; its message says how much is missing.
    """
    free = host.free_space(folder)
    if free < needed:
        msg = (
            f"Not enough disk: {in_bytes(needed)} are needed, and {in_bytes(free)} are free, so "
            f"{in_bytes(needed - free)} are missing. Free them, or put the checkout on a larger "
            "disk, and run again."
        )
        raise SpaceError(msg)


def files_of(folder: Path) -> dict[Path, os.stat_result]:
    """Look at every file of a folder, once; links are not followed."""
    found = {file: file.lstat() for file in folder.rglob("*")}
    return {file: status for file, status in found.items() if not stat.S_ISDIR(status.st_mode)}


def size_on_disk(files: Iterable[os.stat_result]) -> int:
    """Return the bytes that files take on disk; one that has several names counts once.

    They are counted in whole blocks, as file systems hold them, so that a time or a path that is
    written with one digit more makes no difference.
    """
    return sum({(file.st_dev, file.st_ino): _blocks(file.st_size) for file in files}.values())


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def in_bytes(size: int) -> str:
    """Write a number of bytes for a reader."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"  # noqa: PLR2004 - units
