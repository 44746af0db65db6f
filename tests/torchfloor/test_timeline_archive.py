"""Archives: what is read of good ones, and that bad ones are refused within bounds."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.torchfloor.wheelhouse import pack

from torchfloor.timeline import archive
from torchfloor.timeline.archive import ArchiveError, Member, read_directory, read_members
from torchfloor.timeline.remote import LocalBytes, RemoteError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES: dict[str, str | bytes] = {
    "dep/__init__.py": "a = 1\n" * 50,
    "dep/x.pyi": "b: int\n",
    "dep/y.so": b"\x7fELF",
}


class Counted(LocalBytes):
    """An archive in memory that counts how it is read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, length: int) -> bytes:
        self.reads.append((start, length))
        return super().read(start, length)


def read_all(content: bytes) -> dict[str, bytes]:
    wheel = LocalBytes(io.BytesIO(content))
    return {member.name: body for member, body in read_members(wheel, read_directory(wheel))}


def read_by_zipfile(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [n for n in archive.namelist() if n.endswith((".py", ".pyi", ".so", ".pyd"))]
        return {name: archive.read(name) for name in names}


def test_sources_stubs_and_compiled_modules_are_read_and_nothing_else() -> None:
    content = pack({**FILES, "dep/include/x.h": "int x;", "dep-1.0.dist-info/RECORD": ""})
    assert read_all(content) == {
        name: text.encode() if isinstance(text, str) else text for name, text in FILES.items()
    }


names = st.from_regex(r"[a-zäé]{1,8}(/[a-z]{1,5}){0,2}\.(py|pyi|so|txt)", fullmatch=True)
trees = st.dictionaries(names, st.binary(max_size=200), max_size=8)


@given(trees, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.binary(max_size=50))
def test_any_archive_is_read_as_the_standard_library_reads_it(
    files: Mapping[str, bytes], method: int, comment: bytes
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.comment = comment.replace(b"PK", b"--")
        for name, content in files.items():
            packed.writestr(name, content)
    assert read_all(buffer.getvalue()) == read_by_zipfile(buffer.getvalue())


def test_a_large_archive_of_the_64_bit_kind_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    content = pack(FILES)
    assert b"PK\6\6" in content
    assert read_all(content) == read_by_zipfile(content)


def test_what_lies_before_the_archive_is_not_read() -> None:
    wheel = Counted(pack({"dep/data.bin": bytes(range(256)) * 4000, **FILES}))
    members = read_directory(wheel)
    list(read_members(wheel, members))
    assert sum(length for _, length in wheel.reads) < 2 * archive._TAIL


def test_neighbours_are_read_at_once_and_others_apart() -> None:
    noise = random.Random(0).randbytes(60_000)  # noqa: S311 - only must not shrink
    wheel = Counted(pack({"a.py": "a", "b.py": "b", "noise.bin": noise, "c.py": "c"}))
    members = read_directory(wheel)
    wheel.reads.clear()
    assert [body for _, body in read_members(wheel, members)] == [b"a", b"b", b"c"]
    assert len(wheel.reads) == 2


def spoil(content: bytes, sign: bytes, place: int, form: str, value: int) -> bytes:
    """Put another number into the first header of a kind."""
    at = content.index(sign) + place
    return content[:at] + struct.pack(form, value) + content[at + struct.calcsize(form) :]


ENTRY, END, LOCAL = b"PK\1\2", b"PK\5\6", b"PK\3\4"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no zip archive"),
        (b"not an archive" * 9, "no zip archive"),
        (pack(FILES)[:-30], "no zip archive"),
        (spoil(pack(FILES), END, 10, "<H", 60_000), "60000 members in"),
        (spoil(pack(FILES), END, 12, "<L", 2**31), "claims"),
        (spoil(pack(FILES), END, 16, "<L", 2**30), "claims to end at byte"),
        (spoil(pack(FILES), ENTRY, 0, "<L", 7), "directory is damaged at byte 0"),
        (spoil(pack(FILES), ENTRY, 42, "<L", 2**30), "behind the end of the archive"),
        (spoil(pack(FILES), ENTRY, 24, "<L", 2**31), "too many for a source file"),
        (spoil(pack(FILES), ENTRY, 24, "<L", 7), "is not what the directory says"),
        (spoil(pack(FILES), ENTRY, 16, "<L", 7), "is not what the directory says"),
        (spoil(pack(FILES), ENTRY, 10, "<H", 12), "method 12"),
        (spoil(pack(FILES), ENTRY, 8, "<H", 1), "is encrypted"),
        (spoil(pack(FILES), ENTRY, 46, "<B", 255), "is no UTF-8"),
        (spoil(pack(FILES), LOCAL, 0, "<L", 7), "is not where the directory says"),
        (spoil(pack(FILES), LOCAL, 28, "<H", 60_000), "behind the end of the archive"),
        (pack({"../up.py": ""}), "leads out of the archive"),
        (pack({"/etc/x.py": ""}), "leads out of the archive"),
        (pack({"a\\b.py": ""}), "leads out of the archive"),
    ],
)
def test_an_archive_that_no_build_tool_writes_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        read_all(content)


@pytest.mark.parametrize("limit", ["_MAX_MEMBERS", "_MAX_DIRECTORY", "_MAX_MEMBER"])
def test_what_is_larger_than_any_wheel_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(archive, limit, 2)
    with pytest.raises(ArchiveError, match="claims"):
        read_all(pack(FILES))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("dep.py", "one")
        packed.writestr("dep.py", "other")
    with pytest.raises(ArchiveError, match=r"'dep.py' stands twice"):
        read_all(buffer.getvalue())


def test_a_bomb_is_unpacked_no_further_than_it_says() -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(bytes(50 * 2**20)) + packed.flush()
    member = Member("bomb.py", 0, len(body), 10, 0, 8)
    assert len(archive._inflate(member, body)) == 11


@settings(max_examples=400)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(pack(FILES))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    damaged = bytes(content if data.draw(st.booleans()) else content[:cut])
    try:
        found = read_all(damaged)
    except (ArchiveError, RemoteError):
        return
    assert sum(map(len, found.values())) < 10_000
