"""The record: the one immutable JSON document of a cell's evidence."""

from __future__ import annotations

import datetime as dt
import inspect
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from packaging.version import Version

from torchfloor.host import Machine
from torchfloor.plan import CellId

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Environment",
    "Failure",
    "Identity",
    "Match",
    "Note",
    "Outcome",
    "PathSeen",
    "Probe",
    "Provenance",
    "Ratio",
    "RawMatch",
    "Record",
    "Timing",
    "schema",
    "unexpected_mismatch",
    "version_of",
]

SCHEMA: Final = 2
"""Version of the schema (2: with a digest); a record of another one is refused, not guessed at."""

Outcome = Literal["compatible", "incompatible", "errored"]
"""What a cell that ran can say. The plan knows `unavailable` and `not-run`; `stale` and `missing`
are found by comparing records with the plan."""


class Identity(msgspec.Struct, frozen=True):
    """The wheel the plan pinned, and what was read back inside the cell.

    Attributes:
        release: The release, as planned.
        flavour: Wheel flavour.
        wheel: Its file name.
        sha256: Its digest, or None where the index gave none.
        size: Its bytes, or None where the index gave none.
        uploaded: Date of its upload, or None where the index gave none.
        index: The index it came from, without credentials.
        build: Local part of the version that was read back (`+cu118`), or empty.
        cuda: The CUDA version it was built with, as read back.
        git: The dependency's own revision, as read back.
    """

    release: str
    flavour: str
    wheel: str
    sha256: str | None
    size: int | None
    uploaded: dt.date | None
    index: str
    build: str = ""
    cuda: str | None = None
    git: str | None = None


class Environment(msgspec.Struct, frozen=True):
    """Where the cell ran, as read back inside it.

    Attributes:
        python: Full version of the interpreter.
        platform: Operating system and C library.
        machine: Processor and cores.
        threads: Threads the dependency used.
        device: `cpu` or `cuda`.
        device_name: Name of the device, if there is one.
        driver: Its driver's version.
        packages: Version of every installed distribution.
    """

    python: str
    platform: str
    machine: Machine
    threads: int
    device: str
    device_name: str
    driver: str
    packages: dict[str, str]


class Probe(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One probe's result."""

    probe: str
    capability: str
    outcome: Literal["passed", "failed", "skipped"]
    seconds: float
    message: str = ""
    detail: str = ""


class PathSeen(msgspec.Struct, frozen=True, gc=False):
    """Which implementation served a subject, observed from outside."""

    subject: str
    path: str
    entry_points: tuple[str, ...]
    operators: tuple[str, ...]


class Match(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Results against a reference, per subject, capability and dtype.

    Attributes:
        subject: What was called.
        capability: The row of the capability table.
        dtype: Type of the input; empty where it does not matter.
        cases: Comparisons made.
        error: Largest relative error; None if unbounded (a NaN or infinity out of place).
        tolerance: Largest relative error that passes.
        passed: Whether every comparison passed.
        digest: Of the raw results, equal where two releases agree bit for bit.
        failed: The probes in which a comparison failed.
    """

    subject: str
    capability: str
    dtype: str
    cases: int
    error: float | None
    tolerance: float
    passed: bool
    digest: str
    failed: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """What was compared, in words."""
        return ", ".join(filter(None, (self.subject, self.capability, self.dtype)))

    @property
    def excess(self) -> float:
        """The error in units of its tolerance; infinity where it is unbounded."""
        return _excess(self.error, self.tolerance)


class RawMatch(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The same for the unguarded operator, for information."""

    subject: str
    capability: str
    dtype: str
    cases: int
    verdict: Literal["right", "wrong", "refused", "missing"]
    error: float | None
    tolerance: float
    message: str = ""

    @property
    def excess(self) -> float:
        """The error in units of its tolerance; infinity where it is unbounded."""
        return _excess(self.error, self.tolerance)


class Note(msgspec.Struct, frozen=True, gc=False):
    """A fact about a subject that is no number, such as an operator's signature."""

    subject: str
    key: str
    value: str


class Timing(msgspec.Struct, frozen=True, gc=False):
    """pytest-benchmark's statistics of one call, in seconds, single-threaded."""

    name: str
    group: str
    rounds: int
    min: float
    median: float
    iqr: float


class Ratio(msgspec.Struct, frozen=True, gc=False):
    """Time of a candidate over a baseline's, from interleaved rounds.

    Attributes:
        group: The input.
        candidate: What was timed.
        baseline: What it was compared with.
        median: Median of the ratios; below 1 the candidate is faster.
        low: First quartile.
        high: Third quartile.
        rounds: Rounds.
        seconds: Median time of the candidate.
    """

    group: str
    candidate: str
    baseline: str
    median: float
    low: float
    high: float
    rounds: int
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """Where a cell failed, and why.

    Attributes:
        stage: `install`, `dependency`, `readback`, `subject`, `probes` or `timings`.
        message: What happened, in one or two lines.
        log: Tail of that stage's log.
    """

    stage: str
    message: str
    log: str = ""


class Provenance(msgspec.Struct, frozen=True):
    """What the evidence was made from.

    Attributes:
        subject: Digest of the subject's files.
        probes: Digest of the probes and of the plugin that ran them.
        matrix: Digest of what the matrix says about this cell.
        torchfloor: The harness's version.
        started: When the cell started, in UTC.
        finished: When it ended, in UTC.
        seconds: Duration of each stage.
        download: Bytes of the files that were downloaded, or 0 if unknown.
        disk: Bytes of the installed environment.
    """

    subject: str
    probes: str
    matrix: str
    torchfloor: str
    started: dt.datetime
    finished: dt.datetime
    seconds: dict[str, float] = {}
    download: int = 0
    disk: int = 0


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cell's evidence: one JSON file a cell, written once."""

    schema: Literal[2]
    cell: CellId
    package: str
    release: str
    flavour: str
    python: str
    promised: bool
    outcome: Outcome
    provenance: Provenance
    failure: Failure | None = None
    identity: Identity | None = None
    environment: Environment | None = None
    paths: tuple[PathSeen, ...] = ()
    matches: tuple[Match, ...] = ()
    raw: tuple[RawMatch, ...] = ()
    notes: tuple[Note, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    timings: tuple[Timing, ...] = ()
    probes: tuple[Probe, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a release that is no version (msgspec turns the error into its own)."""
        version_of(self.release)

    @property
    def version(self) -> Version:
        """The release, comparable."""
        return version_of(self.release)

    def path_of(self, subject: str) -> str:
        """Return the path that served a subject, or empty if none was observed."""
        return next((seen.path for seen in self.paths if seen.subject == subject), "")


@lru_cache(maxsize=2**14)
def version_of(release: str) -> Version:
    """Return a release, comparable: made once, since thousands of records are asked for theirs.

    Raises:
        InvalidVersion: If it is no version.
    """
    return Version(release)


def unexpected_mismatch(matches: Iterable[Match], probes: Iterable[Probe]) -> Match | None:
    """Find a failed match that no probe owns up to.

    Args:
        matches: What was compared.
        probes: The probes that did so. One that is known to fail counts as skipped.

    Returns:
        The first failed match of a probe that passed, or of none that is known; or None.
    """
    failed = [match for match in matches if not match.passed]
    if not failed:
        return None
    told = {probe.probe for probe in probes if probe.outcome != "passed"}
    return next((m for m in failed if not m.failed or set(m.failed) - told), None)


def _excess(error: float | None, tolerance: float) -> float:
    if error is None:
        return math.inf
    return error / tolerance if tolerance else (math.inf if error else 0.0)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a record's file: the record, and the digest of all of it."""
    described = msgspec.json.schema(Record)
    for each in described["$defs"].values():  # some releases of msgspec leave the indent in
        each["description"] = inspect.cleandoc(each["description"])
    record = described["$defs"]["Record"]
    record["properties"]["digest"] = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
    record["required"].append("digest")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "torchfloor record",
        **described,
    }
