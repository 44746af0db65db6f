"""Plan, standings and verdict -> everything a renderer shows, ready to be written down."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor.agreement import Agreement
from torchfloor.agreement import compare as compare_static
from torchfloor.capabilities import capabilities_of, worst_of
from torchfloor.changes import Changes, compare
from torchfloor.snapshot import Snapshot
from torchfloor.unasked import tell_indexes
from torchfloor.verdict import Known, Standing, Verdict, judge, stand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from packaging.version import Version

    from torchfloor.plan import Plan
    from torchfloor.provenance import Inputs
    from torchfloor.record import RawMatch, Record
    from torchfloor.static import StaticEvidence

__all__ = ["LEFT_OUT", "Evidence", "Grid", "Report", "Row", "make_report", "show_number"]

LEFT_OUT: tuple[Known, ...] = ("not-run", "unavailable")
"""Outcomes that say nothing about a release: shown apart, so that they never look like a no."""


class Evidence(NamedTuple):
    """What a report is made from.

    Attributes:
        plan: The planned cells.
        records: Their evidence.
        inputs: What it must have been made from, or None if that does not matter.
        static: What wheels say of the matrix's names, or None if that was not published.
        published: The evidence of the last published run, for what has changed since.
    """

    plan: Plan
    records: Sequence[Record]
    inputs: Inputs | None = None
    static: StaticEvidence | None = None
    published: Snapshot | None = None


class Row(msgspec.Struct, frozen=True):
    """One cell, as the main table shows it; a text is empty where there is nothing to say.

    Attributes:
        cell: Identifier.
        release: Its release.
        flavour: Its wheel flavour.
        build: Local part of the version, as read back (`cu118`).
        python: Its Python.
        promised: Whether it is at or above the declared floor.
        outcome: One of the seven.
        reason: Why it is not compatible.
        path: The path that served the subject.
        error: Largest relative error and its tolerance.
        speed: Time of the subject over the slowest path's, over the timed inputs.
        trouble: What is wrong with the unguarded operator; `right` if nothing is.
        verified: Date of the evidence.
    """

    cell: str
    release: str
    flavour: str
    build: str
    python: str
    promised: bool
    outcome: Known
    reason: str
    path: str
    error: str
    speed: str
    trouble: str
    verified: str


class Grid(msgspec.Struct, frozen=True):
    """A table whose columns are stretches of releases that are alike.

    Attributes:
        columns: `1.8.1`, `1.10.2 – 1.13.1` …
        rows: For each row its name, and a text for each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


class Report(msgspec.Struct, frozen=True):
    """All that is known about a matrix.

    Attributes:
        package: The dependency under test.
        subject: What the main table is about.
        baseline: What its speed is relative to.
        raw_subject: The unguarded operator, if the probes looked at one.
        verdict: Declared against measured floor.
        rows: One for each planned cell, oldest release first.
        counts: Cells of each outcome.
        left_out: Cells that were not run or not available, summed up by flavour and reason.
        capabilities: Capability by release.
        raw: The unguarded operator's behaviour by release.
        signatures: Facts about the unguarded operator by release.
        machines: The machines the evidence comes from.
        dates: First and last day of the evidence.
        unreachable: Indexes that did not answer when the plan was made, and what follows from it.
        timeline: What wheels say of the matrix's names, beside what was run; None if none is
            published.
        changes: What changed since the last published run; None where nothing was published, and
            in what is published itself: it is made from nothing but its own evidence.
    """

    package: str
    subject: str
    baseline: str
    raw_subject: str
    verdict: Verdict
    rows: tuple[Row, ...]
    counts: dict[str, int]
    left_out: tuple[str, ...]
    capabilities: Grid
    raw: Grid
    signatures: Grid
    machines: tuple[str, ...]
    dates: tuple[dt.date, ...]
    unreachable: tuple[str, ...]
    timeline: Agreement | None = None
    changes: Changes | None = None


def make_report(
    plan: Plan,
    records: Iterable[Record],
    inputs: Inputs | None = None,
    static: StaticEvidence | None = None,
    published: Snapshot | None = None,
) -> Report:
    """Bring everything that is known into one model.

    Args:
        plan: The planned cells.
        records: Their evidence.
        inputs: If given, evidence made from other inputs counts as stale.
        static: What wheels say of the matrix's names, if that was published.
        published: If given, the evidence of the last published run.

    Returns:
        The model that every renderer shows.
    """
    standings = stand(plan, records, inputs)
    told = [s.record for s in standings if s.record is not None]
    ran = [s.record for s in standings if s.record is not None and s.record.probes]
    days = sorted(record.provenance.finished.date() for record in ran)
    return Report(
        package=plan.package,
        subject=plan.headline,
        baseline=next((record.ratios[0].baseline for record in ran if record.ratios), ""),
        raw_subject=next((record.raw[0].subject for record in ran if record.raw), ""),
        verdict=judge(plan, standings),
        rows=tuple(_row(standing, plan.headline) for standing in standings),
        counts=dict(Counter(standing.outcome for standing in standings)),
        left_out=_left_out(plan, standings),
        capabilities=_grid(ran, capabilities_of),
        raw=_grid(ran, _raw),
        signatures=_grid(ran, _notes),
        machines=tuple(dict.fromkeys(_machine(record) for record in ran if record.environment)),
        dates=(days[0], days[-1]) if days else (),
        unreachable=tell_indexes(plan),
        timeline=compare_static(static, told, plan.headline) if static else None,
        changes=_since(published, plan, standings) if published else None,
    )


def _since(published: Snapshot, plan: Plan, standings: Iterable[Standing]) -> Changes | None:
    """Compare with what was published, but for what did not run since: the table tells of that."""
    known = [
        msgspec.structs.replace(s.record, promised=s.promised)  # by the floor as it is now
        for s in standings
        if s.record is not None and s.outcome != "stale"
    ]
    ran = {record.cell for record in known}
    if not known or not (published.records or published.damaged):
        return None
    waiting = {r.cell for r in published.records if plan.cell(r.cell) and r.cell not in ran}
    return compare(published, Snapshot("this run", tuple(known), {}), waiting)


def _left_out(plan: Plan, standings: Iterable[Standing]) -> tuple[str, ...]:
    """Name the cells nothing is known of, and why, in a line for each reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for s in standings:
        if s.outcome in LEFT_OUT:
            groups.setdefault((s.flavour, s.outcome, s.reason), []).append(s.release)
    every = len({cell.release for cell in plan.cells})
    return tuple(
        f"{flavour}: {outcome} for {_which(releases, every)}: {reason}"
        for (flavour, outcome, reason), releases in groups.items()
    )


def _which(releases: Sequence[str], every: int) -> str:
    return f"all {every} releases" if len(releases) == every else ", ".join(releases)


def _row(standing: Standing, subject: str) -> Row:
    record = standing.record
    return Row(
        cell=standing.cell,
        release=standing.release,
        flavour=standing.flavour,
        build=record.identity.build.lstrip("+") if record and record.identity else "",
        python=standing.python,
        promised=standing.promised,
        outcome=standing.outcome,
        reason=standing.reason,
        path=standing.path,
        error=_largest_error(record, subject) if record else "",
        speed=_speed(record, subject) if record else "",
        trouble=_trouble(record.raw) if record else "",
        verified=str(record.provenance.finished.date()) if record and record.probes else "",
    )


def _largest_error(record: Record, subject: str) -> str:
    """Show the match that came closest to its tolerance, or went furthest beyond."""
    matches = [match for match in record.matches if match.subject == subject]
    if not matches:
        return ""
    worst = max(matches, key=lambda match: match.excess)
    where = f" ({worst.dtype})" if worst.dtype else ""
    return f"{show_number(worst.error)} of {show_number(worst.tolerance)}{where}"


@lru_cache(maxsize=4096)
def show_number(error: float | None) -> str:
    """Write an error for a reader; None is one without bounds."""
    if error is None:
        return "∞"
    return "0" if error == 0 else f"{error:.1e}"


def _speed(record: Record, subject: str) -> str:
    medians = [ratio.median for ratio in record.ratios if ratio.candidate == subject]
    if not medians:
        return ""
    low, high = f"{min(medians):.2f}", f"{max(medians):.2f}"
    return f"{low}×" if low == high else f"{low}–{high}×"


def _trouble(raw: Sequence[RawMatch]) -> str:
    """Count the capabilities that the unguarded operator gets wrong, refuses or lacks."""
    if raw and all(entry.verdict == "missing" for entry in raw):
        return "missing"
    found = Counter(entry.verdict for entry in worst_of(raw).values())
    parts = [f"{found[word]} {word}" for word in ("wrong", "refused", "missing") if found[word]]
    if not parts:
        return "right" if raw else ""
    return f"{', '.join(parts)} of {found.total()} capabilities"


def _machine(record: Record) -> str:
    assert record.environment is not None, record.cell  # noqa: S101 - the caller has looked
    machine = record.environment.machine
    return f"{machine.cpu} ({machine.cores} cores), {record.environment.platform}"


def _raw(record: Record) -> dict[str, str]:
    return {name: _raw_text(entry) for name, entry in worst_of(record.raw).items()}


def _raw_text(entry: RawMatch) -> str:
    if entry.verdict != "wrong":
        return entry.verdict
    return f"wrong ({', '.join(filter(None, (show_number(entry.error), entry.dtype)))})"


def _notes(record: Record) -> dict[str, str]:
    return {note.key: note.value for note in record.notes}


def _grid(records: Sequence[Record], column: Callable[[Record], dict[str, str]]) -> Grid:
    """Put columns side by side, joining neighbours that are equal."""
    newest_first = sorted(records, key=lambda record: record.version, reverse=True)
    columns = [(record, column(record)) for record in newest_first]
    names = dict.fromkeys(name for _, texts in columns for name in texts)
    stretches = [list(group) for _, group in groupby(columns, key=lambda pair: pair[1])]
    stretches.reverse()
    return Grid(
        columns=tuple(_span([record.version for record, _ in group]) for group in stretches),
        rows=tuple(
            (name, tuple(group[0][1].get(name, "") for group in stretches)) for name in names
        ),
    )


def _span(releases: Sequence[Version]) -> str:
    return " – ".join(dict.fromkeys([str(min(releases)), str(max(releases))]))
