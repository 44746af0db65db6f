"""What machines that share a run hand to each other: the plan one way, the records back."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor.errors import ConfigError, NoEvidenceError, TorchfloorError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.plan import Plan, is_cell_name
from torchfloor.records import read_records, storing, write_atomically, write_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.record import Record

__all__ = ["PLAN", "Merged", "handed_plan", "merge_records", "save_plan"]

PLAN = "TORCHFLOOR_PLAN"
"""Names the file of a plan that another machine has made; then no index is asked."""
_MAX_PLAN = 64 * 2**20
_ANY_CELL = re.compile(r".*-[a-z][a-z0-9]*-py3[0-9]+\.json", re.IGNORECASE | re.DOTALL)
"""A name that the record of some package's cell may have."""


def save_plan(plan: Plan, file: Path) -> None:
    """Write a plan for other machines, which run its cells without asking the indexes.

    Args:
        plan: The plan.
        file: Where to.

    Raises:
        TorchfloorError: If the links of its wheels may let in whoever reads them.
        StorageError: If it cannot be written.
    """
    guarded = next((c.wheel for c in plan.cells if c.wheel and "?" in c.wheel.url), None)
    if guarded is not None:
        msg = f"the plan is not written: the links of {guarded.index} have a query, which may let"
        msg += " in whoever reads it; take another index, or plan on each machine"
        raise TorchfloorError(msg)
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, seal(plan))


def handed_plan(matrix: Matrix) -> Plan | None:
    """Read the plan that another machine has made, if the environment names one.

    Args:
        matrix: What it must have been made from.

    Raises:
        ConfigError: If it cannot be read, or is not of this project.
    """
    named = os.environ.get(PLAN)
    if not named:
        return None
    try:
        content = read_bounded(matrix.root / named, _MAX_PLAN)
        plan = msgspec.json.decode(content, type=Plan)
    except OSError as error:
        mistake = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        mistake = f"is no plan: {error}"
    else:
        mistake = _mistake(plan, content, matrix)
        if not mistake:
            return plan
    hint = f"it is named by {PLAN}: write it with `torchfloor plan --save`, in this very checkout"
    raise ConfigError(named, [f"{mistake}; {hint}"])


def _mistake(plan: Plan, content: bytes, matrix: Matrix) -> str:
    if not is_unchanged(content):
        return "was changed since it was written (its digest does not fit)"
    of, here = (f"{plan.package}>={plan.declared}", f"{matrix.package}>={matrix.declared}")
    if of != here:
        return f"is about {of}, and this project declares {here}"
    return ""


class Merged(NamedTuple):
    """What merging has done.

    Attributes:
        records: How many cells have a record now.
        refused: What was not taken, and why: a line for each record.
        others: Records of other packages, which are none of ours: a line for each folder.
    """

    records: int
    refused: tuple[str, ...]
    others: tuple[str, ...] = ()


def merge_records(folders: Sequence[Path], target: Path, package: str) -> Merged:
    """Put the records that machines have handed back into one folder.

    Args:
        folders: Where they are, in any depth: an artifact is often a folder of its own.
        target: Where they go; what it has already is one more folder, and stays.
        package: The dependency they are about; records of others are named and passed over, and
            what has the name of no record, such as what is rendered beside them, in silence.

    Returns:
        What was taken, and what was not: damaged records, and two of one cell that disagree, of
        which nobody can tell which one counts. One that is refused costs its own cell only.

    Raises:
        TorchfloorError: If something that is named is no folder.
        NoEvidenceError: If there is no record at all.
        StorageError: If one cannot be written.
    """
    if strange := [str(folder) for folder in folders if not folder.is_dir()]:
        msg = f"{', '.join(strange)}: no such folder; name those that hold the records"
        raise TorchfloorError(msg)
    with storing(target):
        target.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[tuple[Path, Record]]] = {}
    refused: list[str] = []
    foreign: list[str] = []
    for folder in (target, *(each for root in folders for each in _folders(root))):
        others = _others(folder, package)
        records, errors = read_records(folder, passing_over=others)
        refused += [f"{folder}: {error}" for error in errors]
        if cells := sorted(name for name in others if _ANY_CELL.fullmatch(name)):
            foreign.append(f"{folder}: {_span(cells)}: not of {package}")
        for record in records:
            found.setdefault(record.cell, []).append((folder, record))
    for cell, places in found.items():
        _, first = places[0]
        if any(record != first for _, record in places):
            refused.append(_disagreement(cell, places))
        else:
            write_record(first, target)
    merged = len(read_records(target)[0])
    if not merged and not refused:
        names = ", ".join(map(str, folders))
        msg = f"No record of {package} in {names}: no machine has handed one back; look at what "
        msg += f"they say.{''.join(f' Passed over: {told}.' for told in foreign)}"
        raise NoEvidenceError(msg)
    return Merged(merged, tuple(refused), tuple(foreign))


def _folders(root: Path) -> list[Path]:
    return [root, *sorted(path for path in root.rglob("*") if path.is_dir())]


def _others(folder: Path, package: str) -> set[str]:
    return {file.name for file in folder.glob("*.json") if not is_cell_name(file.stem, package)}


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files ({names[0]} to {names[-1]})"


def _disagreement(cell: str, places: Sequence[tuple[Path, Record]]) -> str:
    told = " and ".join(
        f"{record.outcome} ({record.provenance.finished:%Y-%m-%d %H:%M:%S} UTC) in {folder}"
        for folder, record in places
    )
    return f"{cell}: its records disagree, {told}; remove all but one, or run the cell again"
