"""What a record says against itself: no run writes that, so somebody else did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from torchfloor.plan import name_cell
from torchfloor.record import unexpected_mismatch

if TYPE_CHECKING:
    from torchfloor.record import Identity, Match, Record

__all__ = ["find_contradictions"]


def find_contradictions(record: Record) -> list[str]:
    """Hold the parts of a record against each other.

    Args:
        record: A record.

    Returns:
        What cannot be true of it: the rest of sentences that begin with its name.
    """
    known = [
        (_has_another_name(record), "names another cell than its release, flavour and Python do"),
        (_has_another_wheel(record), "names a wheel of another release"),
        (_has_another_python(record), "ran on another Python"),
        (
            any(map(_passes_beyond, record.matches)),
            "holds a match that passed beyond its tolerance",
        ),
    ]
    known += _of_compatible(record) if record.outcome == "compatible" else _of_failed(record)
    return [words for is_so, words in known if is_so]


def _has_another_name(record: Record) -> bool:
    return record.cell != name_cell(record.package, record.release, record.flavour, record.python)


def _has_another_wheel(record: Record) -> bool:
    return record.identity is not None and not _is_of(record, record.identity)


def _is_of(record: Record, identity: Identity) -> bool:
    try:
        name, version, *_ = parse_wheel_filename(identity.wheel)
    except InvalidWheelFilename:
        return False
    return (name, Version(version.public)) == (canonicalize_name(record.package), record.version)


def _has_another_python(record: Record) -> bool:
    ran_on = record.environment.python if record.environment else record.python
    return not f"{ran_on}.".startswith(f"{record.python}.")


def _passes_beyond(match: Match) -> bool:
    return match.passed and (match.error is None or match.error > match.tolerance)


def _of_compatible(record: Record) -> list[tuple[bool, str]]:
    outcomes = {probe.outcome for probe in record.probes}
    mismatch = unexpected_mismatch(record.matches, record.probes)
    failed = record.failure is not None and record.failure.stage != "timings"
    return [
        (_is_unread(record), "is compatible, though nothing was read back"),
        ("passed" not in outcomes, "is compatible, though no probe passed"),
        ("failed" in outcomes or failed, "is compatible, though something failed"),
        (mismatch is not None, "is compatible, though a match failed"),
    ]


def _of_failed(record: Record) -> list[tuple[bool, str]]:
    proved = record.outcome == "incompatible"
    return [
        (record.failure is None, f"is {record.outcome}, but does not say why"),
        (proved and _is_unread(record), "is incompatible, though nothing was read back"),
    ]


def _is_unread(record: Record) -> bool:
    return record.identity is None or record.environment is None
