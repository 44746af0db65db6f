"""A record, condensed to what reports of very many need: the rest is for its own story."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from torchfloor.capabilities import severity_of
from torchfloor.record import Record

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from torchfloor.record import Match, Probe, RawMatch

__all__ = ["Condensed", "Number", "condense", "numbers_of"]

_Entry = TypeVar("_Entry")
_Weight = TypeVar("_Weight", float, tuple[int, float])


class Number(NamedTuple):
    """What two records agree on bit for bit, or do not: a match that passed.

    Attributes:
        subject: As the match's.
        capability: As the match's.
        dtype: As the match's.
        cases: As the match's.
        digest: As the match's.
    """

    subject: str
    capability: str
    dtype: str
    cases: int
    digest: str


class Condensed(Record, frozen=True):
    """A record without most of its probes and findings.

    What is summed up over cells (verdict, tables, charts), and what is compared between two, is the
    same of it as of the whole.

    Attributes:
        numbers: What two records are compared by, of all matches.
    """

    numbers: tuple[Number, ...] = ()


def numbers_of(record: Record) -> tuple[Number, ...]:
    """Return what the numbers of a record, be it condensed, are compared by."""
    if isinstance(record, Condensed):
        return record.numbers
    return tuple(
        Number(match.subject, match.capability, match.dtype, match.cases, match.digest)
        for match in record.matches
        if match.passed
    )


def condense(record: Record) -> Condensed:
    """Leave out what only a cell's own story tells.

    Of probes and findings that are summed up together, the first is kept, for their order, and the
    one that decides.

    Args:
        record: The whole.
    """
    failure = record.failure
    kept = {
        "failure": failure and msgspec.structs.replace(failure, log=""),
        "paths": tuple(msgspec.structs.replace(seen, operators=()) for seen in record.paths),
        "probes": tuple(_telling(record.probes)),
        "matches": _matches(record.matches),
        "raw": _raw(record.raw),
        "timings": (),
    }
    return Condensed(**(msgspec.structs.asdict(record) | kept), numbers=numbers_of(record))


def _telling(probes: Iterable[Probe]) -> Iterator[Probe]:
    """Pick the first probe of each capability that passed, and all that did not."""
    passed = set()
    for probe in probes:
        if probe.outcome != "passed":
            yield msgspec.structs.replace(probe, detail="")
        elif probe.capability not in passed:
            passed.add(probe.capability)
            yield probe


def _matches(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Keep the largest error of each subject in each dtype."""
    return _pick(matches, _deciding(((it.subject, it.dtype), it.excess) for it in matches))


def _raw(raw: Sequence[RawMatch]) -> tuple[RawMatch, ...]:
    """Keep the worst of each capability, and the largest error in each dtype with each verdict."""
    worst = _deciding((it.capability, severity_of(it)) for it in raw)
    largest = _deciding(((it.subject, it.dtype, it.verdict), it.excess) for it in raw)
    return _pick(raw, worst | largest)


def _deciding(entries: Iterable[tuple[Hashable, _Weight]]) -> set[int]:
    """Find the places of the first of all that have a key, and of the first of the heaviest.

    Args:
        entries: The key and the weight of each.
    """
    first: set[int] = set()
    heaviest: dict[Hashable, tuple[_Weight, int]] = {}
    for place, (key, weight) in enumerate(entries):
        known = heaviest.get(key)
        if known is None:
            first.add(place)
        if known is None or weight > known[0]:
            heaviest[key] = (weight, place)
    return first.union(place for _, place in heaviest.values())


def _pick(entries: Sequence[_Entry], places: set[int]) -> tuple[_Entry, ...]:
    return tuple(entries[place] for place in sorted(places))
