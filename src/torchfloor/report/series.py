"""Records -> what the charts draw, release by release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torchfloor.record import Match, RawMatch, Record
    from torchfloor.report.model import Report

__all__ = ["Chart", "Panel", "Series", "Spread", "make_charts"]


_MOST = 120
"""Releases in a chart, the newest: more would stand closer than can be seen."""


class Spread(msgspec.Struct, frozen=True):
    """A value, and the middle half of what was measured around it; infinity is unbounded."""

    low: float
    median: float
    high: float


class Series(msgspec.Struct, frozen=True):
    """One line: a value for each release of its chart, or None."""

    name: str
    values: tuple[Spread | None, ...]


class Panel(msgspec.Struct, frozen=True):
    """Lines that are compared with each other: on one input, say, or in one dtype."""

    title: str
    series: tuple[Series, ...]


class Chart(msgspec.Struct, frozen=True):
    """Panels that share their releases and their scale, which is logarithmic.

    Attributes:
        name: Of its file: `speed`, `errors`.
        title: What it shows.
        mark: What stands at 1, where a line is drawn.
        releases: Along the bottom, oldest first.
        panels: Side by side.
        least: Smaller values are drawn here.
        most: Larger ones are drawn here.
        base: Each line of the scale is this many times the one below.
    """

    name: str
    title: str
    mark: str
    releases: tuple[str, ...]
    panels: tuple[Panel, ...]
    least: float
    most: float
    base: int

    @property
    def names(self) -> tuple[str, ...]:
        """The lines' names, in the order of their colours."""
        return tuple(dict.fromkeys(s.name for panel in self.panels for s in panel.series))


def make_charts(report: Report, records: Iterable[Record]) -> tuple[Chart, ...]:
    """Bring what can be drawn into charts.

    Args:
        report: Names what the records are about.
        records: The evidence.

    Returns:
        The charts that have something to show; of very many releases, the newest.
    """
    planned = {row.cell for row in report.rows}
    ran = [record for record in records if record.cell in planned and record.probes]
    ran.sort(key=lambda record: record.version)
    drawn = {*_releases(ran)[-_MOST:]}
    ran = [record for record in ran if record.release in drawn]
    charts = (_speed(report, ran), _errors(report, ran))
    return tuple(chart for chart in charts if chart.panels)


def _speed(report: Report, records: Sequence[Record]) -> Chart:
    """Draw each path's time over the baseline's, for each input."""
    paths = sorted({seen.path for record in records for seen in record.paths} - {""})
    names = tuple(dict.fromkeys(filter(None, (report.subject, *paths, report.raw_subject))))

    def find(record: Record) -> dict[str, dict[str, Spread]]:
        found: dict[str, dict[str, Spread]] = {}
        for ratio in record.ratios:
            spread = Spread(ratio.low, ratio.median, ratio.high)
            found.setdefault(ratio.group, {})[ratio.candidate] = spread
        return found

    panels = _panels(records, names, find)
    drawn = [v for panel in panels for s in panel.series for v in s.values if v is not None]
    return Chart(
        name="speed",
        title=f"Time of each path / {report.baseline}, by release (lower is faster)",
        mark=report.baseline,
        releases=_releases(records),
        panels=panels,
        least=min([0.5, *(v.low for v in drawn)]),
        most=max([2.0, *(v.high for v in drawn)]),
        base=2,
    )


def _errors(report: Report, records: Sequence[Record]) -> Chart:
    """Draw the error that came closest to its tolerance, in units of it, for each dtype."""
    names = tuple(dict.fromkeys(filter(None, (report.subject, report.raw_subject))))

    def find(record: Record) -> dict[str, dict[str, Spread]]:
        found: dict[str, dict[str, Spread]] = {}
        matches: Iterable[Match | RawMatch] = (
            *record.matches,
            *(entry for entry in record.raw if entry.verdict in {"right", "wrong"}),
        )
        for match in matches:
            if match.subject in names and match.dtype:
                dtype = found.setdefault(match.dtype, {})
                known = dtype.get(match.subject)
                if known is None or match.excess > known.median:
                    dtype[match.subject] = Spread(match.excess, match.excess, match.excess)
        return found

    return Chart(
        name="errors",
        title="Largest error over its tolerance, by release (below 1 passes)",
        mark="tolerance",
        releases=_releases(records),
        panels=_panels(records, names, find),
        least=1e-2,
        most=1e4,
        base=10,
    )


def _panels(
    records: Sequence[Record],
    names: Sequence[str],
    find: Callable[[Record], dict[str, dict[str, Spread]]],
) -> tuple[Panel, ...]:
    """Sort what is found in records by flavour and group, and by name and release."""
    place = {release: number for number, release in enumerate(_releases(records))}
    lines: dict[tuple[str, str], dict[str, list[Spread | None]]] = {}
    for record in records:
        for group, found in find(record).items():
            panel = lines.setdefault((record.flavour, group), {})
            for name in (name for name in names if name in found):
                values = panel.setdefault(name, [None] * len(place))
                values[place[record.release]] = found[name]
    several = len({flavour for flavour, _ in lines}) > 1
    return tuple(
        Panel(
            title=f"{group}, {flavour}" if several else group,
            series=tuple(Series(n, tuple(panel[n])) for n in names if n in panel),
        )
        for (flavour, group), panel in lines.items()
        if panel
    )


def _releases(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(record.release for record in records))
