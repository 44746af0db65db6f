"""Records on disk: written whole or not at all, and read with mistrust."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING

import msgspec

from torchfloor.errors import RecordError, StorageError
from torchfloor.record import SCHEMA, Record

__all__ = [
    "read_record",
    "read_records",
    "storing",
    "sweep_unfinished",
    "write_atomically",
    "write_record",
]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_BYTES = 16 * 2**20
_UNFINISHED = re.compile(r"\..+\.(\d+)\.\w+")
"""Name of a file that is being written: `.<target>.<process>.<random>`."""


def write_record(record: Record, folder: Path) -> Path:
    """Write a record as `<cell>.json`: whole or not at all.

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
    write_atomically(target, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
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


def sweep_unfinished(*folders: Path) -> None:
    """Remove what processes that were killed had begun to write; it is never read."""
    import psutil  # noqa: PLC0415 - not worth importing where cells are only listed

    for folder in folders:
        for file in folder.glob(".*.*"):
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


def read_record(file: Path) -> Record:
    """Read one record.

    Args:
        file: A file written by `write_record`.

    Returns:
        The record.

    Raises:
        RecordError: If the file is no record, of another schema, or of another cell than its
            name says.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            msg = f"{file.name} is larger than any record; remove it and run the cell again"
            raise RecordError(msg)
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except OSError as error:
        msg = f"{file.name} cannot be read ({error.strerror}); check its permissions"
        raise RecordError(msg) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{file.name} is no record of schema {SCHEMA} ({error}); run the cell again"
        raise RecordError(msg) from None
    if record.cell != file.stem:
        msg = f"{file.name} holds the record of {record.cell}; rename it, or run the cell again"
        raise RecordError(msg)
    return record


def read_records(folder: Path) -> tuple[list[Record], list[RecordError]]:
    """Read every record of a folder.

    Args:
        folder: A folder of records; it need not exist.

    Returns:
        The records, oldest release first, and an error for each file that is none.
    """
    records: list[Record] = []
    errors: list[RecordError] = []
    for file in folder.glob("*.json"):
        if not re.match(r"[A-Za-z0-9]", file.name) or file.name == "plan.json":
            continue
        try:
            records.append(read_record(file))
        except RecordError as error:
            errors.append(error)
    return sorted(records, key=lambda record: (record.version, record.cell)), errors
