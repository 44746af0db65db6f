"""Matrix × wheels × this host -> cells, each with a reason if it cannot run here."""

from __future__ import annotations

import datetime as dt
import re
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec.structs import replace
from packaging.version import Version

from torchfloor.addresses import without_credentials
from torchfloor.placement import Placement, find_place, main_python
from torchfloor.releases import collect_offers, select_releases
from torchfloor.unasked import explain
from torchfloor.wheels import Wheel, list_wheels, with_credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchfloor.matrix import Matrix

__all__ = [
    "Cell",
    "CellId",
    "Host",
    "Plan",
    "is_cell_name",
    "make_plan",
    "name_cell",
    "plan_release",
]

CellId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!-]*$", max_length=200)]
"""It names files and sessions; the `!` is of versions with an epoch."""


def name_cell(package: str, release: str, flavour: str, python: str) -> str:
    """Return the identifier of a cell: `torch2.0.1-cpu-py311`."""
    return f"{package}{release}-{flavour}-py{python.replace('.', '')}"


def is_cell_name(name: str, package: str) -> bool:
    """Tell whether a name is one that `name_cell` gives, for any release of a package."""
    pattern = rf"{re.escape(package)}[0-9][A-Za-z0-9.!]*-[a-z][a-z0-9]*-py3[0-9]+"
    return re.fullmatch(pattern, name) is not None


class Host(msgspec.Struct, frozen=True):
    """What of a host decides which cells can run.

    Attributes:
        pythons: Versions of the usable interpreters, newest first (`"3.11"`).
        platforms: Platform tags of wheels that install here, best first.
        devices: Devices beyond the processor (`{"cuda"}`).
    """

    pythons: tuple[str, ...]
    platforms: tuple[str, ...]
    devices: frozenset[str] = frozenset()


class Cell(msgspec.Struct, frozen=True):
    """Release × flavour × Python: the unit of work.

    Attributes:
        id: `torch2.0.1-cpu-py311`, the one name of the cell everywhere.
        package: The dependency under test.
        release: Its release, as the index writes it.
        flavour: Name of the wheel flavour.
        device: Where the code runs: `cpu`, or what the flavour needs.
        python: Version of the interpreter (`"3.11"`).
        promised: Whether the release is at or above the declared floor.
        companions: Requirements installed beside it, in the same transaction.
        wheel: The exact wheel, or None where there is none.
        status: `planned`, or the outcome that is known without running anything.
        reason: Why it is not planned; empty if it is.
    """

    id: CellId
    package: str
    release: str
    flavour: str
    device: str
    python: str
    promised: bool
    companions: tuple[str, ...]
    wheel: Wheel | None
    status: Literal["planned", "not-run", "unavailable"]
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a release that is no version (msgspec turns the error into its own)."""
        Version(self.release)

    @property
    def version(self) -> Version:
        """The release, comparable."""
        return Version(self.release)


class Plan(msgspec.Struct, frozen=True, dict=True):
    """The cells of a matrix, on one day and one host.

    Attributes:
        package: The dependency under test.
        headline: What the main table is about, as in the matrix.
        declared: The declared floor.
        floor: The lowest release at or above it: the one that must be among the cells.
        sample: As in matrix.yaml: `newest-patch` or `all`.
        releases: Every final release on the indexes from the oldest planned one, as far as
            `versions` reaches; oldest first.
        cells: Oldest release first, flavours in the matrix's order.
        unreachable: Indexes that did not answer, each with the cause.
        made: When, in UTC.
        silent: The names of those indexes, in the same order.
        unfound: Releases that the project names, and that only such an index may have.
        left_out: Promised releases that `versions` in matrix.yaml leaves out.
        only: What the run is about, if it is not about every cell: the others are not run.
    """

    package: str
    headline: str
    declared: str
    floor: str
    sample: str
    releases: tuple[str, ...]
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(min_length=1)]
    unreachable: tuple[str, ...]
    made: dt.datetime
    silent: tuple[str, ...] = ()
    unfound: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse releases that are no versions (msgspec turns the error into its own)."""
        for release in (self.declared, self.floor, *self.releases, *self.unfound):
            Version(release)

    @property
    def causes(self) -> dict[str, str]:
        """Why indexes did not answer, by their names."""
        return dict(zip(self.silent, self.unreachable, strict=False))

    def cell(self, cell_id: str) -> Cell | None:
        """Return the cell of that identifier, or None."""
        return self._by_id.get(cell_id)

    @cached_property
    def _by_id(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in reversed(self.cells)}  # of two alike, the first

    def with_credentials(self, matrix: Matrix) -> Plan:
        """Return the plan with the credentials that its wheels' indexes ask for.

        They stand in matrix.yaml, and are kept nowhere else. Those of the default index are not
        needed: uv knows them.
        """
        named = {
            (name, without_credentials(index)): index
            for name, flavour in matrix.flavours.items()
            for index in flavour.indexes
        }
        cells = tuple(
            replace(
                c,
                wheel=c.wheel
                and with_credentials(c.wheel, named.get((c.flavour, c.wheel.index), "")),
            )
            for c in self.cells
        )
        return replace(self, cells=cells)

    def without_urls(self) -> Plan:
        """Return the plan without its wheels' URLs: they are for this machine only."""
        cells = tuple(
            replace(cell, wheel=cell.wheel and replace(cell.wheel, url="")) for cell in self.cells
        )
        return replace(self, cells=cells)


def make_plan(
    matrix: Matrix,
    host: Host,
    offered_by: Callable[[str, str, Path], list[Wheel]] = list_wheels,
) -> Plan:
    """Plan the cells of a matrix.

    Args:
        matrix: What to vary.
        host: What can run here.
        offered_by: Lists the wheels of (package, index, root).

    Returns:
        The plan.

    Raises:
        ConfigError: If the matrix selects nothing, or a release that no index has.
        IndexUnreachableError: If no index of any flavour answers.
    """
    offers, unreachable = collect_offers(matrix, offered_by)
    selection = select_releases(matrix, offers.values(), unreachable)
    main = main_python(matrix, host, selection.chosen, offers)
    cells = []
    for release, name in product(selection.chosen, matrix.flavours):
        place = find_place(matrix, host, name, offers[name].get(release, []), main)
        if place.status == "unavailable" and (
            why := explain(matrix.flavours[name], unreachable, place.reason)
        ):
            place = place._replace(status="not-run", reason=why)
        cells.append(_make_cell(matrix, release, name, place))
    return Plan(
        package=matrix.package,
        headline=matrix.headline,
        declared=str(matrix.declared),
        floor=str(selection.floor),
        sample=matrix.sample,
        releases=tuple(str(release) for release in selection.covered),
        cells=tuple(cells),
        unreachable=tuple(unreachable.values()),
        made=dt.datetime.now(dt.UTC),
        silent=tuple(unreachable),
        unfound=tuple(selection.unfound),
        left_out=tuple(map(str, selection.left_out)),
    )


def plan_release(
    matrix: Matrix, host: Host, release: Version, flavour: str, wheels: list[Wheel]
) -> Cell:
    """Plan the cell of a release that the matrix does not reach, such as a pre-release.

    Args:
        matrix: What goes beside it.
        host: What can run here.
        release: The release.
        flavour: A flavour of the matrix.
        wheels: Its wheels.
    """
    main = main_python(matrix, host, [release], {flavour: {release: wheels}})
    place = find_place(matrix, host, flavour, wheels, main)
    return _make_cell(matrix, release, flavour, place)


def _make_cell(matrix: Matrix, release: Version, name: str, place: Placement) -> Cell:
    needs = matrix.flavours[name].needs
    return Cell(
        id=name_cell(matrix.package, str(release), name, place.python),
        package=matrix.package,
        release=str(release),
        flavour=name,
        device=needs or "cpu",
        python=place.python,
        promised=release >= matrix.declared,
        companions=matrix.companions_of(release),
        wheel=place.wheel,
        status=place.status,
        reason=place.reason,
    )
