"""A cell's story in the terminal: the same as the page's, and why there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import make_cell, make_plan, make_record, write_project

from torchfloor.cli import main
from torchfloor.matrix import read_matrix
from torchfloor.publish import publish_records
from torchfloor.record import Failure, Match, Probe

if TYPE_CHECKING:
    from pathlib import Path

GOOD, BAD = make_cell("1.0"), make_cell("1.1")
ABSENT = make_cell("1.1", "cuda", status="not-run", reason="no CUDA device")


@pytest.fixture
def published(tmp_path: Path) -> list[str]:
    """Publish evidence of two cells, of which one fails with what a terminal would obey."""
    file = write_project(tmp_path)
    failed = (Probe("t.py::x", "big", "failed", 0.1, "1 is not 2 \x1b[31m"),)
    failure = Failure("probes", "t.py::x: 1 is not 2", "E  1 != 2 \x1b[2J")
    bad = make_record(BAD, "incompatible", failure=failure, probes=failed)
    plan = make_plan([GOOD, BAD, ABSENT])
    long = Match(
        "a_call_of_a_long_name", "works", "complex128", 1, 1e-9, 1e-6, passed=True, digest="d"
    )
    publish_records(read_matrix(file), plan, [make_record(GOOD, matches=(long,)), bad])
    return ["--matrix", str(file), "explain", "--published"]


def test_a_cell_is_told_with_what_failed_and_how_to_run_it_again(
    published: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*published, BAD.id]) == 0
    output = capsys.readouterr().out
    for told in (BAD.id, "1 is not 2", "E  1 != 2", f'nox -s "compat({BAD.id})" -- --fresh'):
        assert told in output
    for title in ("Environment", "Packages", "Provenance", "Wheel", "End of the log"):
        assert title in output
    assert "\x1b" not in output


def test_a_story_is_told_to_programs_as_well(
    published: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main([*published, GOOD.id, "--json"]) == 0
    story = json.loads(capfdbinary.readouterr().out)
    assert story["row"]["cell"] == GOOD.id
    assert "Environment" in [section["title"] for section in story["sections"]]


def test_a_cell_without_a_record_says_why(
    published: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*published, ABSENT.id]) == 3
    output = capsys.readouterr().out
    assert "not-run" in output
    assert "no CUDA device" in output


def test_a_cell_that_does_not_exist_is_a_mistake_and_its_neighbours_are_named(
    published: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*published, "dep1.2-cpu-py311"]) == 2
    assert f"near it: {BAD.id}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dep1", f"no cell dep1 in the plan; near it: {GOOD.id}, {BAD.id}"),
        ("dep1.1.0", f"near it: {BAD.id}"),
        ("", "CELL is empty, and names no cell"),
        (" ", "CELL is empty, and names no cell"),
        ("nonsense", "no cell nonsense in the plan; `torchfloor plan` lists them"),
    ],
)
def test_what_may_have_been_meant_is_named_what_begins_so_first(
    published: list[str], capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert main([*published, name]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "cell"),
    [("dep1.0", GOOD.id), ("dep1.1", BAD.id), ("dep1.1-cpu", BAD.id), ("dep1.1-cuda", ABSENT.id)],
)
def test_so_much_of_an_identifier_as_fits_one_cell_that_ran_will_do(
    published: list[str], capsys: pytest.CaptureFixture[str], name: str, cell: str
) -> None:
    assert main([*published, name]) == (3 if cell == ABSENT.id else 0)
    assert capsys.readouterr().out.startswith(f"{cell}: ")


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_word_is_broken_however_narrow_the_screen_is(
    published: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    main([*published, GOOD.id, "--json"])
    story = json.loads(capfdbinary.readouterr().out)
    main([*published, GOOD.id])
    shown = capfdbinary.readouterr().out.decode().replace(":", "").split()
    tables = [section for section in story["sections"] if section.get("columns")]
    assert tables
    for section in tables:
        for row in section["rows"]:
            texts = [*section["columns"], *row]
            assert {word.replace(":", "") for text in texts for word in text.split()} <= {*shown}


def test_the_page_of_the_published_evidence_is_written_into_a_folder(
    published: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    assert main([*published[:2], "report", "--published", "--page", str(folder)]) == 0
    assert BAD.id in (folder / "index.html").read_text("utf-8")
    assert json.loads((folder / "badge.json").read_text("utf-8"))["schemaVersion"] == 1
