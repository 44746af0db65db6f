"""Matrix × wheels × this host -> cells, each with a reason if it cannot run here."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec.structs import replace
from packaging import tags
from packaging.version import Version

from torchfloor.host import OLDEST_PYTHON
from torchfloor.releases import Offers, collect_offers, select_releases
from torchfloor.wheels import Wheel, list_wheels, with_credentials, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torchfloor.matrix import Matrix

__all__ = ["Cell", "CellId", "Host", "Plan", "make_plan", "name_cell", "plan_release"]

CellId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._!-]*$", max_length=200)]
"""It names files and sessions; the `!` is of versions with an epoch."""

_NO_INTERPRETER = "3.11"
"""The Python named in cell identifiers on a host that has none."""


def name_cell(package: str, release: str, flavour: str, python: str) -> str:
    """Return the identifier of a cell: `torch2.0.1-cpu-py311`."""
    return f"{package}{release}-{flavour}-py{python.replace('.', '')}"


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


class Plan(msgspec.Struct, frozen=True):
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

    def __post_init__(self) -> None:
        """Refuse releases that are no versions (msgspec turns the error into its own)."""
        for release in (self.declared, self.floor, *self.releases):
            Version(release)

    def cell(self, cell_id: str) -> Cell | None:
        """Return the cell of that identifier, or None."""
        return next((cell for cell in self.cells if cell.id == cell_id), None)

    def with_credentials(self, matrix: Matrix) -> Plan:
        """Return the plan with the credentials that its wheels' indexes ask for.

        They stand in matrix.yaml, and are kept nowhere else. Those of the default index are not
        needed: uv knows them.
        """
        named = {without_credentials(i): i for f in matrix.flavours.values() for i in f.indexes}
        cells = tuple(
            replace(c, wheel=c.wheel and with_credentials(c.wheel, named.get(c.wheel.index, "")))
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
    selection = select_releases(matrix, offers.values())
    main_python = _main_python(matrix, host, selection.chosen, offers)
    cells = []
    for release, name in product(selection.chosen, matrix.flavours):
        place = _place(matrix, host, offers[name].get(release, []), main_python)
        place = _check_device(place, matrix.flavours[name].needs, host)
        cells.append(_make_cell(matrix, release, name, place))
    return Plan(
        package=matrix.package,
        headline=matrix.headline,
        declared=str(matrix.declared),
        floor=str(selection.floor),
        sample=matrix.sample,
        releases=tuple(str(release) for release in selection.covered),
        cells=tuple(cells),
        unreachable=tuple(unreachable),
        made=dt.datetime.now(dt.UTC),
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
        if _best_wheel(flavour.get(release, []), python, host.platforms):
            covered[python] += 1
            promised[python] += release >= matrix.declared
    return max(
        host.pythons, key=lambda p: (promised[p], covered[p], _parts(p)), default=_NO_INTERPRETER
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
        if python in host.pythons and (wheel := _best_wheel(wheels, python, host.platforms)):
            return _Placement(python, wheel, "planned")
    if main_python not in host.pythons and _best_wheel(wheels, main_python, host.platforms):
        return _Placement(main_python, None, "not-run", _no_python([main_python]))
    wanted = _pythons_of(wheels, host.platforms)
    if not wanted:
        reason = next((wheel.withheld for wheel in wheels), "") or "no wheel for this platform"
        return _Placement(main_python, None, "unavailable", reason)
    if not others and main_python not in wanted:
        return _Placement(main_python, None, "unavailable", f"no wheel for Python {main_python}")
    usable = [python for python in wanted if _parts(python) >= OLDEST_PYTHON]
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


def _best_wheel(wheels: Iterable[Wheel], python: str, platforms: tuple[str, ...]) -> Wheel | None:
    ranks = _tag_ranks(python, platforms)
    ranked = []
    for wheel in wheels:
        fitting = [ranks[tag] for tag in wheel.tags if tag in ranks]
        if fitting and not wheel.withheld:
            ranked.append((-min(fitting), wheel.build, wheel))
    return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


@cache
def _tag_ranks(python: str, platforms: tuple[str, ...]) -> dict[tags.Tag, int]:
    """Rank the tags an interpreter accepts, best first."""
    version, name = _parts(python), "cp" + python.replace(".", "")
    accepted = [
        *tags.cpython_tags(version, abis=[name], platforms=platforms),
        *tags.compatible_tags(version, interpreter=name, platforms=platforms),
    ]
    return {tag: rank for rank, tag in enumerate(accepted)}


def _pythons_of(wheels: Iterable[Wheel], platforms: tuple[str, ...]) -> list[str]:
    """List the CPython versions these wheels are built for on this platform, newest first."""
    names = {
        tag.interpreter
        for wheel in wheels
        if not wheel.withheld
        for tag in wheel.tags
        if tag.platform in platforms and tag.interpreter.startswith("cp3")
    }
    return sorted((f"3.{name[3:]}" for name in names), key=_parts, reverse=True)


def _parts(python: str) -> tuple[int, int]:
    major, minor = python.split(".")
    return int(major), int(minor)
