"""The page, its charts and the badge: one file, in which nothing from outside is markup."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.torchfloor.builders import IDENTITY, make_cell, make_plan, make_record, tell

from torchfloor.record import Failure, Match, Note, PathSeen, Probe, Ratio, RawMatch
from torchfloor.report.badge import render_badge
from torchfloor.report.charts import THEMES, draw_chart, draw_strip
from torchfloor.report.grid import Grid
from torchfloor.report.html import render_html, render_site
from torchfloor.report.model import Evidence, make_report
from torchfloor.report.names import Observed, Stretch, join_releases
from torchfloor.report.series import make_charts
from torchfloor.snapshot import Snapshot
from torchfloor.static import Change, NameHistory, Seen, StaticEvidence

if TYPE_CHECKING:
    from torchfloor.plan import Cell
    from torchfloor.record import Record
    from torchfloor.report.series import Chart

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&"
OLD = make_cell("0.9", promised=False)
FIRST, SECOND = make_cell("1.0"), make_cell("1.1")
ABSENT = make_cell("1.0", "cuda", status="not-run", reason="no CUDA device on this machine")
CELLS = (OLD, FIRST, SECOND, ABSENT)


def full(cell: Cell, error: float | None = 4e-7, **changes: Any) -> Record:  # noqa: ANN401 - any field
    match = Match("call", "big", "float32", 3, 4e-7, 1e-6, passed=True, digest="")
    fields: dict[str, Any] = {
        "paths": (PathSeen("call", "fast", ("dep.fast",), ("aten::x",)),),
        "matches": (match,),
        "raw": (RawMatch("dep.fast", "big", "float32", 3, "wrong", error, 1e-6),),
        "notes": (Note("dep.fast", "signature", f"fast(x) of {cell.release}"),),
        "ratios": (
            Ratio("small", "call", "loop", 0.5, 0.25, 1.0, 15, 1e-3),
            Ratio("small", "fast", "loop", 2.0, 2.0, 2.0, 15, 1e-3),
            Ratio("small", "other", "loop", 900.0, 900.0, 900.0, 15, 1e-3),
        ),
    }
    return make_record(cell, **(fields | changes))


def hostile(cell: Cell) -> Record:
    assert cell.wheel is not None
    failure = Failure("probes", HOSTILE, f"log {HOSTILE}")
    return full(
        cell,
        outcome="incompatible",
        failure=failure,
        identity=msgspec.structs.replace(IDENTITY, wheel=cell.wheel.filename, build=HOSTILE),
        paths=(PathSeen("call", HOSTILE, (HOSTILE,), ()),),
        notes=(Note("dep.fast", HOSTILE, HOSTILE),),
        ratios=(Ratio(HOSTILE, "call", HOSTILE, 1.0, 1.0, 1.0, 15, 1e-3),),
        probes=(Probe(HOSTILE, HOSTILE, "failed", 0.1, HOSTILE),),
    )


def evidence_of(*records: Record) -> Evidence:
    return Evidence(make_plan(CELLS), records, stories=tell(records))


def unpacked(page: str) -> list[Any]:
    """Unpack what the page tells of each row, then the stories."""
    packed = re.findall(r'class="(?:rows|stories)">([^<]+)<', page)
    return [msgspec.json.decode(gzip.decompress(base64.b64decode(each))) for each in packed]


def page_of(*records: Record) -> str:
    evidence = evidence_of(*records)
    return render_html(evidence, make_report(evidence))


def chart_of(name: str, *records: Record) -> Chart:
    evidence = evidence_of(*records)
    charts = make_charts(make_report(evidence), records)
    return next(chart for chart in charts if chart.name == name)


GOOD = (full(OLD), full(FIRST), full(SECOND))


def test_the_page_names_verdict_floor_counts_and_every_cell() -> None:
    page = page_of(*GOOD)
    assert "<h1>dep&gt;=1.0 holds" in page
    assert '<p class="floor">1.0</p>' in page
    assert "<b>3</b>" in page
    for cell in CELLS:
        assert f'id="{cell.id}"' in page
        assert f'href="#{cell.id}"' in page


def test_the_page_asks_for_nothing_and_allows_no_script_but_its_own() -> None:
    page = page_of(*GOOD)
    addresses = re.findall(r"""(?:href|src|srcset|action)=["']([^"']*)""", page)
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "style=" not in page  # the policy would ignore it


def test_what_a_record_says_is_never_markup() -> None:
    evidence = evidence_of(hostile(FIRST))
    site = render_site(evidence, make_report(evidence))
    for name, text in site.items():
        assert "<script>alert" not in text, name
        assert "<img" not in text, name
    for name in (name for name in site if name.endswith(".svg")):
        ET.fromstring(site[name])  # noqa: S314 - our own file


def test_a_story_is_unpacked_as_it_was_told() -> None:
    rows, content, others = unpacked(page_of(hostile(FIRST)))
    assert rows[FIRST.id]["outcome"] == "incompatible"
    told = {
        title: (text, rows_of(content["lists"][title], at))
        for title, text, at in content["stories"][FIRST.id]
    }
    assert told["End of the log"] == (f"log {HOSTILE}", [])
    assert ("message", HOSTILE) in told["What went wrong"][1]
    assert told["Run it again"] == (f'nox -s "compat({FIRST.id})" -- --fresh', [])
    assert ("dep", "1.0") in told["Packages"][1]
    # Of cells without a record, the page tells how they come to one, if they can have one.
    again = f'nox -s "compat({SECOND.id})" -- --fresh'
    assert [text for _, text, _ in others["stories"][SECOND.id]] == [again]
    assert others["stories"][ABSENT.id] == []


def test_what_reorders_words_on_a_screen_is_not_in_a_story() -> None:
    record = full(FIRST, notes=(Note("dep.fast", "key", "a\u202eb"),))
    assert "\u202e" not in str(unpacked(page_of(record)))


def rows_of(lists: list[list[list[str]]], places: list[int]) -> list[tuple[str, ...]]:
    """Put the columns of a table side by side again; its headings come first."""
    _, *columns = (have[place] for have, place in zip(lists, places, strict=False))
    return list(zip(*columns, strict=True))


def test_the_newest_release_stands_first_and_history_apart() -> None:
    page = page_of(*GOOD)
    places = [page.index(text) for text in ("Promised:", SECOND.id, FIRST.id, "Below the", OLD.id)]
    assert places == sorted(places)


def test_a_flavour_of_which_nothing_is_known_takes_one_column() -> None:
    page = page_of(*GOOD)
    assert '<th scope="colgroup" colspan="4">cpu</th>' in page
    assert '<th scope="colgroup" colspan="1">cuda</th>' in page


def test_two_pythons_of_a_release_have_a_line_each() -> None:
    other = make_cell("1.0", id="dep1.0-cpu-py312", python="3.12")
    evidence = Evidence(make_plan([FIRST, other]), [full(FIRST), full(other)])
    page = render_html(evidence, make_report(evidence))
    assert page.count('<th scope="row" class="release">1.0') == 2


def test_the_speed_chart_compares_the_subject_and_the_paths_only() -> None:
    chart = chart_of("speed", *GOOD)
    assert chart.names == ("call", "fast")
    assert chart.releases == ("0.9", "1.0", "1.1")
    assert [panel.title for panel in chart.panels] == ["small"]
    assert (chart.least, chart.most, chart.mark) == (0.25, 2.0, "loop")


def test_an_error_is_drawn_in_units_of_its_tolerance() -> None:
    chart = chart_of("errors", full(FIRST, 1e-3))
    subject, raw = chart.panels[0].series
    assert subject.values[0] is not None
    assert subject.values[0].median == pytest.approx(0.4)
    assert raw.values[0] is not None
    assert raw.values[0].median == pytest.approx(1000)


def test_an_unbounded_error_stands_at_the_edge_which_says_so() -> None:
    drawn = draw_chart(chart_of("errors", full(FIRST, None), full(SECOND, None)), "light")
    assert ">≥10000<" in drawn
    assert "inf" not in drawn
    assert "nan" not in drawn


def test_a_chart_of_very_many_releases_shows_the_newest() -> None:
    cells = [make_cell(f"1.{n}") for n in range(300)]
    evidence = Evidence(make_plan(cells), [full(cell) for cell in cells])
    charts = make_charts(make_report(evidence), evidence.records)
    assert {len(chart.releases) for chart in charts} == {120}
    assert charts[0].releases[-1] == "1.299"


@pytest.mark.parametrize("theme", THEMES)
def test_a_chart_is_the_same_for_the_same_evidence_and_its_text_is_text(theme: str) -> None:
    drawn = draw_chart(chart_of("speed", *GOOD), theme)
    assert drawn == draw_chart(chart_of("speed", *reversed(GOOD)), theme)
    assert "<title>fast</title>" in drawn
    assert THEMES[theme]["ink"] in drawn
    ET.fromstring(drawn)  # noqa: S314 - our own file


def contrast(one: str, other: str) -> float:
    """Compute WCAG 2's contrast ratio."""
    lights = sorted((luminance(one), luminance(other)), reverse=True)
    return (lights[0] + 0.05) / (lights[1] + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#0d1117")])
def test_colours_of_text_and_lines_are_told_from_their_ground(theme: str, ground: str) -> None:
    colours = THEMES[theme]
    for name in ("ink", "muted"):
        assert contrast(colours[name], ground) >= 4.5, name
    for band in ("band", "band2"):
        assert contrast(colours["ink"], colours[band]) >= 4.5, band
    for line in ("s0", "s1", "s2", "s3"):
        assert contrast(colours[line], ground) >= 3, line


@pytest.mark.parametrize(
    ("records", "message", "colour", "wrong"),
    [
        (GOOD, "≥ 1.0 proved", "brightgreen", False),
        ((*GOOD[:2], hostile(SECOND)), "≥ 1.0 does not hold", "red", True),
        (GOOD[:2], "≥ 1.0 not proved", "orange", False),
        ((), "≥ 1.0 no evidence", "lightgrey", False),
    ],
)
def test_the_badge_says_how_the_floor_stands(
    records: tuple[Record, ...],
    message: str,
    colour: str,
    wrong: bool,  # noqa: FBT001 - a row of the table
) -> None:
    badge = msgspec.json.decode(render_badge(make_report(evidence_of(*records))))
    assert badge == {
        "schemaVersion": 1,
        "label": "dep",
        "message": message,
        "color": colour,
        "isError": wrong,
    }


def test_a_site_is_the_page_the_badge_and_the_charts_for_both_grounds() -> None:
    charts = [
        f"{name}-{theme}.svg" for name in ("speed", "errors", "interface") for theme in THEMES
    ]
    evidence = evidence_of(*GOOD)
    assert set(render_site(evidence, make_report(evidence))) == {
        "index.html",
        "badge.json",
        *charts,
    }


def since(*published: Record, now: tuple[Record, ...] = GOOD) -> str:
    """Render a page that is compared with what was published."""
    evidence = Evidence(make_plan(CELLS), now, published=Snapshot("evidence/", published, {}))
    return render_html(evidence, make_report(evidence))


CHANGED = "What changed since the last published run"


def test_what_changed_stands_before_the_releases_with_regressions_first_and_in_words() -> None:
    page = since(*GOOD[:2], now=(GOOD[0], hostile(FIRST), full(SECOND)))
    told = (CHANGED, "Regressions at or above", ">regression</span>", ">New<", ">Releases</h2>")
    places = [page.index(text) for text in told]
    assert places == sorted(places)
    assert f'<b><a href="#{FIRST.id}">{FIRST.id}</a></b>: incompatible, was compatible' in page
    assert page.count(">regression</span>") == 1


def test_where_nothing_changed_the_page_says_so_without_a_regression() -> None:
    page = since(*GOOD)
    assert "Nothing changed." in page
    assert ">regression</span>" not in page


def test_what_changed_but_is_no_regression_is_not_called_one() -> None:
    page = since(full(FIRST, outcome="incompatible"))
    assert "compatible, was incompatible" in page
    assert ">regression</span>" not in page


def test_a_change_names_as_links_the_cells_that_the_page_tells_of_and_no_others() -> None:
    gone = full(make_cell("0.8", promised=False))
    page = since(*GOOD, gone)
    assert f"<b>{gone.cell}</b>: has no record any more" in page


def test_without_a_published_run_or_timeline_the_page_has_no_such_section() -> None:
    page = page_of(*GOOD)
    assert CHANGED not in page
    assert "release by release" not in page


NAME = "dep.fast._norm"
EVERY = ("0.8", "0.9", "1.0", "1.1")
SEEN = (
    *(Seen(release, "absent", file="dep/x.pyi") for release in EVERY[:2]),
    *(Seen(release, "present", ("(x, ord=2)",), file="dep/x.pyi") for release in EVERY[2:]),
)
STATIC = StaticEvidence(
    "dep",
    "default",
    dt.date(2026, 1, 2),
    (NameHistory(NAME, (Change("1.0", "0.9", "status", "first in 1.0"),), SEEN),),
)


def noted(cell: Cell, value: str) -> Record:
    return full(cell, notes=(Note(NAME, NAME, value),))


def timeline_of(*records: Record) -> Evidence:
    return Evidence(make_plan(CELLS), records, static=STATIC)


def test_names_are_told_by_stretches_of_releases_as_read_and_as_run() -> None:
    report = make_report(timeline_of(noted(OLD, "missing"), noted(SECOND, "exists")))
    assert report.timeline is not None
    assert join_releases(report.timeline.tables[0]) == [
        Stretch("0.8 – 0.9", "not there", "", "", (Observed("agrees", "0.9", disagrees=False),)),
        Stretch(
            "1.0 – 1.1",
            "there",
            "(x, ord=2)",
            "first in 1.0",
            (Observed("agrees", "1.1", disagrees=False),),
        ),
    ]


def test_what_would_be_cut_to_the_same_words_is_told_from_where_it_differs() -> None:
    shared = "dep::fast(Tensor[] and_a_name_that_is_longer_than_any_band"
    grid = Grid(("1.0", "1.1", "1.2"), (("schema", (f"{shared} a)", f"{shared} b)", "else")),))
    drawn = draw_strip(grid, "facts")
    assert f"<title>{shared} b)</title>" in drawn
    assert ">…b)</text>" in drawn


def test_the_page_shows_names_as_a_strip_and_a_table_with_headers() -> None:
    evidence = timeline_of(noted(OLD, "missing"))
    page = render_html(evidence, make_report(evidence))
    assert "<title>(x, ord=2)</title>" in page
    row = page.split('<th scope="row">1.0 – 1.1</th>')[1].partition("</tr>")[0]
    cells = ("<td><code>(x, ord=2)</code></td>", "<td>first in 1.0</td>", "<td>not run</td>")
    assert row == "".join(cells)


def test_a_disagreement_of_wheel_and_run_is_told_in_words() -> None:
    evidence = timeline_of(noted(FIRST, "missing"))
    page = render_html(evidence, make_report(evidence))
    assert "<b>Disagreement</b> of wheel and run" in page
    assert "<b>DISAGREES</b>: is missing when run" in page
    assert "<title>DISAGREES: is missing when run" in page
