"""Cell -> what the installer is told; `torchfloor.run` carries it out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torchfloor.plan import Cell

__all__ = [
    "create_arguments",
    "environment_python",
    "install_arguments",
    "requirements",
    "resolve_arguments",
    "site_packages",
    "write_requirements",
]

IN_CELL = ("pytest>=7.4", "pytest-benchmark>=4", "pytest-timeout>=2.2")
"""What runs the probes, in every cell."""


def requirements(cell: Cell) -> tuple[str, ...]:
    """List what a cell installs: the one planned wheel by URL and digest, and what goes beside it.

    Args:
        cell: A cell with a wheel.

    Returns:
        PEP 508 requirements, for one resolver transaction.
    """
    assert cell.wheel is not None, cell.id  # noqa: S101 - only planned cells are installed
    digest = f"#sha256={cell.wheel.sha256}" if cell.wheel.sha256 else ""
    return (f"{cell.package} @ {cell.wheel.url}{digest}", *cell.companions, *IN_CELL)


def write_requirements(cell: Cell, source: Path) -> None:
    """Write what a cell installs for the installer, and nobody else, to read.

    Every user of the machine can read a command line, and URLs may hold credentials.
    """
    source.touch(mode=0o600)
    source.write_text("\n".join(requirements(cell)), "utf-8")


def create_arguments(uv: str, cell: Cell, environment: Path) -> list[str]:
    """Arguments that create a cell's empty environment.

    A uv-managed Python that is not on this machine is never downloaded: the plan knows which
    interpreters there are.
    """
    return [uv, "venv", "--no-python-downloads", "--python", cell.python, str(environment)]


def install_arguments(uv: str, source: Path, environment: Path, cache: Path) -> list[str]:
    """Arguments that install the requirements in `source` into a cell's environment.

    The cache lies on the environment's file system, so that files are linked instead of copied.
    Nothing is built: that would run a source distribution's code before there is a cell to run
    it in.
    """
    python = str(environment_python(environment))
    return [
        *(uv, "pip", "install", "--python", python, "--cache-dir", str(cache)),
        *("--no-progress", "--strict", "--no-build", "--verify-hashes"),
        *("--requirements", str(source)),
    ]


def resolve_arguments(uv: str, python: str, source: Path, target: Path) -> list[str]:
    """Arguments that resolve the requirements in `source` into `target`, a pylock.toml.

    Nothing is installed; the lock names every file an interpreter (a path or a version) will
    download, with its size. With another interpreter than the cell's own, uv would download the
    whole wheel to look into it.
    """
    return [
        *(uv, "pip", "compile", "--quiet", "--no-header", "--no-python-downloads", "--no-build"),
        *("--python", python, "--format", "pylock.toml"),
        *("--output-file", str(target), str(source)),
    ]


def site_packages(environment: Path) -> Path:
    """Return the folder that an environment's packages are installed into."""
    return next(environment.glob("lib/*/site-packages"), environment / "Lib/site-packages")


def environment_python(environment: Path) -> Path:
    """Return the path of an environment's interpreter."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
