"""Records side by side, by release: a column for each stretch of releases that are alike."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from packaging.version import Version

    from torchfloor.record import Record

__all__ = ["Grid", "make_grid", "span"]


class Grid(msgspec.Struct, frozen=True):
    """A table whose columns are stretches of releases that are alike.

    Attributes:
        columns: `1.8.1`, `1.10.2 – 1.13.1` …
        rows: For each row its name, and a text for each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def make_grid(records: Sequence[Record], column: Callable[[Record], dict[str, str]]) -> Grid:
    """Put columns side by side, joining neighbours that are equal.

    Args:
        records: The evidence.
        column: What a record says in each row.
    """
    newest_first = sorted(records, key=lambda record: record.version, reverse=True)
    columns = [(record, column(record)) for record in newest_first]
    names = dict.fromkeys(name for _, texts in columns for name in texts)
    stretches = [list(group) for _, group in groupby(columns, key=lambda pair: pair[1])]
    stretches.reverse()
    return Grid(
        columns=tuple(_span_of([record.version for record, _ in group]) for group in stretches),
        rows=tuple(
            (name, tuple(group[0][1].get(name, "") for group in stretches)) for name in names
        ),
    )


def _span_of(releases: Sequence[Version]) -> str:
    return span(str(min(releases)), str(max(releases)))


def span(first: str, last: str) -> str:
    """Name a stretch of releases by its ends, or the one that it is."""
    return " – ".join(dict.fromkeys([first, last]))
