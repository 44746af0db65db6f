"""What a probe states: matches, findings about unguarded code, paths, ratios."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Callable

import pytest

from torchfloor_incell import wording
from torchfloor_incell.distance import Distance, Real, digest, worst
from torchfloor_incell.journal import Journal, finite
from torchfloor_incell.observe import Seen, observing
from torchfloor_incell.race import Context, Ratio, Runner, race

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchfloor_incell.outcomes import Probe

ROUNDS = 15


class Evidence:
    """The ``evidence`` fixture: writes what a probe finds into the cell's journal.

    Args:
        journal: where to write.
        package: the distribution under test.
        probe: the one that is running.
        synchronize: waits for work queued on the device.
    """

    def __init__(
        self, journal: Journal, package: str, probe: Probe, synchronize: Callable[[], object]
    ) -> None:
        self._journal = journal
        self._package = package
        self._probe = probe
        self._synchronize = synchronize

    def compare(
        self,
        subject: str,
        results: Sequence[Real],
        references: Sequence[Real],
        tolerance: float,
        *,
        dtype: str = "",
    ) -> None:
        """Write a match line and hold the results against their references.

        Args:
            subject: what was called.
            results: real numbers.
            references: as many; exact fractions are taken as such. NaN matches NaN, an infinity
                the same infinity.
            tolerance: the largest relative error that is right, a finite number.
            dtype: the dtype of the inputs, for the record.

        A probe whose comparison raises has failed, whatever becomes of what is raised.

        Raises:
            AssertionError: a result is further off than the tolerance, or their number is wrong.
            TypeError: the subject or the dtype is no text, or something else no number.
            ValueError: there are neither results nor references: that would prove nothing.
        """
        __tracebackhide__ = True
        # What is not known by the time that something raises is the worst that it can be.
        line: dict[str, object] = {
            "subject": str(subject),
            "capability": self._probe.capability,
            "dtype": str(dtype),
            "cases": 0,
            "error": None,
            "tolerance": 0.0,
            "passed": False,
            "digest": "",
        }
        try:
            _check_texts(subject=subject, dtype=dtype)
            # Read once, and held as read: what is counted is what is compared.
            _hold(line, list(results), list(references), tolerance)
        except BaseException as error:
            # A line, too: the probe may be over, or this be a process that it has forked.
            self._probe.wrong.append(wording.of_exception(error))
            self._journal.write_anyway("match", **line, failed=[self._probe.name])
            raise
        self._journal.write("match", **line, failed=[])

    def inform(  # noqa: PLR0913 - what is held, against what, and which row it belongs to
        self,
        subject: str,
        call: Callable[[], Sequence[Real]],
        references: Sequence[Real],
        tolerance: float,
        *,
        dtype: str = "",
        capability: str | None = None,
    ) -> None:
        """Write a raw line about unguarded code; whatever it does, the probe goes on.

        Args:
            subject: the dotted name of what is called; an AttributeError that names its last part
                means that this release does not have it.
            call: returns the results. What it raises is kept as a refusal, but for what ends all
                of pytest.
            references: see compare.
            tolerance: see compare.
            dtype: see compare.
            capability: the row, if it is not the one that the probe is marked with. A probe that
                only informs is best left unmarked: it cannot fail, so it says nothing for a row.
        """
        row = self._probe.capability if capability is None else capability
        _check_texts(subject=subject, dtype=dtype, capability=row)
        tolerance = _bound(tolerance)
        distance: Distance | None = None
        try:
            # An unguarded call may warn; that is no refusal, even where warnings are errors.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = list(call())
            distance = worst(results, references)
            verdict, message = _verdict(results, references, distance, tolerance)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the finding
            verdict = "missing" if _is_missing(error, subject) else "refused"
            message = wording.of_exception(error)
        self._journal.write(
            "raw",
            subject=subject,
            capability=row,
            dtype=dtype,
            cases=distance.cases if distance else 0,
            verdict=verdict,
            error=finite(distance.error) if distance else None,
            tolerance=tolerance,
            message=message,
        )

    def note(self, subject: str, key: str, value: object) -> None:
        """Write down a fact about a subject: any JSON value under a key."""
        _check_texts(subject=subject, key=key)
        self._journal.write("note", subject=subject, key=key, value=value)

    @contextmanager
    def observe(self, subject: str, paths: Mapping[str, Sequence[str]]) -> Iterator[Seen]:
        """Write a path line about what a block called, as seen from outside.

        Args:
            subject: what the block calls.
            paths: for each path's name, best first, the dotted entry points that mean it.

        Yields:
            What was seen: ``path``, ``entry_points``, ``operators``, complete after the block. A
            block that raises leaves no line.
        """
        _check_texts(subject=subject, paths=paths)
        with observing(self._package, paths) as seen:
            yield seen
        self._journal.write("path", subject=subject, **asdict(seen))

    def race(
        self,
        group: str,
        candidates: Mapping[str, Callable[[], object]],
        *,
        baseline: str,
        rounds: int = ROUNDS,
        around: Mapping[str, Context] | None = None,
    ) -> dict[str, Ratio]:
        """Time candidates interleaved and write a ratio line for each against the baseline.

        Args:
            group: the workload, in words.
            candidates: name to call; the baseline must be among them.
            baseline: the name of the one that counts as 1.
            rounds: samples of each; at least 2.
            around: for some candidates, what makes the context that each sample runs in. Entering
                and leaving it is not timed.

        Returns:
            The ratios by name, without the baseline's.
        """
        _check_texts(group=group, candidates=candidates)
        contexts = around or {}
        runners = {
            name: Runner(call, contexts.get(name, nullcontext), self._synchronize)
            for name, call in candidates.items()
        }
        ratios = race(runners, baseline, rounds)
        for name, ratio in ratios.items():
            fields = {"group": group, "candidate": name, "baseline": baseline, **asdict(ratio)}
            self._journal.write("ratio", **fields)
        return ratios


def _check_texts(**names: object) -> None:
    """Refuse what names something and is no text: a record has no place for it."""
    for what, name in names.items():
        for each in name if isinstance(name, Mapping) else [name]:
            if not isinstance(each, str):
                msg = f"{what} must be a text, not {each!r} of {type(each).__name__}"
                raise TypeError(msg)


def _hold(
    line: dict[str, object], results: list[Real], references: list[Real], tolerance: float
) -> None:
    """Fill in the line of a match as far as the comparison comes; it raises what compare does."""
    __tracebackhide__ = True
    about = ", ".join(str(line[key]) for key in ("subject", "capability", "dtype") if line[key])
    if not results and not references:
        msg = f"{about}: there is nothing to compare, so nothing is proved; assert what is so"
        raise ValueError(msg)
    bound = _bound(tolerance)
    complete = len(results) == len(references)
    distance = worst(results, references)
    error = finite(distance.error) if complete else None
    line.update(cases=distance.cases, error=error, tolerance=bound, digest=digest(results))
    if not (complete and distance.error <= bound):
        msg = f"{about}: {_difference(results, references, distance, bound)}"
        raise AssertionError(msg)
    line["passed"] = True


def _bound(tolerance: float) -> float:
    """Return a tolerance as a record can hold it.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN, or without bounds.
    """
    if isinstance(tolerance, bool):
        msg = f"tolerance must be a number, not {tolerance}"
        raise TypeError(msg)
    bound = float(tolerance)
    if not math.isfinite(bound):
        msg = f"tolerance must be finite, not {bound}"
        raise ValueError(msg)
    return bound


def _is_missing(error: BaseException, subject: str) -> bool:
    return isinstance(error, AttributeError) and f"'{subject.rpartition('.')[2]}'" in str(error)


def _verdict(
    results: Sequence[Real], references: Sequence[Real], distance: Distance, tolerance: float
) -> tuple[str, str]:
    if len(results) == len(references) and distance.error <= tolerance:
        return "right", ""
    return "wrong", _difference(results, references, distance, tolerance)


def _difference(
    results: Sequence[Real], references: Sequence[Real], distance: Distance, tolerance: float
) -> str:
    if len(results) != len(references):
        return f"{len(results)} results where {len(references)} were due"
    at = distance.index
    return (
        f"result {at} is {float(results[at])!r}, its reference {float(references[at])!r}: "
        f"relative error {distance.error:.3g}, tolerance {tolerance:.3g}"
    )
