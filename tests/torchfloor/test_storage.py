"""Where cells lie on disk, and what of them is kept."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import make_cell, make_wheel
from tests.torchfloor.system import needs

from torchfloor.errors import SpaceError
from torchfloor.space import Download
from torchfloor.storage import Storage, space_to_keep

if TYPE_CHECKING:
    from pathlib import Path

GIGA = 10**9
OLD, NEW = make_cell("1.0"), make_cell("1.1", wheel=make_wheel("1.1", sha256="cd" * 32))


@pytest.fixture
def kept(tmp_path: Path) -> Storage:
    """Return a storage that has kept the downloads of one cell."""
    (tmp_path / "cache").mkdir()
    storage = Storage(tmp_path)
    storage.note(OLD)
    return storage


def test_kept_downloads_are_shared_and_others_go_with_their_cell(tmp_path: Path) -> None:
    keeping, discarding = Storage(tmp_path), Storage(tmp_path, keep=False)
    assert keeping.cache(OLD) == keeping.cache(NEW)
    assert discarding.cache(OLD).is_relative_to(discarding.folder(OLD))
    assert not keeping.cache(OLD).is_relative_to(keeping.folder(OLD))


def test_it_is_known_which_downloads_are_kept(kept: Storage) -> None:
    assert kept.has(OLD)
    assert not kept.has(NEW)
    assert not kept.has(make_cell("1.0", wheel=make_wheel("1.0", sha256="ef" * 32)))
    kept.drop()
    assert not kept.has(OLD)


def test_a_run_that_discards_notes_nothing(kept: Storage) -> None:
    Storage(kept.workspace, keep=False).note(NEW)
    assert not kept.has(NEW)


def test_only_new_downloads_take_room_and_leave_some_for_others(kept: Storage) -> None:
    download = Download(GIGA, exact=True)
    assert space_to_keep(kept, {OLD: download}) == 0
    one = space_to_keep(kept, {OLD: download, NEW: download})
    assert 4 * GIGA < one < 5 * GIGA
    kept.drop()
    assert 6 * GIGA < space_to_keep(kept, {OLD: download, NEW: download}) < 7 * GIGA


def test_cells_whose_downloads_are_kept_need_no_turn(tmp_path: Path) -> None:
    with Storage(tmp_path).turn(), Storage(tmp_path).turn():
        assert not list(tmp_path.iterdir())


def test_cells_that_are_discarded_take_turns(tmp_path: Path) -> None:
    storage, done = Storage(tmp_path, keep=False, turns=2), threading.Event()

    def third() -> None:
        with storage.turn():
            done.set()

    with storage.turn():
        with storage.turn():
            waiting = threading.Thread(target=third)
            waiting.start()
            assert not done.wait(0.5)
        assert done.wait(10)
    waiting.join()


def test_a_cell_that_does_not_fit_is_refused_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torchfloor.host.free_space", lambda _folder: GIGA)
    storage = Storage(tmp_path, needs={OLD.id: 3 * GIGA, NEW.id: GIGA})
    storage.check(NEW)
    with pytest.raises(SpaceError, match=r"3\.0 GB are needed, and 1\.0 GB are free, so 2\.0 GB"):
        storage.check(OLD)


@needs("os.mkfifo")
def test_what_stands_in_the_place_of_a_note_is_none(kept: Storage) -> None:
    note = kept._note(OLD)
    assert kept.has(OLD)
    for put in (lambda: os.mkfifo(note), note.mkdir, lambda: note.write_bytes(b"\xff")):
        note.unlink()
        put()
        assert not kept.has(OLD)
        if note.is_dir():
            note.rmdir()
            note.touch()
