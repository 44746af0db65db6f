"""The results of a benchmark: what docs/benchmarks.json holds, and nothing else is shown."""

from __future__ import annotations

import datetime as dt
import re
import statistics
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from torchfloor.errors import RecordError
from torchfloor.host import Machine
from torchfloor.records import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Memory", "Results", "Spread", "TimedSet", "compare", "read_results", "write_results"]

BARE = "torch._foreach_norm"
"""What every time is a multiple of."""
READING = "torch.sum"
ROWS = "torch.linalg.vector_norm of rows"
LONG_ROWS = "torch.linalg.vector_norm of long rows"
PRODUCT = "torch.dot"
PARTS = (READING, ROWS, LONG_ROWS, PRODUCT)
"""What is no way to right norms, but bounds and explains the time of one."""
FORMULA = "telemetry formula"
COMPUTE_NORMS = "gradnorms.compute_norms"
COLLECTOR = "gradnorms.collect_seed_gradients"

Seconds = Annotated[tuple[Annotated[float, msgspec.Meta(gt=0)], ...], msgspec.Meta(min_length=2)]
"""Seconds of one call, one a round: those at the same place were taken in the same round."""


class Facts(msgspec.Struct, frozen=True):
    """What ran, as read back from inside.

    Attributes:
        release: The release of torch.
        build: Its build tag (`+cpu`).
        git: Its revision, if it tells.
        python: Version of the interpreter.
        cpu: The processor's model name.
        cores: Logical processors.
        threads: How many torch used.
        path: The path that served compute_norms.
    """

    release: str
    build: str
    git: str | None
    python: str
    cpu: str
    cores: int
    threads: int
    path: str


class Reading(msgspec.Struct, frozen=True):
    """How long it takes to read a tensor that no cache holds."""

    bytes: int
    seconds: Seconds

    @property
    def bandwidth(self) -> float:
        """The most bytes a second."""
        return self.bytes / min(self.seconds)


class TimedSet(msgspec.Struct, frozen=True):
    """A set of gradients, and how long each implementation takes on it.

    Attributes:
        name: Its name.
        tensors: How many gradients.
        elements: How many numbers in all.
        bytes: Their size.
        norms: Seconds of each way to norms, and of reading the gradients.
        collector: Seconds of each way to gradient health.
    """

    name: str
    tensors: int
    elements: int
    bytes: int
    norms: dict[str, Seconds]
    collector: dict[str, Seconds]


class Times(msgspec.Struct, frozen=True):
    """One release with one number of threads."""

    facts: Facts
    reading: Reading
    sets: tuple[TimedSet, ...]


class Memory(msgspec.Struct, frozen=True):
    """What one release allocates at most, beside the gradients.

    Attributes:
        facts: What ran.
        set: Name of the gradients' set.
        bytes: The gradients' size.
        expected: What a known call allocates, by arithmetic.
        found: What was measured for that call.
        peaks: Bytes for each implementation.
    """

    facts: Facts
    set: str
    bytes: int
    expected: int
    found: int
    peaks: dict[str, int]

    def share(self, name: str) -> float:
        """Return what an implementation allocates at most, as a multiple of the gradients."""
        return self.peaks[name] / self.bytes


class Measured(msgspec.Struct, frozen=True):
    """One release: with each number of threads, and its memory."""

    times: tuple[Times, ...]
    memory: Memory

    @property
    def facts(self) -> Facts:
        """What ran."""
        return self.memory.facts


class Results(msgspec.Struct, frozen=True):
    """All of one benchmark.

    Attributes:
        made: On which day, in UTC.
        machine: Where.
        subject: Digest of src/gradnorms as it was measured.
        revision: The commit that was checked out, `+changes` if src/gradnorms was not as in it.
        releases: Newest first.
    """

    made: dt.date
    machine: Machine
    subject: str
    revision: str
    releases: Annotated[tuple[Measured, ...], msgspec.Meta(min_length=1)]


class Spread(NamedTuple):
    """The middle half of some ratios."""

    low: float
    median: float
    high: float


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Compare seconds with seconds, each with those of the same round.

    Raises:
        RecordError: If the rounds differ in number.
    """
    if len(ours) != len(theirs):
        msg = f"{len(ours)} rounds cannot be compared with {len(theirs)}; run `nox -s bench` again"
        raise RecordError(msg)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Spread(*statistics.quantiles(ratios, n=4, method="inclusive"))


def read_results(file: Path) -> Results:
    """Read results.

    Raises:
        RecordError: If the file holds none, or the measured memory cannot be right.
    """
    try:
        results = msgspec.json.decode(file.read_bytes(), type=Results)
    except OSError as error:
        msg = f"{file.name} cannot be read ({error.strerror}); run `nox -s bench`"
        raise RecordError(msg) from None
    except msgspec.DecodeError as error:
        msg = f"{file.name} holds no results ({error}); run `nox -s bench` again"
        raise RecordError(msg) from None
    for measured in results.releases:
        _check_memory(measured.memory)
    return results


def _check_memory(memory: Memory) -> None:
    if memory.expected != memory.found:
        msg = (
            f"On torch {memory.facts.release}, a call that allocates {memory.expected} bytes was "
            f"measured to allocate {memory.found}: its profiler cannot be trusted. Leave the "
            "release out, or mend benchmarks/measure.py."
        )
        raise RecordError(msg)


def write_results(results: Results, file: Path) -> None:
    """Write results, the samples of an implementation in one line."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=1).decode()
    text = re.sub(r"\[[\s\d.,e+-]+\]", lambda match: " ".join(match[0].split()), text)
    write_atomically(file, text.encode() + b"\n")
