"""The model as Markdown: COMPATIBILITY.md, and the block in README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchfloor.errors import ConfigError
from torchfloor.report.changes import render_changes
from torchfloor.report.markup import code as _code
from torchfloor.report.markup import escape as _escape
from torchfloor.report.model import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from torchfloor.agreement import Agreement, NameRow
    from torchfloor.report.grid import Grid
    from torchfloor.report.model import Report
    from torchfloor.report.row import Row

__all__ = ["RENDERED", "render_block", "render_page", "render_verdict", "replace_block"]

BEGIN = "<!-- torchfloor: begin (generated, do not edit) -->"
END = "<!-- torchfloor: end -->"

RENDERED = "evidence/rendered"
"""Folder of the badge and the charts, relative to README.md."""
_CHARTS = {"speed": "Time by release", "errors": "Largest error by release"}
"""Those that README.md shows, and what a reader is told who does not see them."""
_MARKS = {"yes": "✓", "no": "✗ no", "not testable": "n/a", "": "–"}
_OUTCOMES = {
    "compatible": "every probe ran and passed",
    "incompatible": "a probe failed, or the subject could not be imported",
    "unavailable": "there is no wheel of this release for this flavour, platform or Python",
    "errored": "the installation or the machine failed, so nothing is known",
    "not-run": "left out on purpose, for the reason given; nothing is known",
    "stale": "there is evidence, but the code or the matrix have changed since",
    "missing": "planned, but no record came back",
}


def render_page(report: Report) -> str:
    """Render COMPATIBILITY.md.

    Args:
        report: The model.

    Returns:
        Markdown, ending in a line break.
    """
    sections = [
        "# Compatibility",
        "Generated from the records in [`evidence/`](evidence/); do not edit.",
        f"**{_escape(report.verdict.sentence)}**",
        _facts(report),
        *_changes(report),
        "## Releases",
        _releases(report),
        _legend(report),
        *_capabilities(report),
        *_raw(report),
        *_timeline(report.timeline),
        "## How this was made",
        _provenance(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def render_verdict(report: Report) -> str:
    """Render the verdict alone, for an issue or a pull request, ending in a line break.

    Args:
        report: The model.
    """
    indexes = "".join(f"\n- Index: {_escape(told)}." for told in report.unreachable)
    return f"**{_escape(report.verdict.sentence)}**\n\n{_facts(report)}{indexes}\n"


def render_block(report: Report, charts: Collection[str] = ()) -> str:
    """Render the short form that stands in README.md, without its markers.

    Args:
        report: The model.
        charts: Names of the files in `RENDERED` that it may show.
    """
    verdict = report.verdict
    lines = [
        f"**Requires PyTorch {verdict.declared} or later.** {verdict.sentence}"
        if report.package == "torch"
        else f"**Requires {report.package} {verdict.declared} or later.** {verdict.sentence}",
        "",
        _table(("release", "flavour", "path", "outcome"), _short_rows(_known(report))),
        *(_picture(name, told) for name, told in _CHARTS.items() if f"{name}-dark.svg" in charts),
    ]
    return "\n".join(lines)


def _picture(name: str, told: str) -> str:
    """Show a chart in the colours of the reader's ground."""
    file = f"{RENDERED}/{name}"
    return f"""
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="{file}-dark.svg">
  <img alt="{told}; COMPATIBILITY.md has the figures" src="{file}-light.svg">
</picture>"""


def replace_block(file: Path, block: str) -> str:
    """Return a file's text with the generated block replaced.

    Args:
        file: A Markdown file that holds both markers, begin and end, once.
        block: What stands between them.

    Raises:
        ConfigError: If the file does not hold both markers, in order.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file.name, [f"cannot be read: {error}"]) from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        hint = f"no generated block; put the lines '{BEGIN}' and '{END}' where it belongs"
        raise ConfigError(file.name, [hint])
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def _facts(report: Report) -> str:
    verdict = report.verdict
    facts = [f"Declared minimum: {report.package} {verdict.declared}."]
    if verdict.measured:
        facts.append(
            f"Measured minimum: {report.package} {verdict.measured}: every release tested from "
            f"there to {verdict.newest} is compatible."
        )
    facts += [f"Does not count: {line}." for line in verdict.failing]
    if verdict.gaps:
        facts.append(f"No evidence for: {report.package} {', '.join(verdict.gaps)}.")
    facts += [f"Below the declared minimum: {line}." for line in verdict.below]
    return "\n".join(f"- {_escape(fact)}" for fact in facts)


def _changes(report: Report) -> list[str]:
    if report.changes is None:
        return []
    return [render_changes(report.changes, "## What changed since the last published run").strip()]


def _releases(report: Report) -> str:
    raw = f"{_code(report.raw_subject)} unguarded" if report.raw_subject else "unguarded"
    slow = f"time / {_escape(report.baseline)}" if report.baseline else "time"
    header = ("release", "flavour", "build", "Python", "path", "largest error", slow, raw)
    return _table((*header, "outcome", "verified on"), [_full_row(row) for row in _known(report)])


def _known(report: Report) -> list[Row]:
    return [row for row in report.rows if row.outcome not in LEFT_OUT]


def _full_row(row: Row) -> tuple[str, ...]:
    return (
        f'<a id="{row.cell}"></a>{row.release}',
        row.flavour,
        _escape(row.build) or "–",
        row.python,
        _escape(row.path) or "–",
        _escape(row.error) or "–",
        row.speed or "–",
        row.trouble or "–",
        _outcome(row),
        row.verified or "–",
    )


def _short_rows(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    return [(row.release, row.flavour, _escape(row.path) or "–", _word(row)) for row in rows]


def _outcome(row: Row) -> str:
    """Show an outcome with its reason, unless the legend gives it for all of that outcome."""
    explained = not row.reason or row.outcome in {"stale", "missing"}
    return _word(row) if explained else f"{_word(row)}: {_escape(row.reason)}"


def _word(row: Row) -> str:
    return row.outcome if row.promised else f"{row.outcome} (below the minimum)"


def _legend(report: Report) -> str:
    present = [f"*{word}*: {_OUTCOMES[word]}." for word in _OUTCOMES if word in report.counts]
    subject, baseline = _code(report.subject), _escape(report.baseline)
    columns = (
        "*Largest error* is the relative error that came closest to its tolerance, against "
        "exact arithmetic."
    )
    if report.subject:
        path = f"*Path* is the implementation that served {subject}, observed from outside."
        columns = f"{path} {columns}"
    if report.baseline:
        columns += (
            f" *time / {baseline}* is the time of {subject} over that of "
            f"the {baseline} path, single-threaded: the least and the most over the timed "
            "inputs (medians of interleaved rounds); below 1 it is faster, above 1 slower."
        )
    columns += (
        " *Flavour* is where the code runs; *build* is the one that was installed, as it names "
        "itself: a CUDA build runs on the CPU as well."
    )
    left_out = [f"- {_escape(line)}." for line in report.left_out]
    if left_out:
        left_out = ["Nothing is known of these cells, for or against:", "", *left_out, ""]
    return "\n".join([*left_out, columns, "", "Outcomes: " + " ".join(present)])


def _capabilities(report: Report) -> list[str]:
    if not report.capabilities.rows:
        return []
    intro = (
        "✓ works; ✗ does not; n/a: the release cannot express it, so it is not testable there; "
        "–: no probe. Neighbouring releases that are alike share a column."
    )
    return ["## Capabilities", intro, _grid(report.capabilities)]


def _raw(report: Report) -> list[str]:
    if not report.raw.rows:
        return []
    operator = _code(report.raw_subject)
    intro = (
        f"What {operator} itself does with the same inputs, for information: it shows "
        "what the guard is worth. *wrong* gives the largest relative error and the dtype it was "
        "found in (∞: a NaN, infinity or zero that should not be there); *refused*: it raised an "
        "error; *missing*: the release has no such operator."
    )
    parts = [f"## The unguarded operator: {operator}", intro, _grid(report.raw)]
    if report.signatures.rows:
        parts += ["Its interface:", _grid(report.signatures, code=True)]
    return parts


def _timeline(timeline: Agreement | None) -> list[str]:
    """Show what wheels say, as such: it was read, not run."""
    if timeline is None:
        return []
    shouts = [f"- **Disagreement:** {_escape(line)}." for line in timeline.disagreements]
    private = [table.name for table in timeline.tables if table.private]
    what = {0: "names", 1: "private operator"}.get(len(private), "private operators")
    intro = (
        f"Read from the releases' wheels on {timeline.read}, **not run**: nothing was installed. "
        "Types are left out, since what a stub says of them is not always so. *When run* is what "
        "the cells of the release observed of the name; – where none ran. *Undecided*: reading "
        "cannot tell, and `evidence/timeline.json` says why. Where the two disagree, one of them "
        "is wrong, and `nox -s docs -- --check` fails."
    )
    parts = [f"## The {what}, release by release", intro]
    if shouts:
        parts.append("\n".join(shouts))
    for table in timeline.tables:
        header = ("release", "in its wheel", "changed", "when run")
        parts += [f"### {_code(table.name)}", _table(header, map(_name_row, table.rows))]
    return parts


def _name_row(row: NameRow) -> tuple[str, ...]:
    run = f"**DISAGREES**: {_escape(row.run)}" if row.disagrees else _escape(row.run)
    wheel = _code(row.signature) if row.signature else row.status
    return (row.release, wheel, _escape(row.changed) or "–", run or "–")


def _provenance(report: Report) -> str:
    days = " to ".join(dict.fromkeys(str(day) for day in report.dates)) or "no day yet"
    lines = [
        f"Evidence from {days}, made by `nox -s compat` and published by `nox -s publish`.",
        *(f"Machine: {_escape(machine)}." for machine in report.machines),
        *([_escape(report.doubt)] if report.doubt else []),
        *(f"Index: {_escape(told)}." for told in report.unreachable),
        "A row's record, with all that its environment held: `evidence/<cell>.json`.",
        f'One cell again: `nox -s "compat({_example(report)})"`.',
    ]
    return "\n".join(f"- {line}" for line in lines)


def _example(report: Report) -> str:
    """Name a cell that can run: the newest one that something is known of."""
    return next((row.cell for row in reversed(report.rows) if row.outcome not in LEFT_OUT), "CELL")


def _grid(grid: Grid, *, code: bool = False) -> str:
    def show(text: str) -> str:
        return _code(text) if code and text else _MARKS.get(text, _escape(text))

    rows = [(_escape(name), *(show(text) for text in texts)) for name, texts in grid.rows]
    return _table(("", *grid.columns), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
