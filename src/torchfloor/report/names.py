"""The matrix's names, release by release, with neighbours joined whose wheels say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torchfloor.report.grid import Grid, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchfloor.agreement import Agreement, NameRow, NameTable

__all__ = ["Observed", "Stretch", "join_releases", "lay_side_by_side"]

_NAMED = 3
"""Releases that are named before they are counted."""


class Observed(NamedTuple):
    """What cells observed of a name when they ran.

    Attributes:
        text: What they did.
        where: Their releases, in words.
        disagrees: Whether that is something else than the wheels say.
    """

    text: str
    where: str
    disagrees: bool


class Stretch(NamedTuple):
    """Neighbouring releases whose wheels say the same of a name.

    Attributes:
        releases: `2.3.0 – 2.3.1`.
        status: What the wheels say: `there`, or why not.
        signature: As they write it; empty if none is written.
        changed: What is different from the release before, in words.
        run: What cells observed; empty if none ran.
    """

    releases: str
    status: str
    signature: str
    changed: str
    run: tuple[Observed, ...]


def join_releases(table: NameTable) -> list[Stretch]:
    """Tell of a name, oldest release first, in as few rows as its wheels allow."""
    return [
        Stretch(
            span(rows[0].release, rows[-1].release),
            rows[0].status,
            rows[0].signature,
            rows[0].changed,
            _observed(rows),
        )
        for rows in _alike(table.rows)
    ]


def _alike(rows: Iterable[NameRow]) -> list[list[NameRow]]:
    found: list[list[NameRow]] = []
    for row in rows:
        if not found or row.changed or _wheel(row) != _wheel(found[-1][-1]):
            found.append([])
        found[-1].append(row)
    return found


def _wheel(row: NameRow) -> str:
    return row.signature or row.status


def _observed(rows: Iterable[NameRow]) -> tuple[Observed, ...]:
    alike: dict[tuple[str, bool], list[str]] = {}
    for row in rows:
        if row.run:
            alike.setdefault((row.run, row.disagrees), []).append(row.release)
    return tuple(
        Observed(text, _name(releases), disagrees) for (text, disagrees), releases in alike.items()
    )


def _name(releases: Sequence[str]) -> str:
    if len(releases) <= _NAMED:
        return ", ".join(releases)
    return f"{len(releases)} releases, {releases[0]} to {releases[-1]}"


def lay_side_by_side(timeline: Agreement) -> Grid:
    """Put all names over the same releases: what wheels say, and below it what was observed."""
    starts = {rows[0].release for table in timeline.tables for rows in _alike(table.rows)}
    columns: list[list[str]] = []
    for release in dict.fromkeys(row.release for table in timeline.tables for row in table.rows):
        if release in starts:
            columns.append([])
        columns[-1].append(release)
    rows = []
    for table in timeline.tables:
        known = {row.release: row for row in table.rows}
        found = [[known[release] for release in each if release in known] for each in columns]
        rows += [
            (f"{table.name}, in its wheel", tuple(_told(map(_wheel, each)) for each in found)),
            (f"{table.name}, when run", tuple(_told(map(_run, each)) for each in found)),
        ]
    return Grid(tuple(span(each[0], each[-1]) for each in columns), tuple(rows))


def _run(row: NameRow) -> str:
    return f"DISAGREES: {row.run}" if row.disagrees else row.run


def _told(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))
