"""Matrix × wheels × this host -> cells, each with a reason if it cannot run here."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec.structs import replace
from packaging.version import Version

from torchfloor.addresses import without_credentials
from torchfloor.fitting import best_wheel, parts, pythons_of
from torchfloor.host import OLDEST_PYTHON
from torchfloor.releases import Offers, collect_offers, select_releases
from torchfloor.unasked import explain
from torchfloor.wheels import Wheel, list_wheels, with_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
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

_NO_INTERPRETER = "3.11"
"""The Python named in cell identifiers on a host that has none."""


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
    main_python = _main_python(matrix, host, selection.chosen, offers)
    cells = []
    for release, name in product(selection.chosen, matrix.flavours):
        place = _place(matrix, host, offers[name].get(release, []), main_python)
        place = _check_device(place, matrix.flavours[name].needs, host)
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
    main_python = _main_python(matrix, host, [release], {flavour: {release: wheels}})
    place = _place(matrix, host, wheels, main_python)
    place = _check_device(place, matrix.flavours[flavour].needs, host)
    return _make_cell(matrix, release, flavour, place)


def _main_python(
    matrix: Matrix, host: Host, selected: Iterable[Version], offers: Mapping[str, Offers]
) -> str:
    """Pick the interpreter that covers most promised cells, then most cells, then the newest."""
    if matrix.python != "auto":
        return matrix.python
    promised: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for release, flavour, python in product(selected, offers.values(), host.pythons):
        if best_wheel(flavour.get(release, []), python, host.platforms):
            covered[python] += 1
            promised[python] += release >= matrix.declared
    return max(
        host.pythons, key=lambda p: (promised[p], covered[p], parts(p)), default=_NO_INTERPRETER
    )


class _Placement(NamedTuple):
    """Where a cell runs, or why it does not."""

    python: str
    wheel: Wheel | None
    status: Literal["planned", "not-run", "unavailable"]
    reason: str = ""


def _place(matrix: Matrix, host: Host, wheels: list[Wheel], main_python: str) -> _Placement:
    """Find the interpreter and wheel of a cell, or the reason why there is none."""
    others = host.pythons if matrix.python == "auto" else ()
    for python in (main_python, *others):
        if python in host.pythons and (wheel := best_wheel(wheels, python, host.platforms)):
            return _Placement(python, wheel, "planned")
    if main_python not in host.pythons and best_wheel(wheels, main_python, host.platforms):
        return _Placement(main_python, None, "not-run", _no_python([main_python]))
    wanted = pythons_of(wheels, host.platforms)
    if not wanted:
        reason = next((wheel.withheld for wheel in wheels), "") or "no wheel for this platform"
        return _Placement(main_python, None, "unavailable", reason)
    if not others and main_python not in wanted:
        return _Placement(main_python, None, "unavailable", f"no wheel for Python {main_python}")
    usable = [python for python in wanted if parts(python) >= OLDEST_PYTHON]
    if not usable:
        reason = f"needs Python {wanted[0]}, and cells need 3.9 or newer"
        return _Placement(wanted[0], None, "not-run", reason)
    return _Placement(usable[0], None, "not-run", _no_python(usable))


def _no_python(usable: Sequence[str]) -> str:
    return f"no Python {' or '.join(usable)} on this machine; install one"


def _check_device(place: _Placement, needs: str | None, host: Host) -> _Placement:
    """Do not run what could run but for its device."""
    if place.status != "planned" or needs is None or needs in host.devices:
        return place
    return place._replace(status="not-run", reason=f"no {needs.upper()} device on this machine")


def _make_cell(matrix: Matrix, release: Version, name: str, place: _Placement) -> Cell:
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
