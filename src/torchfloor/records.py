"""Records on disk: written whole or not at all, and read with mistrust."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

from torchfloor.contradictions import find_contradictions
from torchfloor.errors import RecordError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.record import SCHEMA, Record

__all__ = ["read_record", "read_records", "write_atomically", "write_record"]

_MAX_BYTES = 64 * 2**20
_AGAIN = "run the cell again"


class _Head(msgspec.Struct):
    schema: int


def write_record(record: Record, folder: Path) -> Path:
    """Write a record as `<cell>.json`, with a digest of all that it says: whole or not at all.

    Args:
        record: The record.
        folder: Where to; made if it is not there.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{record.cell}.json"
    write_atomically(target, seal(record))
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
        RecordError: If the file is no record, of another schema, of another cell than its name
            says, contradicts itself, or was changed by anything but a run.
    """
    try:
        content = read_bounded(file, _MAX_BYTES)
        record = msgspec.json.decode(content, type=Record)
    except OSError as error:
        msg = f"{file.name} cannot be read ({error.strerror}); check what it is, or {_AGAIN}"
        raise RecordError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{file.name} is no record of schema {SCHEMA} ({_cause(content, error)}); {_AGAIN}"
        raise RecordError(msg) from None
    if doubts := _doubts(file, content, record):
        msg = f"{file.name} {'; '.join(doubts)}; remove it, or {_AGAIN}"
        raise RecordError(msg)
    return record


def _cause(content: bytes, error: Exception) -> str:
    """Tell the record of another harness from what is no record at all."""
    try:
        schema = msgspec.json.decode(content, type=_Head).schema
    except (ValueError, RecursionError):
        return str(error)
    newer = ", from a newer torchfloor: use that one" if schema > SCHEMA else ""
    return str(error) if schema == SCHEMA else f"but of schema {schema}{newer}"


def _doubts(file: Path, content: bytes, record: Record) -> list[str]:
    if record.cell != file.stem:
        return [f"holds the record of {record.cell}"]
    if file.is_symlink():
        return ["is a symbolic link, so what it says may change at any time"]
    if not is_unchanged(content):
        return ["was changed since its run wrote it (its digest does not fit)"]
    return find_contradictions(record)


def read_records(folder: Path) -> tuple[list[Record], list[RecordError]]:
    """Read every record of a folder.

    Args:
        folder: A folder of records; it need not exist.

    Returns:
        The records, oldest release first, and an error for each file that is none.
    """
    records: list[Record] = []
    errors: list[RecordError] = []
    for file in sorted(folder.glob("*.json")):
        if file.name.startswith(".") or file.name == "plan.json":
            continue
        try:
            records.append(read_record(file))
        except RecordError as error:
            errors.append(error)
    return sorted(records, key=lambda record: (record.version, record.cell)), errors
