"""Stories -> what the page carries of them: what they share stands once, so that thousands fit."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any

import msgspec

from torchfloor.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchfloor.report.row import Row
    from torchfloor.report.story import Part

__all__ = ["Packed", "pack_rows", "pack_stories"]

_Lists = list[dict[tuple[str, ...], int]]
"""The headings of a table that was told in several ways, then each of its columns; with places."""


class Packed(msgspec.Struct, frozen=True):
    """Stories that are packed together.

    Attributes:
        cells: Whose they are.
        content: Base64, which holds nothing that is markup, of gzipped JSON: the `lists` of each
            table, by its title; and by cell its sections, each with its title, its text, and its
            places in these lists.
    """

    cells: tuple[str, ...]
    content: str


def pack_stories(stories: Iterable[tuple[str, Iterable[Part]]]) -> Packed:
    """Pack stories together.

    The records of a matrix differ in their numbers and in little else: what was tested in which
    dtype is the same in most. So tables are turned on their side, and a column stands once.

    Args:
        stories: Cells, and the parts of the story of each.
    """
    known: dict[str, _Lists] = {}
    told = {}
    for cell, parts in stories:
        sections = []
        for part in parts:
            lists = (part.columns, *part.sides)
            title = printable(part.title)
            seen = known.setdefault(title, [])
            seen.extend({} for _ in lists[len(seen) :])
            places = [have.setdefault(it, len(have)) for have, it in zip(seen, lists, strict=False)]
            sections.append((title, printable(part.text), places))
        told[cell] = sections
    in_order = {
        title: [[_printable(texts) for texts in have] for have in seen]
        for title, seen in known.items()
    }
    return Packed(tuple(told), _pack({"lists": in_order, "stories": told}))


def pack_rows(rows: Iterable[Row]) -> str:
    """Pack rows of the main table, by cell, the same way."""
    return _pack({row.cell: _shown(row) for row in rows})


def _pack(value: object) -> str:
    content = gzip.compress(msgspec.json.encode(value), compresslevel=5, mtime=0)
    return base64.b64encode(content).decode()


def _printable(texts: Sequence[str]) -> Sequence[str]:
    """Make the texts of a column printable, as they are in most: so all are asked at once."""
    return texts if "".join(texts).isprintable() else [*map(printable, texts)]


def _shown(row: Row) -> dict[str, Any]:
    said = msgspec.structs.asdict(row)
    return {name: printable(it) if isinstance(it, str) else it for name, it in said.items()}
