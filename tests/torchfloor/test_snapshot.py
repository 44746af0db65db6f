"""Records of folders and of git revisions, read by the command `torchfloor changes`."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.torchfloor.builders import make_cell, make_record
from tests.torchfloor.system import LINKS

from torchfloor.cli import main
from torchfloor.errors import NoEvidenceError, RecordError, TorchfloorError
from torchfloor.records import write_record
from torchfloor.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = make_record(make_cell("1.0")), make_record(make_cell("1.1"))
FAILED = make_record(make_cell("1.1"), "incompatible")
NOBODY = {
    "GIT_AUTHOR_NAME": "n",
    "GIT_AUTHOR_EMAIL": "n@x.invalid",
    "GIT_COMMITTER_NAME": "n",
    "GIT_COMMITTER_EMAIL": "n@x.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **NOBODY}, check=True)  # noqa: S603, S607 - our own command line


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in a folder of a repository: both releases work, then one does not."""
    root = tmp_path / "repository/project"
    root.mkdir(parents=True)
    git(root.parent, "init", "--quiet", "--initial-branch=main")
    (root.parent / ".gitattributes").write_text("* -text\n", "utf-8")
    for record in (FIRST, SECOND):
        write_record(record, root / "evidence")
    (root / "evidence/plan.json").write_text("{}", "utf-8")
    commit(root)
    git(root, "tag", "works")
    write_record(FAILED, root / "evidence")
    commit(root)
    monkeypatch.chdir(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "--all", ".")
    git(root, "commit", "--quiet", "--message=evidence")


def test_a_revision_holds_what_its_folder_held(project: Path) -> None:
    assert read_snapshot("HEAD", project).records == (FIRST, FAILED)
    old = read_snapshot("works", project)
    assert (old.records, old.damaged) == ((FIRST, SECOND), {})
    assert old.name.startswith("evidence/ at works (")
    assert read_snapshot("evidence", project) == Snapshot("evidence", (FIRST, FAILED), {})


def test_a_folder_is_meant_before_a_revision_of_its_name(project: Path) -> None:
    write_record(FIRST, project / "works")
    assert read_snapshot("works", project).records == (FIRST,)
    assert read_snapshot("refs/tags/works", project).records == (FIRST, SECOND)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "--output=made", "HEAD:evidence", "a\nb", "x" * 300, "HEAD..works"]
)
def test_what_is_neither_is_told_and_does_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    before = sorted(project.rglob("*"))
    assert main(["changes", "--", text, "evidence"]) == 2
    told = capsys.readouterr().err
    assert "is neither a folder nor a git revision here (" in told
    assert "name a folder of records, such as evidence or .compat/records" in told
    assert ("does not begin with '-'" in told) == (text in {"", "--output=made", "a\nb", "x" * 300})
    assert sorted(project.rglob("*")) == before


def test_without_a_repository_or_git_a_revision_is_none_and_folders_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(TorchfloorError, match="not a git repository"):
        read_snapshot("HEAD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TorchfloorError, match="git is not there"):
        read_snapshot("HEAD", tmp_path)
    write_record(FIRST, tmp_path / "records")
    assert read_snapshot(str(tmp_path / "records"), tmp_path).records == (FIRST,)


def test_the_repository_is_the_projects_whatever_a_hook_has_set(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert read_snapshot("works", project).records == (FIRST, SECOND)


@LINKS
def test_what_is_damaged_in_a_revision_is_named_and_the_others_stand(project: Path) -> None:
    evidence = project / "evidence"
    target = evidence / "dep1.1-cpu-py311.json"
    target.write_bytes(target.read_bytes().replace(b"incompatible", b"compatible"))
    (evidence / "dep1.2-cpu-py311.json").symlink_to("dep1.0-cpu-py311.json")
    (evidence / "dep1.3-cpu-py311.json").write_bytes(b"{")
    (evidence / "more").mkdir()
    (evidence / "more/dep1.4-cpu-py311.json").write_bytes(b"{")
    commit(project)
    found = read_snapshot("HEAD", project)
    assert found.records == (FIRST,)
    assert [name[:6] for name in found.damaged] == ["dep1.1", "dep1.2", "dep1.3"]
    assert "was changed since its run wrote it" in found.damaged["dep1.1-cpu-py311.json"]


def test_an_earlier_schema_that_says_the_same_is_read_and_another_one_is_named(
    project: Path,
) -> None:
    for schema, release in ((1, "1.0"), (99, "1.1")):
        file = project / f"evidence/dep{release}-cpu-py311.json"
        said = json.loads(file.read_bytes())
        del said["digest"]
        file.write_text(json.dumps(said | {"schema": schema}), "utf-8")
    commit(project)
    found = read_snapshot("HEAD", project)
    assert found.records == (FIRST,)
    assert "but of schema 99, from a newer torchfloor" in found.damaged["dep1.1-cpu-py311.json"]


def test_evidence_of_no_reasonable_size_is_not_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchfloor.revision._LARGEST", 100)
    with pytest.raises(RecordError, match=r"dep1\.0-cpu-py311\.json at .* is larger than any"):
        read_snapshot("HEAD", project)
    monkeypatch.setattr("torchfloor.revision._LARGEST", 10**6)
    monkeypatch.setattr("torchfloor.revision._MOST", 2000)
    with pytest.raises(RecordError, match=r"all of evidence/ at .* is larger than any"):
        read_snapshot("HEAD", project)


def test_a_repository_that_has_lost_an_object_is_told(project: Path) -> None:
    name = subprocess.check_output(
        ["git", "rev-parse", "HEAD:./evidence/dep1.0-cpu-py311.json"],  # noqa: S607 - the same
        cwd=project,
        text=True,
    ).strip()
    (project.parent / f".git/objects/{name[:2]}/{name[2:]}").unlink()
    with pytest.raises(TorchfloorError, match="git cannot"):
        read_snapshot("HEAD", project)


def test_what_holds_no_record_is_no_evidence(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project, "rm", "-r", "--quiet", "evidence")
    git(project, "commit", "--quiet", "--message=none")
    (project / "empty").mkdir()
    for old, new in (("HEAD", "works"), ("works", "empty")):
        assert main(["changes", old, new]) == 3
        told = capsys.readouterr().err
        assert "holds no record that can be read; name a folder of records, such as" in told
    (project / "empty/dep1.0-cpu-py311.json").write_text("{", "utf-8")
    with pytest.raises(NoEvidenceError, match=r"empty: dep1\.0-cpu-py311\.json is no record"):
        read_snapshot("empty", project)


def test_a_regression_is_exit_status_1_and_the_way_back_is_none(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.is_dir()
    assert main(["changes", "works", "evidence"]) == 1
    assert "dep1.1-cpu-py311: incompatible, was compatible" in capsys.readouterr().out
    assert main(["changes", "evidence", "works"]) == 0
    assert "dep1.1-cpu-py311: compatible, was incompatible" in capsys.readouterr().out
    assert main(["changes", "HEAD", "evidence"]) == 0
    assert capsys.readouterr().out.endswith("Nothing changed.\n")


def test_a_matrix_elsewhere_names_the_repository(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matrix = ["--matrix", str(project / "matrix.yaml")]
    assert main([*matrix, "changes", "works", "HEAD"]) == 1


def test_what_changed_comes_as_json_and_as_markdown(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.is_dir()
    assert main(["changes", "works", "evidence", "--json"]) == 1
    said = msgspec.json.decode(capsys.readouterr().out)
    assert (said["regressions"], said["cells"]) == (1, [2, 2])
    assert said["changes"][0]["cell"] == "dep1.1-cpu-py311"
    assert main(["changes", "works", "evidence", "--markdown"]) == 1
    page = capsys.readouterr().out
    assert page.startswith("## What changed\n\n- Compared: evidence/ at works (")
    assert "**Regressions at or above the declared floor**\n\n- dep1.1-cpu-py311: inc" in page
