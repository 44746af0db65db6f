"""What a cell really is, against what the plan asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from torchfloor import host
from torchfloor.record import Environment, Identity

if TYPE_CHECKING:
    from torchfloor.journal import Readback
    from torchfloor.plan import Cell

__all__ = ["find_differences", "make_environment", "make_identity"]


def find_differences(cell: Cell, readback: Readback) -> list[str]:
    """Name what the cell is that the plan did not ask for."""
    assert cell.wheel is not None, cell.id  # noqa: S101 - only planned cells are run
    local = cell.wheel.version.local
    asked: dict[str, tuple[object, object]] = {
        "release": (cell.version, _public(readback.release)),
        "imported version": (cell.version, _public(readback.module_version or cell.release)),
        "build": (f"+{local}" if local else readback.build, readback.build),
        "Python": (cell.python, ".".join(readback.python.split(".")[:2])),
        "device": (cell.device, readback.device),
    }
    return [
        f"{what}: planned {planned}, but the cell has {found}"
        for what, (planned, found) in asked.items()
        if planned != found
    ]


def _public(text: str) -> Version | str:
    """Return a version without its local part, comparable; what is no version as it is."""
    try:
        return Version(Version(text).public)
    except InvalidVersion:
        return text


def make_identity(cell: Cell, readback: Readback | None) -> Identity | None:
    """Join what the plan pinned with what was read back."""
    if cell.wheel is None:
        return None
    return Identity(
        release=cell.release,
        flavour=cell.flavour,
        wheel=cell.wheel.filename,
        sha256=cell.wheel.sha256,
        size=cell.wheel.size,
        uploaded=cell.wheel.uploaded,
        index=cell.wheel.index,
        build=readback.build if readback else "",
        cuda=readback.cuda if readback else None,
        git=readback.git if readback else None,
    )


def make_environment(readback: Readback) -> Environment:
    """Describe where a cell ran; the machine is this one."""
    return Environment(
        python=readback.python,
        platform=readback.platform,
        machine=host.machine(),
        threads=readback.threads,
        device=readback.device,
        device_name=readback.device_name,
        driver=readback.driver,
        packages=readback.packages,
    )
