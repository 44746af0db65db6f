"""The page in a real browser: what a reader with a mouse, a keyboard, a phone or paper gets."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.torchfloor.builders import IDENTITY, make_cell, make_plan, make_record, tell

from torchfloor.record import Failure, Match, Note, PathSeen, Probe, Ratio
from torchfloor.report.html import render_html
from torchfloor.report.model import Evidence, make_report
from torchfloor.snapshot import Snapshot
from torchfloor.static import NameHistory, Seen, StaticEvidence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torchfloor.plan import Cell
    from torchfloor.record import Record

HOSTILE = (
    "</script><img src=https://files.invalid/x.png onerror=\"document.title='gone'\"> <b>bold</b>"
)
LONG = "x" * 2000
"""A word that no line holds."""
CELLS = (
    make_cell("0.9", promised=False),
    make_cell("1.0"),
    make_cell("1.0", "cuda", status="not-run", reason="no CUDA device"),
    make_cell("1.1"),
)
BAD = CELLS[-1].id
CUDA = CELLS[2].id
A4 = 794
"""Pixels across a sheet."""
MANY = tuple(make_cell(f"1.{n}", flavour) for n in range(2500) for flavour in ("cpu", "cuda"))


def full(cell: Cell, path: str = "fast", **changes: Any) -> Record:  # noqa: ANN401 - any field
    matches = tuple(
        Match("call", f"capability {n}", "float32", 3, 4e-7, 1e-6, passed=True, digest="")
        for n in range(30)
    )
    fields: dict[str, Any] = {
        "paths": (PathSeen("call", path, (f"dep.{path}",), ()),),
        "matches": matches,
        "notes": (Note("dep.fast", "signature", "fast(x)"),),
        "ratios": (Ratio("small", "call", "loop", 0.5, 0.25, 1.0, 15, 1e-3),),
    }
    return make_record(cell, **(fields | changes))


def hostile(cell: Cell) -> Record:
    assert cell.wheel is not None
    return full(
        cell,
        path=LONG,
        outcome="incompatible",
        failure=Failure("probes", HOSTILE + LONG, f"the log\n{HOSTILE}"),
        identity=msgspec.structs.replace(IDENTITY, wheel=cell.wheel.filename, build=HOSTILE),
        notes=(Note("dep.fast", HOSTILE, HOSTILE),),
        ratios=(Ratio(HOSTILE, "call", LONG, 1.0, 1.0, 1.0, 15, 1e-3),),
        probes=(Probe("t.py::x", HOSTILE, "failed", 0.1, HOSTILE),),
    )


SEEN = (Seen("1.0", "absent"), Seen("1.1", "present", (HOSTILE + LONG,)))
NAMES = ("dep.fast", HOSTILE + LONG)
STATIC = StaticEvidence(
    "dep", "default", dt.date(2026, 1, 2), tuple(NameHistory(name, (), SEEN) for name in NAMES)
)


def write(file: Path, evidence: Evidence) -> str:
    told = evidence._replace(stories=tell(evidence.records))
    file.write_text(render_html(told, make_report(told)), "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a page of which one cell's record says what it can to be markup."""
    records = [full(CELLS[0], "slow"), full(CELLS[1]), hostile(CELLS[3])]
    published = Snapshot("evidence/", (*records[:2], full(CELLS[3])), {"x.json": HOSTILE + LONG})
    evidence = Evidence(make_plan(CELLS), records, static=STATIC, published=published)
    return write(tmp_path_factory.mktemp("page") / "index.html", evidence)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium; only where nobody relies on it, there may be none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "there is no Chromium here: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if root else []
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page, and hold it to have asked for nothing and to have complained of nothing."""
    context = browser.new_context()
    opened = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url.partition("#")[0]))
    opened.goto(address)
    yield opened
    context.close()
    assert complaints == []
    assert {*requests} - {"data:,"} <= {address}


SHOWN = """() => [...document.querySelectorAll(".matrix tbody tr:not(.part)")]
  .filter((row) => row.checkVisibility()).map((row) => row.querySelector("th").textContent)"""


def shown(page: Page) -> list[str]:
    found: list[str] = page.evaluate(SHOWN)
    return found


def test_it_opens_with_verdict_floor_and_every_release(page: Page) -> None:
    assert "does not hold" in page.locator("h1").inner_text()
    assert page.locator(".floor").inner_text() == "1.0"
    assert shown(page) == ["1.1", "1.0", "0.9"]
    assert page.locator("[role=status]").inner_text() == "All 4 cells"


def test_cells_are_filtered_by_outcome_path_and_text(page: Page) -> None:
    page.get_by_role("button", name="incompatible").click()
    assert shown(page) == ["1.1"]
    assert page.locator("[role=status]").inner_text() == "1 of 4 cells"
    page.get_by_role("button", name="incompatible").click()
    page.get_by_role("combobox", name="Path").select_option("slow")
    assert shown(page) == ["0.9"]
    page.get_by_role("combobox", name="Path").select_option("")
    page.get_by_label("Find").fill("cuda")
    assert shown(page) == ["1.0"]
    page.get_by_label("Find").fill("nothing like it")
    assert shown(page) == []


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        ("no CUDA device", [CUDA]),  # a reason, which stands in the cell's story alone
        ("not-run", [CUDA]),
        ("compatible", [CELLS[0].id, CELLS[1].id]),
        ("incompat", [BAD]),
        ("1.1", [BAD]),
        (f"{BAD} cuda", []),
    ],
)
def test_what_is_looked_for_is_a_cells_own_from_the_beginning_of_words(
    page: Page, words: str, cells: list[str]
) -> None:
    page.get_by_label("Find").fill(words)
    found = f"{len(cells)} of 4 cells"
    assert page.locator("[role=status]").inner_text() == found


def test_a_link_that_is_no_text_opens_nothing(page: Page, address: str) -> None:
    page.goto(f"{address}#100%")
    page.reload()
    assert shown(page) == ["1.1", "1.0", "0.9"]


def test_a_link_opens_its_cell(page: Page, address: str) -> None:
    page.goto(f"{address}#{BAD}")
    dialog = page.get_by_role("dialog", name=BAD)
    dialog.get_by_text(f'nox -s "compat({BAD})" -- --fresh').wait_for()
    for part in ("Environment", "Provenance", "Packages", "End of the log", "Wheel"):
        assert dialog.get_by_text(part, exact=True).first.is_visible(), part


def test_a_regression_leads_to_its_cell(page: Page) -> None:
    changes = page.get_by_role("region", name="What changed since the last published run")
    assert changes.get_by_role("listitem").first.inner_text().startswith("✗regression")
    changes.get_by_role("link", name=BAD).first.click()
    page.get_by_role("dialog", name=BAD).wait_for()


def test_a_name_is_a_table_whose_releases_are_its_headers(page: Page) -> None:
    table = page.get_by_role("table", name="dep.fast, release by release")
    assert table.get_by_role("columnheader").all_inner_texts() == [
        "Releases",
        "In their wheels",
        "Changed",
        "When run",
    ]
    assert table.get_by_role("rowheader").all_inner_texts() == ["1.0", "1.1"]


def test_a_cell_is_read_on_a_phone_without_scrolling_sideways(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{address}#{BAD}")
    page.get_by_role("dialog", name=BAD).get_by_role("heading", name="Environment").wait_for()
    assert page.evaluate("document.querySelector('.story').scrollWidth") <= 390


def test_the_keyboard_opens_a_cell_and_comes_back(page: Page) -> None:
    page.get_by_label("Find").focus()
    page.keyboard.press("Tab")  # the table, which scrolls
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name=BAD).wait_for()
    assert page.evaluate("document.activeElement.id") == "cell-title"
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    # What listens to the dialog's closing is called a moment after it is hidden.
    page.wait_for_function(f"document.activeElement.getAttribute('href') === '#{BAD}'")


def test_a_click_beside_the_word_opens_the_cell_too(page: Page) -> None:
    page.locator(f"[id='{CELLS[1].id}']").click(position={"x": 2, "y": 2})
    page.get_by_role("dialog", name=CELLS[1].id).wait_for()


def test_what_a_record_says_is_shown_as_text(page: Page, address: str) -> None:
    page.goto(f"{address}#{BAD}")
    page.get_by_role("dialog").locator("pre", has_text="the log").wait_for()
    assert HOSTILE in page.locator("dialog pre", has_text="the log").inner_text()
    assert page.title() == "dep compatibility"
    assert page.locator("img, dialog b, .story script").count() == 0


def test_paper_has_the_releases_and_no_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert shown(page) == ["1.1", "1.0", "0.9"]
    assert not page.locator(".filters").is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_an_open_cell_is_on_paper_a_part_of_the_page_and_fits(page: Page, address: str) -> None:
    page.set_viewport_size({"width": A4, "height": 1000})
    page.goto(f"{address}#{BAD}")
    page.get_by_role("dialog", name=BAD).get_by_role("heading", name="Environment").wait_for()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator("dialog, main").first.is_visible()
    paper = page.locator("article.paper")
    for part in (BAD, "Provenance", "Packages", "End of the log"):
        assert paper.get_by_text(part, exact=True).first.is_visible(), part
    assert page.evaluate("document.documentElement.scrollWidth") <= A4
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("article.paper").count() == 0
    page.emulate_media(media="screen")
    assert page.get_by_role("dialog", name=BAD).is_visible()


def test_tables_that_are_folded_away_fit_on_paper(page: Page) -> None:
    page.set_viewport_size({"width": A4, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_role("table", name="Interface by release").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= A4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_screen_and_words_are_told_from_their_ground(
    page: Page,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []


CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parse(colour).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (parse(colour)[3] !== 0) return colour;
    }
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!words || element.closest("svg, script, dialog") || !element.checkVisibility()) continue;
    const lights = [getComputedStyle(element).color, ground(element)].map(light);
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (contrast < 4.5) poor.push(`${element.className} ${element.textContent} ${contrast}`);
  }
  return poor;
}"""


def test_thousands_of_cells_stay_usable(browser: Browser, tmp_path: Path) -> None:
    evidence = Evidence(make_plan(MANY), [full(cell) for cell in MANY])
    address = write(tmp_path / "index.html", evidence)
    assert (tmp_path / "index.html").stat().st_size < 15e6
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        assert len(shown(page)) == 100  # a browser lays out no more at once
        page.get_by_label("Find").fill("dep1.7-cpu")
        assert shown(page) == ["1.7"]
        page.get_by_label("Find").fill("")
        page.get_by_role("button", name="Show all").click()
        assert page.locator(".matrix tbody tr:not(.part):not([hidden])").count() == 2500
        page.goto(f"{address}#{MANY[0].id}")
        page.get_by_role("dialog", name=MANY[0].id).get_by_role(
            "heading", name="Environment"
        ).wait_for()


def test_without_scripts_the_table_is_there(browser: Browser, address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        assert shown(page) == ["1.1", "1.0", "0.9"]
        assert not page.locator(".filters").is_visible()
