"""What a record says of each capability, summed up over its probes and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.record import RawMatch, Record

__all__ = ["capabilities_of", "severity_of", "worst_of"]

_WORDS = {"skipped": "not testable", "passed": "yes", "failed": "no"}
"""Outcomes of probes; of a capability, the last of them counts."""
_WEIGHT = {outcome: weight for weight, outcome in enumerate(_WORDS)}
_SEVERITY = {"right": 0, "missing": 1, "refused": 2, "wrong": 3}


def capabilities_of(record: Record) -> dict[str, str]:
    """Sum up each capability: one failed probe decides, then one that passed.

    Returns:
        `yes`, `no` or `not testable` for each, in the probes' order.
    """
    found: dict[str, str] = {}
    for probe in record.probes:
        known = found.get(probe.capability)
        if known is None or _WEIGHT[probe.outcome] > _WEIGHT[known]:
            found[probe.capability] = probe.outcome
    return {name: _WORDS[outcome] for name, outcome in found.items() if name}


def worst_of(raw: Sequence[RawMatch]) -> dict[str, RawMatch]:
    """Find for each capability the worst the unguarded operator did, in the probes' order."""
    worst: dict[str, RawMatch] = {}
    for entry in raw:
        known = worst.get(entry.capability)
        if known is None or severity_of(entry) > severity_of(known):
            worst[entry.capability] = entry
    return worst


def severity_of(entry: RawMatch) -> tuple[int, float]:
    """Weigh what the unguarded operator did: the verdict counts, then the error."""
    return _SEVERITY[entry.verdict], entry.excess
