"""What is compared: the records of a folder, or those that a git revision holds in evidence/."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torchfloor.errors import NoEvidenceError, RecordError
from torchfloor.garbage import uncollected
from torchfloor.output import one_line
from torchfloor.records import NO_RECORDS, decode_record, read_record, record_files
from torchfloor.revision import name_revision, read_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torchfloor.record import Record

__all__ = ["Snapshot", "read_folder", "read_snapshot", "tell_damaged"]

_FOLDER = "evidence"


class Snapshot(NamedTuple):
    """The records of one moment.

    Attributes:
        name: What the user calls it.
        records: What could be read, oldest release first.
        damaged: What is wrong with each of the others, by the name of its file.
    """

    name: str
    records: tuple[Record, ...]
    damaged: dict[str, str]


def read_snapshot(text: str, root: Path) -> Snapshot:
    """Read the records that a user names, be they of an earlier schema that says the same.

    Args:
        text: A folder of records or, if there is no such folder, a git revision.
        root: The folder of the project, whose evidence/ the revision holds.

    Returns:
        Its records, at least one.

    Raises:
        NoEvidenceError: If it holds none.
        TorchfloorError: If it is neither, or git cannot read it.
    """
    is_folder = os.path.isdir(text)  # noqa: PTH112 - pathlib's raises where a name is too long
    found = read_folder(Path(text), text) if is_folder else _read_revision(text, root)
    if found.records:
        return found
    msg = f"{found.name} holds no record that can be read; name a folder of records, such as "
    msg += f"{_FOLDER} or .compat/records, or a git revision whose {_FOLDER}/ holds some"
    raise NoEvidenceError("\n  ".join([msg, *tell_damaged(found)]))


def read_folder(folder: Path, name: str) -> Snapshot:
    """Read the records of a folder.

    Args:
        folder: The folder; it need not exist.
        name: What to call it.
    """
    files = record_files(folder)
    return _gather(name, ((file.name, partial(read_record, file, earlier=True)) for file in files))


def _read_revision(text: str, root: Path) -> Snapshot:
    commit = name_revision(text, root)
    files = read_revision(commit, root, _FOLDER)
    name = f"{_FOLDER}/ at {text}" + ("" if commit.startswith(text) else f" ({commit[:10]})")
    decode = partial(decode_record, earlier=True)
    return _gather(name, ((file, partial(decode, file, content)) for file, content in files))


def _gather(name: str, files: Iterable[tuple[str, Callable[[], Record]]]) -> Snapshot:
    records: list[Record] = []
    damaged: dict[str, str] = {}
    with uncollected():
        for file, read in files:
            if file.startswith(".") or not file.endswith(".json") or file in NO_RECORDS:
                continue
            try:
                records.append(read())
            except RecordError as error:
                damaged[file] = str(error)
    records.sort(key=lambda record: (record.version, record.cell))
    return Snapshot(one_line(name), tuple(records), damaged)


def tell_damaged(snapshot: Snapshot) -> list[str]:
    """Say what could not be read: a line for files that the same is wrong with."""
    alike: dict[str, list[str]] = {}
    for file, why in snapshot.damaged.items():
        alike.setdefault(one_line(why).removeprefix(one_line(file)).strip(), []).append(file)
    return [f"{snapshot.name}: {_name_files(files)} {why}" for why, files in alike.items()]


def _name_files(files: list[str]) -> str:
    if len(files) == 1:
        return one_line(files[0])
    return f"each of {len(files)} files ({one_line(files[0])} to {one_line(files[-1])})"
