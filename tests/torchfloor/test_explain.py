"""A cell's story in the terminal: the same as the page's, and why there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import make_cell, make_plan, make_record, write_project

from torchfloor.cli import main
from torchfloor.matrix import read_matrix
from torchfloor.publish import publish_records
from torchfloor.record import Failure, Probe

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
    publish_records(read_matrix(file), plan, [make_record(GOOD), bad])
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


def test_the_page_of_the_published_evidence_is_written_into_a_folder(
    published: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    assert main([*published[:2], "report", "--published", "--page", str(folder)]) == 0
    assert BAD.id in (folder / "index.html").read_text("utf-8")
    assert json.loads((folder / "badge.json").read_text("utf-8"))["schemaVersion"] == 1
