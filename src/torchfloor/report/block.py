"""A few records -> what a report of very many needs of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from torchfloor.condensed import Condensed, condense
from torchfloor.errors import RecordError, UnreadRecordError
from torchfloor.records import read_record
from torchfloor.report.packed import Packed, pack_stories
from torchfloor.report.story import tell_parts

__all__ = ["Block", "Task", "make_block"]


class Task(msgspec.Struct, frozen=True):
    """What a block is made from.

    Attributes:
        folder: Where the files are.
        names: Their names.
        earlier: As in `read_record`.
    """

    folder: str
    names: tuple[str, ...]
    earlier: bool


class Block(msgspec.Struct, frozen=True):
    """What a few files say.

    Attributes:
        records: What could be read, condensed, in the order of the task.
        damaged: What is wrong with each of the others, by the name of its file.
        stories: The records' stories.
        lasting: Whether the files say that as long as they are not changed.
    """

    records: tuple[Condensed, ...]
    damaged: dict[str, str]
    stories: Packed
    lasting: bool


def make_block(task: Task) -> Block:
    """Read records; the whole of each is needed here, and nowhere after."""
    records = []
    stories = []
    damaged = {}
    lasting = True
    for name in task.names:
        try:
            record = read_record(Path(task.folder, name), earlier=task.earlier)
        except RecordError as error:
            damaged[name] = str(error)
            lasting &= not isinstance(error, UnreadRecordError)
        else:
            records.append(condense(record))
            stories.append((record.cell, tell_parts(record)))
    return Block(tuple(records), damaged, pack_stories(stories), lasting)
