"""Timelines in words: change points, and a table release by release."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from torchfloor.timeline.changes import change_points
from torchfloor.timeline.signature import write_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchfloor.timeline.model import Reading, Sighting, Timeline

__all__ = ["as_json", "describe", "describe_all"]

_WORDS = {
    "present": "there",
    "absent": "not there",
    "undecided": "undecided",
    "no-stub": "no stub",
    "unread": "unread",
}
_MOST = 6
"""Overloads that are written out."""


def as_json(reading: Reading) -> dict[str, object]:
    """Return a reading with the change points of each name."""
    return {
        "package": reading.package,
        "index": reading.index,
        "releases": reading.releases,
        "names": [
            {
                "name": timeline.name,
                "first": timeline.first,
                "last": timeline.last,
                "changes": change_points(timeline),
                "sightings": timeline.sightings,
            }
            for timeline in reading.timelines
        ],
        "notes": reading.notes,
        "requests": reading.requests,
        "received": reading.received,
    }


def describe(timeline: Timeline) -> Iterator[str]:
    """Yield the lines that sum a timeline up: its change points, then what is open."""
    sightings = timeline.sightings
    releases = f"{_counted(len(sightings))}, {_span(sightings)}"
    yield f"{timeline.name}: {releases}, read from wheels, not run"
    changes = change_points(timeline)
    width = max((len(change.release) for change in changes), default=0)
    for release, group in groupby(changes, key=lambda change: change.release):
        yield f"  {release:<{width}}  {'; '.join(change.text for change in group)}"
    if not changes:
        even = len({seen.status for seen in sightings}) == 1
        yield f"  {_WORDS[sightings[0].status]} in all of them" if even else "  never seen"
    yield from _open(timeline)
    yield from _newest(timeline)


def describe_all(timeline: Timeline) -> Iterator[str]:
    """Yield a line for each release."""
    yield f"{timeline.name}, release by release (read from wheels, not run)"
    width = max(len(seen.release) for seen in timeline.sightings)
    for seen in timeline.sightings:
        signatures = " ".join(write_signature(s) for s in seen.signatures[:_MOST])
        more = " …" if len(seen.signatures) > _MOST else ""
        said = (
            (signatures + more or seen.kind or seen.why) if seen.status == "present" else seen.why
        )
        yield f"  {seen.release:<{width}}  {_WORDS[seen.status]:<9}  {said}".rstrip()


def _open(timeline: Timeline) -> Iterator[str]:
    """Say where and why nothing can be said."""
    for (status, _), group in groupby(timeline.sightings, key=lambda s: (s.status, _gist(s.why))):
        if status not in {"present", "absent"}:
            seen = tuple(group)
            yield f"  {_WORDS[status]} in {_span(seen)}: {seen[-1].why}"


def _gist(why: str) -> str:
    """Leave out what differs from release to release: lines, and versions in names of files."""
    return re.sub(r"\d+", "", why)


def _newest(timeline: Timeline) -> Iterator[str]:
    """Write out the newest signature, and where it stands."""
    found = [seen for seen in timeline.sightings if seen.status == "present"]
    if not found:
        return
    newest = found[-1]
    name = timeline.name.rpartition(".")[2]
    note = f" ({newest.why})" if newest.why else ""
    where = f"as written in {newest.file} of {newest.wheel}{note}"
    if not newest.signatures:
        yield f"  In {newest.release}: {newest.kind}, {where}"
        return
    yield f"  In {newest.release}, {where}:"
    for signature in newest.signatures[:_MOST]:
        yield f"    {name}{write_signature(signature)}"
    if len(newest.signatures) > _MOST:
        yield f"    and {len(newest.signatures) - _MOST} more overloads"


def _span(sightings: tuple[Sighting, ...]) -> str:
    first, last = sightings[0].release, sightings[-1].release
    return first if first == last else f"{first} to {last}"


def _counted(count: int) -> str:
    return f"{count} release" + ("s" if count != 1 else "")
