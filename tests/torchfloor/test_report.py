"""The report: one model, rendered the same each time, where no evidence never looks like a no."""

from __future__ import annotations

import io
import re
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rich.console import Console
from tests.torchfloor.builders import IDENTITY, make_cell, make_plan, make_record

from torchfloor.errors import ConfigError
from torchfloor.record import Failure, Identity, Match, Note, PathSeen, Probe, Ratio, RawMatch
from torchfloor.report.markdown import BEGIN, END, render_block, render_page, replace_block
from torchfloor.report.model import Evidence, Report, make_report
from torchfloor.report.terminal import print_report
from torchfloor.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchfloor.plan import Cell
    from torchfloor.record import Record

HOSTILE = "a|b \\| c <img src=x> `tick` *bold* [link](x) __init__ line\nbreak & <!-- note"
OLD = make_cell("0.9", promised=False)
FIRST, SECOND = make_cell("1.0"), make_cell("1.1")
ABSENT = make_cell("1.0", "cuda", status="not-run", reason="no CUDA device on this machine")
NO_WHEEL = make_cell("1.1", "cuda", status="unavailable", reason="no wheel for this platform")
CELLS = (OLD, FIRST, ABSENT, SECOND, NO_WHEEL)


def match(error: float | None, capability: str = "big", tolerance: float = 1e-6) -> Match:
    return Match("call", capability, "float32", 3, error, tolerance, passed=True, digest="")


def raw(verdict: Any, capability: str = "big", error: float | None = None) -> RawMatch:  # noqa: ANN401
    return RawMatch("dep.fast", capability, "float32", 3, verdict, error, 1e-6)


def ratio(candidate: str, median: float) -> Ratio:
    return Ratio("small", candidate, "loop", median, median, median, 15, 1e-3)


def identity(cell: Cell, build: str) -> Identity:
    wheel = "" if cell.wheel is None else cell.wheel.filename
    return msgspec.structs.replace(IDENTITY, release=cell.release, wheel=wheel, build=build)


def full(cell: Cell, **changes: Any) -> Record:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {
        "paths": (PathSeen("call", "fast", ("dep.fast",), ()),),
        "matches": (match(1e-9), match(4e-7, "small"), match(1e-3, "half", 1e-2)),
        "raw": (raw("right"), raw("wrong", "small", 0.25), raw("refused", "half")),
        "notes": (Note("dep.fast", "signature", "fast(x) -> y"),),
        "ratios": (ratio("call", 0.5), ratio("call", 0.25), ratio("other", 9.0)),
        "identity": identity(cell, "+cu118"),
        "probes": (
            Probe("t.py::a", "big", "passed", 0.1),
            Probe("t.py::b", "small", "passed", 0.1),
            Probe("t.py::c", "half", "skipped", 0.1, "no half here"),
        ),
    }
    return make_record(cell, **(fields | changes))


def report_of(*records: Record, cells: Sequence[Cell] = CELLS) -> Report:
    return make_report(Evidence(make_plan(cells), records))


def broken(cell: Cell, message: str) -> Record:
    probes = (Probe("t.py::a", "big", "failed", 0.1, message),)
    failure = Failure("probes", f"t.py::a: {message}")
    return make_record(cell, "incompatible", failure=failure, probes=probes)


GOOD = report_of(full(OLD), full(FIRST), full(SECOND))


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Split the first table under a heading as GitHub does: at pipes that are not escaped."""
    section = page.partition(heading)[2]
    lines = section[section.index("\n|") :].strip().splitlines()
    return [split(line) for line in takewhile(bool, lines)]


def split(line: str) -> list[str]:
    return [cell.strip() for cell in re.findall(r"((?:\\.|[^|\\])*)\|", line)[1:]]


def shown(report: Report, **options: Any) -> str:  # noqa: ANN401 - any option
    output = io.StringIO()
    print_report(report, Console(file=output, width=160), **options)
    return output.getvalue()


def test_cells_that_are_so_for_the_same_reason_share_a_line() -> None:
    output = shown(report_of(full(OLD)))
    assert "2 cells (dep1.0-cpu-py311 to dep1.1-cpu-py311) are missing: planned" in output
    assert output.count("run it") == 1


def test_a_sentence_is_not_broken_where_nobody_reads_it_on_a_screen() -> None:
    output = io.StringIO()
    print_report(report_of(full(OLD)), Console(file=output, width=20))
    assert "planned, but there is no record of it; run it\n" in output.getvalue()


def test_the_legend_explains_no_column_that_is_empty() -> None:
    page = render_page(
        make_report(
            Evidence(
                make_plan([FIRST], headline=""), [full(FIRST, paths=(), matches=(), ratios=())]
            )
        )
    )
    assert "``" not in page
    assert "*Path*" not in page
    assert "time / " not in page


def test_a_row_sums_up_a_record() -> None:
    row = GOOD.rows[1]
    assert (row.cell, row.release, row.flavour) == ("dep1.0-cpu-py311", "1.0", "cpu")
    assert (row.build, row.python, row.path) == ("cu118", "3.11", "fast")
    assert (
        row.error == "4.0e-07 of 1.0e-06 (float32)"
    )  # 0.4 of its tolerance: closer than any other
    assert row.speed == "0.25–0.50×"
    assert row.trouble == "1 wrong, 1 refused of 3 capabilities"
    assert (row.outcome, row.reason, row.verified) == ("compatible", "", "2026-01-02")


def test_without_a_headline_the_table_is_about_what_the_newest_cell_saw_first() -> None:
    old = full(FIRST, paths=(PathSeen("before", "slow", (), ()),))
    report = make_report(Evidence(make_plan([FIRST, SECOND], headline=""), [full(SECOND), old]))
    assert report.subject == "call"
    assert [row.path for row in report.rows] == ["", "fast"]
    assert report.doubt == ""


def test_a_headline_that_no_probe_has_seen_is_doubted() -> None:
    report = make_report(Evidence(make_plan([FIRST], headline="cal"), [full(FIRST)]))
    doubt = "No probe has seen the matrix's headline cal, only call: is it misspelt?"
    assert report.doubt == doubt
    assert doubt in shown(report)
    assert doubt in render_page(report)
    failed = full(FIRST, outcome="incompatible", failure=Failure("probes", "no"))
    assert make_report(Evidence(make_plan([FIRST], headline="cal"), [failed])).doubt == ""


@pytest.mark.parametrize(
    ("matches", "error"),
    [
        ((), ""),
        ((match(0.0),), "0 of 1.0e-06 (float32)"),
        ((match(1e-3), match(None, "b")), "∞ of 1.0e-06 (float32)"),
    ],
)
def test_the_largest_error_is_shown_against_its_tolerance(
    matches: tuple[Match, ...], error: str
) -> None:
    assert report_of(full(FIRST, matches=matches)).rows[1].error == error


@pytest.mark.parametrize(
    ("findings", "trouble"),
    [
        ((), ""),
        ((raw("right"),), "right"),
        ((raw("missing"), raw("missing", "b")), "missing"),
        ((raw("missing"), raw("right", "b")), "1 missing of 2 capabilities"),
        ((raw("wrong"), raw("right"), raw("wrong", "b")), "2 wrong of 2 capabilities"),
    ],
)
def test_the_unguarded_operators_trouble_is_counted_by_capability(
    findings: tuple[RawMatch, ...], trouble: str
) -> None:
    assert report_of(full(FIRST, raw=findings)).rows[1].trouble == trouble


def test_nothing_is_said_of_an_operator_that_no_probe_looked_at() -> None:
    page = render_page(report_of(full(FIRST, raw=())))
    assert "right" not in page.partition("## Releases")[2].partition("Outcomes:")[0]


def test_counts_dates_and_machines_are_summed_up() -> None:
    assert GOOD.counts == {"compatible": 3, "not-run": 1, "unavailable": 1}
    assert [str(day) for day in GOOD.dates] == ["2026-01-02", "2026-01-02"]
    assert GOOD.machines == ("Some CPU (2 cores), Linux-6-glibc",)
    assert (GOOD.baseline, GOOD.raw_subject) == ("loop", "dep.fast")


def test_neighbouring_releases_that_are_alike_share_a_column() -> None:
    other = full(OLD, probes=(Probe("t.py::a", "big", "failed", 0.1),))
    grid = report_of(other, full(FIRST), full(SECOND)).capabilities
    assert grid.columns == ("0.9", "1.0 – 1.1")
    assert dict(grid.rows) == {
        "big": ("no", "yes"),
        "small": ("", "yes"),
        "half": ("", "not testable"),
    }


def test_one_failed_probe_decides_a_capability() -> None:
    outcomes: tuple[Any, ...] = ("passed", "failed", "skipped")
    probes = tuple(Probe(f"t.py::{o}", "big", o, 0.1) for o in outcomes)
    assert report_of(full(FIRST, probes=probes)).capabilities.rows == (("big", ("no",)),)


def test_what_was_not_run_has_no_row_and_is_listed_apart_with_its_reason() -> None:
    page = render_page(GOOD)
    releases = rows_of(page, "## Releases")
    assert {row[1] for row in releases[2:]} == {"cpu"}
    assert "Nothing is known of these cells, for or against:" in page
    assert "- cuda: not-run for 1.0: no CUDA device on this machine." in page
    assert "- cuda: unavailable for 1.1: no wheel for this platform." in page


def test_what_was_not_run_never_looks_like_a_no() -> None:
    only = report_of(cells=[ABSENT, NO_WHEEL])
    for text in (render_page(only), render_block(only), shown(only)):
        assert "✗" not in text
        assert "incompatible" not in text


def test_a_reason_that_holds_for_every_release_is_told_once() -> None:
    cells = [FIRST, ABSENT, SECOND, msgspec.structs.replace(ABSENT, id="x", release="1.1")]
    left_out = report_of(full(FIRST), cells=cells).left_out
    assert left_out == ("cuda: not-run for all 2 releases: no CUDA device on this machine",)


def test_rendering_twice_is_identical() -> None:
    again = report_of(full(SECOND), full(OLD), full(FIRST))
    assert render_page(GOOD) == render_page(again)
    assert render_block(GOOD) == render_block(again)


def test_a_model_that_was_written_down_renders_the_same() -> None:
    read = msgspec.json.decode(msgspec.json.encode(GOOD), type=Report)
    assert render_page(read) == render_page(GOOD)


def test_every_row_of_every_table_has_as_many_cells_as_its_header() -> None:
    page = render_page(report_of(full(OLD), broken(FIRST, HOSTILE), full(SECOND)))
    for heading in ("## Releases", "## Capabilities", "## The unguarded operator"):
        rows = rows_of(page, heading)
        assert len(rows) > 2
        assert {len(row) for row in rows} == {len(rows[0])}, heading


HOSTILE_RECORDS = [
    broken(FIRST, HOSTILE),
    full(FIRST, probes=(Probe("t.py::a", HOSTILE, "passed", 0.1),)),
    full(FIRST, paths=(PathSeen("call", HOSTILE, (), ()),)),
    full(FIRST, notes=(Note("dep.fast", HOSTILE, HOSTILE),)),
    full(FIRST, raw=(raw("wrong", HOSTILE),)),
    full(FIRST, identity=identity(FIRST, "+" + HOSTILE)),
    full(FIRST, matches=(Match("call", "big", HOSTILE, 1, 0.0, 1.0, passed=True, digest="d"),)),
]


@pytest.mark.parametrize("record", HOSTILE_RECORDS)
def test_markup_in_outside_text_is_text_in_the_page(record: Record) -> None:
    page = render_page(report_of(record, full(SECOND)))
    bare = re.sub(r"`[^`\n]*`", "", page)  # in a code span nothing but its end is markup
    for markup in ("<img", "<!--", "*bold", "[link", "__init"):
        assert not re.search(rf"(?<!\\){re.escape(markup)}", bare), markup
    for heading in ("## Releases", "## Capabilities", "## The unguarded operator"):
        if heading in page:
            rows = rows_of(page, heading)
            assert {len(row) for row in rows} == {len(rows[0])}, heading


def test_markup_in_outside_text_is_text_in_the_readme() -> None:
    block = render_block(report_of(broken(FIRST, HOSTILE), full(SECOND, paths=()), full(OLD)))
    assert "<img" not in block.replace("\\<img", "")


def test_what_a_terminal_would_obey_is_shown_nowhere() -> None:
    order = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\udc80"
    matches = (Match("call", order, order, 1, 0.0, 1.0, passed=True, digest="d"),)
    first = full(FIRST, paths=(PathSeen("call", order, (), ()),), matches=matches)
    probes = (Probe("t.py::a", order, "passed", 0.1),)
    renamed = msgspec.structs.replace(ratio("call", 1.0), baseline=order)
    second = msgspec.structs.replace(broken(SECOND, order), probes=probes, ratios=(renamed,))
    report = report_of(first, second)
    for text in (shown(report), render_page(report), render_block(report)):
        assert "�" in text
        assert not {c for c in text if not (c.isprintable() or c == "\n")}


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", "[link=x]", ":smile:"])
def test_console_markup_in_outside_text_is_text_in_the_terminal(text: str) -> None:
    record = full(FIRST, paths=(PathSeen("call", text, (), ()),), ratios=(ratio(text, 1.0),))
    renamed = msgspec.structs.replace(record.ratios[0], baseline=text, candidate="call")
    report = report_of(msgspec.structs.replace(record, ratios=(renamed,)), broken(SECOND, text))
    output = shown(report)
    assert f"time / {text}" in output
    assert f"t.py::a: {text}" in output
    assert len(re.findall(re.escape(text), output)) >= 3


def test_the_page_says_declared_and_measured_floor_and_what_lies_below() -> None:
    page = render_page(GOOD)
    assert "**dep>=1.0 holds" in page.replace("\\", "")
    assert "- Declared minimum: dep 1.0." in page
    assert "- Measured minimum: dep 0.9:" in page
    assert "- Below the declared minimum: 0.9: compatible, through the fast path." in page


def test_a_failing_cell_and_a_gap_are_told_on_the_page() -> None:
    report = make_report(
        Evidence(
            make_plan([FIRST, SECOND], releases=("1.0", "1.1", "1.2")),
            [full(FIRST), broken(SECOND, "off by one")],
        )
    )
    page = render_page(report)
    assert "dep1.1-cpu-py311 is incompatible: probes: t.py::a: off by one" in page
    assert "No evidence for: dep 1.2." in page


def test_every_outcome_on_the_page_is_explained() -> None:
    page = render_page(report_of(full(OLD), broken(FIRST, "no")))
    legend = page.partition("Outcomes: ")[2].partition("\n")[0]
    assert re.findall(r"\*([a-z-]+)\*:", legend) == [
        "compatible",
        "incompatible",
        "unavailable",
        "not-run",
        "missing",
    ]


def test_nothing_at_all_renders_without_a_claim() -> None:
    report = report_of(cells=[FIRST])
    assert "Nothing is known about dep>=1.0" in render_page(report).replace("\\", "")
    assert "missing" in render_block(report)
    assert "Nothing is known about dep>=1.0" in shown(report)


def test_what_changed_since_the_last_published_run_is_told_before_the_table() -> None:
    plan = make_plan([FIRST, SECOND, OLD])
    published = Snapshot("evidence/", (full(FIRST), full(SECOND), full(make_cell("0.8"))), {})
    report = make_report(
        Evidence(plan, [broken(SECOND, "off by one"), full(OLD)], published=published)
    )
    page = render_page(report)
    assert page.index("## What changed since the last published run") < page.index("## Releases")
    for text in (page, shown(report)):
        assert "dep1.1-cpu-py311: incompatible, was compatible: probes: t.py::a: off by one" in text
        assert "dep0.8-cpu-py311: has no record any more" in text
        assert "dep0.9-cpu-py311: new, compatible" in text
        assert "dep1.0-cpu-py311: has no record any more" not in text  # it has not run since


def test_stale_evidence_and_a_page_that_is_published_say_nothing_of_changes() -> None:
    published = Snapshot("evidence/", (full(FIRST),), {})
    inputs: Any = SimpleNamespace(made=lambda _record: False)
    stale = make_report(
        Evidence(make_plan([FIRST]), [broken(FIRST, "no")], inputs, published=published)
    )
    for report in (stale, GOOD, make_report(Evidence(make_plan([FIRST]), [full(FIRST)]))):
        assert report.changes is None
        assert "What changed" not in render_page(report)


def test_a_floor_that_was_raised_makes_no_regression_of_what_lies_below() -> None:
    below = msgspec.structs.replace(FIRST, promised=False)
    published = Snapshot("evidence/", (full(FIRST),), {})
    report = make_report(Evidence(make_plan([below]), [broken(FIRST, "no")], published=published))
    assert report.changes is not None
    assert report.changes.regressions == 0


def test_an_unreachable_index_is_named_on_the_page() -> None:
    plan = make_plan([FIRST], unreachable=("https://x.invalid/ does not answer (timed out)",))
    page = render_page(make_report(Evidence(plan, [full(FIRST)])))
    assert "`https://x.invalid/` does not answer (timed out)" in page


def test_the_terminal_ends_with_the_verdict() -> None:
    lines = shown(report_of(full(OLD), full(FIRST), broken(SECOND, "off by one"))).splitlines()
    assert lines[-1].startswith("dep>=1.0 does not hold: dep 1.1 is incompatible")
    assert any("is incompatible: probes: t.py::a: off by one" in line for line in lines)
    assert any("0.9: compatible, through the fast path" in line for line in lines)


def test_a_selection_is_shown_without_judging_the_rest() -> None:
    output = shown(GOOD, only=["dep1.0-cpu-py311"])
    assert "dep1.1-cpu-py311" not in output
    assert "Selected cells: 1 compatible. The verdict needs all cells" in output
    assert "holds" not in output


def test_cell_names_and_outcomes_are_whole_on_a_narrow_terminal() -> None:
    output = io.StringIO()
    print_report(GOOD, Console(file=output, width=60))
    assert "dep0.9-cpu-py311" in output.getvalue()
    assert "compatible (below the floor)" in " ".join(output.getvalue().split())


@pytest.mark.parametrize("package", ["torch", "dep"])
def test_the_readme_names_the_minimum_prominently(package: str) -> None:
    report = msgspec.structs.replace(GOOD, package=package)
    name = "PyTorch" if package == "torch" else package
    assert render_block(report).startswith(f"**Requires {name} 1.0 or later.**")


def test_the_block_is_replaced_between_its_markers_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    assert replace_block(readme, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", END])
def test_a_readme_without_both_markers_is_told_what_to_put_there(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"README\.md.*\n.*no generated block; put the lines"):
        replace_block(readme, "new")


def test_a_readme_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"README\.md.*\n.*cannot be read"):
        replace_block(tmp_path / "README.md", "new")
