"""Records on disk: written whole or not at all, and read with mistrust."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

import msgspec

from torchfloor.errors import RecordError
from torchfloor.record import SCHEMA, Record

__all__ = ["read_record", "read_records", "write_atomically", "write_record"]

_MAX_BYTES = 16 * 2**20


def write_record(record: Record, folder: Path) -> Path:
    """Write a record as `<cell>.json`: whole or not at all.

    Args:
        record: The record.
        folder: Where to; made if it is not there.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{record.cell}.json"
    write_atomically(target, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return target


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that no reader, and no interruption, ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


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
