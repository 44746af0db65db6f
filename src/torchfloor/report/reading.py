"""A folder of records -> what a report needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torchfloor.garbage import uncollected
from torchfloor.records import record_files
from torchfloor.report.block import Task, make_block
from torchfloor.report.shelf import drop_blocks, obtain_blocks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from torchfloor.condensed import Condensed
    from torchfloor.plan import Plan
    from torchfloor.report.packed import Packed

__all__ = ["SHELVES", "Reading", "read_condensed"]

SHELVES = ".compat/blocks"
"""Where a checkout keeps what was read of very many records, each kind in a folder of its own."""
_SIZE = 64
"""Cells whose stories are packed together: about what a browser unpacks in no time."""
_FEW = 4
"""Blocks that are read before a reader notices, so that none is kept."""


class Reading(NamedTuple):
    """What the files of a folder say.

    Attributes:
        records: What could be read, oldest release first.
        damaged: What is wrong with each of the others, by the name of its file.
        stories: Those of the planned cells, packed.
    """

    records: tuple[Condensed, ...]
    damaged: dict[str, str]
    stories: tuple[Packed, ...]


def read_condensed(
    folder: Path,
    plan: Plan,
    shelf: Path,
    *,
    earlier: bool = False,
    passing_over: Collection[str] = (),
) -> Reading:
    """Read the records of a folder, condensed, and tell their stories.

    Of very many, what was read is kept, beside what tells a file from a changed one: so a report
    after each cell of a run reads what is new, and no more.

    Args:
        folder: A folder of records; it need not exist.
        plan: Whose cells they are of; others are read, too, but their stories are not told.
        shelf: The folder to keep it in, and nothing else; if it cannot be made, nothing is kept.
        earlier: As in `read_record`.
        passing_over: Names of files that are none of ours.
    """
    there = {file.name for file in record_files(folder, passing_over)}
    planned = _groups([f"{cell.id}.json" for cell in plan.cells])
    # A block begins where it would if every record were there: a new one changes its own only.
    told = [found for group in planned if (found := [name for name in group if name in there])]
    others = _groups(sorted(there.difference(*planned)))
    tasks = [Task(str(folder.resolve()), tuple(group), earlier) for group in (*told, *others)]
    with uncollected():
        if len(tasks) > _FEW:
            blocks = obtain_blocks(tasks, shelf)
        else:
            blocks = [*map(make_block, tasks)]
            drop_blocks(shelf)
    records = [record for block in blocks for record in block.records]
    records.sort(key=lambda record: (record.version, record.cell))
    damaged = dict(sorted(pair for block in blocks for pair in block.damaged.items()))
    stories = tuple(block.stories for block in blocks[: len(told)])
    return Reading(tuple(records), damaged, stories)


def _groups(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _SIZE] for start in range(0, len(names), _SIZE)]
