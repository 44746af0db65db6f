"""Draw docs/benchmarks.json: each way to norms over the bare operator, on the newest release.

Run as `python -m benchmarks.chart`, with matplotlib. What is drawn depends on the results alone.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from benchmarks.documents import CHARTS, RESULTS, digest_of_results
from benchmarks.results import BARE, COMPUTE_NORMS, PARTS, compare, read_results
from matplotlib.figure import Figure

from torchfloor.records import write_atomically

if TYPE_CHECKING:
    from benchmarks.results import Measured, Spread, Times
    from matplotlib.axes import Axes

__all__ = ["draw"]

_INKS = {"light": "#1f2328", "dark": "#e6edf3"}
_COLOURS = {"light": ("#8c959f", "#0969da"), "dark": ("#6e7681", "#58a6ff")}
"""Colours of the others and of our own; both readable on the page's ground."""
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "torchfloor", "font.family": "sans-serif"}


def draw(measured: Measured, theme: str, source: str) -> str:
    """Draw one release.

    Args:
        measured: The release.
        theme: `light` or `dark`: the ground that the chart will stand on.
        source: Digest of the results, put into the file.

    Returns:
        SVG, the same for the same results.
    """
    ink = _INKS[theme]
    settings: Any = {**_SETTINGS, **dict.fromkeys(_INKED, ink)}
    with mpl.rc_context():
        mpl.rcdefaults()  # not what a user's own configuration says
        mpl.rcParams.update(settings)
        rows, columns = len(measured.times), len(measured.times[0].sets)
        figure = Figure(figsize=(3.4 * columns, 0.6 + 2.3 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, times in zip(grid, measured.times, strict=True):
            _draw_row(list(axes), times, theme)
        figure.suptitle(f"torch {measured.facts.release}: time / {BARE} (left is faster)")
        target = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Description": f"drawn from {source}"}
        figure.savefig(target, format="svg", transparent=True, metadata=metadata)
    return re.sub(r"[ \t]+$", "", target.getvalue(), flags=re.MULTILINE)


def _draw_row(row: list[Axes], times: Times, theme: str) -> None:
    """Draw all sets with one number of threads."""
    names = [name for name in times.sets[0].norms if name not in {BARE, *PARTS}]
    names.sort(key=lambda name: name == COMPUTE_NORMS)  # drawn upwards, so that it comes first
    threads = f"{times.facts.threads} thread" + ("s" if times.facts.threads != 1 else "")
    for axes, timed in zip(row, times.sets, strict=True):
        for name in names:
            _draw_ratio(axes, name, compare(timed.norms[name], timed.norms[BARE]), theme)
        axes.axvline(1, color=_INKS[theme], linewidth=0.8, linestyle="--")
        # Ratios: half as long is as far from 1 as twice as long.
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")
        axes.margins(x=0.2, y=0.1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{timed.name}, {threads}", fontsize=9)


def _draw_ratio(axes: Axes, name: str, spread: Spread, theme: str) -> None:
    """Draw the median as a dot, the middle half of the rounds as a line."""
    others, own = _COLOURS[theme]
    colour = own if name == COMPUTE_NORMS else others
    label = name.rpartition(".")[2] if name == COMPUTE_NORMS else name
    axes.plot([spread.low, spread.high], [label, label], color=colour, linewidth=3, alpha=0.5)
    axes.plot([spread.median], [label], "o", color=colour)
    place, beside = (spread.high, label), (6, 0)
    text = f"{spread.median:.2f}"
    axes.annotate(text, place, beside, textcoords="offset points", va="center", fontsize=8)


def main() -> None:
    """Draw the newest release of the results, for both grounds."""
    newest, source = read_results(RESULTS).releases[0], digest_of_results()
    for theme, file in CHARTS.items():
        write_atomically(file, draw(newest, theme, source).encode())


if __name__ == "__main__":
    main()
