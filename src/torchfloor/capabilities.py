"""What a record says of each capability, summed up over its probes and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.record import RawMatch, Record

__all__ = ["capabilities_of", "worst_of"]

_SEVERITY = ("wrong", "refused", "missing", "right")


def capabilities_of(record: Record) -> dict[str, str]:
    """Sum up each capability: one failed probe decides, then one that passed.

    Returns:
        `yes`, `no` or `not testable` for each, in the probes' order.
    """
    found: dict[str, set[str]] = {}
    for probe in record.probes:
        if probe.capability:
            found.setdefault(probe.capability, set()).add(probe.outcome)
    return {name: _sum_up(outcomes) for name, outcomes in found.items()}


def _sum_up(outcomes: set[str]) -> str:
    if "failed" in outcomes:
        return "no"
    return "yes" if "passed" in outcomes else "not testable"


def worst_of(raw: Sequence[RawMatch]) -> dict[str, RawMatch]:
    """Find for each capability the worst the unguarded operator did, in the probes' order."""
    worst: dict[str, RawMatch] = {}
    for entry in sorted(raw, key=lambda e: (_SEVERITY.index(e.verdict), -e.excess)):
        worst.setdefault(entry.capability, entry)
    return {entry.capability: worst[entry.capability] for entry in raw}
