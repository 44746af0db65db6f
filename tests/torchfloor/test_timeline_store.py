"""The store: what is kept, for whom, and what becomes of damage."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.system import POSIX

from torchfloor.timeline.store import Store, default_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "cache")
    yield opened
    opened.close()


def reopened(folder: Path) -> Store:
    return Store(folder / "cache")


def test_what_is_kept_is_there_the_next_time(store: Store, tmp_path: Path) -> None:
    store.put("member", "wheel", {"a": b"one", "b": b"two"})
    again = reopened(tmp_path)
    assert again.get("member", "wheel", "a", bytes) == b"one"
    assert again.get_many("member", "wheel", ["a", "b", "c"], bytes) == {"a": b"one", "b": b"two"}
    assert again.get("member", "other", "a", bytes) is None
    again.close()


@POSIX
def test_the_file_is_private(store: Store, tmp_path: Path) -> None:
    store.put("member", "wheel", {"a": b"one"})
    (file,) = (tmp_path / "cache").iterdir()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_body_that_is_damaged_or_of_another_type_is_as_if_never_kept(
    store: Store, tmp_path: Path
) -> None:
    store.put("member", "wheel", {"a": b"one" * 50, "b": "text"})
    with sqlite3.connect(tmp_path / "cache/wheels-1.sqlite") as database:
        (body,) = database.execute("SELECT body FROM kept WHERE name = 'a'").fetchone()
        database.execute("UPDATE kept SET body = ? WHERE name = 'a'", (body[:-1] + b"!",))
    database.close()
    assert store.get_many("member", "wheel", ["a", "b"], bytes) == {}


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/wheels-1.sqlite").write_bytes(content)
    store = reopened(tmp_path)
    store.put("member", "wheel", {"a": b"one"})
    store.close()
    again = reopened(tmp_path)
    assert (again.get("member", "wheel", "a", bytes), again.trouble) == (b"one", "")
    again.close()


def test_without_a_place_to_write_all_works_from_memory(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way", "utf-8")
    store = reopened(tmp_path)
    store.put("member", "wheel", {"a": b"one"})
    assert store.get("member", "wheel", "a", bytes) == b"one"
    assert "nothing is kept for the next time" in store.trouble
    assert "cache cannot be used" in store.trouble
    store.close()


def test_several_threads_and_stores_write_at_once(tmp_path: Path) -> None:
    stores = [reopened(tmp_path) for _ in range(2)]

    def write(number: int) -> None:
        for name in range(20):
            stores[number % 2].put("member", f"wheel{number}", {str(name): b"x"})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        names = map(str, range(20))
        assert len(stores[0].get_many("member", f"wheel{number}", names, bytes)) == 20
    for store in stores:
        store.close()


def test_the_folder_is_the_users_own_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TORCHFLOOR_CACHE", raising=False)
    assert default_folder().name == "torchfloor"
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
