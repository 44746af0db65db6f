"""A wheel -> its list of members and a few of them, by as few bytes as possible.

A zip archive ends with a directory of all members (APPNOTE 4.3). The standard library's reader
makes an object of each entry, which takes longer than everything else here together: ten thousand
of a wheel's entries are headers for C++. So the directory is read here, and every figure in it is
taken for hostile: nothing is read, unpacked or kept beyond the limits below, and no member's name
ever becomes a path.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from torchfloor.errors import TorchfloorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torchfloor.timeline.remote import Bytes

__all__ = ["ArchiveError", "Member", "read_directory", "read_members"]

_TAIL = 2**16 + 2**10
"""Bytes read at first: the longest comment that can follow the directory, and what precedes it."""
_MAX_DIRECTORY = 64 * 2**20
_MAX_MEMBERS = 500_000
_MAX_MEMBER = 32 * 2**20
"""Bytes of one unpacked source file; the largest of any release of torch has 3 MB."""
_GAP = 2**14
"""Members this near each other are read at once: as long as a request takes, that many come."""
_LOCAL_EXTRA = 128
"""Bytes that a member's local header may have more than the directory says, to be read at once."""

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_SOURCES = (b".py", b".pyi")
_COMPILED = (b".so", b".pyd")


class ArchiveError(TorchfloorError):
    """A wheel is no zip archive, or one that no build tool writes."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A member as the archive's directory describes it.

    Attributes:
        name: Its path in the archive.
        offset: Where its local header starts.
        packed: Bytes in the archive.
        size: Bytes when unpacked.
        crc: Checksum when unpacked.
        method: How it is packed: 0 not at all, 8 deflated.
    """

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int


def read_directory(wheel: Bytes) -> list[Member]:
    """List the Python files, stubs and compiled modules of a wheel.

    Args:
        wheel: The archive.

    Returns:
        Its members of these kinds, in the archive's order.

    Raises:
        ArchiveError: If it is no archive, or a hostile one.
        RemoteError: If its bytes cannot be had.
    """
    tail_start = max(0, wheel.size - _TAIL)
    tail = wheel.read(tail_start, wheel.size - tail_start)
    start, size, count = _find_directory(wheel, tail, tail_start)
    if count > _MAX_MEMBERS or size > _MAX_DIRECTORY or count * _ENTRY.size > size:
        msg = f"its directory claims {count} members in {size} bytes: no build tool writes that"
        raise ArchiveError(msg)
    if start + size > wheel.size:
        msg = f"its directory claims to end at byte {start + size} of {wheel.size}"
        raise ArchiveError(msg)
    missing = max(0, min(size, tail_start - start))
    directory = wheel.read(start, missing) if missing else b""
    cut = max(0, start - tail_start)
    directory += tail[cut : cut + size - missing]
    members = list(_read_entries(directory, count))
    _check_names(members)
    return [_checked(member, start) for member in members]


def _find_directory(wheel: Bytes, tail: bytes, tail_start: int) -> tuple[int, int, int]:
    """Return where the directory starts, its bytes, and how many entries it has."""
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + _END.size > len(tail):
        msg = "it is no zip archive: the end of its directory is missing"
        raise ArchiveError(msg)
    _, _, _, _, count, size, start, _ = _END.unpack_from(tail, place)
    if _FULL_32 not in (size, start) and count != _FULL_16:
        return start, size, count
    place -= _LOCATOR_64.size
    if place < 0 or tail[place : place + 4] != b"PK\6\7":
        return start, size, count  # so full, and yet an archive of the old kind
    _, _, end, _ = _LOCATOR_64.unpack_from(tail, place)
    if not 0 <= end <= wheel.size - _END_64.size:
        msg = f"its directory claims to end at byte {end} of {wheel.size}"
        raise ArchiveError(msg)
    near = end - tail_start
    found = tail[near : near + _END_64.size] if near >= 0 else wheel.read(end, _END_64.size)
    if len(found) < _END_64.size or not found.startswith(b"PK\6\6"):
        msg = "it is no zip archive: the end of its large directory is damaged"
        raise ArchiveError(msg)
    *_, count, size, start = _END_64.unpack(found)
    return start, size, count


def _read_entries(directory: bytes, count: int) -> Iterator[Member]:
    place = 0
    unpack, header = _ENTRY.unpack_from, _ENTRY.size
    wanted = (*_SOURCES, *_COMPILED)
    for _ in range(count):
        if place + header > len(directory) or directory[place : place + 4] != b"PK\1\2":
            msg = f"its directory is damaged at byte {place}"
            raise ArchiveError(msg)
        entry = unpack(directory, place)
        extra = place + header + entry[10]
        name = directory[place + header : extra]
        place = extra + entry[11] + entry[12]
        if not name.endswith(wanted):
            continue
        if entry[3] & _ENCRYPTED:
            msg = f"{_shown(name)} is encrypted"
            raise ArchiveError(msg)
        sizes = _read_sizes(directory[extra : extra + entry[11]], entry)
        yield Member(_decode(name), sizes[2], sizes[1], sizes[0], entry[7], entry[4])


def _read_sizes(extra: bytes, entry: tuple[int, ...]) -> tuple[int, int, int]:
    """Return size, packed size and offset; large ones stand in an extra field (4.5.3)."""
    sizes = [entry[9], entry[8], entry[16]]
    if _FULL_32 not in sizes:
        return sizes[0], sizes[1], sizes[2]
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            values = iter(struct.iter_unpack("<Q", extra[place + 4 : place + 4 + length // 8 * 8]))
            sizes = [next(values, (n,))[0] if n == _FULL_32 else n for n in sizes]
            break
        place += 4 + length
    return sizes[0], sizes[1], sizes[2]


def _decode(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        msg = f"the member name {_shown(name)} is no UTF-8"
        raise ArchiveError(msg) from None


def _shown(name: bytes) -> str:
    return ascii(name[:80].decode("utf-8", "replace"))


def _check_names(members: list[Member]) -> None:
    for one, other in pairwise(sorted(member.name for member in members)):
        if one == other:
            msg = f"{one!a} stands twice in its directory"
            raise ArchiveError(msg)
    for member in members:
        parts = member.name.split("/")
        if ".." in parts or not parts[0] or "\\" in member.name or "\0" in member.name:
            msg = f"the member name {member.name[:80]!a} leads out of the archive"
            raise ArchiveError(msg)


def _checked(member: Member, end: int) -> Member:
    if member.offset + _LOCAL.size + member.packed > end:
        msg = f"{member.name!a} claims to lie behind the end of the archive"
        raise ArchiveError(msg)
    return member


def read_members(wheel: Bytes, members: Iterable[Member]) -> Iterator[tuple[Member, bytes]]:
    """Read members, those near each other at once.

    Args:
        wheel: The archive.
        members: From its directory.

    Yields:
        Each member with its unpacked content, in the archive's order.

    Raises:
        ArchiveError: If one is too large, damaged, or packed in an unknown way.
        RemoteError: If the bytes cannot be had.
    """
    for group in _groups(sorted(members, key=lambda member: member.offset)):
        start = group[0].offset
        end = min(wheel.size, max(_end(member) for member in group))
        block = wheel.read(start, end - start)
        for member in group:
            yield member, _unpack(wheel, member, block[member.offset - start :])


def _groups(members: list[Member]) -> Iterator[list[Member]]:
    group: list[Member] = []
    for member in members:
        if member.size > _MAX_MEMBER or member.packed > _MAX_MEMBER:
            claimed = max(member.size, member.packed)
            msg = f"{member.name!a} claims {claimed} bytes: too many for a source file"
            raise ArchiveError(msg)
        if group and member.offset - _end(group[-1]) > _GAP:
            yield group
            group = []
        group.append(member)
    if group:
        yield group


def _end(member: Member) -> int:
    name = len(member.name.encode())
    return member.offset + _LOCAL.size + name + _LOCAL_EXTRA + member.packed


def _unpack(wheel: Bytes, member: Member, block: bytes) -> bytes:
    if len(block) < _LOCAL.size or not block.startswith(b"PK\3\4"):
        msg = f"{member.name!a} is not where the directory says"
        raise ArchiveError(msg)
    header = _LOCAL.unpack_from(block)
    start = _LOCAL.size + header[9] + header[10]
    if start + member.packed > len(block):  # an unusually long extra field
        if member.offset + start + member.packed > wheel.size:
            msg = f"{member.name!a} claims to lie behind the end of the archive"
            raise ArchiveError(msg)
        block, start = wheel.read(member.offset + start, member.packed), 0
    content = _inflate(member, block[start : start + member.packed])
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        msg = f"{member.name!a} is damaged: it is not what the directory says"
        raise ArchiveError(msg)
    return content


def _inflate(member: Member, packed: bytes) -> bytes:
    if member.method == _STORED:
        return packed
    if member.method != _DEFLATED:
        msg = f"{member.name!a} is packed in a way (method {member.method}) that wheels do not use"
        raise ArchiveError(msg)
    try:
        # One byte more than promised is enough to see that the promise does not hold.
        return zlib.decompressobj(-15).decompress(packed, member.size + 1)
    except zlib.error as error:
        msg = f"{member.name!a} is damaged ({error})"
        raise ArchiveError(msg) from None
