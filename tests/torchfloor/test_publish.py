"""Publishing: records and documents move into the repository, and stay equal to each other."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.torchfloor.builders import (
    NOON,
    PROVENANCE,
    make_cell,
    make_plan,
    make_record,
    make_wheel,
    write_project,
)

from torchfloor.errors import ConfigError, NoEvidenceError, RecordError
from torchfloor.matrix import Matrix, read_matrix
from torchfloor.provenance import Inputs
from torchfloor.publish import (
    publish_records,
    published_plan,
    published_report,
    render_documents,
    write_document,
)
from torchfloor.records import read_records
from torchfloor.report.markdown import BEGIN, END
from torchfloor.unasked import stand_in
from torchfloor.verdict import stand

if TYPE_CHECKING:
    from torchfloor.plan import Cell
    from torchfloor.record import Record

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


def test_what_a_killed_publish_had_begun_to_write_is_removed_by_the_next(matrix: Matrix) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    names = (f"evidence/.{CELL.id}.json", "evidence/.plan.json", ".README.md")
    begun = [matrix.root / f"{name}.{gone.pid}.0123abcd" for name in names]
    (matrix.root / "evidence").mkdir()
    for file in begun:
        file.write_text("{", "utf-8")
    publish_records(matrix, PLAN, [make_record(CELL)])
    for document, text in render_documents(matrix).items():
        write_document(document, text)
    assert [file for file in begun if file.exists()] == []


def test_a_publish_killed_between_any_two_files_is_mended_by_the_next(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = make_cell("0.9")
    later = msgspec.structs.replace(PROVENANCE, finished=NOON + dt.timedelta(hours=1))
    new = [make_record(cell, provenance=later) for cell in (CELL, OTHER)]
    replace, left = Path.replace, 0

    def replace_or_die(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return replace(self, target)

    def publish() -> dict[str, bytes]:
        publish_records(matrix, PLAN, new)
        for document, text in render_documents(matrix).items():
            write_document(document, text)
        files = [file for file in matrix.root.rglob("*") if file.is_file()]
        return {str(file.relative_to(matrix.root)): file.read_bytes() for file in files}

    mended = []
    for files in (100, *range(6)):
        shutil.rmtree(matrix.root / "evidence", ignore_errors=True)
        publish_records(matrix, make_plan([early, CELL]), [make_record(early), make_record(CELL)])
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            left = files
            patch.setattr(Path, "replace", replace_or_die)
            publish()
        assert (left < 0) == (files < 100)
        assert read_records(matrix.root / "evidence")[1] == []
        mended.append(publish())
    assert all(each == mended[0] for each in mended)


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
    assert set(documents) == {"COMPATIBILITY.md", "README.md", "badge.json"}
    assert documents["COMPATIBILITY.md"].startswith("# Compatibility\n")
    readme = documents["README.md"]
    assert readme.startswith(f"# dep\n{BEGIN}\n**Requires dep 1.0 or later.**")
    assert readme.endswith(f"\n{END}\nend\n")


def test_rendering_what_was_written_changes_nothing(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    first = render_documents(matrix)
    for file, text in first.items():
        write_document(file, text)
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


# --- what is better stays


def of_today(matrix: Matrix, cell: Cell = CELL, hours: int = 0, **changes: Any) -> Record:  # noqa: ANN401 - any field
    """Make a record from what the project holds now, that ended some hours after noon."""
    digests = Inputs(matrix).of(cell.version, cell.flavour)
    provenance = msgspec.structs.replace(
        PROVENANCE, **msgspec.structs.asdict(digests), finished=NOON + dt.timedelta(hours=hours)
    )
    return make_record(cell, **{"provenance": provenance, **changes})


def evidence_of(matrix: Matrix) -> dict[str, Record]:
    return {record.cell: record for record in read_records(matrix.root / "evidence")[0]}


def publish_over(matrix: Matrix, published: Record, own: Record) -> tuple[Record, str]:
    """Publish a record over another, and return the one that stands then, and what is said."""
    publish_records(matrix, PLAN, [published])
    notes = publish_records(matrix, PLAN, [own]).notes
    return evidence_of(matrix)[CELL.id], "; ".join(notes)


def test_an_older_record_does_not_replace_a_newer_one(matrix: Matrix) -> None:
    newer, older = of_today(matrix, hours=2), of_today(matrix, hours=1)
    stands, said = publish_over(matrix, newer, older)
    assert stands == newer
    assert said.startswith(f"{CELL.id} is not published: older than the published evidence; ")
    assert publish_over(matrix, older, newer) == (newer, "")


def test_a_stale_record_does_not_replace_a_current_one(matrix: Matrix) -> None:
    current, stale = of_today(matrix), make_record(CELL)
    later = msgspec.structs.replace(PROVENANCE, finished=NOON + dt.timedelta(days=9))
    stale = msgspec.structs.replace(stale, provenance=later)
    stands, said = publish_over(matrix, current, stale)
    assert stands == current
    assert said.startswith(f"{CELL.id} is not published: made from another subject, other probes")
    assert publish_over(matrix, stale, current) == (current, "")


def test_a_run_that_said_nothing_is_told_not_to_be_published(matrix: Matrix) -> None:
    good, nothing = of_today(matrix), of_today(matrix, hours=9, outcome="errored")
    stands, said = publish_over(matrix, good, nothing)
    assert stands == good
    assert said == (
        f"{CELL.id} is not published: errored, while the published evidence says something"
    )
    assert publish_records(matrix, PLAN, [nothing]).records == 0


def test_a_damaged_record_is_replaced(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [of_today(matrix, hours=9)])
    (matrix.root / f"evidence/{CELL.id}.json").write_text("{", "utf-8")
    assert publish_records(matrix, PLAN, [of_today(matrix)]).notes == ()
    assert evidence_of(matrix) == {CELL.id: of_today(matrix)}


def test_what_is_no_record_is_left_alone_and_named(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL)])
    for name in ("notes", "dep-1.0", "other1.0-cpu-py311", "plan.old"):
        (matrix.root / f"evidence/{name}.json").write_text("{}", "utf-8")
    notes = publish_records(matrix, PLAN, [make_record(CELL)]).notes
    assert notes == tuple(
        f"evidence/{name}.json is no record of a cell: left alone"
        for name in ("dep-1.0", "notes", "other1.0-cpu-py311", "plan.old")
    )
    assert (matrix.root / "evidence/notes.json").read_text("utf-8") == "{}"
    assert render_documents(matrix)


def test_what_a_narrower_matrix_no_longer_plans_is_told(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    gone = make_record(make_cell("0.3"))
    notes = publish_records(matrix, make_plan([OTHER]), [make_record(OTHER), gone]).notes
    assert notes == (
        (
            f"{gone.cell} is no longer planned, and not published: matrix.yaml does not name its "
            "release or flavour any more, or no index offers it"
        ),
        f"{CELL.id} is no longer planned: removed from evidence/",
    )


# --- plans that know less than what is published

PARTIAL = make_plan([OTHER], floor="1.1", unreachable=("main does not answer",), silent=("main",))


def test_a_plan_that_an_index_is_missing_from_takes_no_evidence_away(matrix: Matrix) -> None:
    cell = make_cell("1.0", wheel=make_wheel("1.0", index="wheels"))
    publish_records(matrix, make_plan([cell, OTHER]), [of_today(matrix, cell), make_record(OTHER)])
    told = "wheels does not answer"
    partial = msgspec.structs.replace(PARTIAL, unreachable=(told,), silent=("wheels",))
    assert publish_records(matrix, partial, [of_today(matrix, OTHER)]).notes == ()
    assert evidence_of(matrix)[CELL.id] == of_today(matrix, cell)
    report = published_report(matrix)
    assert (report.verdict.status, report.verdict.verified) == ("holds", ("1.0", "1.1"))
    assert report.unreachable == (f"{told}; it could not be asked for dep 1.0",)

    (matrix.root / f"evidence/{CELL.id}.json").unlink()
    report = published_report(matrix)
    assert (report.verdict.status, report.verdict.gaps) == ("unproved", ("1.0",))
    assert report.verdict.measured == "1.1"


def test_without_the_published_plan_a_partial_one_removes_nothing(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    (matrix.root / "evidence/plan.json").write_text("{", "utf-8")
    with pytest.raises(RecordError, match=f"{CELL.id} is in evidence/, but not planned, and main"):
        publish_records(matrix, PARTIAL, [make_record(OTHER)])
    assert set(evidence_of(matrix)) == {CELL.id, OTHER.id}


def test_a_cell_that_has_not_run_does_not_replace_one_of_another_python(matrix: Matrix) -> None:
    newer = make_cell("1.0", id="dep1.0-cpu-py312", python="3.12")
    publish_records(matrix, PLAN, [of_today(matrix), of_today(matrix, OTHER)])
    elsewhere = make_plan([newer, OTHER])
    assert publish_records(matrix, elsewhere, [of_today(matrix, OTHER)]).notes == ()
    assert set(evidence_of(matrix)) == {CELL.id, OTHER.id}
    assert published_report(matrix).verdict.status == "holds"

    only = dataclasses.replace(matrix, python="3.12")  # it is no longer left to the machine
    complete = stand_in(elsewhere, PLAN, only, {CELL.id}, {CELL.id})
    assert complete == elsewhere

    failed = of_today(matrix, newer, outcome="errored")
    notes = publish_records(matrix, elsewhere, [failed, of_today(matrix, OTHER)]).notes
    assert notes == (
        f"{newer.id} is not published: nothing is known there that another Python has not proved",
    )
    notes = publish_records(matrix, elsewhere, [of_today(matrix, newer)]).notes
    assert notes == (f"{CELL.id} is no longer planned: removed from evidence/",)
    assert set(evidence_of(matrix)) == {newer.id, OTHER.id}


def test_evidence_of_a_wheel_that_was_exchanged_gives_way_and_is_stale(matrix: Matrix) -> None:
    publish_records(matrix, PLAN, [make_record(CELL), make_record(OTHER)])
    exchanged = make_cell("1.1", wheel=make_wheel("1.1", sha256="cd" * 32))
    plan = make_plan([CELL, exchanged])
    publish_records(matrix, plan, [make_record(CELL)])
    assert [s.outcome for s in stand(plan, read_records(matrix.root / "evidence")[0])] == [
        "compatible",
        "stale",
    ]
    later = msgspec.structs.replace(PROVENANCE, finished=NOON + dt.timedelta(hours=1))
    errored = make_record(exchanged, outcome="errored", provenance=later)
    publish_records(matrix, plan, [errored])
    assert errored in read_records(matrix.root / "evidence")[0]
    new = make_record(exchanged)
    publish_records(matrix, plan, [new])
    notes = publish_records(matrix, plan, [make_record(OTHER, provenance=later)]).notes
    assert notes == (
        f"{OTHER.id} is not published: of another wheel than the index offers now; run it again",
    )
    assert new in read_records(matrix.root / "evidence")[0]
