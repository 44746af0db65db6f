"""Table and page of a workspace: after each cell, unless a run would do little else."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import make_record, make_workspace

from torchfloor.errors import StorageError
from torchfloor.records import write_record
from torchfloor.rendering import refresh

if TYPE_CHECKING:
    from pathlib import Path

    from torchfloor.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return the workspace of a project with one release, whose cell has run."""
    workspace = make_workspace(tmp_path, monkeypatch, "1.0")
    write_record(make_record(workspace.plan().cells[0]), workspace.records)
    refresh(workspace, fail)
    return workspace


def fail(text: str) -> None:
    raise AssertionError(text)


def is_rendered(workspace: Workspace) -> bool:
    """Tell whether a cell that has run now leads to another table and page."""
    files = [workspace.folder / name for name in ("COMPATIBILITY.md", "index.html")]
    before = [file.stat().st_ino for file in files]
    write_record(make_record(workspace.plan().cells[0]), workspace.records)
    refresh(workspace, fail)
    after = [file.stat().st_ino for file in files]
    assert (before[0] == after[0]) == (before[1] == after[1])
    return before != after


def note(workspace: Workspace, took: float, ago: float) -> None:
    """Say that the last rendering took so many seconds, and is so old."""
    file = workspace.folder / "rendered.txt"
    _, seen = file.read_text("utf-8").split()
    file.write_text(f"{took} {seen}\n", "utf-8")
    os.utime(file, (time.time() - ago,) * 2)


def test_table_and_page_are_rendered_after_a_cell(workspace: Workspace) -> None:
    table = (workspace.folder / "COMPATIBILITY.md").read_text("utf-8")
    assert table.startswith("# Compatibility")
    assert is_rendered(workspace)


@pytest.mark.parametrize("name", ["COMPATIBILITY.md", "index.html"])
def test_what_is_not_there_is_rendered_whatever_it_takes(workspace: Workspace, name: str) -> None:
    note(workspace, 100, 1)
    (workspace.folder / name).unlink()
    refresh(workspace, fail)
    assert (workspace.folder / name).exists()


def test_what_is_rendered_for_the_last_time_does_not_wait(workspace: Workspace) -> None:
    note(workspace, 100, 1)
    assert not is_rendered(workspace)
    page = workspace.folder / "index.html"
    before = page.stat().st_ino
    refresh(workspace, fail, ending=True)
    assert page.stat().st_ino != before


def test_where_somebody_else_has_just_rendered_nothing_is(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(make_record(workspace.plan().cells[0]), workspace.records)
    answers = iter([True, False])
    monkeypatch.setattr("torchfloor.rendering._is_due", lambda *_, **__: next(answers))
    monkeypatch.setattr("torchfloor.rendering._write", fail)
    refresh(workspace, fail)


def test_where_nothing_is_new_nothing_is_rendered(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchfloor.rendering._write", fail)
    refresh(workspace, fail)


@pytest.mark.parametrize(
    ("took", "ago", "due"),
    [
        (0.9, 1, True),
        (5, 30, False),
        (5, 110, True),
        (1000, 200, False),
        (1000, 310, True),  # it may have taken so long only once
        (5, -3600, True),  # the clock was set back
        (float("nan"), 1, True),
    ],
)
def test_a_rendering_that_takes_long_waits(
    workspace: Workspace, took: float, ago: float, *, due: bool
) -> None:
    note(workspace, took, ago)
    assert is_rendered(workspace) == due


def test_a_table_that_cannot_be_written_is_told_and_the_run_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: Path, _content: bytes) -> None:
        raise StorageError(target, OSError(28, "No space left on device"))

    said: list[str] = []
    monkeypatch.setattr("torchfloor.rendering.write_atomically", refuse)
    write_record(make_record(workspace.plan().cells[0]), workspace.records)
    refresh(workspace, said.append)
    assert len(said) == 1
    assert "No space left on device" in said[0]

    def break_off(_text: str) -> None:
        raise BrokenPipeError

    refresh(workspace, break_off)  # nor where nobody reads it
