"""The cells worth running when time is short."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.plan import Cell, Plan
    from torchfloor.record import Record

__all__ = ["quick_cells"]


def quick_cells(plan: Plan, records: Iterable[Record]) -> list[Cell]:
    """Choose the floor, the newest release, and both sides of every known change.

    Args:
        plan: The planned cells.
        records: Published evidence: where neighbouring releases differ in outcome, path or the
            unguarded operator's interface, something is known to change.

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
    return [cell for cell in plan.cells if cell.id in chosen]


def _character(record: Record) -> tuple[object, ...]:
    paths = tuple((seen.subject, seen.path) for seen in record.paths)
    return (record.outcome, paths, record.notes)
