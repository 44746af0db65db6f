"""Parts of files on servers: those that give them, those that do not, and those that lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.wheelhouse import WheelServer

from torchfloor.timeline.remote import (
    LocalBytes,
    NoRangesError,
    RemoteBytes,
    RemoteError,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 8000
NAME = "dep-1.0-py3-none-any.whl"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[WheelServer]:
    (tmp_path / NAME).write_bytes(CONTENT)
    with WheelServer(tmp_path).running() as running:
        yield running


def at(house: WheelServer) -> str:
    return house.url.replace("simple/", f"files/{NAME}")


def test_a_part_is_read_and_counted(house: WheelServer) -> None:
    server = Server(2)
    remote = RemoteBytes(server, at(house), len(CONTENT))
    assert remote.read(1000, 300) == CONTENT[1000:1300]
    assert remote.read(5, 0) == b""
    assert (server.requests, server.received, house.sent) == (1, 300, 300)


def test_a_size_that_the_index_does_not_tell_is_asked_for(house: WheelServer) -> None:
    assert RemoteBytes(Server(2), at(house), None).size == len(CONTENT)


def test_a_server_that_gives_whole_files_is_not_read_to_the_end(house: WheelServer) -> None:
    house.manner = "whole"
    server = Server(2)
    with pytest.raises(NoRangesError, match=r"only the whole file \(2.0 MB\); --allow-full"):
        RemoteBytes(server, at(house), len(CONTENT)).read(0, 10)
    assert server.received == 0


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("other", "other bytes than it was asked for"),
        ("short", "breaks off before its answer is complete"),
        ("gzip", "compresses parts of files"),
        ("gone", "status 404; it is no longer there"),
    ],
)
def test_a_server_that_lies_is_told(house: WheelServer, manner: str, words: str) -> None:
    house.manner = manner
    with pytest.raises(RemoteError, match=f"{NAME}: .*{words}"):
        RemoteBytes(Server(2), at(house), len(CONTENT)).read(0, 1000)


def test_a_busy_server_is_asked_again(house: WheelServer) -> None:
    house.manner = "busy"
    assert RemoteBytes(Server(2), at(house), len(CONTENT)).read(0, 4) == CONTENT[:4]
    assert house.asked == 2


def test_a_file_of_another_size_than_the_index_says_is_told(house: WheelServer) -> None:
    with pytest.raises(RemoteError, match="bytes on the server, and 77 on the index"):
        RemoteBytes(Server(2), at(house), 77).read(0, 4)


def test_nobody_listening_is_told_without_credentials() -> None:
    remote = RemoteBytes(Server(2), f"http://user:secret@127.0.0.1:9/{NAME}", 10)
    with pytest.raises(RemoteError, match=f"^{NAME}: the server does not answer") as caught:
        remote.read(0, 1)
    assert "secret" not in str(caught.value)


def test_a_whole_file_is_downloaded_and_its_size_checked(house: WheelServer) -> None:
    with LocalBytes(Server(2).whole(at(house), len(CONTENT), 2**30)) as whole:
        assert whole.read(10, 20) == CONTENT[10:30]
    with pytest.raises(RemoteError, match="bytes came, and the index says 5"):
        Server(2).whole(at(house), 5, 2**30)


def test_a_local_file_ends_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"abc")
    local = LocalBytes.at((tmp_path / "x.whl").as_uri())
    with local, pytest.raises(RemoteError, match="ends at byte 3"):
        local.read(2, 5)
    with pytest.raises(RemoteError, match=r"y.whl cannot be read \(No such file"):
        LocalBytes.at((tmp_path / "y.whl").as_uri())
