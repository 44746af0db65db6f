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
_LAST_WORDS = 4096
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


def judge_probes(
    cell: Cell, journal: Journal, ended: Ended, timeout: float, printed: str
) -> Judgement | None:
    """Judge a cell by its probes: DESIGN's outcomes.

    Args:
        cell: What was planned.
        journal: What the plugin wrote down inside the cell.
        ended: How pytest's process ended.
        timeout: Seconds that it had.
        printed: What it printed.

    Returns:
        Why the cell is not compatible; None if it is.
    """
    run = _Run(journal, ended, timeout, _told_shortage(journal, printed))
    return _judge_imports(cell, run) or _judge_results(run) or _judge_end(run)


class _Run(NamedTuple):
    """What is known of a run of the probes.

    Attributes:
        journal: As in `judge_probes`.
        ended: As in `judge_probes`.
        timeout: As in `judge_probes`.
        shortage: How memory or disk ran out, if that was the end of it.
    """

    journal: Journal
    ended: Ended
    timeout: float
    shortage: str

    def describe_end(self, otherwise: str) -> str:
        """Say why it did not come to its end; first of all, what ended it from outside."""
        return describe_end(self.ended, self.timeout, self._breakdown or self.shortage or otherwise)

    @property
    def _breakdown(self) -> str:
        """What pytest itself broke down with, if it did: streams that were closed, say."""
        broken = self.journal.broken
        return f"pytest broke down ({_explain(broken.message)})" if broken else ""


def _told_shortage(journal: Journal, printed: str) -> str:
    """Look for the last line that tells of a shortage, if the journal has no end.

    What a process cannot write down any more for want of disk, it may still have printed.
    """
    if journal.finished:
        return ""
    told = [*printed[-_LAST_WORDS:].splitlines(), journal.broken.message if journal.broken else ""]
    found = next((line.strip() for line in reversed(told) if name_shortage(line)), "")
    return _explain(f"pytest did not come to its end: {found}") if found else ""


def _judge_imports(cell: Cell, run: _Run) -> Judgement | None:
    """Tell a broken dependency, or another one (no evidence), from a broken subject (evidence)."""
    broken, readback = run.journal.broken, run.journal.readback
    if broken is not None and broken.stage in {"readback", "dependency"}:
        return Judgement("errored", broken.stage, _explain(broken.message))
    if readback is None:
        unknown = "the interpreter ended before the first probe"
        otherwise = run.shortage or run.journal.damage or unknown
        why = describe_end(run.ended, run.timeout, otherwise)
        return Judgement("errored", "dependency", why)
    if differences := find_differences(cell, readback):
        return Judgement("errored", "readback", "; ".join(differences))
    if (
        broken is not None and broken.stage == "subject"
    ):  # only now: a subject that breaks on another release proves nothing
        outcome: Outcome = "errored" if name_shortage(broken.message) else "incompatible"
        return Judgement(outcome, "subject", _explain(broken.message))
    return None


def _judge_results(run: _Run) -> Judgement | None:
    journal, ended = run.journal, run.ended
    failed = [probe for probe in journal.probes if probe.outcome == "failed"]
    blamed = [probe for probe in failed if not name_shortage(probe.message)]
    crashed = ended.signal in {"", *_CRASHES} and not ended.timed_out and not run.shortage
    # What failed before it was stopped from outside is evidence all the same.
    if journal.unfinished and (crashed or not blamed):
        why = run.describe_end("ended in the middle of it")
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


def _judge_end(run: _Run) -> Judgement | None:
    """See to it that something ran, and all of it."""
    journal, ended = run.journal, run.ended
    if not any(probe.outcome == "passed" for probe in journal.probes):
        killed = run.describe_end("")
        why = f"{killed} before the first probe" if killed else "no probe ran"
        if ended.status == _NOT_COLLECTED:
            why = "pytest could not load the probes (see the log)"
        return Judgement("errored", "probes", f"{why}: nothing is known about this release")
    if not journal.finished or ended.status != 0:
        why = run.describe_end("pytest did not come to its end")
        if journal.finished and ended.timed_out:
            why = f"every probe ended, but the process did not, held up by a thread, say: {why}"
        return Judgement("errored", "probes", why)
    return None


def _explain(message: str) -> str:
    """Add to an error that is the machine's own what is to be done about it."""
    short = name_shortage(message)
    advice = {
        "memory": "memory ran out, here or under a limit; free some, or raise the limit",
        "disk": "the disk is full, or a file grew past its limit; free some space",
    }
    return f"{message} ({advice[short]})" if short else message
