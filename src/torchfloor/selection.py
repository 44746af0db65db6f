"""Which of a plan's cells a run is about, and which machine runs which of them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from packaging.version import Version

from torchfloor.errors import NoEvidenceError, TorchfloorError
from torchfloor.quick import quick_cells
from torchfloor.records import read_records
from torchfloor.static import known_static

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell, Plan

__all__ = ["github_output", "narrow", "shard", "tag_cells"]

_MOST_JOBS = 256
"""Jobs of one matrix of GitHub Actions."""
_LARGE = 400 * 10**6
"""Bytes of a wheel that brings CUDA with it; one for the CPU alone has half of that."""


def tag_cells(matrix: Matrix, plan: Plan) -> dict[str, list[str]]:
    """List the tags of each cell, by its identifier: its flavour, `floor`, `quick`.

    Args:
        matrix: Names the repository, whose published evidence says what changes are known.
        plan: The planned cells.
    """
    evidence, _ = read_records(matrix.root / "evidence")
    quick = quick_cells(plan, evidence, known_static(matrix))
    return {cell.id: _tags(plan, cell, quick) for cell in plan.cells}


def _tags(plan: Plan, cell: Cell, quick: list[Cell]) -> list[str]:
    is_floor = cell.version == Version(plan.floor)
    return [cell.flavour, *(["floor"] if is_floor else []), *(["quick"] if cell in quick else [])]


def narrow(plan: Plan, words: Sequence[str], tags: Mapping[str, Sequence[str]]) -> Plan:
    """Leave out the cells that a selection does not name: they are not run, and it is said why.

    Args:
        plan: The planned cells.
        words: Identifiers, patterns of them (`torch2.1*-cpu-*`) or tags; none name every cell.
        tags: As `tag_cells` lists them.

    Raises:
        TorchfloorError: If a word names no cell that can run.
    """
    if not words:
        return plan
    planned = [cell for cell in plan.cells if cell.status == "planned"]
    named = {
        word: {c.id for c in planned if word in tags[c.id] or fnmatchcase(c.id, word)}
        for word in words
    }
    if idle := [word for word, cells in named.items() if not cells]:
        msg = f"no cell that can run here is named {' or '.join(idle)}: write an identifier, a"
        msg += " pattern such as '*-cpu-*', or a tag (quick, floor, a flavour); `torchfloor plan`"
        msg += " lists the cells"
        raise TorchfloorError(msg)
    chosen = set[str]().union(*named.values())
    why = f"left out of this run, which is about {' '.join(words)}"
    cells = (
        cell
        if cell.status != "planned" or cell.id in chosen
        else replace(cell, status="not-run", reason=why)
        for cell in plan.cells
    )
    return replace(plan, cells=tuple(cells), only=tuple(words))


def shard(cells: Sequence[Cell], which: str) -> list[Cell]:
    """Pick the cells of one of several machines.

    Neighbouring releases, which are about as large, go to different machines.

    Args:
        cells: All that are to run, in the plan's order.
        which: `2/5` is the second of five.

    Raises:
        TorchfloorError: If there is no such shard, or it has no cell.
    """
    numbers = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", which)
    number, count = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= number <= count:
        msg = f"{which!r} is no shard: write 2/5 for the second of five machines"
        raise TorchfloorError(msg)
    if number > len(cells):
        msg = f"shard {which} has no cell, since only {len(cells)} can run: take fewer machines"
        raise TorchfloorError(msg)
    return list(cells[number - 1 :: count])


class _Job(msgspec.Struct, frozen=True):
    """What a job of GitHub Actions needs to know of its cell.

    Attributes:
        cell: Its identifier.
        python: The Python that must be there.
        large: Whether the runner's disk has to be made free for it.
    """

    cell: str
    python: str
    large: bool


def github_output(cells: Sequence[Cell]) -> str:
    """Write cells as an output of a step of GitHub Actions: `cells=[…]`, in one line.

    Args:
        cells: All that are to run.

    Raises:
        NoEvidenceError: If there is none: a matrix without jobs would end as a success.
        TorchfloorError: If there are more than a matrix may have jobs.
    """
    if not cells:
        msg = "No cell can run here, so nothing would be proved; `torchfloor plan` says why."
        raise NoEvidenceError(msg)
    if len(cells) > _MOST_JOBS:
        msg = (
            f"{len(cells)} cells can run, and GitHub Actions takes {_MOST_JOBS} jobs at most: name"
        )
        msg += " fewer with --only, let matrix.yaml sample fewer, or take shards (--shard 1/2)"
        raise TorchfloorError(msg)
    jobs = [_Job(cell.id, cell.python, _is_large(cell)) for cell in cells]
    return f"cells={msgspec.json.encode(jobs).decode()}"


def _is_large(cell: Cell) -> bool:
    return cell.device != "cpu" or (cell.wheel is not None and (cell.wheel.size or 0) > _LARGE)
