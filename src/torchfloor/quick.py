"""The cells worth running when time is short."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torchfloor.plan import Cell, Plan
    from torchfloor.record import Record
    from torchfloor.static import StaticEvidence

__all__ = ["quick_cells"]


def quick_cells(
    plan: Plan, records: Iterable[Record], static: StaticEvidence | None = None
) -> list[Cell]:
    """Choose the floor, the newest release, and both sides of every known change.

    Args:
        plan: The planned cells.
        records: Published evidence: where neighbouring releases differ in outcome, path or the
            unguarded operator's interface, something is known to change.
        static: The published timeline: so it is at each of its change points, but for those
            where only types are written in another way.

    Returns:
        Cells that can run here, in the plan's order.
    """
    by_cell = {record.cell: _character(record) for record in records}
    chosen: set[str] = set()
    for flavour in dict.fromkeys(cell.flavour for cell in plan.cells):
        cells = [c for c in plan.cells if c.flavour == flavour and c.status == "planned"]
        promised = [cell for cell in cells if cell.promised]
        floor = [cell for cell in promised if cell.version == Version(plan.floor)]
        chosen.update(cell.id for cell in [*floor, *promised[-1:]])
        for older, newer in pairwise(cell for cell in cells if cell.id in by_cell):
            if by_cell[older.id] != by_cell[newer.id]:
                chosen.update((older.id, newer.id))
        chosen.update(cell.id for cell in _around_changes(cells, static))
    return [cell for cell in plan.cells if cell.id in chosen]


def _around_changes(cells: Sequence[Cell], static: StaticEvidence | None) -> Iterator[Cell]:
    """Yield the cells on both sides of each change point that lies between two of them.

    Where releases that wheels cannot tell about lie before a change, its older side is both the
    last cell that is known to be otherwise and the last one before the change.
    """
    for history in static.names if static else ():
        for change in history.changes:
            since, until = Version(change.release), Version(change.before or change.release)
            older = [cell for cell in cells if cell.version < since]
            newer = [cell for cell in cells if cell.version >= since]
            first = change.before is None and change.release == history.seen[0].release
            if change.kind != "annotation" and older and newer and not first:
                yield from (older[-1], newer[0])
                yield from [cell for cell in older if cell.version <= until][-1:]


def _character(record: Record) -> tuple[object, ...]:
    paths = tuple((seen.subject, seen.path) for seen in record.paths)
    return (record.outcome, paths, record.notes)
