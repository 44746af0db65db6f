"""The sessions that two lines in a noxfile define, as nox lists them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.e2e.project import GOOD, Project, make_project
from tests.torchfloor.builders import make_cell, make_record

from torchfloor import sessions
from torchfloor.record import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nox

    from torchfloor.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project of which no cell is ever run."""
    return make_project(tmp_path_factory.mktemp("project"), {"0.9": GOOD, "1.0": GOOD, "1.1": GOOD})


def listed(project: Project, *arguments: str) -> dict[str, dict[str, Any]]:
    ran = project.nox("--list", "--json", *arguments)
    assert ran.status == 0, ran.output
    return {entry["session"]: entry for entry in json.loads(ran.output[ran.output.index("[") :])}


def test_there_is_a_session_for_each_cell_that_can_run_here(project: Project) -> None:
    cells = [project.cell(release) for release in ("0.9", "1.0", "1.1")]
    found = listed(project, "-s", "plan", "compat", "publish", "docs")
    assert set(found) == {"plan", "publish", "docs", *(f"compat({cell})" for cell in cells)}


def test_none_of_them_runs_unless_it_is_asked_for(project: Project) -> None:
    assert set(listed(project)) == {"hello"}


def test_quick_is_the_floor_and_the_newest(project: Project) -> None:
    quick = listed(project, "-t", "quick")
    assert [name for name in quick if name.startswith("compat")] == [
        f"compat({project.cell('1.0')})",
        f"compat({project.cell('1.1')})",
    ]


def test_a_cell_that_cannot_run_says_why_when_it_is_asked_for(project: Project) -> None:
    cell = project.cell("1.0").replace("-cpu-", "-cuda-")
    assert f"compat({cell})" not in listed(project, "-s", "compat")
    assert f"compat({cell})" in listed(project, "-s", f"compat({cell})")


def test_listing_runs_nothing_and_writes_nothing_but_the_plan(project: Project) -> None:
    listed(project, "-s", "compat")
    files = sorted(path.name for path in (project.root / ".compat").iterdir())
    assert files == [".gitignore", "plan.json"]


@pytest.mark.parametrize("arguments", [("-s", "compat(tinydep1.0-cpu-py311)"), ("-t", "quick")])
def test_where_cells_cannot_be_listed_asking_for_some_tells_why(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    broken = make_project(tmp_path, {"1.0": GOOD})
    (tmp_path / "matrix.yaml").write_text("package: tinydep\n", "utf-8")
    assert "torchfloor: matrix.yaml: 5 mistakes" in broken.nox(*arguments).output
    assert "Cannot run: matrix.yaml: 5 mistakes subject: missing" in broken.nox("-l").output


@pytest.mark.parametrize(
    ("arguments", "environment", "jobs"),
    [
        ([], {}, 4),
        (["-s", "compat"], {}, 4),
        (["-s", "compat", "-j", "3"], {}, 3),
        (["-s", "compat", "-j3"], {}, 3),
        (["--parallel", "2"], {}, 2),
        (["--parallel=2"], {"NOX_PARALLEL": "4"}, 2),
        ([], {"NOX_PARALLEL": "4"}, 4),
        (["-j", "auto"], {}, 7),
    ],
)
def test_the_number_of_jobs_is_what_was_said(
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    environment: dict[str, str],
    jobs: int,
) -> None:
    monkeypatch.delenv("NOX_PARALLEL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHFLOOR_ARGUMENTS", json.dumps(arguments))
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert sessions._jobs(23) == jobs


@pytest.mark.parametrize(("cells", "cores", "jobs"), [(0, 8, 0), (1, 8, 1), (9, 2, 2), (9, 8, 4)])
def test_by_default_there_is_a_job_for_each_core_up_to_four(
    monkeypatch: pytest.MonkeyPatch, cells: int, cores: int, jobs: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert sessions._default_jobs(cells) == jobs


def test_the_line_of_a_cell_that_failed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    session = SimpleNamespace(posargs=[], error=told.append, warn=told.append)
    cell = make_cell("1.0")
    failed = make_record(cell, "incompatible", failure=Failure("probes", "a\n\n::error::b"))
    workspace = SimpleNamespace(folder=tmp_path, obtain=lambda *_, **__: failed)
    monkeypatch.setattr(sessions, "_read_run", lambda _workspace: None)
    monkeypatch.setattr(sessions, "refresh", lambda *_, **__: None)
    sessions._run_cell(cast("nox.Session", session), cast("Workspace", workspace), cell)
    assert told[0] == (
        f"{cell.id} is incompatible: probes: a ::error::b (log: .compat/logs/{cell.id}/)"
    )


def test_the_noxfile_asks_for_exactly_what_the_package_depends_on() -> None:
    text = (REPOSITORY / "noxfile.py").read_text("utf-8")
    header = re.search(r"(?ms)^# /// script$\n(.*?)^# ///$", text)
    assert header is not None
    script = tomllib.loads(re.sub(r"(?m)^# ?", "", header[1]))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert script["dependencies"] == project["dependencies"]
    assert script["requires-python"] == project["requires-python"]
