"""A cell's folder: who holds it, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from torchfloor.folder import alone, empty

if TYPE_CHECKING:
    from pathlib import Path


def test_a_cell_that_another_process_runs_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "cells/dep1.0-cpu-py311"
    folder.mkdir(parents=True)
    (folder / "theirs").touch()
    lock, said = FileLock(folder.with_name(f"{folder.name}.lock")), list[str]()
    lock.acquire()

    def release(text: str) -> None:
        said.append(text)
        assert (folder / "theirs").exists()
        lock.release()

    with alone(folder, release) as waited:
        assert waited
        assert list(folder.iterdir()) == []
    assert said == ["another process in this checkout is running it: waiting for its end"]
    with alone(folder, release) as waited:
        assert not waited


def test_a_folder_that_is_still_written_to_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [tmp_path / "cell/late"]
    remove = shutil.rmtree

    def write_meanwhile(folder: Path, *, ignore_errors: bool) -> None:
        remove(folder, ignore_errors=ignore_errors)
        if late:
            folder.mkdir()
            late.pop().touch()

    monkeypatch.setattr("shutil.rmtree", write_meanwhile)
    (tmp_path / "cell").mkdir()
    empty(tmp_path / "cell")
    assert not (tmp_path / "cell").exists()


def test_what_is_told_to_stop_while_it_cleans_up_does_that_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [KeyboardInterrupt()]
    remove = shutil.rmtree

    def remove_interrupted(folder: Path, *, ignore_errors: bool) -> None:
        if told and (folder / "env").exists():
            raise told.pop()
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr("shutil.rmtree", remove_interrupted)
    for ended in (pytest.raises(KeyboardInterrupt), contextlib.nullcontext()):
        with ended, alone(tmp_path / "cell") as waited:
            (tmp_path / "cell/env").mkdir()
        assert not (tmp_path / "cell").exists()
        assert not waited
