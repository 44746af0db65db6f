"""What changed, in a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from torchfloor.report.markup import escape

if TYPE_CHECKING:
    from rich.console import Console

    from torchfloor.changes import Changes

__all__ = ["ALIKE", "print_changes", "render_changes", "tell_compared", "tell_more"]

ALIKE = "Nothing changed."
"""What is said where there is nothing to tell."""


def print_changes(changes: Changes, console: Console) -> None:
    """Print what changed, most important first.

    Args:
        changes: The model.
        console: Where to.
    """
    _print(tell_compared(changes), console)
    for note in changes.notes:
        _print(f"{note}.", console, "dim")
    for damage in changes.damaged:
        _print(f"Not compared: {damage}", console, "yellow")
    for group in changes.groups:
        _print(f"{group.title}:", console, "bold")
        for line in group.lines:
            _print(f"  {line.where}: {line.text}", console)
        if group.more:
            _print(f"  {tell_more(group.more)}", console)
    if not changes.changes:
        _print(ALIKE, console, "green")


def _print(text: str, console: Console, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def render_changes(changes: Changes, heading: str = "## What changed") -> str:
    """Render what changed as Markdown, ending in a line break.

    Args:
        changes: The model.
        heading: What to put above it.
    """
    told = [tell_compared(changes), *(f"{note}." for note in changes.notes)]
    told += [f"Not compared: {line}" for line in changes.damaged]
    parts = [heading, "\n".join(f"- {escape(line)}" for line in told)]
    for group in changes.groups:
        lines = [f"- {escape(line.where)}: {escape(line.text)}" for line in group.lines]
        lines += [f"- {tell_more(group.more)}"] if group.more else []
        parts += [f"**{group.title}**", "\n".join(lines)]
    parts += [] if changes.changes else [f"**{ALIKE}**"]
    return "\n\n".join(parts) + "\n"


def tell_compared(changes: Changes) -> str:
    """Say in a sentence what was compared."""
    old, new = changes.cells
    return f"Compared: {changes.old} ({_cells(old)}) with {changes.new} ({_cells(new)})."


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"


def tell_more(count: int) -> str:
    """Say where the lines are that a group leaves out."""
    return f"… and {count} more; `torchfloor changes --json` has them all"
