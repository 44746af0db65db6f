"""The search for a floor: which release to test next, and what the tests have proved.

Pure: a state is what is known of each release, oldest first, and nothing is ever run from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Finding", "Goal", "Known", "Step", "conclude", "most_tests", "next_step"]

Known = Literal["compatible", "incompatible", "errored"] | None
"""What is known of a release; `errored` says nothing about it, so it is stepped around."""

Goal = Literal["newest", "predicted", "below", "between", "above"]
"""Why a release is tested.

- `newest`: a floor holds up to the newest release, or it is none.
- `predicted`: the floor is expected there.
- `below`: it lies next below what is expected to be the floor.
- `between`: it lies between what works and what does not.
- `above`: it lies next above the floor, which is proved on both sides.
"""


class Step(NamedTuple):
    """The next test: a release's place, and why it is that one."""

    place: int
    goal: Goal


class Finding(NamedTuple):
    """What the tests have proved, as places of releases.

    Attributes:
        floor: The lowest release that works, as far as it was tested; None if there is none.
        below: The newest release below it that does not work; None if none is known.
        between: Releases between these two about which nothing is known.
        untested: Releases above the floor about which nothing is known.
        newest: The newest release about which anything is known; None if there is none.
        against: Releases that work, though a newer one does not: what works does not keep on
            working, which a search takes for granted.
    """

    floor: int | None
    below: int | None
    between: tuple[int, ...]
    untested: tuple[int, ...]
    newest: int | None
    against: tuple[int, ...]


def most_tests(releases: int) -> int:
    """Return the most tests a search takes: ceil(log2 n) + 3; those that errored are not counted.

    The three are the newest release, the expected floor, and the floor's other neighbour.
    """
    return max(releases - 1, 0).bit_length() + 3


def next_step(known: Sequence[Known], spent: int, hints: Sequence[int] = ()) -> Step | None:
    """Choose the release to test next.

    The one nearest to where the floor is expected is chosen, as long as the tests that are left
    suffice if it is not there after all.

    Args:
        known: What is known of each release, oldest first, whatever it was known from.
        spent: Tests so far, but for those that errored.
        hints: Places where the floor may be, the likeliest first, then the others.

    Returns:
        The step, or None if the search has come to its end.
    """
    usable = [place for place, word in enumerate(known) if word != "errored"]
    if not usable:
        return None
    if known[usable[-1]] is None:
        return Step(usable[-1], "newest")
    low, high = _bracket(known)
    left = most_tests(len(known)) - spent
    if high is None or left <= 0:
        return None
    unknown = [place for place in usable if low < place < high]
    if unknown:  # one test is spared for the floor's other neighbour
        return _between(unknown, low, high, hints, room=2 ** max(left - 2, 0))
    above = next((place for place in usable if place > high), high)
    return Step(above, "above") if known[above] is None else None


def _bracket(known: Sequence[Known]) -> tuple[int, int | None]:
    """Return the newest place that does not work, or -1, and the lowest above it that does."""
    low = max((place for place, word in enumerate(known) if word == "incompatible"), default=-1)
    works = (place for place, word in enumerate(known) if word == "compatible" and place > low)
    return low, next(works, None)


def _between(unknown: Sequence[int], low: int, high: int, hints: Sequence[int], room: int) -> Step:
    """Choose among the releases that may be the floor, beside `high`, which may be it as well.

    Args:
        unknown: Their places.
        low: The place below them.
        high: The place above them.
        hints: As in `next_step`.
        room: How many candidates may remain after this test.
    """
    count = len(unknown)
    remaining = {place: max(at + 1, count - at) for at, place in enumerate(unknown)}
    middle = min(unknown, key=lambda place: remaining[place])
    fitting = [place for place in unknown if remaining[place] <= room] or [middle]
    alive = [hint for hint in hints if low < hint <= high]
    if not alive:
        return Step(middle, "between")
    likeliest = hints[0]
    hint = likeliest if likeliest in alive else min(alive, key=lambda each: abs(each - middle))
    wanted = hint if hint < high else hint - 1
    place = min(fitting, key=lambda each: abs(each - wanted))
    if place == hint == likeliest:
        return Step(place, "predicted")
    return Step(place, "below" if place == hint - 1 else "between")


def conclude(known: Sequence[Known]) -> Finding:
    """Sum up what is proved.

    Args:
        known: As in `next_step`.
    """
    low, floor = _bracket(known)
    told = [place for place, word in enumerate(known) if word not in {None, "errored"}]
    open_places = set(range(len(known))) - set(told)
    return Finding(
        floor=floor,
        below=low if low >= 0 else None,
        between=tuple(p for p in sorted(open_places) if floor is not None and low < p < floor),
        untested=tuple(p for p in sorted(open_places) if floor is not None and p > floor),
        newest=max(told, default=None),
        against=tuple(p for p in told if p < low and known[p] == "compatible"),
    )
