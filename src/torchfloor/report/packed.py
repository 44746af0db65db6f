"""Stories -> what the page carries of them: what they share stands once, so that thousands fit."""

from __future__ import annotations

import base64
import gzip
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from torchfloor.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torchfloor.report.row import Row
    from torchfloor.report.story import Part

__all__ = ["CHUNK", "pack"]

CHUNK = 64
"""Stories that are packed together: about what a browser unpacks in no time."""

_Lists = list[dict[tuple[str, ...], int]]
"""The headings of a table that was told in several ways, then each of its columns; with places."""


def pack(stories: Iterable[tuple[Row, Iterable[Part]]]) -> Iterator[str]:
    """Pack stories, some at a time.

    The records of a matrix differ in their numbers and in little else: what was tested in which
    dtype is the same in most. So tables are turned on their side, and a column stands once.

    Args:
        stories: Each cell and the parts of its story, in the order of the report's rows.

    Yields:
        Base64, which holds nothing that is markup, of the gzipped JSON of `CHUNK` stories: the
        `lists` of each table, by its title; and by cell, its row and its sections, each with its
        title, its text, and its places in these lists.
    """
    waiting = iter(stories)
    while chunk := list(islice(waiting, CHUNK)):
        content = gzip.compress(msgspec.json.encode(_share(chunk)), compresslevel=5, mtime=0)
        yield base64.b64encode(content).decode()


def _share(stories: Iterable[tuple[Row, Iterable[Part]]]) -> dict[str, Any]:
    known: dict[str, _Lists] = {}
    told = {}
    for row, parts in stories:
        sections = []
        for part in parts:
            lists = (part.columns, *part.sides)
            title = printable(part.title)
            seen = known.setdefault(title, [])
            seen.extend({} for _ in lists[len(seen) :])
            places = [have.setdefault(it, len(have)) for have, it in zip(seen, lists, strict=False)]
            sections.append((title, printable(part.text), places))
        told[row.cell] = (_shown(row), sections)
    in_order = {
        title: [[_printable(texts) for texts in have] for have in seen]
        for title, seen in known.items()
    }
    return {"lists": in_order, "stories": told}


def _printable(texts: Sequence[str]) -> Sequence[str]:
    """Make the texts of a column printable, as they are in most: so all are asked at once."""
    return texts if "".join(texts).isprintable() else [*map(printable, texts)]


def _shown(row: Row) -> dict[str, Any]:
    said = msgspec.structs.asdict(row)
    return {name: printable(it) if isinstance(it, str) else it for name, it in said.items()}
