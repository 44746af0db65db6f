"""Baseline records vs new ones -> what changed, most important first."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, get_args

import msgspec

from torchfloor.differences import Difference, Kind, find_differences, machine_of
from torchfloor.output import one_line
from torchfloor.snapshot import Snapshot, tell_damaged
from torchfloor.telling import Group, name_places, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.version import Version

    from torchfloor.record import Record

__all__ = ["Change", "Changes", "compare"]

_LONGEST = 300
_ORDER = {kind: place for place, kind in enumerate(get_args(Kind))}


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that changed in one cell.

    Attributes:
        cell: Its identifier.
        kind: What the change is about.
        text: What changed, in words.
        names: What it is true of, such as capabilities, if it names some.
        figures: What was measured of each name, if anything.
        regression: Whether something at or above the declared floor no longer holds.
        than: The cell of an earlier release that this one is new beside, if it is new.
    """

    cell: str
    kind: Kind
    text: str
    names: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    regression: bool = False
    than: str = ""


class Changes(msgspec.Struct, frozen=True):
    """What is different between two moments.

    Attributes:
        old: Name of the baseline.
        new: Name of what was compared with it.
        cells: How many cells each of them knows.
        regressions: Changes that are regressions.
        damaged: Files that could not be read, on either side; their cells are not compared.
        notes: What the evidence was made from that is different, and what does not compare.
        groups: The changes, condensed to lines.
        changes: Each change of each cell, most important first.
    """

    old: str
    new: str
    cells: tuple[int, int]
    regressions: int
    damaged: tuple[str, ...]
    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    changes: tuple[Change, ...]


def compare(old: Snapshot, new: Snapshot, waiting: Collection[str] = ()) -> Changes:
    """Find what changed from one moment to another.

    A regression is, at or above the declared floor of the new records: a cell that is incompatible
    and was not, also one that is new; and a capability that worked and does not. Nothing else is:
    no evidence says nothing about a release, and times never decide.

    A cell that is new is compared with the nearest earlier release of its flavour that was there
    before.

    Args:
        old: The baseline.
        new: What to compare with it.
        waiting: Cells of the baseline that have not run since: they are not missed.

    Returns:
        The changes; none if both say the same.
    """
    before = {record.cell: record for record in old.records}
    after = {record.cell: record for record in new.records}
    unread = {name.removesuffix(".json") for name in (*old.damaged, *new.damaged)}
    both = [(before[cell], record) for cell, record in after.items() if cell in before]
    found = [change for pair in both for change in _of_one_cell(*pair)]
    found += _vanished(r for r in old.records if r.cell not in {*after, *unread, *waiting})
    come = [record for record in new.records if record.cell not in {*before, *unread}]
    found += _new_cells(come, [after.get(record.cell, record) for record in old.records])
    found.sort(key=lambda change: (not change.regression, _ORDER[change.kind]))  # else as found
    return Changes(
        old=old.name,
        new=new.name,
        cells=(len(old.records), len(new.records)),
        regressions=sum(change.regression for change in found),
        damaged=(*tell_damaged(old), *tell_damaged(new)),
        notes=tuple(_notes(both)),
        groups=tell(found, [record.cell for _, record in both]),
        changes=tuple(found),
    )


def _of_one_cell(before: Record, after: Record) -> Iterator[Change]:
    if before == after:  # as most are: the run that was published
        return
    yield from _outcome(before, after)
    if before.promised != after.promised:
        word: Kind = "raised" if after.promised else "lowered"
        where = "at or above" if after.promised else "below"
        yield Change(after.cell, word, f"{where} the declared floor now")
    for found in find_differences(before, after):
        yield _change(found, after)


def _outcome(before: Record, after: Record) -> Iterator[Change]:
    is_broken = after.outcome == "incompatible"
    if before.outcome != after.outcome:
        kind: Kind = "unknown" if after.outcome == "errored" else after.outcome
        text = f"{after.outcome}, was {before.outcome}{_reason(after)}"
        yield Change(after.cell, kind, text, regression=is_broken and after.promised)
    elif is_broken and after.promised and not before.promised:
        text = f"incompatible, and at or above the declared floor now{_reason(after)}"
        yield Change(after.cell, "incompatible", text, regression=True)


def _reason(record: Record) -> str:
    if record.outcome == "compatible" or record.failure is None:
        return ""
    words = one_line(f"{record.failure.stage}: {record.failure.message}")
    return f": {words[:_LONGEST]}{'…' if len(words) > _LONGEST else ''}"


def _change(found: Difference, record: Record, than: str = "") -> Change:
    told = [one_line(text) for text in (*found.names, *found.figures)]
    return Change(
        cell=record.cell,
        kind=found.kind,
        text=one_line(found.text) + (f" (beside {than})" if than else ""),
        names=tuple(told[: len(found.names)]),
        figures=tuple(told[len(found.names) :]),
        regression=found.kind == "lost" and record.promised,
        than=than,
    )


def _vanished(gone: Iterable[Record]) -> Iterator[Change]:
    for record in gone:
        yield Change(record.cell, "vanished", f"has no record any more, was {record.outcome}")


def _new_cells(come: Iterable[Record], known: Iterable[Record]) -> Iterator[Change]:
    by_flavour: dict[str, list[tuple[Version, str, Record]]] = {}
    for record in known:
        place = (record.version, record.python, record)  # made once: versions are slow to read
        by_flavour.setdefault(record.flavour, []).append(place)
    for places in by_flavour.values():
        places.sort(key=itemgetter(0, 1))
    for record in come:
        yield _arrival(record)
        places = by_flavour.get(record.flavour, [])
        earlier = bisect_right(places, record.version, key=itemgetter(0))
        if earlier:
            yield from _beside(places[earlier - 1][2], record)


def _arrival(record: Record) -> Change:
    if record.outcome == "incompatible" and record.promised:
        text = f"new, and incompatible{_reason(record)}"
        return Change(record.cell, "incompatible", text, regression=True)
    return Change(record.cell, "new", f"new, {record.outcome}{_reason(record)}")


def _beside(neighbour: Record, record: Record) -> Iterator[Change]:
    for found in find_differences(neighbour, record):
        if found.kind not in {"slower", "faster"}:  # its baseline is another release's
            yield _change(found, record, than=neighbour.cell)


def _notes(both: Sequence[tuple[Record, Record]]) -> Iterator[str]:
    """Say what cells were made from that is different: a change may come from there."""
    if not both:
        return
    every = [record.cell for _, record in both]
    for name, look in _MADE_FROM.items():
        moved = [new.cell for old, new in both if _differ(look(old), look(new))]
        if moved:
            yield f"{name}: {name_places(moved, every)}"
    beside = Counter(name for old, new in both for name in _moved_packages(old, new))
    if beside:
        names = [name for name, _ in beside.most_common(_MOST_PACKAGES)]
        more = f" and {len(beside) - len(names)} more" if len(beside) > len(names) else ""
        yield f"Other versions beside the release: {', '.join(map(one_line, names))}{more}"


def _differ(one: object, other: object) -> bool:
    """Tell whether both are known, and differ."""
    return bool(one) and bool(other) and one != other


_MADE_FROM: Mapping[str, Callable[[Record], object]] = {
    "Another subject": lambda record: record.provenance.subject,
    "Other probes, whose inputs may be others, or another plugin that runs them": lambda record: (
        record.provenance.probes
    ),
    "Another matrix": lambda record: record.provenance.matrix,
    "Another wheel": lambda record: (
        record.identity and (record.identity.wheel, record.identity.sha256)
    ),
    "Another Python": lambda record: record.environment and record.environment.python,
    "Another machine, so neither times nor the last bits of numbers are compared": machine_of,
}
_MOST_PACKAGES = 6


def _moved_packages(old: Record, new: Record) -> Iterator[str]:
    if old.environment is None or new.environment is None:
        return
    was, now = old.environment.packages, new.environment.packages
    for name in {**was, **now}:
        if name != old.package and was.get(name) != now.get(name):
            yield name
