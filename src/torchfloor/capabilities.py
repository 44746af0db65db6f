"""What a record says of each capability, summed up over its probes and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.record import RawMatch, Record

__all__ = ["capabilities_of", "worst_of"]

_DECIDING = ("skipped", "passed", "failed")
"""Outcomes of probes; of a capability, the last of them counts."""
_WORDS = {"skipped": "not testable", "passed": "yes", "failed": "no"}
_SEVERITY = {"right": 0, "missing": 1, "refused": 2, "wrong": 3}


def capabilities_of(record: Record) -> dict[str, str]:
    """Sum up each capability: one failed probe decides, then one that passed.

    Returns:
        `yes`, `no` or `not testable` for each, in the probes' order.
    """
    found: dict[str, str] = {}
    for probe in record.probes:
        known = found.get(probe.capability)
        if probe.outcome != known:  # as few do: a capability has many probes
            found[probe.capability] = max(known or "skipped", probe.outcome, key=_DECIDING.index)
    return {name: _WORDS[outcome] for name, outcome in found.items() if name}


def worst_of(raw: Sequence[RawMatch]) -> dict[str, RawMatch]:
    """Find for each capability the worst the unguarded operator did, in the probes' order."""
    worst: dict[str, tuple[int, float, RawMatch]] = {}
    for entry in raw:
        severity, excess = _SEVERITY[entry.verdict], entry.excess
        known = worst.get(entry.capability)
        if known is None or (severity, excess) > known[:2]:
            worst[entry.capability] = (severity, excess, entry)
    return {capability: entry for capability, (_, _, entry) in worst.items()}
