"""The model in a terminal."""

from __future__ import annotations

import errno
import os
from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from torchfloor.output import one_line
from torchfloor.report.changes import print_changes
from torchfloor.report.model import LEFT_OUT
from torchfloor.verdict import name_cells

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from torchfloor.report.model import Report
    from torchfloor.report.row import Row
    from torchfloor.verdict import Verdict

__all__ = ["GAP", "STYLES", "Terminal", "print_report", "tell_outcome"]

STYLES = {
    "compatible": "green",
    "incompatible": "bold red",
    "errored": "red",
    "missing": "red",
    "stale": "yellow",
    "not-run": "dim",
    "unavailable": "dim",
}
GAP = 2
"""Spaces between the columns of a table."""
_VERDICTS = {"holds": "bold green", "broken": "bold red"}


class Terminal(Console):
    """rich's console, but for the exit status 1 where nobody reads it: that says something here."""

    def on_broken_pipe(self) -> None:
        """Raise what `print` would."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_report(report: Report, console: Console, only: Collection[str] | None = None) -> None:
    """Print the table, what stands out, and the verdict in one sentence.

    Args:
        report: The model.
        console: Where to; rich leaves colours out where they are not wanted.
        only: Identifiers of the cells to show; what was not looked at is then not judged.
    """
    known = [row for row in report.rows if row.outcome not in LEFT_OUT]
    shown = [row for row in known if only is None or row.cell in only]
    # Whole, even where the lines are longer than the terminal: an identifier cut short is none.
    console.print(Text("\n").join(_table(shown, report.baseline)), soft_wrap=True)
    for outcome, told in _reasons(shown):
        console.print(Text(told, style=STYLES[outcome]), soft_wrap=True)
    for line in report.left_out:
        console.print(Text(line, style="dim"), soft_wrap=True)
    for line in report.timeline.disagreements if report.timeline else ():
        shout = f"DISAGREEMENT of wheel and run: {one_line(line)}"
        console.print(Text(shout, style="bold red"), soft_wrap=True)
    if report.changes is not None:
        console.print(Text("Since the last published run:", style="bold"))
        print_changes(report.changes, console)
    if len(shown) < len(known):
        _print_selection(shown, console)
    else:
        if report.doubt:
            console.print(Text(one_line(report.doubt), style="yellow"), soft_wrap=True)
        for told in report.unreachable:
            console.print(Text(f"Index: {told}."), soft_wrap=True)
        _print_verdict(report.verdict, console)


def _reasons(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Say why rows are not compatible, those that are so for the same reason in one line."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            alike.setdefault((row.outcome, tell_outcome(row), row.reason), []).append(row.cell)
    return [
        (outcome, f"{name_cells(cells)} {told}: {reason}")
        for (outcome, told, reason), cells in alike.items()
    ]


def _table(rows: Sequence[Row], baseline: str) -> Iterator[Text]:
    """Lay out a line for each row; rich's own table takes a millisecond for each."""
    time = f"time / {baseline}" if baseline else "time"
    table = [("cell", "build", "path", "largest error", time, "outcome")]
    table += [(r.cell, r.build, r.path, r.error, r.speed, tell_outcome(r)) for r in rows]
    lines = [[one_line(text) or "–" for text in line] for line in table]
    *widths, _ = (max(map(cell_len, column)) for column in zip(*lines, strict=True))
    styles = [("bold", "bold"), *(("", STYLES[row.outcome]) for row in rows)]
    for (*texts, outcome), (style, last) in zip(lines, styles, strict=True):
        padded = "".join(map(set_cell_size, texts, (width + GAP for width in widths)))
        yield Text.assemble((padded, style), (outcome, last))


def _print_selection(rows: Iterable[Row], console: Console) -> None:
    """Say how the selected cells stand, without judging the others."""
    counts = Counter(row.outcome for row in rows)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    line = f"Selected cells: {told}. The verdict needs all cells: nox -s compat"
    console.print(line, soft_wrap=True)


def _print_verdict(verdict: Verdict, console: Console) -> None:
    for line in verdict.below:
        console.print(Text(f"Below the declared floor: {line}."), soft_wrap=True)
    style = _VERDICTS.get(verdict.status, "bold yellow")
    console.print(Text(verdict.sentence, style=style), soft_wrap=True)


def tell_outcome(row: Row) -> str:
    """Name an outcome, and say where it promises nothing."""
    return row.outcome if row.promised else f"{row.outcome} (below the floor)"
