"""What an index that did not answer leaves unknown, and what an earlier plan knew of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from packaging.version import Version

from torchfloor.addresses import without_credentials
from torchfloor.index import IndexUnreachableError
from torchfloor.releases import is_named, selects
from torchfloor.wheels import list_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from torchfloor.matrix import Flavour, Matrix
    from torchfloor.plan import Cell, Plan
    from torchfloor.wheels import Wheel

__all__ = ["complete", "explain", "remembering", "stand_in", "tell_indexes"]

_MOST_NAMED = 12
_FORGOT = "knows nothing of"


def explain(flavour: Flavour, unreachable: Mapping[str, str], elsewhere: str) -> str:
    """Say why nothing is known of a cell for which the indexes that answer have no wheel.

    Args:
        flavour: The cell's.
        unreachable: Why indexes do not answer, by their names.
        elsewhere: What the indexes that answer have instead of a wheel.

    Returns:
        The reason; empty where every index of the flavour answers.
    """
    names = [without_credentials(index) for index in flavour.indexes]
    silent = [unreachable[name] for name in names if name in unreachable]
    if not silent or len(silent) == len(names):
        return " and ".join(silent)
    return f"{' and '.join(silent)}; elsewhere: {elsewhere}"


def tell_indexes(plan: Plan) -> tuple[str, ...]:
    """Say of each index that did not answer what follows from it: the rest of a line."""
    return tuple(f"{told}; {_consequence(plan, told)}" for told in plan.unreachable)


def _consequence(plan: Plan, told: str) -> str:
    unasked = [c.release for c in plan.cells if c.status == "not-run" and told in c.reason]
    releases = list(dict.fromkeys([*unasked, *plan.unfound]))
    if not releases:
        return "others were used, and what it alone offers is not known"
    which = ", ".join(releases)
    if len(releases) > _MOST_NAMED:
        which = f"{releases[0]} to {releases[-1]} ({len(releases)} releases)"
    return f"it could not be asked for {plan.package} {which}"


def remembering(earlier: Collection[Plan]) -> Callable[[str, str, Path], list[Wheel]]:
    """Return a `list_wheels` that takes an index for silent which has lost all it had.

    An unmounted share is an empty folder, and a misled proxy says 404: neither is a reason to
    make evidence away. An index that is meant to be empty is to be taken out of matrix.yaml.

    Args:
        earlier: Plans of the same project.
    """

    def list_remembered(package: str, index: str, root: Path) -> list[Wheel]:
        found = list_wheels(package, index, root)
        if not found and (told := _forgotten(package, without_credentials(index), earlier)):
            raise IndexUnreachableError(told)
        return found

    return list_remembered


def _forgotten(package: str, name: str, earlier: Collection[Plan]) -> str:
    """Say when an index that has nothing of a package knew it; empty if it never did."""
    for plan in earlier:
        if _FORGOT in plan.causes.get(name, ""):  # its cells have no wheel that would tell
            return plan.causes[name]
        if any(cell.wheel is not None and cell.wheel.index == name for cell in plan.cells):
            return f"{name} {_FORGOT} {package}, though it did on {plan.made:%Y-%m-%d}"
    return ""


def complete(plan: Plan, earlier: Plan, matrix: Matrix) -> Plan:
    """Add to a plan what only indexes that did not answer have offered before.

    Their releases are still promised, and nothing says that they are gone. Their cells are not
    run, since there is no wheel to run them with; evidence there is of them counts.

    Args:
        plan: A plan; returned as it is if every index has answered.
        earlier: A plan of the same project.
        matrix: What the plan was made from.
    """
    if not plan.silent:
        return plan
    kept = [
        _unasked(_adopt(cell, matrix), plan, matrix)
        for cell in earlier.cells
        if _is_unasked(cell, plan, matrix)
    ]
    known = [cell.version for cell in kept if cell.release in earlier.releases]
    releases = {Version(release) for release in plan.releases} | set(known)
    promised = [release for release in known if release >= matrix.declared]
    return replace(
        plan,
        floor=str(min([Version(plan.floor), *promised])),
        releases=tuple(map(str, sorted(releases))),
        cells=_replacing(plan, kept, matrix),
        unfound=tuple(text for text in plan.unfound if not _is_found(text, known, matrix)),
    )


def stand_in(
    plan: Plan, earlier: Plan, matrix: Matrix, current: Collection[str], published: Collection[str]
) -> Plan:
    """Let cells that nothing is known of give way to published ones on another Python.

    Which Python a release is tried on depends on the machine; a machine that has not run it knows
    nothing better.

    Args:
        plan: A plan.
        earlier: The published plan.
        matrix: What the plan was made from.
        current: Identifiers of the cells that have current evidence.
        published: Identifiers of those whose evidence is published.
    """
    known = {(cell.release, cell.flavour) for cell in plan.cells if cell.id in current}
    planned = {(cell.release, cell.flavour) for cell in plan.cells}
    kept = [
        _adopt(cell, matrix)
        for cell in earlier.cells
        if cell.id in current
        and cell.id in published
        and _is_of(cell, matrix)
        and (cell.release, cell.flavour) in planned - known
    ]
    return replace(plan, cells=_replacing(plan, kept, matrix))


def _replacing(plan: Plan, cells: Sequence[Cell], matrix: Matrix) -> tuple[Cell, ...]:
    """Put cells in the place of those of the same release and flavour, and all in order."""
    replaced = {(cell.release, cell.flavour) for cell in cells}
    others = [cell for cell in plan.cells if (cell.release, cell.flavour) not in replaced]
    flavours = list(matrix.flavours)
    both = [*others, *cells]
    return tuple(sorted(both, key=lambda cell: (cell.version, flavours.index(cell.flavour))))


def _adopt(cell: Cell, matrix: Matrix) -> Cell:
    """Bring a cell of an earlier plan up to what the matrix says today."""
    return replace(
        cell,
        promised=cell.version >= matrix.declared,
        companions=matrix.companions_of(cell.version),
        device=matrix.flavours[cell.flavour].needs or "cpu",
    )


def _unasked(cell: Cell, plan: Plan, matrix: Matrix) -> Cell:
    why = explain(matrix.flavours[cell.flavour], plan.causes, "no such release")
    return replace(cell, wheel=None, status="not-run", reason=why)


def _is_unasked(cell: Cell, plan: Plan, matrix: Matrix) -> bool:
    """Tell whether the matrix wants a cell that only an index which is silent may have."""
    if not _is_of(cell, matrix):
        return False
    if not explain(matrix.flavours[cell.flavour], plan.causes, "nothing"):
        return False  # every index of the flavour has answered
    if cell.wheel is not None and cell.wheel.index not in plan.silent:
        return False  # the index it came from has answered, and no longer offers it
    if plan.cell(cell.id) is not None or _is_served(cell, plan):
        return False
    known = [Version(release) for release in (*plan.releases, cell.release)]
    return selects(matrix, cell.version, known)


def _is_of(cell: Cell, matrix: Matrix) -> bool:
    """Tell whether a matrix could plan a cell, whatever the indexes have."""
    python = matrix.python in {"auto", cell.python}
    return python and cell.package == matrix.package and cell.flavour in matrix.flavours


def _is_served(cell: Cell, plan: Plan) -> bool:
    """Tell whether an index that answers serves the release, or a patch that stands for it."""
    is_floor = Version(plan.declared) <= cell.version < Version(plan.floor)
    wheels = [c for c in plan.cells if c.flavour == cell.flavour and c.wheel is not None]
    return any(
        other.version == cell.version
        or (
            plan.sample == "newest-patch"
            and not is_floor
            and other.version > cell.version
            and other.version.release[:2] == cell.version.release[:2]
        )
        for other in wheels
    )


def _is_found(text: str, known: Sequence[Version], matrix: Matrix) -> bool:
    is_named_so = is_named if text in matrix.history else lambda name, r: Version(name) == r
    return any(is_named_so(text, release) for release in known)
