"""One cell, summed up for the main table."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from torchfloor.verdict import Known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torchfloor.record import RawMatch, Record
    from torchfloor.verdict import Standing

__all__ = ["Row", "make_row", "show_number", "show_numbers"]


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


def make_row(standing: Standing, subject: str, worst: Mapping[str, RawMatch]) -> Row:
    """Sum up a cell.

    Args:
        standing: What is known of it.
        subject: What the main table is about.
        worst: The worst that the unguarded operator did, by capability.
    """
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
        trouble=_trouble(record.raw, worst) if record else "",
        verified=str(record.provenance.finished.date()) if record and record.probes else "",
    )


def _largest_error(record: Record, subject: str) -> str:
    """Show the match that came closest to its tolerance, or went furthest beyond."""
    matches = [match for match in record.matches if match.subject == subject]
    if not matches:
        return ""
    worst = max(matches, key=attrgetter("excess"))
    where = f" ({worst.dtype})" if worst.dtype else ""
    return f"{show_number(worst.error)} of {show_number(worst.tolerance)}{where}"


def show_number(error: float | None) -> str:
    """Write an error for a reader; None is one without bounds."""
    (text,) = show_numbers([error])
    return text


def show_numbers(errors: Iterable[float | None]) -> list[str]:
    """Write errors as `show_number` does: of a million, a call for each would take the longest."""
    return [
        "%.1e" % error if error else "∞" if error is None else "0"  # noqa: UP031 - the fastest
        for error in errors
    ]


def _speed(record: Record, subject: str) -> str:
    medians = [ratio.median for ratio in record.ratios if ratio.candidate == subject]
    if not medians:
        return ""
    low, high = f"{min(medians):.2f}", f"{max(medians):.2f}"
    return f"{low}×" if low == high else f"{low}–{high}×"


def _trouble(raw: Sequence[RawMatch], worst: Mapping[str, RawMatch]) -> str:
    """Count the capabilities that the unguarded operator gets wrong, refuses or lacks."""
    if raw and all(entry.verdict == "missing" for entry in raw):
        return "missing"
    found = Counter(entry.verdict for entry in worst.values())
    parts = [f"{found[word]} {word}" for word in ("wrong", "refused", "missing") if found[word]]
    if not parts:
        return "right" if raw else ""
    return f"{', '.join(parts)} of {found.total()} capabilities"
