"""compat.yml, rehearsed on a small project: real plans, cells, records and pushes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.e2e import project as tiny
from tests.e2e.expressions import UnknownNameError, evaluate, fill_in
from tests.e2e.project import Project, make_project
from tests.e2e.rehearsal import Rehearsal

from torchfloor.records import read_records

pytestmark = pytest.mark.network

WORKFLOW = Path(__file__).parents[2] / ".github/workflows/compat.yml"
OPEN = {"gh issue list": "7", "gh pr list": "0"}
NONE = {"gh issue list": "", "gh pr list": "0"}


def git(folder: Path, *arguments: str) -> str:
    """Run git, and return what it prints."""
    who = ("-c", "user.name=t", "-c", "user.email=t@t.invalid")
    done = subprocess.run(  # noqa: S603 - our own command line
        ["git", *who, *arguments],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def make_origin(root: Path, releases: dict[str, str]) -> tuple[Path, Project]:
    """Make a bare repository that holds a small project."""
    project = make_project(root / "project", releases)
    git(project.root, "init", "--quiet", "--initial-branch=main")
    (project.root / ".gitignore").write_text("/.compat/\n", "utf-8")
    git(project.root, "add", "--all")
    git(project.root, "commit", "--quiet", "--message=tiny")
    git(root, "clone", "--quiet", "--bare", "project", "origin.git")
    return root / "origin.git", project


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return a scheduled run in which all is well, while an issue is open."""
    root = tmp_path_factory.mktemp("green")
    (root / "project").mkdir()
    origin, _ = make_origin(root, dict.fromkeys(("1.0", "1.1", "1.2"), tiny.GOOD))
    return Rehearsal(root, WORKFLOW.read_text("utf-8"), origin, "schedule", answers=OPEN)


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return a scheduled run with a failing cell and a lost artifact."""
    root = tmp_path_factory.mktemp("red")
    (root / "project").mkdir()
    releases = {"1.0": tiny.GOOD, "1.1": tiny.WRONG, "1.2": tiny.GOOD}
    origin, project = make_origin(root, releases)
    lost = frozenset({f"record-{project.cell('1.2')}"})
    text = WORKFLOW.read_text("utf-8")
    return Rehearsal(root, text, origin, "schedule", answers=NONE, lost=lost)


def called(run: Rehearsal, *words: str) -> list[list[str]]:
    """Return the calls of a program that begin with words."""
    return [call for call in run.calls if tuple(call[: len(words)]) == words]


def everything(run: Rehearsal) -> str:
    """Return the log of every job, to be shown where one went another way."""
    return "\n".join(f"== {name}: {job.result}\n{job.log}" for name, job in run.jobs.items())


def test_where_all_is_well_every_job_is_green(green: Rehearsal) -> None:
    results = {name: job.result for name, job in green.jobs.items()}
    assert set(results.values()) == {"success"}, everything(green)
    cells = [name for name in results if name.startswith("cell ")]
    assert [name[:15] for name in cells] == [f"cell tinydep1.{n}" for n in range(3)]
    assert not called(green, "sudo")


def test_the_report_is_made_of_the_records_of_all_cells(green: Rehearsal) -> None:
    records, errors = read_records(green.stage.artifacts / "merged")
    assert ([record.release for record in records], errors) == (["1.0", "1.1", "1.2"], [])
    assert "tinydep>=1.0 holds: 3 releases from 1.0 to 1.2" in green.jobs["report"].summary
    assert "| 1.1 | cpu " in re.sub(r"<a id=\S+></a>", "", green.jobs["report"].summary)


def test_the_page_is_deployed_and_the_evidence_proposed(green: Rehearsal) -> None:
    assert green.stage.pages is not None
    names = git(green.stage.origin, "ls-tree", "-r", "--name-only", "evidence/newest")
    assert "evidence/plan.json" in names
    assert len(re.findall(r"evidence/tinydep1\.[012]-cpu-py\d+\.json", names)) == 3
    assert "plan.json\n" not in names.replace("evidence/plan.json\n", "")
    assert "Requires tinydep 1.0" in git(green.stage.origin, "show", "evidence/newest:README.md")
    assert git(green.stage.origin, "log", "--format=%s", "main") == "tiny\n"
    (request,) = called(green, "gh", "pr", "create")
    assert "tinydep>=1.0 holds" in request[-1]


def test_an_issue_that_is_open_is_closed_when_all_is_green_again(green: Rehearsal) -> None:
    assert [call[:4] for call in called(green, "gh", "issue", "close")] == [
        ["gh", "issue", "close", "7"]
    ]
    assert not called(green, "gh", "issue", "create")


def test_a_cell_that_fails_fails_its_job_and_the_report_and_keeps_its_record(
    red: Rehearsal,
) -> None:
    cell = next(name for name in red.jobs if name.startswith("cell tinydep1.1"))
    assert red.jobs[cell].result == "failure"
    records, _ = read_records(red.stage.artifacts / "merged")
    assert {r.release: r.outcome for r in records} == {"1.0": "compatible", "1.1": "incompatible"}
    assert any(path.name.startswith("logs-tinydep1.1") for path in red.stage.artifacts.iterdir())
    assert red.jobs["report"].result == "failure"
    assert "tinydep 1.1 is incompatible" in red.jobs["report"].summary


def test_a_cell_whose_artifact_is_lost_is_missing(red: Rehearsal) -> None:
    cell = next(name for name in red.jobs if name.startswith("cell tinydep1.2"))
    assert red.jobs[cell].result == "success"
    (row,) = re.findall(r'<a id="tinydep1\.2-cpu.*', red.jobs["report"].summary)
    assert "| missing |" in row
    assert "planned, but there is no record of it" in red.jobs["report"].log


def test_a_red_run_speaks_up_in_one_issue_with_what_is_wrong(red: Rehearsal) -> None:
    (created,) = called(red, "gh", "issue", "create")
    assert created[created.index("--label") + 1] == "compatibility"
    assert "https://host.invalid/someone/something/actions/runs/17" in created[-1]
    assert "tinydep1.1-cpu" in created[-1]
    assert "tinydep1.2-cpu" in created[-1]
    assert not called(red, "gh", "issue", "close")


def test_a_second_attempt_of_what_failed_mends_the_run(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    mended = tmp_path / "mended"
    code = "import os\n\ndef double(number):\n    return (3 - os.path.exists({!r})) * number\n"
    moody = code.format(str(mended))
    origin, _ = make_origin(tmp_path, {"1.0": tiny.GOOD, "1.1": moody})
    run = Rehearsal(tmp_path, WORKFLOW.read_text("utf-8"), origin, "schedule", answers=OPEN)
    first = dict(run.jobs)
    failed = {name.split("-")[0] for name, job in first.items() if job.result == "failure"}
    assert failed == {"cell", "cell tinydep1.1", "report"}, everything(run)
    mended.touch()
    run.run_failed_again()
    assert {job.result for job in run.jobs.values()} == {"success"}, everything(run)
    unharmed = next(name for name in first if name.startswith("cell tinydep1.0"))
    assert run.jobs[unharmed] is first[unharmed]
    records, errors = read_records(run.stage.artifacts / "merged")
    assert ([record.outcome for record in records], errors) == (["compatible"] * 2, [])
    assert run.stage.pages == run.stage.artifacts / "github-pages-2"
    assert called(run, "gh", "issue")[-1][2] == "close"


def test_an_issue_stays_open_where_the_evidence_cannot_be_proposed(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    origin, _ = make_origin(tmp_path, {"1.0": tiny.GOOD})
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    hook.chmod(0o755)
    run = Rehearsal(tmp_path, WORKFLOW.read_text("utf-8"), origin, "schedule", answers=OPEN)
    assert run.jobs["evidence"].result == "failure", everything(run)
    assert not called(run, "gh", "issue", "close")
    (edited,) = called(run, "gh", "issue", "edit", "7")
    assert "report success, page success, evidence failure." in edited[-1]


def test_a_pull_request_that_is_open_tells_of_the_newest_run(
    green: Rehearsal, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(green.stage.origin), "origin.git")
    answers = {"gh issue list": "", "gh pr list": "1"}
    text = WORKFLOW.read_text("utf-8")
    run = Rehearsal(tmp_path, text, tmp_path / "origin.git", "schedule", answers=answers)
    assert not called(run, "gh", "pr", "create"), everything(run)
    (edited,) = called(run, "gh", "pr", "edit", "evidence/newest")
    assert "tinydep>=1.0 holds" in edited[-1]


def test_the_recipe_for_other_systems_comes_to_its_verdict_whatever_it_finds(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tiny.WRONG, "1.2": tiny.GOOD})
    readme = (WORKFLOW.parents[2] / "README.md").read_text("utf-8")
    (recipe,) = re.findall(r"```sh\n(torchfloor plan --save.*?)```", readme, re.DOTALL)
    hand_back = f"mv .compat/records handed; echo > handed/{project.cell('1.2')}.json"
    for before, after in (
        ("2/5", "1/1"),
        ("FOLDER...", "handed"),
        ("torchfloor merge", f"{hand_back}\ntorchfloor merge"),
    ):
        assert recipe.count(before) == 1
        recipe = recipe.replace(before, after)
    here = f'torchfloor() {{ "{sys.executable}" -m torchfloor "$@"; }}\n'
    done = subprocess.run(  # noqa: S603 - as a CI system runs it
        ["bash", "-eo", "pipefail", "-c", here + recipe],  # noqa: S607
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tiny.SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert f"not taken: handed: {project.cell('1.2')}.json is no record" in done.stderr
    assert "tinydep>=1.0 does not hold: tinydep 1.1 is incompatible" in done.stdout
    assert f"{project.cell('1.2')} is missing" in done.stdout


@pytest.mark.parametrize("lines", [0, 3, 5000])
def test_what_is_told_is_cut_at_a_line_to_what_an_issue_takes_and_says_so(
    tmp_path: Path, lines: int
) -> None:
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["report"]["steps"]
    (script,) = (
        step["run"] for step in steps if step.get("name") == "Fit what is told into an issue"
    )
    (tmp_path / "told").mkdir()
    (tmp_path / "told/verdict.md").write_text("**It holds.**\n", "utf-8")
    (tmp_path / "told/changes.md").write_text("- one ≥ more\n" * lines, "utf-8")
    subprocess.run(  # noqa: S603 - as GitHub runs it
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # noqa: S607
        cwd=tmp_path,
        env=os.environ | {"RUN": "https://host.invalid/17"},
        check=True,
    )
    body = (tmp_path / "told/body.md").read_text("utf-8")
    first, *told = body.splitlines()
    assert first == "**It holds.**"
    assert len(body.encode()) < 61_000
    assert ("Cut here" in body) == (lines == 5000)
    assert {line for line in told if line} <= {"- one ≥ more", told[-1]}


@pytest.mark.parametrize(
    ("event", "group", "gives_way"),
    [("push", "ci-abc", False), ("pull_request", "ci-refs/pull/1/merge", True)],
)
def test_only_the_checks_of_a_pull_request_give_way_to_newer_ones(
    event: str, group: str, *, gives_way: bool
) -> None:
    checks = yaml.safe_load(WORKFLOW.with_name("ci.yml").read_text("utf-8"))
    github = {"event_name": event, "ref": "refs/pull/1/merge", "sha": "abc"}
    found = fill_in(checks["concurrency"], {"github": github})
    assert found == {"group": group, "cancel-in-progress": gives_way}


def test_a_plan_that_fails_speaks_up_and_an_open_issue_is_updated(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    origin, project = make_origin(tmp_path, {"1.0": tiny.GOOD})
    (project.root / "matrix.yaml").write_text("package: 1\n", "utf-8")
    git(project.root, "commit", "--quiet", "--all", "--message=broken")
    git(project.root, "push", "--quiet", str(origin), "main")
    run = Rehearsal(tmp_path, WORKFLOW.read_text("utf-8"), origin, "schedule", answers=OPEN)
    results = {name: job.result for name, job in run.jobs.items()}
    assert results.pop("plan") == "failure"
    assert results.pop("issue") == "success"
    assert set(results.values()) == {"skipped"}
    (edited,) = called(run, "gh", "issue", "edit", "7")
    assert "It did not come to its report." in edited[-1]


def test_a_pull_request_runs_the_quick_cells_reuses_and_publishes_nothing(
    green: Rehearsal, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(green.stage.origin), "origin.git")
    origin = tmp_path / "origin.git"
    git(origin, "update-ref", "refs/heads/main", "refs/heads/evidence/newest")
    run = Rehearsal(tmp_path, WORKFLOW.read_text("utf-8"), origin, "pull_request")
    cells = [name for name in run.jobs if name.startswith("cell ")]
    assert [name[:15] for name in cells] == ["cell tinydep1.0", "cell tinydep1.2"]
    assert all(": reused" in run.jobs[name].log for name in cells), everything(run)
    assert {name: job.result for name, job in run.jobs.items() if name not in cells} == {
        **dict.fromkeys(("plan", "cell", "report"), "success"),
        **dict.fromkeys(("pages", "evidence", "issue"), "skipped"),
    }, everything(run)
    assert "cpu: not-run for 1.1: left out of this run" in run.jobs["report"].summary
    assert not called(run, "gh")


CONTEXTS = {"needs": {"plan": {"outputs": {"cells": "[]"}}}, "inputs": {"fresh": None}}


@pytest.mark.parametrize(
    "expression",
    ["needs.plan.outputs.cell", "need.plan", "inputs.frash", "alway()", "'a' < 'b'", "'a' 'b'"],
)
def test_a_name_or_a_sign_that_is_not_known_fails_a_rehearsal(expression: str) -> None:
    with pytest.raises(UnknownNameError):
        evaluate(f"${{{{ {expression} }}}}", CONTEXTS)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.fresh == ''", True),
        ("!inputs.fresh && needs.plan.outputs.cells != '[]'", False),
        ("inputs.fresh && 'a' || 'b'", "b"),
        ("(true || false) && 'it''s'", "it's"),
    ],
)
def test_expressions_have_the_values_that_they_have_on_github(
    expression: str, value: object
) -> None:
    assert evaluate(expression, CONTEXTS) == value
