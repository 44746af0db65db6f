"""Plan, standings and verdict -> everything a renderer shows, ready to be written down."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor.agreement import Agreement
from torchfloor.agreement import compare as compare_static
from torchfloor.capabilities import capabilities_of, worst_of
from torchfloor.changes import Changes, compare
from torchfloor.garbage import uncollected
from torchfloor.headline import choose_headline, doubt_headline
from torchfloor.report.grid import Grid, make_grid
from torchfloor.report.row import Row, make_row, show_number
from torchfloor.snapshot import Snapshot
from torchfloor.unasked import tell_indexes
from torchfloor.verdict import Known, Standing, Verdict, judge, stand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torchfloor.plan import Plan
    from torchfloor.provenance import Inputs
    from torchfloor.record import RawMatch, Record
    from torchfloor.report.packed import Packed
    from torchfloor.static import StaticEvidence

__all__ = ["LEFT_OUT", "Evidence", "Report", "make_report"]

LEFT_OUT: tuple[Known, ...] = ("not-run", "unavailable")
"""Outcomes that say nothing about a release: shown apart, so that they never look like a no."""


class Evidence(NamedTuple):
    """What a report is made from.

    Attributes:
        plan: The planned cells.
        records: Their evidence, which may be condensed.
        inputs: What it must have been made from, or None if that does not matter.
        static: What wheels say of the matrix's names, or None if that was not published.
        published: The evidence of the last published run, for what has changed since.
        stories: What the page tells of single cells.
        damaged: What is wrong with what should be a record, by the name of its file.
    """

    plan: Plan
    records: Sequence[Record]
    inputs: Inputs | None = None
    static: StaticEvidence | None = None
    published: Snapshot | None = None
    stories: Sequence[Packed] = ()
    damaged: Mapping[str, str] = MappingProxyType({})


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
        doubt: Why the subject may not be what was meant; empty if there is no doubt.
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
    doubt: str = ""
    timeline: Agreement | None = None
    changes: Changes | None = None


@uncollected()
def make_report(evidence: Evidence) -> Report:
    """Bring everything that is known into one model, which every renderer shows."""
    static, headline = evidence.static, choose_headline(evidence.plan.headline, evidence.records)
    plan = msgspec.structs.replace(evidence.plan, headline=headline)
    standings = stand(plan, evidence.records, evidence.inputs)
    told = [s.record for s in standings if s.record is not None]
    ran = [s.record for s in standings if s.record is not None and s.record.probes]
    worst = {record.cell: worst_of(record.raw) for record in told}
    days = sorted(record.provenance.finished.date() for record in ran)
    return Report(
        package=plan.package,
        subject=headline,
        baseline=next((record.ratios[0].baseline for record in ran if record.ratios), ""),
        raw_subject=next((record.raw[0].subject for record in ran if record.raw), ""),
        verdict=judge(plan, standings),
        rows=tuple(make_row(s, headline, worst.get(s.cell, {})) for s in standings),
        counts=dict(Counter(standing.outcome for standing in standings)),
        left_out=_left_out(plan, standings),
        capabilities=make_grid(ran, capabilities_of),
        raw=make_grid(ran, lambda record: _raw(worst[record.cell])),
        signatures=make_grid(ran, _notes),
        machines=tuple(dict.fromkeys(_machine(record) for record in ran if record.environment)),
        dates=(days[0], days[-1]) if days else (),
        unreachable=tell_indexes(plan),
        doubt=doubt_headline(evidence.plan.headline, told),
        timeline=compare_static(static, told, headline) if static else None,
        changes=_since(evidence.published, plan, standings) if evidence.published else None,
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


def _machine(record: Record) -> str:
    assert record.environment is not None, record.cell  # noqa: S101 - the caller has looked
    machine = record.environment.machine
    return f"{machine.cpu} ({machine.cores} cores), {record.environment.platform}"


def _raw(worst: Mapping[str, RawMatch]) -> dict[str, str]:
    return {name: _raw_text(entry) for name, entry in worst.items()}


def _raw_text(entry: RawMatch) -> str:
    if entry.verdict != "wrong":
        return entry.verdict
    return f"wrong ({', '.join(filter(None, (show_number(entry.error), entry.dtype)))})"


def _notes(record: Record) -> dict[str, str]:
    return {note.key: note.value for note in record.notes}
