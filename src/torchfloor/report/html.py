"""The model as one self-contained page, and the files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from torchfloor.garbage import uncollected
from torchfloor.record import version_of
from torchfloor.report.badge import make_badge, render_badge
from torchfloor.report.changes import ALIKE, tell_compared, tell_more
from torchfloor.report.charts import DOTS, THEMES, draw_chart, draw_panels, draw_strip
from torchfloor.report.grid import Grid
from torchfloor.report.model import LEFT_OUT, Evidence, Report
from torchfloor.report.names import join_releases, lay_side_by_side
from torchfloor.report.packed import Packed, pack_rows, pack_stories
from torchfloor.report.series import make_charts
from torchfloor.report.story import tell_unproved
from torchfloor.report.template import TEMPLATES, environment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from torchfloor.agreement import Agreement
    from torchfloor.report.row import Row
    from torchfloor.report.series import Chart

__all__ = ["render_charts", "render_html", "render_site"]

_WORD = re.compile(r"([^\s(),]+)")
_STRETCHES = 40
"""Columns of a table on the page; its last ones are about the newest releases."""
_MARKS = {"yes": "✓", "no": "✗ no", "not testable": "n/a", "": "–"}
_OUTCOMES = {
    "compatible": ("✓", "every probe ran and passed"),
    "incompatible": ("✗", "a probe failed, or the subject could not be imported"),
    "errored": ("!", "the installation or the machine failed, so nothing is known"),
    "stale": ("↻", "there is evidence, but the code or the matrix have changed since"),
    "missing": ("?", "planned, but no record came back"),
    "not-run": ("○", "left out on purpose; nothing is known"),
    "unavailable": ("∅", "no wheel for this flavour, platform or Python"),
}


def render_site(evidence: Evidence, report: Report) -> dict[str, str]:
    """Render what a published page consists of.

    Args:
        evidence: The plan and its records.
        report: The model made from them.

    Returns:
        The text of each file, by its name.
    """
    return {"index.html": render_html(evidence, report), **render_charts(evidence, report)}


def render_charts(evidence: Evidence, report: Report) -> dict[str, str]:
    """Render what other pages may show: the charts for both grounds, and the badge.

    Args:
        evidence: The plan and its records.
        report: The model made from them.

    Returns:
        The text of each file, by its name; the same for the same evidence.
    """
    files = {"badge.json": render_badge(report)}
    charts = make_charts(report, evidence.records)
    for theme in THEMES:
        for chart in charts:
            files[f"{chart.name}-{theme}.svg"] = draw_chart(chart, theme)
        if report.signatures.rows:
            files[f"interface-{theme}.svg"] = draw_strip(
                _newest(report.signatures), _strip(report), theme
            )
    return files


@uncollected()
def render_html(evidence: Evidence, report: Report) -> str:
    """Render the page: one file that asks for nothing else.

    Args:
        evidence: The plan and its records.
        report: The model made from them.

    Returns:
        HTML. What came from outside is text in it, and the page allows no script but its own.
    """
    style = _style()
    script = _read("page.js")
    stories = _stories(evidence, report)
    return environment().get_template("index.html.jinja").render(
        report=report,
        capabilities=_newest(report.capabilities),
        raw=_newest(report.raw),
        signatures=_newest(report.signatures),
        changes=_changes(report),
        names=_names(report.timeline),
        name="PyTorch" if report.package == "torch" else report.package,
        badge=make_badge(report),
        outcomes=_OUTCOMES,
        marks=_MARKS,
        flavours=_flavours(report),
        parts=_parts(report, stories),
        paths=sorted({row.path for row in report.rows} - {""}),
        charts=[_figure(chart) for chart in make_charts(report, evidence.records)],
        dots=DOTS,
        strip=Markup(draw_strip(_newest(report.signatures), _strip(report)))  # noqa: S704 - drawn escaped
        if report.signatures.rows
        else "",
        packed_rows=pack_rows(report.rows),
        packed_stories=[packed.content for packed in stories],
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704 - our own
        style_hash=_hash(style),
        script_hash=_hash(script),
    )  # fmt: skip


def _changes(report: Report) -> dict[str, Any] | None:
    """Bring what changed into lines whose cells lead to their evidence; regressions come first."""
    found = report.changes
    if found is None:
        return None
    known = {row.cell for row in report.rows}
    groups = [
        {
            "title": group.title,
            "regressions": number == 0 and found.regressions > 0,
            "lines": [(_linked(line.where, known), line.text) for line in group.lines],
            "more": tell_more(group.more) if group.more else "",
        }
        for number, group in enumerate(found.groups)
    ]
    notes = [f"{note}." for note in found.notes]
    notes += [f"Not compared: {line}" for line in found.damaged]
    alike = "" if found.changes else ALIKE
    return {"compared": tell_compared(found), "notes": notes, "groups": groups, "alike": alike}


def _linked(where: str, known: Collection[str]) -> list[tuple[str, bool]]:
    """Take apart what names cells: which words are cells that the page tells of."""
    return [(words, words in known) for words in _WORD.split(where) if words]


def _names(timeline: Agreement | None) -> dict[str, Any] | None:
    """Bring what wheels say of the matrix's names into a strip, and a table for each."""
    if timeline is None or not any(table.rows for table in timeline.tables):
        return None
    strip = draw_strip(_newest(lay_side_by_side(timeline)), "The names, by release")
    return {
        "read": timeline.read,
        "disagreements": timeline.disagreements,
        "strip": Markup(strip),  # noqa: S704 - drawn escaped
        "tables": [(table.name, join_releases(table)) for table in timeline.tables],
    }


def _strip(report: Report) -> str:
    return f"The interface of {report.raw_subject}, by release"


def _newest(grid: Grid) -> Grid:
    rows = tuple((name, texts[-_STRETCHES:]) for name, texts in grid.rows)
    return Grid(grid.columns[-_STRETCHES:], rows)


def _figure(chart: Chart) -> dict[str, Any]:
    return {
        "title": chart.title,
        "legend": [(number % 4, name) for number, name in enumerate(chart.names)],
        "panels": [Markup(drawn) for drawn in draw_panels(chart)],  # noqa: S704 - drawn escaped
    }


def _flavours(report: Report) -> dict[str, bool]:
    """List the columns, and whether anything is known in them."""
    known = {row.flavour for row in report.rows if row.outcome not in LEFT_OUT}
    return {row.flavour: row.flavour in known for row in report.rows}


def _stories(evidence: Evidence, report: Report) -> list[Packed]:
    """Add to the stories that records tell those of cells without one."""
    told = {cell for packed in evidence.stories for cell in packed.cells}
    unproved = [(row.cell, tell_unproved(row)) for row in report.rows if row.cell not in told]
    return [*evidence.stories, pack_stories(unproved)]


def _parts(report: Report, stories: Iterable[Packed]) -> list[tuple[bool, list[dict[str, Any]]]]:
    """Sort cells into the lines of the matrix, newest release first, at the floor in two."""
    lines: list[dict[str, Any]] = []
    place = {cell: n for n, packed in enumerate(stories) for cell in packed.cells}
    newest_first = sorted(report.rows, key=lambda row: version_of(row.release), reverse=True)
    for (release, promised), group in groupby(
        newest_first, key=lambda row: (row.release, row.promised)
    ):
        lines += [
            {"release": release, "promised": promised, "cells": cells, "place": place}
            for cells in _lines(group)
        ]
    return [(k, list(part)) for k, part in groupby(lines, key=lambda line: line["promised"])]


def _lines(rows: Iterable[Row]) -> Iterator[dict[str, Row]]:
    """Give a release a line more for each further Python of a flavour."""
    columns: dict[str, list[Row]] = {}
    for row in rows:
        columns.setdefault(row.flavour, []).append(row)
    for n in range(max(map(len, columns.values()))):
        yield {flavour: found[n] for flavour, found in columns.items() if n < len(found)}


def _style() -> str:
    """Put the colours of both grounds before the page's own style."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in THEMES[theme].items())
        for theme in ("light", "dark")
    )
    grounds = f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f"{grounds}\n{_read('page.css')}\n{_read('chart.css')}"


def _read(name: str) -> str:
    return re.sub(r"\r\n?", "\n", (TEMPLATES / name).read_text("utf-8"))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
