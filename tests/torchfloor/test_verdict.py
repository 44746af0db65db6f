"""The verdict: what the records prove about the declared floor, and what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet
from tests.torchfloor.builders import (
    HOST,
    FakeIndex,
    make_cell,
    make_matrix,
    make_plan,
    make_record,
    make_wheel,
    make_wheels,
)

from torchfloor.plan import make_plan as planned
from torchfloor.record import Failure, PathSeen
from torchfloor.verdict import Verdict, judge, stand

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.plan import Cell
    from torchfloor.record import Record
    from torchfloor.wheels import Wheel

FAILED = Failure("probes", "test_it.py::test_it: wrong")


def verdict_of(
    outcomes: Iterable[tuple[str, str]],
    **changes: Any,  # noqa: ANN401 - any field
) -> Verdict:
    """Judge releases by (release, outcome); promised from 1.0 on, on one flavour."""
    cells, records = [], []
    for release, outcome in outcomes:
        cell, record = known(release, outcome)
        cells.append(cell)
        records += [record] if record else []
    plan = make_plan(cells, **changes)
    return judge(plan, stand(plan, records))


def known(release: str, outcome: str, flavour: str = "cpu") -> tuple[Cell, Record | None]:
    promised = not release.startswith("0.")
    if outcome == "not-run" or outcome == "unavailable":  # noqa: PLR1714 - mypy follows this
        return make_cell(release, flavour, promised=promised, status=outcome, reason="so"), None  # type: ignore[arg-type]
    cell = make_cell(release, flavour, promised=promised)
    if outcome == "missing":
        return cell, None
    failure = None if outcome == "compatible" else FAILED
    return cell, make_record(cell, outcome, failure=failure)  # type: ignore[arg-type]


ALL = [("1.0", "compatible"), ("1.1", "compatible"), ("1.2", "compatible")]


@pytest.mark.parametrize(
    ("outcomes", "status", "exit_code", "measured"),
    [
        (ALL, "holds", 0, "1.0"),
        ([("0.9", "compatible"), *ALL], "holds", 0, "0.9"),
        ([("0.9", "incompatible"), *ALL], "holds", 0, "1.0"),
        ([("0.9", "errored"), *ALL], "holds", 0, "1.0"),
        ([("0.9", "missing"), *ALL], "holds", 0, "1.0"),
        ([("0.8", "compatible"), ("0.9", "not-run"), *ALL], "holds", 0, "1.0"),
        ([("1.0", "incompatible"), *ALL[1:]], "broken", 1, "1.1"),
        ([*ALL[:1], ("1.1", "incompatible"), *ALL[2:]], "broken", 1, "1.2"),
        ([*ALL[:2], ("1.2", "incompatible")], "broken", 1, None),
        ([("1.0", "incompatible")], "broken", 1, None),
        ([("1.0", "errored"), *ALL[1:]], "unproved", 1, "1.1"),
        ([("1.0", "missing"), *ALL[1:]], "unproved", 1, "1.1"),
        ([("1.0", "not-run"), *ALL[1:]], "unproved", 3, "1.1"),
        ([("1.0", "unavailable"), *ALL[1:]], "unproved", 3, "1.1"),
        ([*ALL[:1], ("1.1", "not-run"), *ALL[2:]], "unproved", 3, "1.2"),
        ([*ALL[:1], ("1.1", "errored"), *ALL[2:]], "unproved", 1, "1.2"),
        ([*ALL[:2], ("1.2", "not-run")], "unproved", 3, "1.0"),
        ([("1.0", "not-run"), ("1.1", "not-run")], "no evidence", 3, None),
        ([("1.0", "missing"), ("1.1", "errored")], "no evidence", 3, None),
        ([("0.9", "compatible"), ("1.0", "not-run")], "no evidence", 3, "0.9"),
        ([("0.9", "compatible"), ("1.0", "missing")], "no evidence", 3, None),
    ],
)
def test_the_verdict_follows_from_the_outcomes(
    outcomes: list[tuple[str, str]], status: str, exit_code: int, measured: str | None
) -> None:
    verdict = verdict_of(outcomes)
    assert (verdict.status, verdict.exit_code) == (status, exit_code)
    assert verdict.measured == measured


def test_only_a_verdict_that_holds_has_exit_status_0() -> None:
    words = ("compatible", "incompatible", "errored", "missing", "not-run", "unavailable")
    for first in words:
        for second in words:
            verdict = verdict_of([("1.0", first), ("1.1", second)])
            assert (verdict.exit_code == 0) == (first == second == "compatible"), (first, second)
            assert (verdict.exit_code == 0) == (verdict.status == "holds")


@pytest.mark.parametrize(
    ("below", "hint"),
    [("compatible", "without a gap; it could be as low as 0.9."), ("errored", "without a gap.")],
)
def test_a_floor_that_is_higher_than_it_need_be_is_said(below: str, hint: str) -> None:
    assert verdict_of([("0.9", below), *ALL]).sentence.endswith(hint)


def test_a_minor_that_has_no_cell_is_a_gap() -> None:
    verdict = verdict_of([ALL[0], ALL[2]], releases=("1.0", "1.1", "1.1.1", "1.2"))
    assert (verdict.status, verdict.gaps, verdict.measured) == ("unproved", ("1.1",), "1.2")


def test_a_release_that_is_known_to_be_incompatible_is_no_gap() -> None:
    outcomes = [("1.0", "incompatible"), ("1.1", "compatible"), ("1.2", "missing")]
    assert verdict_of(outcomes).gaps == ("1.2",)


def test_a_patch_without_a_cell_is_a_gap_only_where_all_are_sampled() -> None:
    releases = ("1.0", "1.0.1", "1.1", "1.2")
    assert verdict_of(ALL, releases=releases).gaps == ()
    every = verdict_of(ALL, releases=releases, sample="all")
    assert (every.status, every.gaps, every.measured) == ("unproved", ("1.0.1",), "1.1")


def test_the_floor_itself_must_be_proved_not_only_its_minor() -> None:
    outcomes = [("1.0.0", "not-run"), ("1.0.2", "compatible"), ("1.1", "compatible")]
    verdict = verdict_of(outcomes, floor="1.0.0", declared="1.0.0")
    assert (verdict.status, verdict.gaps) == ("unproved", ("1.0.0",))


def test_an_older_patch_does_not_stand_for_its_minor() -> None:
    outcomes = [("1.0.0", "compatible"), ("1.0.2", "not-run"), ("1.1", "compatible")]
    verdict = verdict_of(outcomes, floor="1.0.0", declared="1.0.0")
    assert (verdict.status, verdict.gaps) == ("unproved", ("1.0.2",))


def test_no_floor_is_measured_over_a_release_that_could_not_be_asked_for() -> None:
    outcomes = [("0.8", "compatible"), *ALL]
    assert verdict_of(outcomes).measured == "0.8"
    verdict = verdict_of(outcomes, unfound=("0.9",))
    assert (verdict.status, verdict.measured) == ("holds", "1.0")
    assert verdict.sentence.endswith(", without a gap.")


def test_a_declared_floor_that_could_not_be_asked_for_is_a_gap() -> None:
    verdict = verdict_of(ALL[1:], floor="1.1", unfound=("1.0",))
    assert (verdict.status, verdict.exit_code, verdict.gaps) == ("unproved", 3, ("1.0",))


def test_an_errored_patch_leaves_no_gap_and_still_proves_nothing() -> None:
    outcomes = [("1.0.0", "compatible"), ("1.0.2", "errored"), ("1.1", "compatible")]
    verdict = verdict_of(outcomes, floor="1.0.0", declared="1.0.0")
    assert (verdict.status, verdict.gaps, len(verdict.failing)) == ("unproved", (), 1)


def test_one_broken_flavour_breaks_a_release() -> None:
    pairs = [known("1.0", "compatible"), known("1.0", "incompatible", "other")]
    plan = make_plan([cell for cell, _ in pairs])
    verdict = judge(plan, stand(plan, [record for _, record in pairs if record]))
    assert (verdict.status, verdict.verified) == ("broken", ())


def test_a_flavour_that_was_not_run_takes_nothing_from_one_that_was() -> None:
    pairs = [known("1.0", "compatible"), known("1.0", "not-run", "cuda")]
    plan = make_plan([cell for cell, _ in pairs])
    verdict = judge(plan, stand(plan, [record for _, record in pairs if record]))
    assert (verdict.status, verdict.verified) == ("holds", ("1.0",))


def test_a_failing_cell_is_told_with_its_probe_and_why() -> None:
    verdict = verdict_of([*ALL[:2], ("1.2", "incompatible")])
    assert verdict.failing == (
        "dep1.2-cpu-py311 is incompatible: probes: test_it.py::test_it: wrong",
    )


def test_history_is_never_among_the_failing() -> None:
    assert verdict_of([("0.8", "incompatible"), ("0.9", "errored"), *ALL]).failing == ()


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        (
            ALL,
            "dep>=1.0 holds: 3 releases from 1.0 to 1.2 are compatible (newest patch of every",
        ),
        (ALL[:1], "dep>=1.0 holds: 1 release, 1.0, is compatible ("),
        (
            [("1.0", "incompatible"), *ALL[1:]],
            "dep>=1.0 does not hold: dep 1.0 is incompatible; declare dep>=1.1, or mend it.",
        ),
        (
            [*ALL[:2], ("1.2", "incompatible")],
            "dep>=1.0 does not hold: dep 1.2 is incompatible; mend it.",
        ),
        ([*ALL[:2], ("1.2", "errored")], "dep>=1.0 is not proved: 2 releases from 1.0 to 1.1"),
        ([("1.0", "missing")], "Nothing is known about dep>=1.0"),
    ],
)
def test_the_sentence_says_what_to_do(outcomes: list[tuple[str, str]], sentence: str) -> None:
    assert verdict_of(outcomes).sentence.startswith(sentence)


def test_the_newest_and_the_verified_releases_are_named() -> None:
    verdict = verdict_of([("0.9", "compatible"), *ALL, ("1.3", "not-run")])
    assert (verdict.newest, verdict.verified) == ("1.2", ("1.0", "1.1", "1.2"))


def test_below_the_floor_each_stretch_that_is_alike_is_one_line() -> None:
    cells = [make_cell(f"0.{minor}", promised=False) for minor in range(4, 10)]
    slow, fast = (PathSeen("call", path, (), ()) for path in ("slow", "fast"))
    records = [
        make_record(cells[0], "errored", failure=Failure("install", "no network")),
        make_record(cells[1], "incompatible", failure=FAILED),
        make_record(cells[2], paths=(slow,)),
        make_record(cells[3], paths=(slow,)),
        make_record(cells[4], paths=(fast,)),
    ]
    plan = make_plan([*cells, make_cell("1.0")])
    verdict = judge(plan, stand(plan, records))
    assert verdict.below == (
        "0.9: missing (planned, but there is no record of it; run it)",
        "0.8: compatible, through the fast path",
        "0.6 to 0.7: compatible, through the slow path",
        "0.5: incompatible (probes: test_it.py::test_it: wrong)",
        "0.4: errored (install: no network)",
    )


def test_what_was_not_run_below_the_floor_is_not_told_as_a_no() -> None:
    verdict = verdict_of([("0.8", "not-run"), ("0.9", "unavailable"), *ALL])
    assert verdict.below == ()


class Changed:
    """Inputs that no record was made from."""

    def made(self, _record: Record) -> bool:
        return False


def test_a_record_of_other_inputs_is_stale_and_proves_nothing() -> None:
    cell = make_cell("1.0")
    plan = make_plan([cell])
    standings = stand(plan, [make_record(cell)], Changed())  # type: ignore[arg-type]
    assert [s.outcome for s in standings] == ["stale"]
    assert judge(plan, standings).status == "no evidence"


def test_a_record_that_came_after_all_counts_for_a_cell_that_was_not_planned() -> None:
    cell = make_cell("1.0", "cuda", status="not-run", reason="no CUDA device")
    plan = make_plan([cell])
    (standing,) = stand(plan, [make_record(cell)])
    assert (standing.outcome, standing.reason) == ("compatible", "")


def test_a_record_of_no_planned_cell_is_left_out() -> None:
    plan = make_plan([make_cell("1.0")])
    (standing,) = stand(plan, [make_record(make_cell("1.7"))])
    assert (standing.cell, standing.outcome) == ("dep1.0-cpu-py311", "missing")


def test_a_compatible_cell_whose_timings_failed_is_still_compatible() -> None:
    cell = make_cell("1.0")
    record = make_record(cell, failure=Failure("timings", "too slow"))
    (standing,) = stand(make_plan([cell]), [record])
    assert (standing.outcome, standing.reason) == ("compatible", "")


@pytest.mark.parametrize(
    ("wheel", "outcome"),
    [
        (make_wheel("1.1", sha256="cd" * 32), "stale"),
        (make_wheel("1.1", tags="py2.py3-none-any"), "stale"),
        (make_wheel("1.1", sha256=None), "compatible"),
        (None, "compatible"),
    ],
)
def test_evidence_of_another_wheel_is_stale(wheel: Wheel | None, outcome: str) -> None:
    cells = [make_cell("1.0"), make_cell("1.1")]
    records = [make_record(cell) for cell in cells]
    plan = make_plan([cells[0], make_cell("1.1", wheel=wheel)])
    standings = stand(plan, records)
    assert [s.outcome for s in standings] == ["compatible", outcome]
    verdict = judge(plan, standings)
    assert (verdict.status == "holds") == (outcome == "compatible")
    assert all("offers another wheel than was tested; run it" in told for told in verdict.failing)


def test_what_has_no_digest_says_nothing_of_another_wheel() -> None:
    cell = make_cell("1.0", wheel=make_wheel("1.0", sha256=None))
    assert stand(make_plan([make_cell("1.0")]), [make_record(cell)])[0].outcome == "compatible"


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        (">=1.0,!=1.1", "without a gap; versions leaves out 1.1, which the declared minimum"),
        (">=1.0,<1.1", "without a gap; versions leaves out 1.1, 1.2, which the declared minimum"),
        (">=1.2", "without a gap."),  # what is promised below the range is planned all the same
        (">=1.0", "without a gap."),
    ],
)
def test_promised_releases_that_the_matrix_hides_are_named(versions: str, told: str) -> None:
    matrix = make_matrix(versions=SpecifierSet(versions))
    plan = planned(matrix, HOST, FakeIndex({"main": make_wheels("0.9", "1.0", "1.1", "1.2")}))
    verdict = judge(plan, stand(plan, [make_record(cell) for cell in plan.cells]))
    assert told in verdict.sentence
