"""The search for a floor, over every pattern of outcomes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchfloor.search import Known, conclude, most_tests, next_step


class Searched(NamedTuple):
    """What came of a search: what is known, where it looked, and how many tests counted."""

    known: list[Known]
    order: list[int]
    spent: int


def search(truth: list[Known], hints: list[int], known: list[Known] | None = None) -> Searched:
    state: list[Known] = list(known or [None] * len(truth))
    order: list[int] = []
    spent = 0
    while step := next_step(state, spent, hints):
        assert state[step.place] is None, "nothing is tested twice"
        state[step.place] = truth[step.place]
        order.append(step.place)
        spent += truth[step.place] != "errored"
    return Searched(state, order, spent)


def monotonic(floor: int, releases: int) -> list[Known]:
    return ["compatible" if place >= floor else "incompatible" for place in range(releases)]


@pytest.mark.parametrize(
    ("releases", "most"), [(1, 3), (2, 4), (3, 5), (4, 5), (5, 6), (16, 7), (17, 8), (52, 9)]
)
def test_the_most_tests_are_the_logarithm_and_three(releases: int, most: int) -> None:
    assert most_tests(releases) == most


@pytest.mark.parametrize("releases", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33])
def test_every_floor_is_found_with_both_neighbours_and_the_newest_whatever_is_expected(
    releases: int,
) -> None:
    for floor in range(releases):
        for hints in ([], *([hint] for hint in range(releases))):
            found = search(monotonic(floor, releases), hints)
            proved = {floor, releases - 1, *({floor - 1, floor + 1} & set(range(releases)))}
            assert conclude(found.known).floor == floor
            assert proved <= set(found.order)
            assert found.spent <= most_tests(releases)


def test_where_nothing_works_the_newest_alone_is_tested() -> None:
    found = search(["incompatible"] * 20, [5])
    assert (found.order, conclude(found.known).floor) == ([19], None)


def test_a_floor_where_it_is_expected_is_proved_at_once() -> None:
    assert search(monotonic(9, 39), [9]).order == [38, 9, 8, 10]


def test_where_the_first_expectation_fails_the_others_are_tried() -> None:
    found = search(monotonic(17, 39), [3, 17, 30])
    assert found.order == [38, 3, 17, 16, 18]


def test_an_expectation_that_would_cost_too_much_if_it_failed_is_approached() -> None:
    found = search(monotonic(12, 16), [12])
    assert found.order == [15, 12, 7, 11, 13]
    costs = [search(monotonic(floor, 16), [12]).spent for floor in range(16)]
    assert max(costs) == most_tests(16)


@pytest.mark.parametrize(
    ("place", "floor", "told"),
    [
        (3, 3, (4, 2, (3,))),
        (2, 3, (3, 1, (2,))),
        (0, 1, (1, None, (0,))),
        (4, 3, (3, 2, ())),
        (7, 4, (4, 3, ())),
    ],
)
def test_what_errored_is_stepped_around_and_never_counts_as_incompatible(
    place: int, floor: int, told: tuple[int, int | None, tuple[int, ...]]
) -> None:
    truth = monotonic(floor, 8)
    truth[place] = "errored"
    found = search(truth, [place])
    assert conclude(found.known)[:3] == told
    assert all(word != "incompatible" or truth[at] == word for at, word in enumerate(found.known))


def test_where_everything_errored_nothing_is_known() -> None:
    found = search(["errored"] * 3, [])
    assert conclude(found.known) == (None, None, (), (), None, ())
    assert conclude([]) == (None, None, (), (), None, ())
    assert next_step([], 0) is None


def test_what_is_known_already_is_not_tested() -> None:
    truth = monotonic(4, 10)
    known = [truth[place] if place in {0, 2, 5, 7, 9} else None for place in range(10)]
    assert search(truth, [], known).order == [3, 4]
    assert search(truth, [], truth).order == []


def test_what_works_below_something_that_does_not_is_told() -> None:
    truth: list[Known] = ["compatible", "incompatible", "compatible", "compatible"]
    found = conclude(search(truth, [], truth).known)
    assert (found.floor, found.below, found.against) == (2, 1, (0,))


WORDS: list[Known] = ["compatible", "incompatible", "errored"]
OUTCOMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60)


@st.composite
def subjects(draw: st.DrawFn) -> tuple[list[Known], list[Known], list[int]]:
    truth = draw(OUTCOMES)
    shown = draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    known: list[Known] = [
        word if show and word != "errored" else None
        for word, show in zip(truth, shown, strict=True)
    ]
    hints = draw(st.lists(st.integers(0, len(truth) - 1), max_size=5))
    return truth, known, hints


@given(subjects())
def test_no_pattern_costs_more_tests_or_gets_a_claim_that_was_not_proved(
    subject: tuple[list[Known], list[Known], list[int]],
) -> None:
    truth, known, hints = subject
    found = search(truth, hints, known)
    told = conclude(found.known)
    assert found.spent <= most_tests(len(truth))
    usable = [place for place, word in enumerate(truth) if word != "errored"]
    if not usable:
        assert told.newest is None
        return
    assert told.newest == usable[-1]
    if told.floor is None:
        assert truth[usable[-1]] == "incompatible"
        return
    assert truth[told.floor] == "compatible"
    open_places = {*told.untested, *told.between}
    for place in range(told.floor, len(truth)):  # nothing known speaks against it
        assert place in open_places or truth[place] == "compatible"
    if told.below is not None:
        assert truth[told.below] == "incompatible"
        assert all(p in told.between for p in range(told.below + 1, told.floor))
    else:
        assert all(found.known[place] != "incompatible" for place in range(told.floor))
    for place in open_places:
        assert found.known[place] in {None, "errored"}
    if found.spent < most_tests(len(truth)):  # it ended because nothing was left to find out
        assert all(found.known[place] == "errored" for place in told.between)


@given(st.integers(1, 60), st.data())
def test_a_subject_that_keeps_working_is_always_decided(releases: int, data: st.DataObject) -> None:
    floor = data.draw(st.integers(0, releases - 1))
    errored = data.draw(st.sets(st.integers(0, releases - 1)))
    hints = data.draw(st.lists(st.integers(0, releases - 1), max_size=8))
    truth = monotonic(floor, releases)
    for place in errored:
        truth[place] = "errored"
    found = search(truth, hints)
    told = conclude(found.known)
    working = [place for place, word in enumerate(truth) if word == "compatible"]
    broken = [place for place, word in enumerate(truth) if word == "incompatible"]
    assert told.floor == (working[0] if working else None)
    assert all(place in errored for place in told.between)
    assert told.against == ()
    if working:
        assert told.below == (broken[-1] if broken else None)
        neighbours = {working[0], working[-1], *working[1:2], *broken[-1:]}
        assert neighbours <= set(found.order)
