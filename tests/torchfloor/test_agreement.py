"""What wheels say against what was run: agreement, disagreement, and nothing to compare."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from tests.torchfloor.builders import make_cell, make_plan, make_record

from torchfloor.agreement import NameRow, compare
from torchfloor.record import Failure, Note, PathSeen, Probe, RawMatch
from torchfloor.report.markdown import render_page
from torchfloor.report.model import Evidence, make_report
from torchfloor.static import Change, NameHistory, Seen, StaticEvidence

if TYPE_CHECKING:
    from torchfloor.record import Record

NAME = "dep.fast._norm"
THERE = Seen("1.0", "present", ("(self: list[T], ord: int = 2) -> List[T]",), file="dep/x.pyi")
GONE = Seen("1.0", "absent", file="dep/x.pyi")
CELL = "dep1.0-cpu-py311"


def static(*seen: Seen) -> StaticEvidence:
    changes = (
        Change("1.0", None, "status", "first in 1.0"),
        Change("1.0", None, "annotation", "type of self is list[T] instead of T"),
    )
    day = dt.date(2026, 1, 2)
    return StaticEvidence("dep", "default", day, (NameHistory(NAME, changes, seen),))


def held(seen: Seen, record: Record) -> tuple[NameRow, tuple[str, ...]]:
    found = compare(static(seen), [record], "call")
    return found.tables[0].rows[0], found.disagreements


def noted(**notes: str) -> dict[str, Any]:
    """Make the notes of a subject, under its own name and under other keys."""
    own = {key.replace("_", " "): value for key, value in notes.items() if key != "itself"}
    itself = {NAME: notes["itself"]} if "itself" in notes else {}
    return {"notes": tuple(Note(NAME, k, v) for k, v in {**itself, **own}.items())}


def raw(verdict: Any) -> dict[str, Any]:  # noqa: ANN401 - one of four words
    return {"raw": (RawMatch(NAME, "float32", "", 1, verdict, None, 0.1),)}


def called(subject: str = "call") -> dict[str, Any]:
    return {"paths": (PathSeen(subject, "fast", (NAME,), ()),)}


def failed(message: str) -> dict[str, Any]:
    probe = Probe("test_it.py::test_it", "works", "failed", 0.1, message)
    return {"outcome": "incompatible", "failure": Failure("probes", "x"), "probes": (probe,)}


LACKS = "AttributeError: module 'dep.fast' has no attribute '_norm'"


@pytest.mark.parametrize(
    ("seen", "changes", "words"),
    [
        (THERE, noted(itself="missing"), "is missing when run, but dep/x.pyi has it"),
        (THERE, raw("missing"), "is missing when run, but dep/x.pyi has it"),
        (THERE, failed(LACKS), "is missing when run, but dep/x.pyi has it"),
        (
            THERE,
            failed("ImportError: cannot import name '_norm' from 'dep.fast' (x.py)"),
            "is missing when run, but dep/x.pyi has it",
        ),
        (GONE, noted(itself="exists"), "is there when run, but not in dep/x.pyi of its wheel"),
        (GONE, raw("wrong"), "is there when run, but not in dep/x.pyi of its wheel"),
        (GONE, called(), "is there when run, but not in dep/x.pyi of its wheel"),
        (
            THERE,
            noted(itself="_norm(tensors, ord=2)"),
            "has the parameters tensors, ord when run, but (self, ord=2) in stub",
        ),
        (
            THERE,
            noted(itself="exists", list_parameter="tensors"),
            "takes tensors when run, but its stub says (self, ord=2)",
        ),
        (
            THERE,
            noted(itself="exists", **{"dtype=": "accepted"}),
            "takes dtype when run, but its stub says (self, ord=2)",
        ),
        (
            THERE,
            noted(itself="exists", **{"ord=": "refused"}),
            "refuses ord when run, but its stub says (self, ord=2)",
        ),
    ],
)
def test_where_wheel_and_run_disagree_it_is_shouted(
    seen: Seen, changes: dict[str, Any], words: str
) -> None:
    row, disagreements = held(seen, make_record(make_cell("1.0"), **changes))
    assert (row.disagrees, row.run) == (True, words)
    assert disagreements == (f"{CELL}: {NAME} {words}",)


@pytest.mark.parametrize(
    ("seen", "changes", "run"),
    [
        (THERE, noted(itself="exists"), "agrees"),
        (THERE, noted(itself="_norm(self, ord=2) -> tuple[T]"), "agrees"),
        (THERE, noted(itself="_norm(<unreadable>)"), "agrees"),
        (THERE, noted(itself="exists", list_parameter="self"), "agrees"),
        (THERE, noted(itself="exists", **{"dtype=": "refused", "ord=": "accepted"}), "agrees"),
        (THERE, noted(itself="exists", schema="dep::_norm(Tensor[] other)"), "agrees"),
        (
            THERE,
            noted(itself="exists", returns="tuple"),
            "agrees, but returns a tuple: the stub writes list",
        ),
        (THERE, called(), "agrees"),
        (THERE, raw("right"), "agrees"),
        (GONE, noted(itself="missing"), "agrees"),
        (GONE, failed(LACKS), "agrees"),
        (Seen("1.0", "present"), noted(itself="exists", list_parameter="x"), "agrees"),
        (Seen("1.0", "present", ("(**kw)",)), noted(itself="exists", a_parameter="x"), "agrees"),
        (Seen("1.0", "undecided", why="who knows"), noted(itself="missing"), "not there"),
        (Seen("1.0", "no-stub"), noted(itself="exists"), "there"),
        (Seen("1.0", "unread"), raw("missing"), "not there"),
        (THERE, {}, ""),
        (THERE, raw("refused"), ""),
        (THERE, failed("AttributeError: module 'dep' has no attribute '_norm'"), ""),
        (GONE, called("call after fallback"), ""),  # a probe may put a fake in its place
        (Seen("1.0.1", "present"), noted(itself="missing"), ""),
    ],
)
def test_what_agrees_or_cannot_be_compared_is_no_disagreement(
    seen: Seen, changes: dict[str, Any], run: str
) -> None:
    row, disagreements = held(seen, make_record(make_cell("1.0"), **changes))
    assert (row.run, row.disagrees, disagreements) == (run, False, ())


def test_every_cell_of_a_release_is_heard() -> None:
    cells = [make_cell("1.0", flavour) for flavour in ("cpu", "cuda")]
    records = [
        make_record(cell, **noted(itself=word))
        for cell, word in zip(cells, ("exists", "missing"), strict=True)
    ]
    found = compare(static(THERE), records, "call")
    assert found.tables[0].rows[0].run == "agrees; is missing when run, but dep/x.pyi has it"
    assert [line.partition(":")[0] for line in found.disagreements] == [cells[1].id]


def test_the_page_shows_the_private_operator_release_by_release_as_read_not_run() -> None:
    cell = make_cell("1.0")
    plan = make_plan([cell])
    page = render_page(
        make_report(
            Evidence(plan, [make_record(cell, **noted(itself="missing"))], static=static(THERE))
        )
    )
    assert "## The private operator, release by release" in page
    assert "on 2026-01-02, **not run**" in page
    assert f"- **Disagreement:** {CELL}: dep.fast.\\_norm is missing when run" in page
    assert "| 1.0 | `(self, ord=2)` | first in 1.0 | **DISAGREES**: is missing when run" in page
    assert "release by release" not in render_page(make_report(Evidence(plan, [make_record(cell)])))
