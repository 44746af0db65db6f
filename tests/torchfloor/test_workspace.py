"""The workspace: what it keeps, for how long, and what it takes for current."""

from __future__ import annotations

import datetime as dt
import errno
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from filelock import FileLock
from tests.torchfloor.builders import (
    MACHINE,
    MATRIX,
    add_wheel,
    make_cell,
    make_record,
    make_wheel,
    make_workspace,
    write_project,
)

from torchfloor.errors import StorageError, TorchfloorError
from torchfloor.files import seal
from torchfloor.matrix import read_matrix
from torchfloor.publish import publish_records
from torchfloor.records import read_records, write_record
from torchfloor.rendering import render
from torchfloor.storage import Storage
from torchfloor.workspace import Workspace, _CachedPlan, choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchfloor.plan import Cell, Plan
    from torchfloor.record import Record


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return the workspace of a project with wheels for 1.0 and 1.1."""
    return make_workspace(tmp_path, monkeypatch, "1.0", "1.1")


def change_plan(workspace: Workspace, **changes: Any) -> None:  # noqa: ANN401 - any field
    file = workspace.folder / "plan.json"
    cached = msgspec.json.decode(file.read_bytes(), type=_CachedPlan)
    plan = msgspec.structs.replace(cached.plan, **changes)
    file.write_bytes(seal(_CachedPlan(cached.key, plan)))


def age_plan(workspace: Workspace, age: dt.timedelta) -> None:
    change_plan(workspace, made=dt.datetime.now(dt.UTC) - age)


def releases(plan: Plan) -> list[str]:
    return [cell.release for cell in plan.cells]


def test_a_plan_that_an_index_did_not_answer_for_is_kept_for_minutes_only(
    workspace: Workspace,
) -> None:
    workspace.plan()
    change_plan(workspace, unreachable=("wheels does not answer",))
    add_wheel(workspace.matrix.root, "1.2")
    assert releases(workspace.plan()) == ["1.0", "1.1"]
    age_plan(workspace, dt.timedelta(minutes=15))
    assert releases(workspace.plan()) == ["1.0", "1.1", "1.2"]


@pytest.mark.parametrize(
    ("minutes", "options", "kept"),
    [
        (50, {}, True),
        (70, {}, False),
        (-5, {}, False),  # a clock that was set back
        (70, {"pinned": True}, True),
        (1, {"refresh": True}, False),
    ],
)
def test_a_plan_is_kept_for_an_hour_unless_it_is_pinned_or_refreshed(
    workspace: Workspace, minutes: int, options: dict[str, bool], *, kept: bool
) -> None:
    workspace.plan()
    age_plan(workspace, dt.timedelta(minutes=minutes))
    add_wheel(workspace.matrix.root, "1.2")
    found = releases(workspace.plan(**options))
    assert found == (["1.0", "1.1"] if kept else ["1.0", "1.1", "1.2"])


def test_an_index_that_lost_all_it_had_is_silent_and_nothing_is_made_away(
    tmp_path: Path, workspace: Workspace
) -> None:
    file = write_project(tmp_path, MATRIX.replace("[wheels]", "[share, empty, wheels]"))
    workspace = Workspace(read_matrix(file))
    (tmp_path / "empty").mkdir()  # it never had anything, so nothing is missed
    share = tmp_path / "share/dep-1.2-py3-none-any.whl"
    share.parent.mkdir()
    share.write_bytes(b"")
    plan = workspace.plan()
    assert releases(plan) == ["1.0", "1.1", "1.2"]
    records = [make_record(cell) for cell in plan.cells]
    publish_records(workspace.matrix, plan, records)
    share.unlink()
    for _ in range(2):  # the second plan has no wheel that tells where it came from
        plan = workspace.plan(refresh=True)
        assert releases(plan) == ["1.0", "1.1", "1.2"]
        told = f"share knows nothing of dep, though it did on {plan.made:%Y-%m-%d}"
        assert plan.unreachable == (told,)
        publish_records(workspace.matrix, plan, records[:2])
    assert len(read_records(workspace.matrix.root / "evidence")[0]) == 3
    share.write_bytes(b"")
    assert workspace.plan(refresh=True).unreachable == ()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "x", "plan": {}}'])
def test_a_damaged_plan_is_made_anew(workspace: Workspace, content: str) -> None:
    before = workspace.plan()
    (workspace.folder / "plan.json").write_text(content, "utf-8")
    assert releases(workspace.plan()) == releases(before)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_plan_changed_by_hand_is_made_anew(workspace: Workspace, *, pinned: bool) -> None:
    before = workspace.plan()
    file = workspace.folder / "plan.json"
    file.write_text(file.read_text("utf-8").replace('"status": "planned"', '"status": "not-run"'))
    assert workspace.plan(pinned=pinned).cells == before.cells


def test_another_index_is_another_plan(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plan()
    add_wheel(workspace.matrix.root, "1.2")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.invalid/simple/")
    assert releases(workspace.plan()) == ["1.0", "1.1", "1.2"]


def test_records_of_the_workspace_come_after_the_published_ones(workspace: Workspace) -> None:
    cell = workspace.plan().cells[0]
    published, own = make_record(cell), make_record(cell, promised=False)
    write_record(published, workspace.matrix.root / "evidence")
    write_record(own, workspace.records)
    assert workspace.all_records() == [published, own]


def test_a_cell_is_obtained_once_and_then_told_as_reused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def run_cell(_matrix: object, cell: Cell, _storage: Storage, _say: object) -> Record:
        made.append(cell.id)
        digests = workspace.inputs.of(cell.version, cell.flavour)
        record = make_record(cell)
        assert record.environment is not None
        monkeypatch.setattr("torchfloor.host.machine", lambda: record.environment.machine)
        changes = msgspec.structs.asdict(digests)
        provenance = msgspec.structs.replace(record.provenance, **changes)
        return msgspec.structs.replace(record, provenance=provenance)

    monkeypatch.setattr("torchfloor.run.run_cell", run_cell)
    cell = workspace.plan().cells[0]
    said: list[str] = []
    storage = Storage(workspace.folder)
    first = workspace.obtain(cell, storage, said.append)
    assert workspace.obtain(cell, storage, said.append) == first
    assert made == [cell.id]
    assert said == ["nothing changed since 2026-01-02 12:00 UTC: reused"]


@pytest.mark.parametrize("sha256", ["ab" * 32, None])
def test_a_record_of_a_wheel_without_a_digest_is_not_reused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, sha256: str | None
) -> None:
    cell = make_cell(wheel=make_wheel("1.0", sha256=sha256))
    record = make_record(cell)
    monkeypatch.setattr("torchfloor.host.machine", lambda: MACHINE)
    monkeypatch.setattr("torchfloor.provenance.Inputs.made", lambda _self, _record: True)
    write_record(record, workspace.records)
    assert workspace.current_record(cell) == (record if sha256 else None)


def test_a_record_has_the_room_that_its_cell_leaves_on_a_full_disk(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, storage = workspace.plan().cells[0], Storage(workspace.folder)

    def run_cell(_matrix: object, cell: Cell, storage: Storage, _say: object) -> Record:
        (storage.folder(cell) / "env").touch()
        return make_record(cell)

    def write(record: Record, folder: Path) -> Path:
        if (storage.folder(cell) / "env").exists():
            raise StorageError(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return write_record(record, folder)

    monkeypatch.setattr("torchfloor.run.run_cell", run_cell)
    monkeypatch.setattr("torchfloor.workspace.write_record", write)
    workspace.obtain(cell, storage, lambda _text: None)
    assert [file.stem for file in workspace.records.iterdir()] == [cell.id]


def test_where_the_checkout_was_renamed_wheels_are_looked_for_where_they_are_now(
    workspace: Workspace,
) -> None:
    workspace.plan()
    root = workspace.matrix.root
    moved = root.rename(root.with_name("it's moved"))
    plan = Workspace(read_matrix(moved / "matrix.yaml")).plan(pinned=True)
    urls = [cell.wheel.url for cell in plan.cells if cell.wheel]
    assert len(urls) == 2
    assert all(url.startswith((moved / "wheels").as_uri()) for url in urls)


def test_a_folder_that_another_run_works_in_is_not_swept(workspace: Workspace) -> None:
    cells = workspace.folder / "cells"
    for name in ("left", "busy"):
        (cells / name).mkdir(parents=True)
    with FileLock(cells / "busy.lock"):
        workspace.sweep()
    assert [path.name for path in cells.iterdir() if path.is_dir()] == ["busy"]


def test_cells_are_chosen_by_name_in_the_plans_order(workspace: Workspace) -> None:
    plan = workspace.plan()
    names = [cell.id for cell in plan.cells]
    assert [cell.id for cell in choose(plan, names[::-1])] == names
    with pytest.raises(TorchfloorError, match="no cell a, b in the plan"):
        choose(plan, ["a", names[0], "b"])


@pytest.mark.parametrize("write", [lambda w: w.plan(), render])
def test_only_the_workspace_itself_is_written_to(
    workspace: Workspace, write: Callable[[Workspace], object]
) -> None:
    before = set(workspace.matrix.root.iterdir())
    write(workspace)
    assert set(workspace.matrix.root.iterdir()) - before == {workspace.folder}


def test_a_folder_whose_name_is_no_text_has_a_plan_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"odd-\xff")
    root.mkdir()
    matrix = read_matrix(write_project(root))
    assert Workspace(matrix)._plan_key()
