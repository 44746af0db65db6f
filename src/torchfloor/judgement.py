"""What the probes told, and how their process ended -> why a cell is not compatible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torchfloor.output import name_shortage
from torchfloor.readback import find_differences
from torchfloor.record import Outcome, unexpected_mismatch

if TYPE_CHECKING:
    from torchfloor.journal import Journal
    from torchfloor.plan import Cell
    from torchfloor.process import Ended

__all__ = ["Judgement", "describe_end", "judge_probes"]

_CRASHES = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}
"""Signals that a process brings upon itself; any other comes from outside."""
_NOT_COLLECTED = 4
"""pytest's exit status where it cannot begin: a conftest.py that cannot be imported, say."""


class Judgement(NamedTuple):
    """Why a cell is not compatible: the outcome, the stage where it showed, and what happened."""

    outcome: Outcome
    stage: str
    message: str


def describe_end(ended: Ended, timeout: float, otherwise: str) -> str:
    """Say why a process did not come to its end.

    Args:
        ended: How it ended.
        timeout: Seconds that it had.
        otherwise: What to say where neither its time nor a signal ended it.
    """
    if ended.timed_out:
        return f"stopped after {timeout} s, the timeout in matrix.yaml"
    if ended.signal == "SIGKILL":
        return _explain("killed by SIGKILL, as a system does that runs out of memory")
    return f"killed by {ended.signal}" if ended.signal else otherwise


def judge_probes(cell: Cell, journal: Journal, ended: Ended, timeout: float) -> Judgement | None:
    """Judge a cell by its probes: DESIGN's outcomes.

    Args:
        cell: What was planned.
        journal: What the plugin wrote down inside the cell.
        ended: How pytest's process ended.
        timeout: Seconds that it had.

    Returns:
        Why the cell is not compatible; None if it is.
    """
    return (
        _judge_imports(cell, journal, ended, timeout)
        or _judge_results(journal, ended, timeout)
        or _judge_end(journal, ended, timeout)
    )


def _judge_imports(cell: Cell, journal: Journal, ended: Ended, timeout: float) -> Judgement | None:
    """Tell a broken dependency, or another one (no evidence), from a broken subject (evidence)."""
    broken, readback = journal.broken, journal.readback
    if broken is not None and broken.stage in {"readback", "dependency"}:
        return Judgement("errored", broken.stage, _explain(broken.message))
    if readback is None:
        otherwise = journal.damage or "the interpreter ended before the first probe"
        why = describe_end(ended, timeout, otherwise)
        return Judgement("errored", "dependency", why)
    if differences := find_differences(cell, readback):
        return Judgement("errored", "readback", "; ".join(differences))
    if (
        broken is not None and broken.stage == "subject"
    ):  # only now: a subject that breaks on another release proves nothing
        outcome: Outcome = "errored" if name_shortage(broken.message) else "incompatible"
        return Judgement(outcome, "subject", _explain(broken.message))
    return None


def _judge_results(journal: Journal, ended: Ended, timeout: float) -> Judgement | None:
    failed = [probe for probe in journal.probes if probe.outcome == "failed"]
    blamed = [probe for probe in failed if not name_shortage(probe.message)]
    crashed = ended.signal in {"", *_CRASHES} and not ended.timed_out
    # What failed before it was stopped from outside is evidence all the same.
    if journal.unfinished and (crashed or not blamed):
        why = describe_end(ended, timeout, _told_breakdown(journal) or "ended in the middle of it")
        outcome: Outcome = "incompatible" if crashed else "errored"
        return Judgement(outcome, "probes", f"{journal.unfinished}: {why}")
    if failed:
        first = (blamed or failed)[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        told = _explain(f"{first.probe}: {first.message}{more}")
        return Judgement("incompatible" if blamed else "errored", "probes", told)
    if mismatch := unexpected_mismatch(journal.matches, journal.probes):
        why = f"{mismatch.about}: wrong, though its probe passed"
        return Judgement("incompatible", "probes", why)
    return None


def _judge_end(journal: Journal, ended: Ended, timeout: float) -> Judgement | None:
    """See to it that something ran, and all of it."""
    if not any(probe.outcome == "passed" for probe in journal.probes):
        killed = describe_end(ended, timeout, _told_breakdown(journal))
        why = f"{killed} before the first probe" if killed else "no probe ran"
        if ended.status == _NOT_COLLECTED:
            why = "pytest could not load the probes (see the log)"
        return Judgement("errored", "probes", f"{why}: nothing is known about this release")
    if not journal.finished or ended.status != 0:
        otherwise = _told_breakdown(journal) or "pytest did not come to its end"
        why = describe_end(ended, timeout, otherwise)
        if journal.finished and ended.timed_out:
            why = f"every probe ended, but the process did not, held up by a thread, say: {why}"
        return Judgement("errored", "probes", why)
    return None


def _told_breakdown(journal: Journal) -> str:
    """Say what pytest itself broke down with, if it did: streams that were closed, say."""
    return f"pytest broke down ({journal.broken.message})" if journal.broken else ""


def _explain(message: str) -> str:
    """Add to an error that is the machine's own what is to be done about it."""
    short = name_shortage(message)
    advice = {
        "memory": "memory ran out, here or under a limit; free some, or raise the limit",
        "disk": "the disk is full, or a file grew past its limit; free some space",
    }
    return f"{message} ({advice[short]})" if short else message
