"""What the tests of the harness build: projects, plans, cells, records, indexes."""

from __future__ import annotations

import datetime as dt
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from torchfloor.host import Machine
from torchfloor.index import IndexUnreachableError
from torchfloor.matrix import Flavour, Matrix, read_matrix
from torchfloor.plan import Cell, Host, Plan
from torchfloor.record import SCHEMA, Environment, Failure, Identity, Probe, Provenance, Record
from torchfloor.report.packed import pack_stories
from torchfloor.report.story import tell_parts
from torchfloor.wheels import Wheel
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pytest

    from torchfloor.record import Outcome
    from torchfloor.report.packed import Packed

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
LINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "linux_x86_64")
HOST = Host(pythons=("3.12", "3.11", "3.10"), platforms=LINUX)
MACHINE = Machine(system="Linux", architecture="x86_64", cpu="Some CPU", cores=2)

MATRIX = """
    package: dep
    subject: src/sub
    probes: probes
    declared-in: pyproject.toml
    versions: ">=1.0"
    flavours:
      cpu:
        indexes: [wheels]
"""


def write_project(root: Path, matrix: str = MATRIX, floor: str = "dep>=1.0") -> Path:
    """Write a small project, and return its matrix.yaml."""
    (root / "src/sub").mkdir(parents=True, exist_ok=True)
    (root / "src/sub/__init__.py").write_text("import dep\n", "utf-8")
    (root / "probes").mkdir(exist_ok=True)
    (root / "probes/test_it.py").write_text("def test_it(): pass\n", "utf-8")
    (root / "pyproject.toml").write_text(f'[project]\ndependencies = ["{floor}"]\n', "utf-8")
    file = root / "matrix.yaml"
    file.write_text(textwrap.dedent(matrix), "utf-8")
    return file


def make_workspace(root: Path, monkeypatch: pytest.MonkeyPatch, *releases: str) -> Workspace:
    """Write a small project with a wheel of each release, for HOST, and return its workspace."""
    monkeypatch.setattr("torchfloor.workspace.this_host", lambda: HOST)
    file = write_project(root)
    (root / "wheels").mkdir()
    for release in releases:
        add_wheel(root, release)
    return Workspace(read_matrix(file))


def add_wheel(root: Path, release: str) -> None:
    """Offer another release to a small project; nothing is in its wheel."""
    (root / f"wheels/dep-{release}-py3-none-any.whl").write_bytes(b"")


def make_matrix(root: Path = Path("/nowhere"), **changes: Any) -> Matrix:  # noqa: ANN401 - any field
    """Make a matrix without reading a file."""
    fields: dict[str, Any] = {
        "source": root / "matrix.yaml",
        "package": "dep",
        "subject": root / "src/sub",
        "headline": "call",
        "names": (),
        "canary": "",
        "probes": root / "probes",
        "declared_in": root / "pyproject.toml",
        "declared": Version("1.0"),
        "versions": SpecifierSet(">=1.0"),
        "sample": "newest-patch",
        "history": (),
        "python": "auto",
        "flavours": {"cpu": Flavour(indexes=("main",))},
        "companions": (),
        "timeout": 60,
    }
    return Matrix(**(fields | changes))


def make_wheel(
    release: str, tags: str = "py3-none-any", package: str = "dep", **fields: object
) -> Wheel:
    """Describe a wheel the way an index does."""
    name = f"{package}-{release}-{tags}.whl"
    values = {"url": f"https://files.invalid/{name}", "index": "main", "sha256": "ab" * 32}
    return Wheel(**{"filename": name, **values, **fields})  # type: ignore[arg-type]


def make_wheels(*releases: str, tags: str = "py3-none-any") -> list[Wheel]:
    """Describe one wheel for each release."""
    return [make_wheel(release, tags) for release in releases]


class FakeIndex:
    """Answers for indexes by name; an index given as text does not answer, for that reason.

    Attributes:
        asked: The indexes that were asked, in order.
    """

    def __init__(self, indexes: Mapping[str, list[Wheel] | str]) -> None:
        self._indexes = indexes
        self.asked: list[str] = []

    def __call__(self, _package: str, index: str, _root: Path) -> list[Wheel]:
        """List what the index offers."""
        self.asked.append(index)
        answer = self._indexes[index]
        if isinstance(answer, str):
            raise IndexUnreachableError(answer)
        return answer


Status = Literal["planned", "not-run", "unavailable"]


def make_cell(
    release: str = "1.0",
    flavour: str = "cpu",
    *,
    promised: bool = True,
    status: Status = "planned",
    reason: str = "",
    **fields: Any,  # noqa: ANN401 - any field
) -> Cell:
    """Make one cell on Python 3.11."""
    values: dict[str, Any] = {
        "id": f"dep{release}-{flavour}-py311",
        "package": "dep",
        "release": release,
        "flavour": flavour,
        "device": flavour,
        "python": "3.11",
        "promised": promised,
        "companions": (),
        "wheel": None if status == "unavailable" else make_wheel(release),
        "status": status,
        "reason": reason,
    }
    return Cell(**(values | fields))


def make_plan(cells: Iterable[Cell], **changes: Any) -> Plan:  # noqa: ANN401 - any field
    """Make a plan; the releases on the index are those of its cells, unless others are named."""
    planned = tuple(cells)
    fields: dict[str, Any] = {
        "package": "dep",
        "headline": "call",
        "declared": "1.0",
        "floor": "1.0",
        "sample": "newest-patch",
        "releases": tuple(dict.fromkeys(cell.release for cell in planned)),
        "cells": planned,
        "unreachable": (),
        "made": NOON,
    }
    return Plan(**(fields | changes))


def make_record(
    cell: Cell | None = None,
    outcome: Outcome = "compatible",
    **changes: Any,  # noqa: ANN401 - any field
) -> Record:
    """Make the record that a cell leaves where one probe ran and passed."""
    cell = cell or make_cell()
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "cell": cell.id,
        "package": cell.package,
        "release": cell.release,
        "flavour": cell.flavour,
        "python": cell.python,
        "promised": cell.promised,
        "outcome": outcome,
        "provenance": PROVENANCE,
        "identity": IDENTITY
        if cell.wheel is None
        else msgspec.structs.replace(
            IDENTITY, release=cell.release, wheel=cell.wheel.filename, sha256=cell.wheel.sha256
        ),
        "environment": msgspec.structs.replace(ENVIRONMENT, python=f"{cell.python}.7"),
        "failure": None if outcome == "compatible" else Failure("probes", "a probe failed"),
        "probes": (Probe("test_it.py::test_it", "works", "passed", 0.01),),
    }
    return Record(**(fields | changes))


def tell(records: Sequence[Record]) -> tuple[Packed, ...]:
    """Tell the stories of records, 64 at a time."""
    groups = [records[start : start + 64] for start in range(0, len(records), 64)]
    return tuple(pack_stories((r.cell, tell_parts(r)) for r in group) for group in groups)


PROVENANCE = Provenance(
    subject="s" * 16,
    probes="p" * 16,
    matrix="m" * 16,
    torchfloor="0.1.0",
    started=NOON,
    finished=NOON,
    seconds={"install": 1.5},
)
IDENTITY = Identity(
    release="1.0",
    flavour="cpu",
    wheel="dep-1.0-py3-none-any.whl",
    sha256="ab" * 32,
    size=1000,
    uploaded=dt.date(2025, 12, 31),
    index="main",
)
ENVIRONMENT = Environment(
    python="3.11.7",
    platform="Linux-6-glibc",
    machine=MACHINE,
    threads=1,
    device="cpu",
    device_name="",
    driver="",
    packages={"dep": "1.0"},
)
