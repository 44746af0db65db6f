"""Results by hand: round numbers, so that what is computed from them is known."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from benchmarks.results import (
    BARE,
    COLLECTOR,
    COMPUTE_NORMS,
    FORMULA,
    LONG_ROWS,
    PRODUCT,
    READING,
    ROWS,
    Facts,
    Measured,
    Memory,
    Reading,
    Results,
    TimedSet,
    Times,
)

from torchfloor.host import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

Samples = tuple[float, ...]

NORMS: dict[str, Samples] = {
    COMPUTE_NORMS: (1e-3, 2e-3, 3e-3),
    BARE: (2e-3, 2e-3, 2e-3),
    FORMULA: (20e-3, 40e-3, 60e-3),
    READING: (4e-3, 1e-3, 4e-3),
    ROWS: (2e-3, 3e-3, 3e-3),
    LONG_ROWS: (2e-3, 3e-3, 3e-3),
    PRODUCT: (2e-3, 3e-3, 3e-3),
}
COLLECTORS: dict[str, Samples] = {
    COLLECTOR: (2e-3, 4e-3, 8e-3),
    BARE: (2e-3, 2e-3, 2e-3),
    FORMULA: (100e-3, 120e-3, 800e-3),
}


def make_facts(release: str, threads: int = 1) -> Facts:
    return Facts(release, "+cpu", None, "3.11.7", "Some CPU", 2, threads, "private")


def make_set(name: str = "few", norms: Mapping[str, Samples] | None = None) -> TimedSet:
    """Make a set of 8 MB."""
    return TimedSet(name, 3, 2_000_000, 8_000_000, dict(norms or NORMS), COLLECTORS)


def make_measured(release: str = "2.1.0", *sets: TimedSet, found: int = 12) -> Measured:
    """Make the figures of a release, with one thread and with two."""
    reading = Reading(1_000_000, (1e-3, 0.5e-3))
    chosen = sets or (make_set(),)
    times = tuple(Times(make_facts(release, count), reading, chosen) for count in (1, 2))
    peaks = {COLLECTOR: 400_000, BARE: 12, FORMULA: 26_000_000}
    return Measured(times, Memory(make_facts(release), "few", 8_000_000, 12, found, peaks))


def make_results(*releases: Measured, subject: str = "0123456789abcdef") -> Results:
    return Results(
        made=dt.date(2026, 1, 2),
        machine=Machine("Linux", "x86_64", "Some CPU", 2),
        subject=subject,
        revision="abc1234",
        releases=releases or (make_measured("2.1.0"), make_measured("2.0.0")),
    )
