"""Records -> the measured floor, and how it compares with the declared one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import msgspec
from packaging.version import Version

from torchfloor.output import one_line
from torchfloor.record import Outcome, Record, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchfloor.plan import Cell, Plan
    from torchfloor.provenance import Inputs

__all__ = ["Standing", "Verdict", "is_of_wheel", "judge", "name_cells", "stand"]

Known = Outcome | Literal["unavailable", "not-run", "stale", "missing"]
"""The seven outcomes: three of a record, two the plan knows, two from comparing both."""

_UNPROVED: tuple[Known, ...] = ("errored", "stale", "missing")
_MOST_NAMED = 5
_KNOWING = ("works", "broken")
"""States of releases about which something is known."""


class Standing(msgspec.Struct, frozen=True):
    """A planned cell, and what is known of it.

    Attributes:
        cell: Its identifier.
        release: Its release.
        flavour: Its wheel flavour.
        python: Its Python.
        promised: Whether the release is at or above the declared floor.
        outcome: What is known.
        reason: Why it is not more, in a line; empty if compatible.
        path: The path that served the headline, or empty.
        record: Its evidence, if there is any.
    """

    cell: str
    release: str
    flavour: str
    python: str
    promised: bool
    outcome: Known
    reason: str
    path: str
    record: Record | None

    @property
    def version(self) -> Version:
        """The release, comparable."""
        return version_of(self.release)


class Verdict(msgspec.Struct, frozen=True):
    """The comparison of declared and measured floors.

    Attributes:
        status: `holds`, `broken` (a promised release is not compatible), `unproved` (evidence
            is missing for one) or `no evidence` (nothing ran).
        exit_code: 0; 1 if a promised cell that should run is not compatible; 3 if evidence is
            missing only where no cell can run, unless the plan was narrowed.
        declared: The declared floor.
        measured: The lowest release from which every tested one up to the newest is
            compatible, without an untested minor between; or None.
        newest: The newest release with evidence, or None.
        verified: Compatible releases at or above the declared floor.
        gaps: Minors (all releases, if all are sampled) above the declared floor without evidence,
            and what the project names but no index that answered has.
        sentence: The verdict in one sentence.
        failing: Promised cells that are not compatible: cell, probe, why; cells that are so for
            the same reason share a line.
        below: What changes below the declared floor, a line for each stretch of releases.
    """

    status: Literal["holds", "broken", "unproved", "no evidence"]
    exit_code: int
    declared: str
    measured: str | None
    newest: str | None
    verified: tuple[str, ...]
    gaps: tuple[str, ...]
    sentence: str
    failing: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


def stand(plan: Plan, records: Iterable[Record], inputs: Inputs | None = None) -> list[Standing]:
    """Put beside each planned cell what its record says.

    Args:
        plan: The planned cells.
        records: Evidence; a record of a cell that is not planned is left out.
        inputs: If given, a record made from other inputs is `stale`, as one of another wheel
            always is.

    Returns:
        A standing for each planned cell, in the plan's order.
    """
    by_cell = {record.cell: record for record in records}
    standings = []
    for cell in plan.cells:
        record = by_cell.get(cell.id)
        outcome, reason = _outcome(cell, record, inputs)
        standings.append(
            Standing(
                cell=cell.id,
                release=cell.release,
                flavour=cell.flavour,
                python=cell.python,
                promised=cell.promised,
                outcome=outcome,
                reason=reason,
                path=one_line(record.path_of(plan.headline)) if record else "",
                record=record,
            )
        )
    return standings


def is_of_wheel(record: Record, cell: Cell) -> bool:
    """Tell whether nothing says that a record is of another wheel than the cell's."""
    identity, wheel = record.identity, cell.wheel
    if identity is None or wheel is None:
        return True
    digests = {identity.sha256, wheel.sha256} - {None}
    return identity.wheel == wheel.filename and len(digests) < 2  # noqa: PLR2004 - they differ


def _outcome(cell: Cell, record: Record | None, inputs: Inputs | None) -> tuple[Known, str]:
    if record is None:
        if cell.status != "planned":
            return cell.status, cell.reason
        return "missing", "planned, but there is no record of it; run it"
    if not is_of_wheel(record, cell):
        return "stale", "the index offers another wheel than was tested; run it again"
    if inputs is not None and not inputs.made(record):
        return "stale", "the subject, the probes or the matrix have changed since; run it again"
    if record.failure is not None and record.outcome != "compatible":
        return record.outcome, one_line(f"{record.failure.stage}: {record.failure.message}")
    return record.outcome, ""


def judge(plan: Plan, standings: Sequence[Standing]) -> Verdict:
    """Compare the declared floor with the measured one.

    Args:
        plan: Names the declared floor, and the releases there are.
        standings: What is known of its cells.

    Returns:
        The verdict.
    """
    state = _states(standings)
    working = [release for release, word in state.items() if word == "works"]
    promised = [release for release in working if release >= Version(plan.floor)]
    failing = [s for s in standings if s.promised and s.outcome in {"incompatible", *_UNPROVED}]
    gaps = _gaps(plan, state)
    measured = _measured_floor(plan, state)
    status, exit_code = _status(plan, state, failing, gaps)
    if plan.only:  # what was left out on purpose proves nothing, and fails nothing
        exit_code = 1 if failing else 0
    return Verdict(
        status=status,
        exit_code=exit_code,
        declared=plan.declared,
        measured=str(measured) if measured else None,
        newest=str(max(working)) if working else None,
        verified=tuple(str(release) for release in promised),
        gaps=tuple(gaps),
        sentence=_sentence(plan, status, promised, failing, measured),
        failing=tuple(_tell(failing)),
        below=tuple(_below(standings)),
    )


def _tell(failing: Iterable[Standing]) -> list[str]:
    alike: dict[tuple[Known, str], list[str]] = {}
    for standing in failing:
        alike.setdefault((standing.outcome, standing.reason), []).append(standing.cell)
    return [
        f"{name_cells(cells)} {outcome}: {reason}" for (outcome, reason), cells in alike.items()
    ]


def name_cells(cells: Sequence[str]) -> str:
    """Start a sentence about cells: `x is`, `3 cells (x to z) are`."""
    if len(cells) == 1:
        return f"{cells[0]} is"
    return f"{len(cells)} cells ({cells[0]} to {cells[-1]}) are"


def _states(standings: Iterable[Standing]) -> dict[Version, str]:
    """Sum up each release over its cells: works, broken, unproved or untested."""
    outcomes: dict[Version, set[Known]] = {}
    for standing in standings:
        outcomes.setdefault(standing.version, set()).add(standing.outcome)
    return {release: _state(found) for release, found in sorted(outcomes.items())}


def _state(found: set[Known]) -> str:
    if "incompatible" in found:
        return "broken"
    if not found.isdisjoint(_UNPROVED):
        return "unproved"
    return "works" if "compatible" in found else "untested"


def _units(plan: Plan, releases: Iterable[Version]) -> list[Version]:
    """Reduce releases to what the sample promises to cover: themselves, or their minors."""
    if plan.sample == "all":
        return sorted(set(releases))
    return sorted({version_of(f"{release.major}.{release.minor}") for release in releases})


def _gaps(plan: Plan, state: dict[Version, str]) -> list[str]:
    """List what lies between the declared floor and the newest release without evidence.

    The newest patch of a minor stands for it, and an older one for nothing but itself.
    """
    floor = Version(plan.floor)
    known = [release for release, word in state.items() if word in _KNOWING]
    newest = {_units(plan, [release])[0]: release for release in state}  # oldest first
    wanted = _units(plan, (version_of(r) for r in plan.releases if version_of(r) >= floor))
    covered = set(_units(plan, (release for release in known if release >= floor)))
    missing = [
        str(newest[unit] if unit in covered else unit)
        for unit in wanted
        if unit not in covered or state[newest[unit]] == "untested"
    ]
    if floor not in known and str(_units(plan, [floor])[0]) not in missing:
        missing.insert(0, plan.floor)
    unfound = sorted(Version(r) for r in plan.unfound if Version(r) >= Version(plan.declared))
    return [*map(str, unfound), *missing]


def _measured_floor(plan: Plan, state: dict[Version, str]) -> Version | None:
    """Go down from the newest release until one does not work, or a minor was not tested."""
    known = _units(plan, (version_of(release) for release in (*plan.releases, *plan.unfound)))
    floor: Version | None = None
    for release in sorted(state, reverse=True):
        if state[release] == "untested":
            continue
        if state[release] != "works" or (floor and _skips(plan, known, release, floor)):
            break
        floor = release
    return floor


def _skips(plan: Plan, known: Sequence[Version], lower: Version, upper: Version) -> bool:
    low, high = _units(plan, [lower])[0], _units(plan, [upper])[0]
    return bisect_right(known, low) < bisect_left(known, high)


def _status(
    plan: Plan, state: dict[Version, str], failing: Sequence[Standing], gaps: Sequence[str]
) -> tuple[Literal["holds", "broken", "unproved", "no evidence"], int]:
    floor = Version(plan.floor)
    if any(standing.outcome == "incompatible" for standing in failing):
        return "broken", 1
    if not any(word == "works" for release, word in state.items() if release >= floor):
        return "no evidence", 3
    if failing or gaps:
        return "unproved", 1 if failing else 3
    return "holds", 0


def _sentence(
    plan: Plan,
    status: str,
    promised: Sequence[Version],
    failing: Sequence[Standing],
    measured: Version | None,
) -> str:
    claim = f"{plan.package}>={plan.declared}"
    if status == "no evidence":
        return f"Nothing is known about {claim}: no cell at or above it has current evidence."
    if status == "broken":
        worst = next(s for s in failing if s.outcome == "incompatible")
        advice = (
            f"declare {plan.package}>={measured}, or mend it"
            if measured  # above every incompatible release, or it would not be measured
            else "mend it"
        )
        return f"{claim} does not hold: {plan.package} {worst.release} is incompatible; {advice}."
    span = f"{len(promised)} releases from {promised[0]} to {promised[-1]} are compatible"
    if len(promised) == 1:
        span = f"1 release, {promised[0]}, is compatible"
    sampled = "newest patch of every minor, and the floor itself"
    which = "every one" if plan.sample == "all" else sampled
    if status == "unproved":
        return f"{claim} is not proved: {span}, but evidence for others is missing."
    lower = measured is not None and measured < Version(plan.floor)
    hint = f"; it could be as low as {measured}" if lower else ""
    among = " among what the indexes that answered offer" if plan.silent else ""
    return f"{claim} holds: {span} ({which}), without a gap{among}{hint}{_left_out(plan)}."


def _left_out(plan: Plan) -> str:
    """Name the promised releases that the matrix hides, be it for a good reason."""
    if not plan.left_out:
        return ""
    names = ", ".join(plan.left_out)
    if len(plan.left_out) > _MOST_NAMED:
        names = f"{plan.left_out[0]} to {plan.left_out[-1]} ({len(plan.left_out)} releases)"
    return f"; versions leaves out {names}, which the declared minimum promises"


def _below(standings: Iterable[Standing]) -> list[str]:
    """Say what lies below the declared floor, one line for each stretch that is alike."""
    tested = [
        s for s in standings if not s.promised and s.outcome not in {"not-run", "unavailable"}
    ]
    newest_first = sorted(tested, key=lambda s: s.version, reverse=True)
    lines = []
    for (outcome, path), group in groupby(newest_first, key=lambda s: (s.outcome, s.path)):
        stretch = list(group)
        span = " to ".join(dict.fromkeys([stretch[-1].release, stretch[0].release]))
        how = f", through the {path} path" if path else ""
        why = "" if outcome == "compatible" else f" ({stretch[0].reason})"
        lines.append(f"{span}: {outcome}{how}{why}")
    return lines
