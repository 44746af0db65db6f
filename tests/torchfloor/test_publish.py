"""Publishing: records and documents move into the repository, and stay equal to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.torchfloor.builders import make_cell, make_plan, make_record, make_wheel, write_project

from torchfloor.errors import ConfigError, NoEvidenceError, RecordError
from torchfloor.matrix import Matrix, read_matrix
from torchfloor.publish import publish_records, published_plan, render_documents
from torchfloor.records import read_records
from torchfloor.report.markdown import BEGIN, END

if TYPE_CHECKING:
    from pathlib import Path

CELL, OTHER = make_cell("1.0"), make_cell("1.1")
PLAN = make_plan([CELL, OTHER])


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    """Return the matrix of a small project that has a README."""
    file = write_project(tmp_path)
    (tmp_path / "README.md").write_text(f"# dep\n{BEGIN}\n{END}\nend\n", "utf-8")
    return read_matrix(file)


def test_records_of_planned_cells_are_published_beside_their_plan(matrix: Matrix) -> None:
    records = [make_record(CELL), make_record(make_cell("0.3"))]
    assert publish_records(matrix, PLAN, records).records == 1
    published, errors = read_records(matrix.root / "evidence")
    assert (published, errors) == ([make_record(CELL)], [])
    assert published_plan(matrix).cells[0].id == CELL.id


def test_a_cell_that_was_not_run_again_keeps_its_evidence(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    publish_records(matrix, PLAN, [make_record(OTHER)])
    assert len(read_records(matrix.root / "evidence")[0]) == 2


def test_a_run_that_said_nothing_does_not_replace_evidence(matrix: Matrix) -> None:
    good, nothing = make_record(CELL), make_record(CELL, outcome="errored")
    publish_records(matrix, PLAN, [nothing])
    assert read_records(matrix.root / "evidence")[0] == [nothing]
    publish_records(matrix, PLAN, [good])
    publish_records(matrix, PLAN, [nothing])
    assert read_records(matrix.root / "evidence")[0] == [good]


def test_evidence_of_cells_that_are_gone_is_removed(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    publish_records(matrix, make_plan([OTHER]), [make_record(OTHER)])
    names = sorted(file.name for file in (matrix.root / "evidence").iterdir())
    assert names == [f"{OTHER.id}.json", "plan.json"]


def test_nothing_to_publish_is_an_error_that_changes_nothing(matrix: Matrix) -> None:
    with pytest.raises(NoEvidenceError, match="no record of a planned cell; run `nox -s compat`"):
        publish_records(matrix, PLAN, [make_record(make_cell("0.3"))])
    assert not (matrix.root / "evidence").exists()


def test_a_published_plan_holds_no_address_that_may_hold_credentials(matrix: Matrix) -> None:
    wheel = make_wheel("1.0", url="https://user:secret@files.invalid/x.whl")
    cell = make_cell("1.0", wheel=wheel)
    publish_records(matrix, make_plan([cell]), [make_record(cell)])
    assert "secret" not in (matrix.root / "evidence/plan.json").read_text("utf-8")


def test_without_published_evidence_there_is_no_plan(matrix: Matrix) -> None:
    with pytest.raises(NoEvidenceError, match="run `nox -s compat`, then `nox -s publish`"):
        published_plan(matrix)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"package": 1}'])
def test_a_damaged_plan_is_named(matrix: Matrix, content: str) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    (matrix.root / "evidence/plan.json").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"evidence/plan\.json: 1 mistake\n  cannot be read"):
        published_plan(matrix)


def test_evidence_for_another_floor_is_told_with_both(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    (matrix.root / "pyproject.toml").write_text('[project]\ndependencies = ["dep>=0.9"]\n')
    with pytest.raises(ConfigError, match=r"pyproject\.toml declares 0\.9, the evidence 1\.0"):
        published_plan(read_matrix(matrix.source))


def test_documents_are_rendered_from_the_published_evidence(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    documents = {file.name: text for file, text in render_documents(matrix).items()}
    assert set(documents) == {"COMPATIBILITY.md", "README.md"}
    assert documents["COMPATIBILITY.md"].startswith("# Compatibility\n")
    readme = documents["README.md"]
    assert readme.startswith(f"# dep\n{BEGIN}\n**Requires dep 1.0 or later.**")
    assert readme.endswith(f"\n{END}\nend\n")


def test_rendering_what_was_written_changes_nothing(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    first = render_documents(matrix)
    for file, text in first.items():
        file.write_text(text, "utf-8")
    assert render_documents(matrix) == first


def test_evidence_made_from_other_inputs_is_shown_as_stale(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    page = render_documents(matrix)[matrix.root / "COMPATIBILITY.md"]
    assert "stale: the subject, the probes or the matrix have changed since" in page


def test_a_damaged_record_is_named_instead_of_left_out(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    (matrix.root / "evidence" / f"{OTHER.id}.json").write_text("{", "utf-8")
    with pytest.raises(RecordError, match=f"{OTHER.id}.json is no record"):
        render_documents(matrix)


def test_a_project_without_a_readme_is_told(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    (matrix.root / "README.md").unlink()
    with pytest.raises(ConfigError, match=r"README\.md"):
        render_documents(matrix)


def test_a_published_plan_is_read_back_but_for_its_addresses(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    bare = [
        msgspec.structs.replace(cell, wheel=msgspec.structs.replace(cell.wheel, url=""))
        for cell in PLAN.cells
        if cell.wheel is not None
    ]
    assert published_plan(matrix) == msgspec.structs.replace(PLAN, cells=tuple(bare))
