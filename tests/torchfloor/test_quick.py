"""The quick selection: the floor, the newest, and both sides of every known change."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.torchfloor.builders import make_cell, make_plan, make_record

from torchfloor.quick import quick_cells
from torchfloor.record import Failure, Note, PathSeen, Record
from torchfloor.static import Change, NameHistory, Seen, StaticEvidence

OLD = make_cell("0.9", promised=False)
CELLS = [OLD, *(make_cell(f"1.{minor}") for minor in range(5))]


def quick(records: list[Record], cells: list[object] = CELLS) -> list[str]:  # type: ignore[assignment]
    plan = make_plan(cells)  # type: ignore[arg-type]
    return [cell.release for cell in quick_cells(plan, records)]


def path(name: str) -> tuple[PathSeen, ...]:
    return (PathSeen("call", name, (), ()),)


def test_without_evidence_it_is_the_floor_and_the_newest() -> None:
    assert quick([]) == ["1.0", "1.4"]


@pytest.mark.parametrize(
    "changed",
    [
        make_record(CELLS[3], paths=path("other")),
        make_record(CELLS[3], notes=(Note("dep.fast", "signature", "f(y)"),)),
        make_record(CELLS[3], "incompatible", failure=Failure("probes", "x")),
    ],
)
def test_both_sides_of_a_known_change_are_added(changed: Record) -> None:
    records = [make_record(cell) for cell in CELLS if cell is not CELLS[3]]
    assert quick([*records, changed]) == ["1.0", "1.1", "1.2", "1.3", "1.4"]


def test_a_change_below_the_floor_counts() -> None:
    records = [make_record(OLD, paths=path("loop")), *map(make_record, CELLS[1:])]
    assert quick(records) == ["0.9", "1.0", "1.4"]


def test_what_cannot_run_here_is_never_chosen() -> None:
    absent = make_cell("1.0", status="not-run", reason="no Python 3.9")
    assert quick([], [absent, make_cell("1.1"), make_cell("1.2")]) == ["1.2"]


def test_each_flavour_has_its_own_floor_and_newest() -> None:
    cells = [make_cell(release, flavour) for release in ("1.0", "1.1") for flavour in ("a", "b")]
    chosen = quick_cells(make_plan(cells), [])
    assert [cell.id for cell in chosen] == [cell.id for cell in cells]


def timeline(*changes: Change, oldest: str = "0.8") -> StaticEvidence:
    history = NameHistory("dep.norm", changes, (Seen(oldest, "absent"),))
    return StaticEvidence("dep", "default", dt.date(2026, 1, 2), (history,))


@pytest.mark.parametrize(
    ("change", "added"),
    [
        (Change("1.2", "1.1", "status", "first in 1.2"), ["1.1", "1.2"]),
        (Change("1.1.5", "1.1.4", "signature", "a added"), ["1.1", "1.2"]),
        (Change("1.3", "1.1", "status", "first in 1.3, or as early as 1.2"), ["1.1", "1.2", "1.3"]),
        (Change("1.2", None, "status", "first seen in 1.2"), ["1.1", "1.2"]),
        (Change("1.2", "1.1", "annotation", "type of a is int instead of str"), []),
        (Change("0.8", None, "status", "there already in 0.8, the oldest"), []),
        (Change("0.8.1", "0.8", "status", "gone in 0.8.1"), []),  # below every cell
        (Change("1.9", "1.4", "status", "gone in 1.9"), []),  # above every cell
    ],
)
def test_both_sides_of_each_change_point_of_the_timeline_are_added(
    change: Change, added: list[str]
) -> None:
    plan = make_plan(CELLS)
    chosen = [cell.release for cell in quick_cells(plan, [], timeline(change))]
    assert chosen == sorted({"1.0", "1.4", *added})


def test_a_change_point_before_a_cell_that_cannot_run_is_seen_from_the_next_one() -> None:
    absent = make_cell("1.2", status="unavailable", reason="no wheel")
    cells = [*CELLS[:3], absent, *CELLS[4:]]
    chosen = quick_cells(make_plan(cells), [], timeline(Change("1.2", "1.1", "kind", "a class")))
    assert [cell.release for cell in chosen] == ["1.0", "1.1", "1.3", "1.4"]
