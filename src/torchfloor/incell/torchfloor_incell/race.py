"""Time several ways of doing one thing, interleaved, so that a busy moment hits them all."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A sample shorter than this is mostly the clock's and the interpreter's own noise.
SHORTEST_SAMPLE = 2e-3
WARM_UP_CALLS = 2

Call = Callable[[], object]
Context = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Ratio:
    """A candidate's time as a multiple of the baseline's, round by round.

    Attributes:
        median: the middle ratio.
        low: first quartile.
        high: third quartile.
        rounds: how many rounds were run.
        seconds: median time of one call of the candidate, in seconds.
    """

    median: float
    low: float
    high: float
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Runner:
    """One candidate.

    Attributes:
        call: what is timed.
        around: makes the context that each sample runs in; entering it is not timed.
        synchronize: waits for work that a call has only queued.
    """

    call: Call
    around: Context
    synchronize: Call

    def sample(self, repeats: int) -> float:
        """Return the seconds of one call, as a mean over some repeats.

        One call more comes first, untimed. What the candidate before has freed may go back to the
        system only when this one frees something, and that can take longer than all its work.
        """
        with self.around():
            self.call()
            self.synchronize()
            start = time.perf_counter()
            for _ in range(repeats):
                self.call()
            self.synchronize()
            elapsed = time.perf_counter() - start
        # A clock that did not move is taken as its smallest useful step.
        return max(elapsed, 1e-9) / repeats

    def repeats(self) -> int:
        """Warm the call up and return how many calls make a sample long enough."""
        for _ in range(WARM_UP_CALLS):
            once = self.sample(1)
        return max(1, math.ceil(SHORTEST_SAMPLE / once))


def race(runners: Mapping[str, Runner], baseline: str, rounds: int) -> dict[str, Ratio]:
    """Run the candidates in turns and compare each with the baseline.

    Args:
        runners: the candidates by name, the baseline among them.
        baseline: the name of the one that counts as 1.
        rounds: how often each is sampled, at least 2, in another order each time.

    Returns:
        A ratio for every candidate but the baseline.
    """
    samples = take_samples(runners, rounds)
    return {name: _ratio(samples[name], samples[baseline]) for name in samples if name != baseline}


def take_samples(runners: Mapping[str, Runner], rounds: int) -> dict[str, list[float]]:
    """Run the candidates in turns, without garbage collection.

    Args:
        runners: the candidates by name.
        rounds: how often each is sampled, in another order each time.

    Returns:
        Seconds of one call, for each candidate, one a round.
    """
    with _without_collection():
        return _samples(runners, rounds)


def _samples(runners: Mapping[str, Runner], rounds: int) -> dict[str, list[float]]:
    repeats = {name: runner.repeats() for name, runner in runners.items()}
    samples: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    # Shuffled, not rotated: what always followed the same candidate would always inherit the
    # caches and the heap that it leaves. The same orders in every cell.
    orders = random.Random(0)  # noqa: S311 - no secret
    for _ in range(rounds):
        orders.shuffle(names)
        for name in names:
            samples[name].append(runners[name].sample(repeats[name]))
    return samples


def _ratio(candidate: list[float], baseline: list[float]) -> Ratio:
    ratios = [ours / theirs for ours, theirs in zip(candidate, baseline)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, low, high, len(ratios), statistics.median(candidate))


@contextmanager
def _without_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
