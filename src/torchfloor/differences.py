"""Two records -> how what they say differs, in words that cells which changed alike share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torchfloor.capabilities import capabilities_of, worst_of
from torchfloor.condensed import numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torchfloor.condensed import Number
    from torchfloor.record import Ratio, Record

__all__ = ["Difference", "Kind", "find_differences", "machine_of"]

Kind = Literal[
    "incompatible",
    "lost",
    "unknown",
    "vanished",
    "untested",
    "lowered",
    "compatible",
    "gained",
    "tested",
    "raised",
    "new",
    "path",
    "numbers",
    "operator",
    "interface",
    "slower",
    "faster",
]
"""What a change is about; the most important first."""

_RELATIVE = 1.5
"""A ratio changed if it is more than this many times the earlier one, or the other way round …"""
_ABSOLUTE = 0.2
"""… if it is this far from it, too, in units of the baseline's time, and if the quartiles of their
rounds do not meet. As pyperf and asv do: a busy moment widens the spread, or moves a tiny ratio by
a large factor, and neither says anything about a release."""
_LONGEST = 120


class Difference(NamedTuple):
    """One thing that two records say differently.

    Attributes:
        kind: What it is about.
        text: What differs, in words.
        names: What it is true of, such as capabilities, if it names some.
        figures: What was measured of each name, if anything.
    """

    kind: Kind
    text: str
    names: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


def find_differences(before: Record, after: Record) -> list[Difference]:
    """Compare what two cells found, other than their outcomes.

    Digests of results compare only where both come from the same machine and the same number of
    cases: kernels differ between processors, and so do results for other inputs. Times compare
    only on the same machine.

    Args:
        before: A record.
        after: A later one of the same cell, or that of a later release.

    Returns:
        The differences, most important first.
    """
    found = [
        *_capabilities(before, after),
        *_paths(before, after),
        *_operator(before, after),
        *_interface(before, after),
    ]
    if machine_of(before) == machine_of(after):
        found += _numbers(before, after)
        found += _times(before, after)
    return found


def machine_of(record: Record) -> tuple[Any, ...]:
    """Return what times and the last bits of numbers depend on."""
    if record.environment is None:
        return ()
    here = record.environment
    return (here.machine, here.threads, here.device, here.device_name)


def _capabilities(before: Record, after: Record) -> Iterator[Difference]:
    was, now = capabilities_of(before), capabilities_of(after)
    moves: dict[tuple[str, str], list[str]] = {}
    for name in {**was, **now}:
        move = (_tested(was.get(name)), _tested(now.get(name)))
        moves.setdefault(move, []).append(name)
    if gone := moves.get(("yes", "no")):
        yield Difference("lost", "no longer working", tuple(gone))
    if come := moves.get(("no", "yes")):
        yield Difference("gained", "working now", tuple(come))
    # What a cell did not come to, because something else ended it, is told by its outcome.
    if before.outcome == after.outcome == "compatible":
        if gone := moves.get(("yes", "")):
            yield Difference("untested", "not tested any more", tuple(gone))
        if come := moves.get(("", "yes")):
            yield Difference("tested", "tested now, and working", tuple(come))


def _tested(word: str | None) -> str:
    return word if word in {"yes", "no"} else ""


def _paths(before: Record, after: Record) -> Iterator[Difference]:
    was = {seen.subject: seen.path for seen in before.paths}
    now = {seen.subject: seen.path for seen in after.paths}
    for subject in (subject for subject in was if subject in now):
        if was[subject] != now[subject]:
            text = f"{subject} takes the {now[subject]} path, was {was[subject]}"
            yield Difference("path", text)


def _numbers(before: Record, after: Record) -> Iterator[Difference]:
    was, now = _by_place(numbers_of(before)), _by_place(numbers_of(after))
    differing: dict[str, None] = {}
    for place in (place for place in was if place in now):
        one, other = was[place], now[place]
        if one.cases == other.cases and one.digest != other.digest:
            differing[one.capability or f"{one.subject} {one.dtype}"] = None
    if differing:
        yield Difference("numbers", "other numbers, within their tolerances", tuple(differing))


def _by_place(numbers: Iterable[Number]) -> dict[tuple[str, str, str], Number]:
    return {(it.subject, it.capability, it.dtype): it for it in numbers}


def _operator(before: Record, after: Record) -> Iterator[Difference]:
    if before.raw == after.raw:
        return
    was, now = worst_of(before.raw), worst_of(after.raw)
    moves: dict[tuple[str, str, str], list[str]] = {}
    for name in (name for name in was if name in now):
        if was[name].verdict != now[name].verdict:
            move = (now[name].subject, was[name].verdict, now[name].verdict)
            moves.setdefault(move, []).append(name)
    for (subject, old, new), names in moves.items():
        text = f"the unguarded {subject} is {new}, was {old}"
        yield Difference("operator", text, tuple(names))


def _interface(before: Record, after: Record) -> Iterator[Difference]:
    was = {(note.subject, note.key): note.value for note in before.notes}
    now = {(note.subject, note.key): note.value for note in after.notes}
    for place in (place for place in was if place in now):
        if was[place] != now[place]:
            subject, key = place
            about = key if key.startswith(subject) else f"{subject}, {key}"
            text = f"{about}: {_cut(now[place])}, was {_cut(was[place])}"
            yield Difference("interface", text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _times(before: Record, after: Record) -> Iterator[Difference]:
    """Compare the times of what was tested, as ratios to the same baseline."""
    subjects = {match.subject for match in (*before.matches, *after.matches)}
    was, now = _by_race(before.ratios), _by_race(after.ratios)
    moved: dict[tuple[Kind, str], dict[str, str]] = {}
    for place in (place for place in was if place in now and place[1] in subjects):
        one, other = was[place], now[place]
        if _is_far(one, other):
            kind: Kind = "slower" if other.median > one.median else "faster"
            text = f"{other.candidate} is {kind}, in times of {other.baseline}"
            figure = f"{other.median:.2f}×, was {one.median:.2f}×"
            moved.setdefault((kind, text), {})[other.group] = figure
    for (kind, text), figures in moved.items():
        yield Difference(kind, text, tuple(figures), tuple(figures.values()))


def _by_race(ratios: Iterable[Ratio]) -> Mapping[tuple[str, str, str], Ratio]:
    return {(ratio.group, ratio.candidate, ratio.baseline): ratio for ratio in ratios}


def _is_far(one: Ratio, other: Ratio) -> bool:
    low, high = sorted((one, other), key=lambda ratio: ratio.median)
    return (
        high.median > _RELATIVE * low.median
        and high.median - low.median > _ABSOLUTE
        and high.low > low.high
    )
