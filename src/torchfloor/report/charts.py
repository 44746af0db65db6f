"""Charts as SVG, whose text stays text: the same drawing for the page and for README.md.

Drawn through a template rather than by a plotting library: the page is rendered after every cell,
and importing one would take longer than all the rest, for every user of the harness.
"""

from __future__ import annotations

import math
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from torchfloor.output import printable
from torchfloor.report.template import TEMPLATES, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.report.grid import Grid
    from torchfloor.report.series import Chart, Panel, Series

__all__ = ["DOTS", "THEMES", "draw_chart", "draw_panels", "draw_strip"]

THEMES = {
    "light": {
        "ink": "#1f2328", "muted": "#59636e", "line": "#d1d9e0", "band": "#ddebf7",
        "band2": "#fbeedd", "s0": "#0b62b0", "s1": "#b4470a", "s2": "#0b7a5c", "s3": "#8a3a79",
    },
    "dark": {
        "ink": "#f0f6fc", "muted": "#9ba5b0", "line": "#3d444d", "band": "#1c3348",
        "band2": "#40301a", "s0": "#66b2ff", "s1": "#f0985a", "s2": "#3fcf9f", "s3": "#dd9bd0",
    },
}  # fmt: skip
"""Colours by ground, told apart by every kind of colour vision, and by dashes beside."""

_WIDTH, _HEIGHT = 380, 236
_LEFT, _TOP, _RIGHT, _BOTTOM = 48, 26, 372, 184
_ACROSS = 3
"""Panels beside each other in a file."""
_LABELS = 16
_LETTER = 6.3
"""About the width of a letter."""
DOTS = ("h0", "h0", "m-3 2.5h6l-3 -5.5z", "m0 -3.5l3.5 3.5l-3.5 3.5l-3.5 -3.5z")
"""The mark of each line: round, square (both by the end of a stroke), a triangle and a diamond."""
_STYLES = len(DOTS)


def draw_panels(chart: Chart) -> list[str]:
    """Draw each panel on its own, in the colours of the page it stands in."""
    return [
        _render(
            width=_WIDTH,
            height=_HEIGHT,
            told=f"{chart.title}: {panel.title}",
            panels=[{"x": 0, "y": 0, **_place(chart, panel)}],
        )
        for panel in chart.panels
    ]


def draw_chart(chart: Chart, theme: str) -> str:
    """Draw all panels of a chart, with a legend, in one file.

    Args:
        chart: What to draw.
        theme: `light` or `dark`: the ground it will stand on.

    Returns:
        SVG, the same for the same evidence.
    """
    across = min(_ACROSS, len(chart.panels))
    legend = _legend(chart, across * _WIDTH)
    top = 36 + max(entry["top"] for entry in legend)
    return _render(
        width=across * _WIDTH,
        height=top + -(-len(chart.panels) // across) * _HEIGHT,
        title=chart.title,
        told=chart.title,
        style=_style(theme),
        legend=legend,
        panels=[
            {"x": n % across * _WIDTH, "y": top + n // across * _HEIGHT, **_place(chart, panel)}
            for n, panel in enumerate(chart.panels)
        ],
    )


def draw_strip(grid: Grid, title: str, theme: str = "") -> str:
    """Draw facts that change from release to release as bands along the releases.

    Args:
        grid: The facts, by stretches of releases that are alike.
        title: What they are about.
        theme: As in `draw_chart`; empty for the colours of the page it stands in.

    Returns:
        SVG.
    """
    width = max(_WIDTH * _ACROSS, 118 * len(grid.columns))
    step = width / len(grid.columns)
    releases = [
        {"at": _short(n * step + 2), "label": _fit(printable(column), step)}
        for n, column in enumerate(grid.columns)
    ]
    rows = [
        {"name": printable(name), "at": 40 + 50 * n, "bands": _bands(texts, step)}
        for n, (name, texts) in enumerate(grid.rows)
    ]
    top = 34 if theme else 0
    return _render(
        width=_short(width),
        height=top + 30 + 50 * len(rows),
        title=title,
        told=title,
        style=_style(theme) if theme else "",
        panels=[{"x": 0, "y": top, "releases": releases, "rows": rows}],
    )


def _bands(texts: Sequence[str], step: float) -> list[dict[str, Any]]:
    """Join neighbours that say the same; each change has the other colour."""
    starts = [n for n, text in enumerate(texts) if n == 0 or texts[n - 1] != text]
    ends = [*starts[1:], len(texts)]
    bands: list[dict[str, Any]] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        told, width = printable(texts[start]) or "–", (end - start) * step - 12
        label = _fit(told, width)
        if bands and label.endswith("…") and label[:-1] == bands[-1]["label"][: len(label) - 1]:
            label = _fit(_differing(told, bands[-1]["told"]), width)
        bands.append(
            {
                "left": _short(start * step),
                "width": _short((end - start) * step - 2),
                "told": told,
                "label": label,
                "odd": number % 2,
            }
        )
    return bands


def _differing(text: str, before: str) -> str:
    """Leave out what a text begins with like the one before, up to the word that differs."""
    pairs = zip(text, before, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return f"…{text[text.rfind(' ', 0, same) + 1 :]}" if same else text


def _fit(text: str, width: float) -> str:
    most = max(1, int(width / _LETTER))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend(chart: Chart, width: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    left, top = 10.0, 44
    for number, name in enumerate(map(printable, chart.names)):
        taken = 60 + len(name) * _LETTER
        if entries and left + taken > width:
            left, top = 10.0, top + 20
        entries.append({"left": _short(left), "top": top, "name": name, **_styled(number)})
        left += taken
    return entries


def _styled(number: int) -> dict[str, Any]:
    """Return how the line of a number looks: its class, and the mark on it."""
    return {"number": number % _STYLES, "dot": DOTS[number % _STYLES]}


def _style(theme: str) -> str:
    colours = ";".join(f"--{name}:{colour}" for name, colour in THEMES[theme].items())
    return f".chart{{{colours}}}\n{(TEMPLATES / 'chart.css').read_text('utf-8')}"


def _place(chart: Chart, panel: Panel) -> dict[str, Any]:
    """Turn a panel's values into coordinates."""
    scale = _Scale(chart)
    step = (_RIGHT - _LEFT) / max(1, len(chart.releases))
    across = [_LEFT + (n + 0.5) * step for n in range(len(chart.releases))]
    every = -(-len(across) // _LABELS)
    labelled = range(len(across) - 1, -1, -every)  # the newest always has its label
    return {
        "title": printable(panel.title),
        "left": _LEFT,
        "right": _RIGHT,
        "bottom": _BOTTOM,
        "ticks": _ticks(chart, scale),
        "releases": [{"at": _short(across[n]), "label": chart.releases[n]} for n in labelled],
        "series": [_trace(chart, series, across, scale) for series in panel.series],
    }


def _trace(chart: Chart, series: Series, across: Sequence[float], scale: _Scale) -> dict[str, Any]:
    """Draw medians as a line with dots, and the middle half around each as a bar."""
    style = _styled(chart.names.index(series.name))
    places = [
        (_short(x), *map(scale.height, (value.median, value.high, value.low)))
        for x, value in zip(across, series.values, strict=True)
        if value is not None
    ]
    return {
        "name": printable(series.name),
        **style,
        "line": f"M{'L'.join(f'{x:g} {y:g}' for x, y, _, _ in places)}",
        "dots": "".join(f"M{x:g} {y:g}{style['dot']}" for x, y, _, _ in places),
        "spread": "".join(f"M{x:g} {high:g}V{low:g}" for x, _, high, low in places if high != low),
    }


class _Scale:
    """Where values of a chart stand: the lines of its scale, and what lies between."""

    def __init__(self, chart: Chart) -> None:
        self.first = math.floor(math.log(chart.least, chart.base) + 1e-9)
        self.last = math.ceil(math.log(chart.most, chart.base) - 1e-9)
        self._log = math.log(chart.base)

    def height(self, value: float) -> float:
        """Return the place of a value, at the edge if it lies beyond."""
        power = math.log(value) / self._log if 0 < value < math.inf else value - 1
        inside = min(max(power, self.first), self.last) if value else self.first
        share = (inside - self.first) / (self.last - self.first)
        return _short(_BOTTOM - share * (_BOTTOM - _TOP))


def _ticks(chart: Chart, scale: _Scale) -> list[dict[str, Any]]:
    every = -(-(scale.last - scale.first) // 6)
    powers = range(scale.first, scale.last + 1)
    return [
        {
            "at": scale.height(float(chart.base) ** power),
            "label": _label(chart, power, scale),
            "mark": power == 0,
        }
        for power in powers
        if power % every == 0 or power == scale.last
    ]


def _label(chart: Chart, power: int, scale: _Scale) -> str:
    if power == 0 and len(chart.mark) * _LETTER < _LEFT:
        return printable(chart.mark)
    beyond = "≥" if power == scale.last and _reaches_beyond(chart) else ""
    return f"{beyond}{float(chart.base) ** power:g}"


def _reaches_beyond(chart: Chart) -> bool:
    values = (value for panel in chart.panels for s in panel.series for value in s.values)
    return any(value is not None and value.high > chart.most for value in values)


def _short(number: float) -> float:
    return round(number, 1)


def _render(**figure: Any) -> str:  # noqa: ANN401 - what the template shows
    figure = {"style": "", "title": "", "legend": (), **figure}
    return environment().get_template("chart.svg.jinja").render(figure=figure) + "\n"
