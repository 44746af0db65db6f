"""One cell's story in a terminal."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypedDict

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from torchfloor.errors import TorchfloorError
from torchfloor.output import printable
from torchfloor.report.terminal import GAP, STYLES, tell_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from torchfloor.report.row import Row
    from torchfloor.report.story import Section, Story

__all__ = ["find_row", "print_story"]

_MOST_NEAR = 6


class _Whole(TypedDict):
    """How textwrap leaves words alone."""

    break_long_words: bool
    break_on_hyphens: bool


_WHOLE: _Whole = {"break_long_words": False, "break_on_hyphens": False}


def find_row(rows: Sequence[Row], name: str) -> Row:
    """Find the cell that a name means: its identifier, or so much of it that only one fits.

    Args:
        rows: All cells.
        name: What the user wrote. `torch2.0.1` is no beginning of `torch2.0.10-cpu-py311`. Among
            the cells that it fits, only those that ran count, if any did.

    Raises:
        TorchfloorError: If it fits none, or several.
    """
    by_cell = {row.cell: row for row in rows}
    if name in by_cell:
        return by_cell[name]
    fitting = [r for r in rows if name.strip() and r.cell.startswith((f"{name}-", f"{name}."))]
    if len(found := [row for row in fitting if row.verified] or fitting) == 1:
        return found[0]
    if not name.strip():
        msg = "CELL is empty, and names no cell; `torchfloor plan` lists them"
        raise TorchfloorError(msg)
    alike = get_close_matches(name, by_cell, cutoff=0.5)
    near = list(dict.fromkeys([*(row.cell for row in found), *alike]))[:_MOST_NEAR]
    hint = f"; near it: {', '.join(near)}" if near else ""
    msg = f"no cell {name} in the plan{hint}; `torchfloor plan` lists them"
    raise TorchfloorError(msg)


def print_story(story: Story, console: Console) -> None:
    """Print what is known of a cell.

    Args:
        story: The cell's story.
        console: Where to; rich leaves colours out where they are not wanted.
    """
    row = story.row
    console.print(Text.assemble((row.cell, "bold"), ": ", (tell_outcome(row), STYLES[row.outcome])))
    if row.reason:
        console.print(Text(printable(row.reason)), soft_wrap=True)
    _print_pairs(_facts(row), console)
    for section in story.sections:
        _print_section(section, console)


def _facts(row: Row) -> list[tuple[str, ...]]:
    facts = (
        ("path", row.path),
        ("largest error", row.error),
        ("time", row.speed),
        ("unguarded operator", row.trouble),
        ("verified on", row.verified),
    )
    return [fact for fact in facts if fact[1]]


def _print_section(section: Section, console: Console) -> None:
    console.print()
    console.print(Text(printable(section.title), style="bold"))
    if section.columns:
        _print_table(section, console)
    else:
        _print_pairs(section.rows, console)
    if section.text:
        console.print(Text(printable(section.text).rstrip()), soft_wrap=True)


def _print_table(section: Section, console: Console) -> None:
    """Print a table, or where its words do not fit beside each other, each row as a sentence."""
    rows = [[printable(text) for text in row] for row in (section.columns, *section.rows)]
    header, *body = rows
    widths = _share_width(rows, console.width)
    if widths is None:
        _print_rows(header, console, "dim")
        for row in body:
            _print_rows(row, console)
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column, width in zip(header, widths, strict=True):
        table.add_column(Text(column), width=width)
    for row in body:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_rows(row: Sequence[str], console: Console, style: str = "") -> None:
    for line in " · ".join(row).splitlines():
        for part in textwrap.wrap(line, console.width, subsequent_indent="  ", **_WHOLE):
            console.print(Text(part, style=style), soft_wrap=True)


def _share_width(rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Share a line among columns so that each can hold its longest word; None if it is too short.

    rich would make the widest column narrower, whatever its words are.
    """
    columns = list(zip(*rows, strict=True))
    widths = [_longest(word for text in column for word in text.split()) for column in columns]
    spare = width - sum(widths) - GAP * (len(columns) - 1)
    if spare < 0:
        return None
    wanted = [_longest(line for text in column for line in text.split("\n")) for column in columns]
    # Those that want least first, so that what they leave goes to the others.
    order = sorted(range(len(columns)), key=lambda place: wanted[place] - widths[place])
    for waiting, place in zip(range(len(columns), 0, -1), order, strict=True):
        share = min(max(wanted[place] - widths[place], 0), spare // waiting)
        widths[place] += share
        spare -= share
    return widths


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=1)


def _print_pairs(rows: Iterable[Sequence[str]], console: Console) -> None:
    """Print names and what they are; nothing is cut, and nothing broken that may be copied."""
    pairs = [(printable(name), printable(told)) for name, told in rows]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, told in pairs:
        console.print(Text(f"{name:{width}}  {told}"), soft_wrap=True)
