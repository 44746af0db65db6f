"""Records on disk: written whole or not at all, and read with mistrust."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from torchfloor.contradictions import find_contradictions
from torchfloor.errors import RecordError, StorageError, UnreadRecordError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.garbage import uncollected
from torchfloor.record import SCHEMA, Record

__all__ = [
    "NO_RECORDS",
    "decode_record",
    "read_record",
    "read_records",
    "record_files",
    "storing",
    "sweep_unfinished",
    "write_atomically",
    "write_record",
]

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_MAX_BYTES = 64 * 2**20
NO_RECORDS = {"plan.json", "timeline.json"}
"""Evidence that is of no cell."""
_ALIKE = {1}
"""Earlier schemas whose records say what they would today; 1 had no digest of itself."""
_AGAIN = "run the cell again"
_UNFINISHED = re.compile(r"\..+\.(\d{1,9})\.[0-9a-f]+")
"""Name of a file that is being written: `.<target>.<process>.<random>`."""


class _Head(msgspec.Struct):
    schema: int


def write_record(record: Record, folder: Path) -> Path:
    """Write a record as `<cell>.json`, with a digest of all that it says: whole or not at all.

    Args:
        record: The record.
        folder: Where to; made if it is not there.

    Returns:
        The file.

    Raises:
        StorageError: If it cannot be written.
    """
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{record.cell}.json"
    write_atomically(target, seal(record))
    return target


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that no reader, and no interruption, ever sees half of it.

    Raises:
        StorageError: If it cannot be written; what stood there is unchanged.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with storing(target):
        try:
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.chmod(0o644)
            unfinished.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise


def sweep_unfinished(*folders: Path, of: str = "*") -> None:
    """Remove what processes that were killed had begun to write; it is never read.

    Args:
        folders: Where to look.
        of: Name of the file that it was to become, where others' files lie beside it.
    """
    import psutil  # noqa: PLC0415 - not worth importing where cells are only listed

    for folder in folders:
        for file in folder.glob(f".{of}.*"):
            named = _UNFINISHED.fullmatch(file.name)
            if named and not psutil.pid_exists(int(named[1])):
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Tell of a file or folder that cannot be written in words for the user.

    Raises:
        StorageError: Instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(place, error) from None


def read_record(file: Path, *, earlier: bool = False) -> Record:
    """Read one record.

    Args:
        file: A file written by `write_record`.
        earlier: Whether a record of an earlier schema will do, if it says the same today.

    Returns:
        The record.

    Raises:
        RecordError: If the file is no record, of another schema, of another cell than its name
            says, contradicts itself, or was changed by anything but a run.
    """
    if file.is_symlink():
        why = "is a symbolic link, so what it says may change at any time"
        msg = f"{file.name} {why}; remove it, or {_AGAIN}"
        raise RecordError(msg)
    try:
        content = read_bounded(file, _MAX_BYTES)
    except OSError as error:
        msg = f"{file.name} cannot be read ({error.strerror}); check what it is, or {_AGAIN}"
        raise UnreadRecordError(msg) from None
    return decode_record(file.name, content, earlier=earlier)


def decode_record(name: str, content: bytes, *, earlier: bool = False) -> Record:
    """Decode the content of a record's file.

    Args:
        name: The file's name.
        content: What it holds.
        earlier: As in `read_record`.

    Returns:
        The record.

    Raises:
        RecordError: As `read_record`.
    """
    is_alike = earlier and _schema_of(content) in _ALIKE
    try:
        if is_alike:
            said = msgspec.json.decode(content) | {"schema": SCHEMA}
            record = msgspec.convert(said, Record)
        else:
            record = msgspec.json.decode(content, type=Record)
    except (ValueError, RecursionError) as error:
        msg = f"{name} is no record of schema {SCHEMA} ({_cause(content, error)}); {_AGAIN}"
        raise RecordError(msg) from None
    if doubts := _doubts(name, content, record, sealed=not is_alike):
        msg = f"{name} {'; '.join(doubts)}; remove it, or {_AGAIN}"
        raise RecordError(msg)
    return record


def _cause(content: bytes, error: Exception) -> str:
    """Tell the record of another harness from what is no record at all."""
    schema = _schema_of(content)
    if schema is None or schema == SCHEMA:
        return str(error)
    newer = ", from a newer torchfloor: use that one" if schema > SCHEMA else ""
    return f"but of schema {schema}{newer}"


def _schema_of(content: bytes) -> int | None:
    try:
        return msgspec.json.decode(content, type=_Head).schema
    except (ValueError, RecursionError):
        return None


def _doubts(name: str, content: bytes, record: Record, *, sealed: bool) -> list[str]:
    if f"{record.cell}.json" != name:
        return [f"holds the record of {record.cell}"]
    if sealed and not is_unchanged(content):
        return ["was changed since its run wrote it (its digest does not fit)"]
    return find_contradictions(record)


def read_records(
    folder: Path, passing_over: Collection[str] = ()
) -> tuple[list[Record], list[RecordError]]:
    """Read every record of a folder.

    Args:
        folder: A folder of records; it need not exist.
        passing_over: Names of files that are none of ours.

    Returns:
        The records, oldest release first, and an error for each file that is none.
    """
    records: list[Record] = []
    errors: list[RecordError] = []
    with uncollected():
        for file in record_files(folder, passing_over):
            try:
                records.append(read_record(file))
            except RecordError as error:
                errors.append(error)
    return sorted(records, key=lambda record: (record.version, record.cell)), errors


def record_files(folder: Path, passing_over: Collection[str] = ()) -> list[Path]:
    """List the files of a folder that should be records, by name.

    Args:
        folder: A folder of records; it need not exist.
        passing_over: Names of files that are none of ours.
    """
    others = {*NO_RECORDS, *passing_over}
    files = sorted(folder.glob("*.json"), key=attrgetter("name"))
    return [file for file in files if not file.name.startswith(".") and file.name not in others]
