"""One cell's story in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from torchfloor.output import printable
from torchfloor.report.terminal import STYLES, tell_outcome

if TYPE_CHECKING:
    from rich.console import Console

    from torchfloor.report.row import Row
    from torchfloor.report.story import Section, Story

__all__ = ["print_story"]


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
        table = Table(box=None, header_style="dim", pad_edge=False)
        for column in section.columns:
            table.add_column(Text(printable(column)), overflow="fold")
        for row in section.rows:
            table.add_row(*(Text(printable(text)) for text in row))
        console.print(table)
    else:
        _print_pairs(section.rows, console)
    if section.text:
        console.print(Text(printable(section.text).rstrip()), soft_wrap=True)


def _print_pairs(
    rows: tuple[tuple[str, ...], ...] | list[tuple[str, ...]], console: Console
) -> None:
    """Print names and what they are; nothing is cut, and nothing broken that may be copied."""
    width = max((len(row[0]) for row in rows), default=0)
    for name, told in rows:
        console.print(Text(f"{printable(name):{width}}  {printable(told)}"), soft_wrap=True)
