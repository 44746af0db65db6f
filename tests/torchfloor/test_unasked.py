"""An index that does not answer: what a plan then still knows, and what it says it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version
from tests.torchfloor.builders import HOST, FakeIndex, make_matrix, make_record, make_wheel

from torchfloor.index import IndexUnreachableError
from torchfloor.matrix import Flavour, Matrix
from torchfloor.plan import Plan, make_plan
from torchfloor.unasked import complete, tell_indexes
from torchfloor.verdict import judge, stand

if TYPE_CHECKING:
    from collections.abc import Sequence

DOWN = "far does not answer (timed out)"
BOTH = {"cpu": Flavour(indexes=("far", "main"))}


def matrix_of(**changes: Any) -> Matrix:  # noqa: ANN401 - any field
    return make_matrix(**{"flavours": BOTH, **changes})


def plan_of(matrix: Matrix, main: Sequence[str], far: Sequence[str] | str = DOWN) -> Plan:
    """Plan from two indexes; the first does not answer, or has these releases."""
    there = far if isinstance(far, str) else [make_wheel(r, index="far") for r in far]
    index = FakeIndex({"main": [make_wheel(release) for release in main], "far": there})
    return make_plan(matrix, HOST, index)


def known(plan: Plan) -> dict[str, str]:
    return {cell.release: cell.status for cell in plan.cells}


def test_what_only_a_silent_index_offered_stays_in_the_plan() -> None:
    matrix = matrix_of()
    whole = plan_of(matrix, ["1.1"], ["1.0", "1.2"])
    plan = complete(plan_of(matrix, ["1.1"]), whole, matrix)
    assert known(plan) == {"1.0": "not-run", "1.1": "planned", "1.2": "not-run"}
    assert (plan.releases, plan.floor) == (whole.releases, "1.0")
    assert [cell.id for cell in plan.cells] == [cell.id for cell in whole.cells]
    assert (plan.cells[0].reason, plan.cells[0].wheel) == (
        f"{DOWN}; elsewhere: no such release",
        None,
    )
    assert tell_indexes(plan) == (f"{DOWN}; it could not be asked for dep 1.0, 1.2",)
    # Also where the next plan knows of it only from this one.
    assert known(complete(plan_of(matrix, ["1.1"]), plan, matrix)) == known(plan)


def test_what_other_indexes_serve_is_not_missed() -> None:
    matrix = matrix_of()
    whole = plan_of(matrix, ["1.0", "1.1"], ["1.0", "1.1"])
    partial = plan_of(matrix, ["1.0", "1.1"])
    plan = complete(partial, whole, matrix)
    assert plan == partial
    assert tell_indexes(plan) == (
        f"{DOWN}; others were used, and what it alone offers is not known",
    )


@pytest.mark.parametrize(
    ("far", "among"), [(DOWN, " among what the indexes that answered offer"), ([], "")]
)
def test_a_verdict_without_a_silent_index_is_about_the_others(
    far: Sequence[str] | str, among: str
) -> None:
    plan = plan_of(matrix_of(), ["1.0", "1.1"], far)
    verdict = judge(plan, stand(plan, [make_record(cell) for cell in plan.cells]))
    assert (verdict.status, verdict.exit_code) == ("holds", 0)
    assert verdict.sentence.endswith(f", without a gap{among}.")


def test_what_an_index_that_answers_no_longer_has_is_gone() -> None:
    matrix = matrix_of()
    whole = plan_of(matrix, ["1.0", "1.1"], ["1.2"])
    assert known(complete(plan_of(matrix, ["1.0"]), whole, matrix)) == {
        "1.0": "planned",
        "1.2": "not-run",
    }
    assert known(complete(plan_of(matrix, ["1.0"], ["1.0"]), whole, matrix)) == {"1.0": "planned"}


@pytest.mark.parametrize(
    ("changes", "main", "kept"),
    [
        ({}, ["1.0", "1.1"], ["1.2.1"]),
        ({"versions": matrix_of().versions & "<1.2"}, ["1.0", "1.1"], []),
        ({"flavours": {"gpu": BOTH["cpu"]}}, ["1.0", "1.1"], []),
        ({"flavours": {"cpu": Flavour(("main",)), "gpu": BOTH["cpu"]}}, ["1.0", "1.1"], []),
        ({"python": "3.10"}, ["1.0", "1.1"], []),
        ({"package": "other"}, ["1.0", "1.1"], []),
        ({}, ["1.0", "1.1", "1.2.2"], []),  # the newest patch stands for its minor
        ({}, ["1.0", "1.1", "1.2.0"], ["1.2.1"]),
        ({"sample": "all"}, ["1.0", "1.1", "1.2.2"], ["1.2.1"]),
    ],
)
def test_only_what_the_matrix_is_about_is_kept(
    changes: dict[str, Any], main: list[str], kept: list[str]
) -> None:
    whole = plan_of(matrix_of(), ["1.0", "1.1"], ["1.2.1"])
    matrix = matrix_of(**changes)
    plan = complete(plan_of(matrix, main), whole, matrix)
    assert [cell.release for cell in plan.cells if cell.status == "not-run"] == kept


def test_a_floor_that_was_raised_meanwhile_counts() -> None:
    whole = plan_of(matrix_of(), ["1.1"], ["1.0", "1.2"])
    matrix = matrix_of(declared=Version("1.1"))
    plan = complete(plan_of(matrix, ["1.1"]), whole, matrix)
    assert {cell.release: cell.promised for cell in plan.cells} == {
        "1.0": False,
        "1.1": True,
        "1.2": True,
    }
    assert plan.floor == "1.1"


def test_a_flavour_whose_only_index_is_silent_is_not_said_to_have_no_wheel() -> None:
    flavours = {"cpu": Flavour(("main",)), "gpu": Flavour(("far",))}
    plan = plan_of(make_matrix(flavours=flavours), ["1.0"])
    assert [(c.flavour, c.status, c.reason) for c in plan.cells] == [
        ("cpu", "planned", ""),
        ("gpu", "not-run", DOWN),
    ]


def test_what_the_project_names_and_nobody_has_may_be_on_a_silent_index() -> None:
    matrix = matrix_of(history=("0.9", "0.8"))
    plan = plan_of(matrix, ["0.8", "1.0.2", "1.1"])
    assert plan.unfound == ("0.9", "1.0")
    assert tell_indexes(plan) == (f"{DOWN}; it could not be asked for dep 0.9, 1.0",)
    verdict = judge(plan, stand(plan, []))
    assert verdict.gaps[0] == "1.0"
    whole = plan_of(matrix, ["0.8", "1.0.2", "1.1"], ["0.9.1", "1.0"])
    plan = complete(plan, whole, matrix)
    assert (plan.unfound, plan.floor) == ((), "1.0")
    assert known(plan)["0.9.1"] == known(plan)["1.0"] == "not-run"


@pytest.mark.parametrize("main", [["0.9"], ["1.0"]])
def test_a_matrix_is_not_blamed_for_what_a_silent_index_may_have(main: list[str]) -> None:
    matrix = matrix_of(versions=matrix_of().versions & ">=2", declared=Version(main[0]))
    with pytest.raises(IndexUnreachableError, match=r"far does not answer .*; the others have no"):
        plan_of(matrix, main)
