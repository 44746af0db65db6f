"""A few records -> what a report of very many needs of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from torchfloor.errors import RecordError, UnreadRecordError
from torchfloor.record import Record
from torchfloor.records import read_record
from torchfloor.report.packed import Packed, pack_stories
from torchfloor.report.story import tell_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torchfloor.record import Probe

__all__ = ["Block", "Task", "condense", "make_block"]


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

    records: tuple[Record, ...]
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


def condense(record: Record) -> Record:
    """Leave out what only a cell's own story tells; most of a record are probes that passed.

    What is summed up over cells (verdict, tables, charts), and what is compared between two, is the
    same of the outcome as of the whole.
    """
    failure = record.failure
    return msgspec.structs.replace(
        record,
        failure=failure and msgspec.structs.replace(failure, log=""),
        paths=tuple(msgspec.structs.replace(seen, operators=()) for seen in record.paths),
        probes=tuple(_telling(record.probes)),
        timings=(),
    )


def _telling(probes: Iterable[Probe]) -> Iterator[Probe]:
    """Pick the first probe of each capability that passed, and all that did not."""
    passed = set()
    for probe in probes:
        if probe.outcome != "passed":
            yield msgspec.structs.replace(probe, detail="")
        elif probe.capability not in passed:
            passed.add(probe.capability)
            yield probe
