"""From matrix.yaml to the verdict, with real wheels, real environments and real nox sessions."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, make_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network

EVERY_WAY = {"0.5": tiny.WRONG, "1.0": tiny.GOOD, "1.1": tiny.WRONG, "1.3": tiny.UNIMPORTABLE}


class Session(NamedTuple):
    """A project after a session, and what the session printed."""

    project: Project
    ran: Ran


@pytest.fixture(scope="module")
def every_way(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a project after `nox -s compat`, in which each release goes another way."""
    project = make_project(tmp_path_factory.mktemp("ways"), EVERY_WAY)
    return Session(project, project.nox("-s", "compat"))


def test_a_cell_that_goes_right_has_its_evidence(every_way: Session) -> None:
    record = every_way.project.records()["1.0"]
    assert (record.outcome, record.failure) == ("compatible", None)
    assert record.identity is not None
    assert record.identity.wheel == "tinydep-1.0-py3-none-any.whl"
    assert record.environment is not None
    assert record.environment.packages["tinydep"] == "1.0"
    assert [seen.path for seen in record.paths] == ["fast"]
    assert [(m.subject, m.capability, m.passed) for m in record.matches] == [
        ("twice", "doubles", True)
    ]
    assert [timing.name for timing in record.timings] == ["test_time"]
    assert [(r.candidate, r.baseline) for r in record.ratios] == [("twice", "loop")]
    assert set(record.provenance.seconds) == {"install", "probes", "timings"}


def test_the_session_fails_and_names_each_failing_cell_its_probe_and_why(
    every_way: Session,
) -> None:
    ran, project = every_way.ran, every_way.project
    assert ran.status == 1
    cell = project.cell("1.1")
    assert f"{cell} is incompatible: probes: test_probes.py::test_doubles: " in ran.output
    assert f"{project.cell('1.3')} is errored: dependency: " in ran.output
    assert "Traceback" not in ran.output


def test_the_table_and_the_verdict_stand_last(every_way: Session) -> None:
    lines = every_way.ran.output.strip().splitlines()
    table = next(i for i, line in enumerate(lines) if line.startswith("cell "))
    for release in EVERY_WAY:
        assert any(line.startswith(every_way.project.cell(release)) for line in lines[table:])
    assert not any(line.startswith("nox >") for line in lines[table:])
    assert "tinydep>=1.0 does not hold: tinydep 1.1 is incompatible" in " ".join(lines[-4:])


def test_the_screen_before_says_what_is_planned_and_what_is_not_run(every_way: Session) -> None:
    output = every_way.ran.output
    assert "tinydep 0.5 to 1.3, declared floor 1.0: 8 cells, of which 4 can run here." in output
    assert "Not-run: 4 cuda cells: no CUDA device on this machine." in output
    assert "Selected: 4 cells; 4 to run." in output
    assert "Download: " in output


def test_no_environment_is_left_and_every_cell_keeps_its_logs(every_way: Session) -> None:
    workspace = every_way.project.root / ".compat"
    assert [path for path in (workspace / "cells").iterdir() if path.is_dir()] == []
    for release in EVERY_WAY:
        logs = workspace / "logs" / every_way.project.cell(release)
        assert (logs / "install.log").exists()
        assert (logs / "probes.log").exists()


def test_no_record_tells_where_the_project_lies(every_way: Session) -> None:
    for file in (every_way.project.root / ".compat/records").iterdir():
        assert str(every_way.project.root) not in file.read_text("utf-8"), file.name


def test_the_table_in_the_workspace_is_the_whole_one(every_way: Session) -> None:
    page = (every_way.project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    for release in EVERY_WAY:
        assert every_way.project.cell(release) in page


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a project after `torchfloor run`, in which only history goes wrong."""
    releases = {"0.9": tiny.WRONG, "1.0": tiny.GOOD, "1.1": tiny.GOOD}
    project = make_project(tmp_path_factory.mktemp("proved"), releases)
    return Session(project, project.torchfloor("run"))


def test_history_that_fails_fails_nothing(proved: Session) -> None:
    assert proved.project.records()["0.9"].outcome == "incompatible"
    assert proved.ran.status == 0, proved.ran.output
    assert "tinydep>=1.0 holds: 2 releases from 1.0 to 1.1 are compatible" in proved.ran.output
    assert "Below the declared floor: 0.9: incompatible" in proved.ran.output


def test_the_pieces_agree_with_the_run(proved: Session) -> None:
    verdict = proved.project.torchfloor("verdict")
    assert (verdict.status, verdict.output.partition(":")[0]) == (0, "tinydep>=1.0 holds")
    page = proved.project.torchfloor("report", "--markdown")
    kept = (proved.project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    assert (page.status, page.output) == (0, kept)
    plan = proved.project.torchfloor("plan")
    assert f"{proved.project.cell('1.1')}  planned" in plan.output


def test_a_second_run_reuses_everything(proved: Session) -> None:
    before = proved.project.records()
    for again in (proved.project.torchfloor("run"), proved.project.nox("-s", "compat")):
        assert again.status == 0, again.output
        assert "Selected: 3 cells; 0 to run, 3 unchanged and reused." in again.output
        assert again.output.count(": reused") == 3
        assert "tinydep>=1.0 holds" in again.output
    assert proved.project.records() == before


def test_what_is_published_is_what_docs_checks(proved: Session) -> None:
    project = proved.project
    none = project.nox("-s", "docs", "--", "--check")
    assert (none.status, "No published evidence" in none.output) == (1, True)

    published = project.nox("-s", "publish")
    assert published.status == 0, published.output
    names = sorted(file.stem for file in (project.root / "evidence").glob("*.json"))
    assert names == ["plan", *(project.cell(release) for release in ("0.9", "1.0", "1.1"))]
    assert "**Requires tinydep 1.0 or later.**" in (project.root / "README.md").read_text("utf-8")
    checked = project.nox("-s", "docs", "--", "--check")
    assert checked.status == 0, checked.output

    page = project.root / "COMPATIBILITY.md"
    page.write_text(page.read_text("utf-8") + "It also runs on 0.9.\n", "utf-8")
    edited = project.nox("-s", "docs", "--", "--check")
    assert edited.status == 1
    told = "COMPATIBILITY.md differs from what the evidence says; run `nox -s docs` and commit"
    assert told in edited.output

    assert project.nox("-s", "docs").status == 0
    assert "It also runs" not in page.read_text("utf-8")
    assert project.torchfloor("verdict", "--published").status == 0


def test_documents_of_the_projects_own_are_rendered_and_compared(proved: Session) -> None:
    project = proved.project
    noxfile, own = project.root / "noxfile.py", project.root / "own.md"
    before = noxfile.read_text("utf-8")
    render = f"lambda *, checking: {{sessions.Path({str(own)!r}): 'text'}}"
    noxfile.write_text(before.replace("define()", f"define(documents={render})"), "utf-8")
    try:
        assert project.nox("-s", "publish").status == 0
        missing = project.nox("-s", "docs", "--", "--check")
        assert project.nox("-s", "docs").status == 0
        checked = project.nox("-s", "docs", "--", "--check")
    finally:
        noxfile.write_text(before, "utf-8")
    assert (missing.status, "own.md differs from what the evidence" in missing.output) == (1, True)
    assert (checked.status, own.read_text("utf-8")) == (0, "text")


def test_a_changed_floor_is_told_by_docs(proved: Session) -> None:
    pyproject = proved.project.root / "pyproject.toml"
    before = pyproject.read_text("utf-8")
    pyproject.write_text(before.replace("1.0", "0.9"), "utf-8")
    try:
        docs = proved.project.nox("-s", "docs", "--", "--check")
    finally:
        pyproject.write_text(before, "utf-8")
    assert docs.status == 1
    assert "Traceback" not in docs.output


def test_a_changed_probe_makes_its_evidence_stale_and_runs_again(proved: Session) -> None:
    project = proved.project
    probes = project.root / "probes/test_probes.py"
    probes.write_text(tiny.PROBES + "\n\ndef test_more():\n    pass\n", "utf-8")
    stale = project.torchfloor("verdict")
    assert (stale.status, "stale" in stale.output) == (3, True)

    again = project.nox("-s", f"compat({project.cell('1.1')})")
    assert again.status == 0, again.output
    assert "Selected: 1 cell; 1 to run." in again.output
    assert len(project.records()["1.1"].probes) == 2
    assert len(project.records()["1.0"].probes) == 1


def test_an_interrupted_run_loses_only_the_running_cell(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tiny.ENDLESS})
    with project.start("torchfloor", "run") as process:
        assert process.stdout is not None
        told = iter(process.stdout)
        assert any("2 of 2" in line and "; probes" in line for line in told)
        os.killpg(process.pid, signal.SIGINT)
        rest = "".join(told)
    assert process.returncode == 130
    assert "interrupted; finished cells are kept" in rest
    assert "Traceback" not in rest
    assert list(project.records()) == ["1.0"]
    assert [path for path in (tmp_path / ".compat/cells").iterdir() if path.is_dir()] == []


def test_terminated_in_the_middle_of_several_cells_nox_leaves_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.ENDLESS, "1.1": tiny.ENDLESS})
    logs = [tmp_path / f".compat/logs/{project.cell(each)}/probes.log" for each in ("1.0", "1.1")]
    with project.start("nox", "-s", "compat") as process:
        workers = psutil.Process(process.pid)
        while not all(log.exists() for log in logs):
            time.sleep(0.2)
        children = workers.children(recursive=True)
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert process.returncode != 0
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert [path for path in (tmp_path / ".compat/cells").iterdir() if path.is_dir()] == []


def test_mistakes_in_the_matrix_are_all_told_and_other_sessions_stay_usable(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    matrix = project.root / "matrix.yaml"
    matrix.write_text(matrix.read_text("utf-8").replace('">=1.0"', "2.10") + "sampel: all\n")
    for broken, status in ((project.nox("-s", "compat"), 1), (project.torchfloor("run"), 2)):
        assert broken.status == status
        assert "matrix.yaml: 2 mistakes" in broken.output
        assert "versions: Expected `str`, got `float`" in broken.output
        assert "sampel: unknown key; did you mean 'sample'?" in broken.output
        assert "Traceback" not in broken.output
    listed = project.nox("--list")
    assert "compat" in listed.output
    hello = project.nox("-s", "hello")
    assert (hello.status, "hello from another session" in hello.output) == (0, True)


def test_a_selection_that_cannot_run_proves_nothing_and_says_so(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    unknown = project.torchfloor("run", "--only", "tinydep7-cpu-py311")
    assert (unknown.status, "no cell tinydep7-cpu-py311 in the plan" in unknown.output) == (2, True)


def test_a_floor_that_cannot_be_tested_is_no_success(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tiny.GOOD})
    wheel = project.root / "wheels/tinydep-1.0-py3-none-any.whl"
    wheel.rename(wheel.with_name("tinydep-1.0-cp36-cp36m-plan9_z80.whl"))
    ran = project.nox("-s", "compat")
    assert ran.status == 3, ran.output
    assert "tinydep>=1.0 is not proved: 1 release, 1.1, is compatible" in ran.output
    assert "cpu: unavailable for 1.0: no wheel for this platform" in ran.output
