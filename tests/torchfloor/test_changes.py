"""What changed: said once, most important first, and nothing where nothing did."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.torchfloor.builders import ENVIRONMENT, MACHINE, PROVENANCE, make_cell, make_record

from torchfloor.changes import Changes, compare
from torchfloor.record import Failure, Match, Note, PathSeen, Probe, Ratio, RawMatch
from torchfloor.report.changes import print_changes, render_changes
from torchfloor.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.record import Record

RELEASES = ("0.9", "1.0", "1.1", "1.2", "2.0")
BROKEN = Failure("probes", "t.py::a: off by one")
WHY = "probes: t.py::a: off by one"


def probes(**outcomes: Any) -> tuple[Probe, ...]:  # noqa: ANN401 - an outcome of a probe
    return tuple(Probe(f"t.py::{name}", name, outcome, 0.1) for name, outcome in outcomes.items())


def match(digest: str, capability: str = "big", **changes: Any) -> Match:  # noqa: ANN401 - any field
    made = Match("call", capability, "float32", 3, 1e-9, 1e-6, passed=True, digest=digest)
    return msgspec.structs.replace(made, **changes)


def ratio(median: float, spread: float = 0.01, candidate: str = "call") -> Ratio:
    return Ratio("small", candidate, "loop", median, median - spread, median + spread, 9, 1e-3)


def record(release: str = "1.0", outcome: Any = "compatible", **changes: Any) -> Record:  # noqa: ANN401
    fields: dict[str, Any] = {
        "probes": probes(big="passed"),
        "matches": (match("same"),),
        "paths": (PathSeen("call", "fast", ("dep.fast",), ()),),
        "ratios": (ratio(0.5),),
        "failure": None if outcome == "compatible" else BROKEN,
    }
    return make_record(make_cell(release, promised=release >= "1"), outcome, **(fields | changes))


def broken(release: str = "1.0", **changes: Any) -> Record:  # noqa: ANN401 - any field
    return record(release, "incompatible", **({"probes": probes(big="failed")} | changes))


def moment(*records: Record, damaged: dict[str, str] | None = None) -> Snapshot:
    return Snapshot("a folder", records, damaged or {})


def between(old: Record | Sequence[Record], new: Record | Sequence[Record]) -> Changes:
    sides = [[side] if isinstance(side, msgspec.Struct) else side for side in (old, new)]
    return compare(moment(*sides[0]), moment(*sides[1]))


def told(changes: Changes) -> list[tuple[str, str, str]]:
    return [(g.title, line.where, line.text) for g in changes.groups for line in g.lines]


def shown(changes: Changes) -> str:
    output = io.StringIO()
    print_changes(changes, Console(file=output, width=80))
    return output.getvalue()


def on_another_machine(made: Record) -> Record:
    machine = msgspec.structs.replace(MACHINE, cpu="Other CPU")
    environment = msgspec.structs.replace(ENVIRONMENT, machine=machine)
    return msgspec.structs.replace(made, environment=environment)


REGRESSIONS = "Regressions at or above the declared floor"
WORSE, BETTER, NEW, DIFFERENT, TIMES = (
    "Worse, but no regression",
    "Better",
    "New",
    "Different",
    "Times",
)
CELL = "dep1.0-cpu-py311"
LOW = "dep0.9-cpu-py311"
ERRORED = record(outcome="errored", probes=(), matches=(), failure=Failure("install", "no net"))


def raw(verdict: Any) -> tuple[RawMatch, ...]:  # noqa: ANN401 - one of four words
    return (RawMatch("dep.fast", "big", "float32", 3, verdict, None, 1e-6),)


def note(value: str) -> tuple[Note, ...]:
    return (Note("dep.fast", "dep.fast", value),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            record(),
            broken(),
            [
                (REGRESSIONS, CELL, f"incompatible, was compatible: {WHY}"),
                (REGRESSIONS, CELL, "no longer working: big"),
            ],
        ),
        (
            record("0.9"),
            broken("0.9"),
            [
                (WORSE, LOW, f"incompatible, was compatible: {WHY}"),
                (WORSE, LOW, "no longer working: big"),
            ],
        ),
        (
            broken(),
            record(),
            [
                (BETTER, CELL, "compatible, was incompatible"),
                (BETTER, CELL, "working now: big"),
            ],
        ),
        (record(), ERRORED, [(WORSE, CELL, "errored, was compatible: install: no net")]),
        (ERRORED, record(), [(BETTER, CELL, "compatible, was errored")]),
        (
            ERRORED,
            broken(),
            [(REGRESSIONS, CELL, f"incompatible, was errored: {WHY}")],
        ),
        (
            broken(promised=False),
            broken(),
            [
                (
                    REGRESSIONS,
                    CELL,
                    f"incompatible, and at or above the declared floor now: {WHY}",
                ),
                (BETTER, CELL, "at or above the declared floor now"),
            ],
        ),
        (record(), record(promised=False), [(WORSE, CELL, "below the declared floor now")]),
        (
            record(),
            record(probes=probes(big="passed", small="passed")),
            [(BETTER, CELL, "tested now, and working: small")],
        ),
        (
            record(probes=probes(big="passed", small="passed")),
            record(probes=probes(big="passed", small="skipped")),
            [(WORSE, CELL, "not tested any more: small")],
        ),
        (
            record(),
            record(paths=(PathSeen("call", "slow", (), ()),)),
            [(DIFFERENT, CELL, "call takes the slow path, was fast")],
        ),
        (
            record(),
            record(matches=(match("other"),)),
            [(DIFFERENT, CELL, "other numbers, within their tolerances: big")],
        ),
        (
            record(raw=raw("right")),
            record(raw=raw("wrong")),
            [(DIFFERENT, CELL, "the unguarded dep.fast is wrong, was right: big")],
        ),
        (
            record(notes=note("fast(x)")),
            record(notes=note("fast(x, y)")),
            [(DIFFERENT, CELL, "dep.fast: fast(x, y), was fast(x)")],
        ),
        (
            record(),
            record(ratios=(ratio(1.0),)),
            [(TIMES, CELL, "call is slower, in times of loop: small (1.00×, was 0.50×)")],
        ),
        (
            record(ratios=(ratio(1.0),)),
            record(),
            [(TIMES, CELL, "call is faster, in times of loop: small (0.50×, was 1.00×)")],
        ),
    ],
    ids=lambda value: value[0][2][:40] if isinstance(value, list) else "",
)
def test_a_change_is_told_in_a_line(
    old: Record, new: Record, expected: list[tuple[str, str, str]]
) -> None:
    found = between(old, new)
    assert told(found) == expected
    assert found.regressions == sum(title == REGRESSIONS for title, _, _ in expected)


def test_a_cell_that_vanished_and_one_that_came_are_told() -> None:
    found = between([record("1.0"), record("1.1")], [record("1.1"), record("1.2")])
    assert told(found) == [
        (WORSE, CELL, "has no record any more, was compatible"),
        (NEW, "dep1.2-cpu-py311", "new, compatible"),
    ]
    assert found.regressions == 0


def test_a_new_release_that_is_incompatible_is_a_regression_but_not_below_the_floor() -> None:
    assert between([record()], [record(), broken("1.1")]).regressions == 2
    below = between([record()], [record(), broken("0.9")])
    assert (below.regressions, below.changes[0].text[:17]) == (0, "new, incompatible")


def test_a_new_release_is_compared_with_the_nearest_one_before_it() -> None:
    new = record(
        "1.2",
        paths=(PathSeen("call", "slow", (), ()),),
        matches=(match("other"),),
        ratios=(ratio(9.0),),
    )
    found = between([record("1.0"), record("1.1"), record("2.0")], [record("1.0"), new])
    beside = [change for change in found.changes if change.than]
    assert {change.than for change in beside} == {"dep1.1-cpu-py311"}
    assert [change.kind for change in beside] == ["path", "numbers"]  # never times
    assert "call takes the slow path, was fast (beside dep1.1-cpu-py311)" in shown(found)


def test_a_release_without_one_before_it_is_only_new() -> None:
    found = between([record("1.1")], [record("1.0", matches=(match("x"),)), record("1.1")])
    assert told(found) == [(NEW, CELL, "new, compatible")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ratio(1.0), ratio(1.4)),  # by too small a factor
        (ratio(0.1), ratio(0.28)),  # a large factor of little
        (ratio(1.0, 0.4), ratio(1.6, 0.4)),  # the rounds were scattered
        (ratio(1.0, candidate="other"), ratio(2.0, candidate="other")),  # none that was tested
    ],
)
def test_times_that_are_no_further_off_than_chance_are_not_told(old: Ratio, new: Ratio) -> None:
    assert between(record(ratios=(old,)), record(ratios=(new,))).changes == ()


def test_what_two_machines_cannot_agree_on_is_not_compared_and_that_is_said() -> None:
    other = on_another_machine(record(matches=(match("other"),), ratios=(ratio(9.0),)))
    found = between(record(), other)
    assert found.changes == ()
    assert found.notes == (
        "Another machine, so neither times nor the last bits of numbers are compared: " + CELL,
    )
    assert between(record(), on_another_machine(broken())).regressions == 2


def test_numbers_of_other_inputs_and_of_failed_matches_are_not_compared() -> None:
    more = record(matches=(match("other", cases=4),))
    failed = record(matches=(match("other", passed=False, error=None),))
    assert between(record(), more).changes == between(record(), failed).changes == ()


def test_what_the_evidence_was_made_from_is_said_without_being_a_change() -> None:
    changed = msgspec.structs.replace(PROVENANCE, subject="t" * 16, matrix="n" * 16)
    packages = msgspec.structs.replace(ENVIRONMENT, packages={"dep": "1.1", "numpy": "2"})
    found = between(record(), record(provenance=changed, environment=packages))
    assert found.changes == ()
    assert found.notes == (
        f"Another subject: {CELL}",
        f"Another matrix: {CELL}",
        "Other versions beside the release: numpy",
    )


def test_what_many_cells_share_is_one_line() -> None:
    old = [record(release) for release in RELEASES]
    new = [record(release, matches=(match("other"),)) for release in RELEASES]
    found = between(old, new)
    assert told(found) == [
        (DIFFERENT, "all 5 cells", "other numbers, within their tolerances: big")
    ]
    assert len(found.changes) == 5
    assert told(between(old, [*new[:4], old[4]]))[0][1] == (
        "4 cells (dep0.9-cpu-py311 … dep1.2-cpu-py311)"
    )
    assert told(between(old, [*new[:2], *old[2:]]))[0][1] == f"{LOW} and {CELL}"


def test_what_differs_in_each_cell_by_its_names_alone_is_one_line_too() -> None:
    names = [f"c{number}" for number in range(8)]

    def side(digest: str) -> list[Record]:
        return [
            record(release, matches=tuple(match(digest, name) for name in names[: 4 + place]))
            for place, release in enumerate(RELEASES)
        ]

    text = "other numbers, within their tolerances: some of c0, c1, c2, c3, c4, c5 and 2 more"
    assert told(between(side("a"), side("b"))) == [(DIFFERENT, "all 5 cells", text)]


def test_a_flood_is_cut_and_counted() -> None:
    releases = [f"1.{number}" for number in range(40)]
    reasons = [Failure("probes", f"t.py::a: {number}") for number in range(40)]
    new = [broken(r, failure=f, probes=()) for r, f in zip(releases, reasons, strict=True)]
    found = between([record(release) for release in releases], new)
    assert (found.regressions, len(found.groups[0].lines), found.groups[0].more) == (40, 20, 20)
    for text in (shown(found), render_changes(found)):
        assert "… and 20 more; `torchfloor changes --json` has them all" in text


def test_a_cell_whose_record_is_damaged_is_neither_new_nor_gone_but_named() -> None:
    damage = {f"{CELL}.json": f"{CELL}.json is no record", "x.json": "x.json is no record"}
    for old, new in (
        (moment(record("1.1"), damaged=damage), moment(record("1.1"), record("1.0"))),
        (moment(record("1.1"), record("1.0")), moment(record("1.1"), damaged=damage)),
    ):
        found = compare(old, new)
        assert found.changes == ()
        assert found.damaged == (f"a folder: each of 2 files ({CELL}.json to x.json) is no record",)
        assert "Not compared: a folder: each of 2 files" in shown(found)


def test_cells_that_have_not_run_since_are_not_missed() -> None:
    found = compare(moment(record("1.0"), record("1.1")), moment(record("1.1")), waiting={CELL})
    assert found.changes == ()


def test_nothing_is_told_where_nothing_changed() -> None:
    alike = between([record(), record("1.1")], [record(), record("1.1")])
    assert shown(alike) == (
        "Compared: a folder (2 cells) with a folder (2 cells).\nNothing changed.\n"
    )
    assert render_changes(alike).endswith("\n\n**Nothing changed.**\n")


def test_nothing_from_outside_is_markup_or_an_order() -> None:
    hostile = "<img src=x> |\n# *b* \x1b[31m[red]\u202e"
    new = broken(
        failure=Failure("probes", hostile),
        paths=(PathSeen("call", hostile, (), ()),),
        notes=note(hostile),
        probes=probes(**{hostile: "failed"}),
    )
    old = record(notes=note("x"), probes=probes(**{hostile: "passed"}))
    found = between(old, new)
    assert len(found.changes) == 4
    page = render_changes(found)
    assert "<img" not in page.replace("\\<img", "")
    assert "\n#" not in page.removeprefix("## What changed")
    for text in (page, shown(found), *(change.text for change in found.changes)):
        assert not {c for c in text if not (c.isprintable() or c == "\n")}
    assert "[red]" in shown(found)


words = st.sampled_from(["passed", "failed", "skipped"])


@st.composite
def moments(draw: st.DrawFn) -> Snapshot:
    records = []
    for release in draw(st.lists(st.sampled_from(RELEASES), unique=True, max_size=4)):
        found = draw(st.dictionaries(st.sampled_from(["big", "small", "half"]), words))
        outcome = draw(st.sampled_from(["compatible", "incompatible", "errored"]))
        made = record(
            release,
            outcome,
            promised=draw(st.booleans()),
            probes=probes(**found),
            matches=tuple(match(draw(st.sampled_from("ab")), name) for name in found),
            paths=(PathSeen("call", draw(st.sampled_from(["fast", "slow"])), (), ()),),
            ratios=(ratio(draw(st.sampled_from([0.2, 0.5, 1.0, 3.0]))),),
            raw=raw(draw(st.sampled_from(["right", "wrong", "refused", "missing"]))),
            notes=note(draw(st.sampled_from("xy"))),
        )
        records.append(on_another_machine(made) if draw(st.booleans()) else made)
    return moment(*sorted(records, key=lambda made: made.version))


OPPOSITE = {
    "lost": "gained",
    "gained": "lost",
    "untested": "tested",
    "tested": "untested",
    "raised": "lowered",
    "lowered": "raised",
    "slower": "faster",
    "faster": "slower",
}
SYMMETRIC = {"path", "numbers", "operator", "interface"}


def of_kinds(changes: Changes, kinds: set[str]) -> set[tuple[str, str, tuple[str, ...]]]:
    return {
        (change.cell, change.kind, tuple(sorted(change.names)))
        for change in changes.changes
        if change.kind in kinds and not change.than
    }


@given(moments())
def test_nothing_has_changed_from_a_moment_to_itself(same: Snapshot) -> None:
    found = compare(same, same)
    assert (found.changes, found.groups, found.notes, found.regressions) == ((), (), (), 0)


@given(moments(), moments())
def test_every_change_names_a_cell_and_is_told(old: Snapshot, new: Snapshot) -> None:
    found = compare(old, new)
    known = {made.cell for made in (*old.records, *new.records)}
    assert {change.cell for change in found.changes} <= known
    lines = [line for group in found.groups for line in group.lines]
    for change in found.changes:
        assert any(change.cell in line.cells and change.text in line.text for line in lines)
    assert {cell for line in lines for cell in line.cells} == {c.cell for c in found.changes}
    assert all(c.kind in {"incompatible", "lost"} for c in found.changes if c.regression)
    assert found.regressions == sum(
        len(line.cells) for g in found.groups if g.title == REGRESSIONS for line in g.lines
    )


@given(moments(), moments())
def test_what_was_gained_is_lost_the_other_way_round(old: Snapshot, new: Snapshot) -> None:
    there, back = compare(old, new), compare(new, old)
    turned = {(cell, OPPOSITE[kind], names) for cell, kind, names in of_kinds(back, set(OPPOSITE))}
    assert of_kinds(there, set(OPPOSITE)) == turned
    assert of_kinds(there, SYMMETRIC) == of_kinds(back, SYMMETRIC)
    assert of_kinds(there, {"vanished"}) == {
        (made.cell, "vanished", ())
        for made in old.records
        if made.cell not in {other.cell for other in new.records}
    }
