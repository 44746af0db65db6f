"""Two runs of the same cells, compared but for times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchfloor.record import Record

__all__ = ["without_times"]

_TIMES = {
    "provenance": {"started", "finished", "seconds"},
    "probes": {"seconds"},
    "timings": {"rounds", "min", "median", "iqr"},  # rounds: as many as the time allows
    "ratios": {"median", "low", "high", "seconds"},
}
"""Fields, by the part of the record they stand in, that no two runs have in common."""
_DURATION = re.compile(r"\d+\.\d+s\b")


def without_times(records: Mapping[str, Record]) -> dict[str, Any]:
    """Return records without their times, so that two runs of the same cells are equal."""
    return {release: _strip(record) for release, record in records.items()}


def _strip(record: Record) -> dict[str, Any]:
    parts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
    for part, times in _TIMES.items():
        entries = parts.get(part, [])
        for entry in entries if isinstance(entries, list) else [entries]:
            for field in times:
                entry.pop(field, None)
    if "failure" in parts:
        parts["failure"]["log"] = _DURATION.sub("", parts["failure"]["log"])
    return parts
