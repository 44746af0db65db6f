"""What changed since the last published run, as a maintainer and a scheduled job meet it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, build_wheel, make_project

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = ("-c", "user.name=n", "-c", "user.email=n@x.invalid", "-c", "commit.gpgsign=false")
REGRESSIONS = "Regressions at or above the declared floor:"


class Since(NamedTuple):
    """A project that was published, and what a run said when the index had moved on."""

    project: Project
    first: Ran
    ran: Ran


def git(root: Path, *arguments: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *NOBODY, *arguments], cwd=root, env=environment, check=True)  # noqa: S603, S607 - our own


@pytest.fixture(scope="module")
def since(tmp_path_factory: pytest.TempPathFactory) -> Since:
    """Publish two releases; then one is another wheel, and a newer one gives wrong numbers."""
    root = tmp_path_factory.mktemp("since")
    project = make_project(root, {"0.9": tiny.GOOD, "1.0": tiny.GOOD})
    first = project.torchfloor("run")
    project.nox("-s", "publish")
    git(root, "init", "--quiet")
    git(root, "add", "evidence")
    git(root, "commit", "--quiet", "--message=evidence")
    build_wheel(root / "wheels", "0.9", tiny.WRONG)
    build_wheel(root / "wheels", "1.1", tiny.WRONG)
    project.torchfloor("plan", "--refresh")
    return Since(project, first, project.nox("-s", "compat"))


def test_a_first_run_says_nothing_of_changes(since: Since) -> None:
    assert since.first.status == 0, since.first.output
    assert "Since the last published run" not in since.first.output


def test_a_run_ends_with_what_changed_since_the_last_published_one(since: Since) -> None:
    project, told = since.project, since.ran.output
    assert since.ran.status == 1, told
    changes = told[told.index("Since the last published run:") :]
    lines = [line.strip() for line in changes.splitlines()]
    assert "Compared: evidence/ (2 cells) with this run (3 cells)." in lines
    assert f"Another wheel: {project.cell('0.9')}." in lines
    regression = lines[lines.index(REGRESSIONS) + 1]
    assert regression.startswith(f"{project.cell('1.1')}: new, and incompatible: probes: ")
    worse = lines[lines.index("Worse, but no regression:") + 1]
    assert worse.startswith(f"{project.cell('0.9')}: incompatible, was compatible: probes: ")
    page = (project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    assert "## What changed since the last published run" in page


def test_what_is_published_is_a_function_of_the_evidence_alone(since: Since) -> None:
    page = (since.project.root / "COMPATIBILITY.md").read_text("utf-8")
    assert "What changed" not in page
    checked = since.project.nox("-s", "docs", "--", "--check")
    assert checked.status == 0, checked.output


def test_a_script_compares_a_revision_with_a_run(since: Since) -> None:
    project = since.project
    changed = project.torchfloor("changes", "HEAD", ".compat/records")
    assert (changed.status, REGRESSIONS in changed.output) == (1, True)
    said = msgspec.json.decode(
        project.torchfloor("changes", "--json", "HEAD", ".compat/records").output
    )
    assert {change["cell"] for change in said["changes"] if change.get("regression")} == {
        project.cell("1.1")
    }
    same = project.torchfloor("changes", "HEAD", "evidence")
    assert (same.status, same.output.splitlines()[-1]) == (0, "Nothing changed.")
    for arguments, status in ((("HEAD~7", "evidence"), 2), (("HEAD", "wheels"), 3)):
        refused = project.torchfloor("changes", *arguments)
        assert (refused.status, "Traceback" in refused.output) == (status, False)


def test_a_damaged_record_is_named_and_the_others_are_compared(since: Since) -> None:
    file = since.project.root / f".compat/records/{since.project.cell('0.9')}.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    try:
        changed = since.project.torchfloor("changes", "HEAD", ".compat/records")
    finally:
        file.write_bytes(whole)
    assert changed.status == 1
    assert f"Not compared: .compat/records: {file.name} is no record" in changed.output
    assert f"{since.project.cell('1.1')}: new, and incompatible" in changed.output
    assert f"{since.project.cell('0.9')}: has no record any more" not in changed.output
