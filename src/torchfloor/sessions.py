"""The nox sessions. Any project's noxfile gets them with two lines.

    from torchfloor import sessions
    sessions.define()

`compat` has one session for each cell that can run here. `plan` runs before it and shows what is
going to happen; the table and the verdict are printed when nox ends, so that they stand last.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import uuid
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import nox

from torchfloor import screen
from torchfloor.errors import StorageError, TorchfloorError, unfinished
from torchfloor.interruption import EXIT_CODE, end_with_parent, heed_interruption, interrupted
from torchfloor.matrix import read_matrix
from torchfloor.output import one_line, open_output
from torchfloor.publishing import Documents, define_docs, define_publish
from torchfloor.records import write_atomically
from torchfloor.rendering import refresh
from torchfloor.scouting import define_scouting
from torchfloor.selection import tag_cells
from torchfloor.storage import Storage
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from torchfloor.plan import Cell, Plan

__all__ = ["Documents", "define"]

_RUN = "TORCHFLOOR_RUN"
"""Names the run and its folder, so that nox's worker processes know they belong to it."""
_ARGUMENTS = "TORCHFLOOR_ARGUMENTS"
"""The words after `nox` on the user's command line, for the same processes."""
_TAGS = ("-t", "--tag", "--tags")
"""What comes before a tag: `floor` is a session as well."""
_MOST_JOBS = 4
"""More cells at a time would wait for the network and the disk."""


class _Run(msgspec.Struct, frozen=True):
    """What nox's processes of one run share.

    Attributes:
        cells: Identifiers of the selected cells, in order.
        keep: As in `Storage`.
        turns: As in `Storage`.
        needs: As in `Storage`.
    """

    cells: tuple[str, ...]
    keep: bool
    turns: int
    needs: dict[str, int]


def define(matrix: str = "matrix.yaml", documents: Documents | None = None) -> None:
    """Define the sessions plan, compat, floor, canary, publish and docs.

    Args:
        matrix: The matrix file, relative to the noxfile's folder, which nox has made the current
            one.
        documents: Renders further documents for docs to write or compare: gets `checking`, whether
            they are only compared, and returns the text of each file. It may raise a
            TorchfloorError.
    """
    for chatty in ("urllib3", "filelock"):  # nox shows every message of every library
        logging.getLogger(chatty).setLevel(logging.ERROR)
    open_output()
    # A nox that runs inside another project's session inherits that project's run.
    run = os.environ.get(_RUN, "")
    is_part = run.endswith(f" {Path.cwd()}")
    if is_part:
        end_with_parent(int(run.partition(".")[0]))
    else:
        heed_interruption()
        os.environ[_RUN] = f"{os.getpid()}.{uuid.uuid4().hex} {Path.cwd()}"
        os.environ[_ARGUMENTS] = json.dumps(sys.argv[1:])
    try:
        workspace = Workspace(read_matrix(Path(matrix)))
    except TorchfloorError as error:
        _define_broken(unfinished(error), "plan", "compat", "publish", "docs", "floor", "canary")
        return
    define_docs(workspace, documents)
    try:
        plan = workspace.plan(pinned=is_part, refresh="--refresh" in sys.argv and not is_part)
    except TorchfloorError as error:
        _define_broken(unfinished(error), "plan", "compat", "publish", "floor", "canary")
        return
    if not is_part:
        _choose_jobs(workspace, plan)
        atexit.register(_close, workspace)
    _define_plan(workspace, plan)
    _define_compat(workspace, plan)
    define_publish(workspace, plan)
    define_scouting(workspace)


def _define_broken(message: str, *names: str) -> None:
    """Leave the noxfile's other sessions usable, and tell what is wrong when ours are called."""

    def fail(session: nox.Session) -> None:
        session.error(message)

    fail.__doc__ = f"Cannot run: {' '.join(message.split())}"
    # Of a cell or a tag that is asked for, nox would only say that there is no such session.
    asked = (
        re.match(r"compat\(|(cpu|cuda|quick)$", word) or (word == "floor" and before in _TAGS)
        for before, word in pairwise(sys.argv)
    )
    if any(asked):
        print(f"torchfloor: {message}", file=sys.stderr)  # noqa: T201 - the output
    for name in names:
        nox.session(name=name, python=False, default=False)(fail)


def _define_plan(workspace: Workspace, plan: Plan) -> None:
    @nox.session(name="plan", python=False, default=False)
    def show_plan(session: nox.Session) -> None:
        """Show what compat is going to do, and refuse what cannot fit."""
        selected = _selected(session, plan)
        cells = selected or [cell for cell in plan.cells if cell.status == "planned"]
        try:
            if selected:
                workspace.sweep()
            storage = screen.show_plan(
                workspace,
                cells,
                jobs=_jobs(len(cells)),
                fresh="--fresh" in session.posargs,
                discard="--discard" in session.posargs,
            )
            if selected:
                chosen = tuple(cell.id for cell in selected)
                run = _Run(chosen, storage.keep, storage.turns, dict(storage.needs))
                write_atomically(_run_file(workspace), msgspec.json.encode(run))
        except TorchfloorError as error:
            session.error(unfinished(error))


def _selected(session: nox.Session, plan: Plan) -> list[Cell]:
    """Ask nox which cells the user's command line selects: a session knows only itself."""
    arguments = json.loads(os.environ[_ARGUMENTS])
    listed = subprocess.run(  # noqa: S603 - the command line nox was started with
        [sys.executable, "-m", "nox", "--list-sessions", "--json", *arguments],
        cwd=session.invoked_from,
        capture_output=True,
        text=True,
        check=True,
    )
    chosen = {entry["call_spec"].get("cell") for entry in json.loads(listed.stdout)}
    return [cell for cell in plan.cells if cell.id in chosen]


def _define_compat(workspace: Workspace, plan: Plan) -> None:
    asked = [cell for cell in plan.cells if cell.status != "planned" and _names(cell)]
    cells = [cell for cell in plan.cells if cell.status == "planned" or cell in asked]
    tags = tag_cells(workspace.matrix, plan)
    parameters = [nox.param(cell.id, id=cell.id, tags=tags[cell.id]) for cell in cells]

    @nox.session(python=False, default=False, requires=["plan"], allow_parallel=True)
    @nox.parametrize("cell", parameters)
    def compat(session: nox.Session, cell: str) -> None:
        """Run one cell: install the release, run the probes, take the timings."""
        found = plan.cell(cell)
        assert found is not None, cell  # noqa: S101 - the parameters come from this plan
        _run_cell(session, workspace, found)


def _run_cell(session: nox.Session, workspace: Workspace, cell: Cell) -> None:
    if cell.wheel is None:
        session.error(f"{cell.id} cannot run: {cell.reason}")
    known = _read_run(workspace)
    # There is none where nox was told to leave out what a session requires.
    run = known or _Run((cell.id,), keep=True, turns=1, needs={})
    place = f"{run.cells.index(cell.id) + 1} of {len(run.cells)} "

    def say(text: str) -> None:
        print(f"{place}{cell.id}: {text}", flush=True)  # noqa: T201 - the output

    storage = Storage(workspace.folder, run.keep, run.turns, run.needs)
    try:
        record = workspace.obtain(cell, storage, say, fresh="--fresh" in session.posargs)
        refresh(workspace, say, ending=known is None)
    except (TorchfloorError, OSError) as error:
        session.error(unfinished(error))
    if record.outcome == "compatible":
        return
    assert record.failure is not None, cell.id  # noqa: S101 - only a compatible cell has none
    why = one_line(f"{record.failure.stage}: {record.failure.message}")
    told = f"{cell.id} is {record.outcome}: {why}"
    if cell.promised:
        session.error(f"{told} (log: .compat/logs/{cell.id}/)")
    session.warn(f"{told} (below the declared floor, so this fails nothing)")


def _close(workspace: Workspace) -> None:
    """Print the table and the verdict of this run, if it was one.

    nox fails where a session does. Where none did, and the floor is not proved all the same (its
    own release cannot run here, say), this is the last chance not to end as a success.
    """
    run = _read_run(workspace)
    if run is None:
        return
    try:
        _run_file(workspace).unlink(missing_ok=True)
        # A worker that was killed, by nox or by the system, has not cleaned up.
        with contextlib.suppress(StorageError):  # the next run will tell
            workspace.sweep_cells()
        status, _ = screen.show_end(workspace, run.cells)
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:  # the disk that the output goes to is full, or nobody reads it
        print(f"torchfloor: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - the output
        status = TorchfloorError.exit_code
    except KeyboardInterrupt:  # nobody is left to catch it
        os._exit(EXIT_CODE)
    if status and not interrupted.is_set():
        os._exit(status)


def _choose_jobs(workspace: Workspace, plan: Plan) -> None:
    """Run cells side by side where there is more than one to run and nobody said otherwise.

    What need not be run again is not worth a process of its own; and nox warns when other
    sessions are run with a number of jobs.
    """
    if not any(re.match("compat|quick", word) for word in sys.argv[1:]):
        return
    fresh = "--fresh" in sys.argv
    named = [cell for cell in plan.cells if _names(cell)]
    cells = named or [cell for cell in plan.cells if cell.status == "planned"]
    due = [cell for cell in cells if fresh or workspace.current_record(cell) is None]
    jobs = _default_jobs(len(due))
    if jobs > 1:
        nox.options.parallel = jobs


def _default_jobs(cells: int) -> int:
    return min(cells, os.cpu_count() or 1, _MOST_JOBS)


def _jobs(cells: int) -> int:
    """Return how many cells run at a time: what the user said, else what we choose."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-j", "--parallel")
    arguments, _ = parser.parse_known_args(json.loads(os.environ[_ARGUMENTS]))
    said = arguments.parallel or os.environ.get("NOX_PARALLEL")
    if not said:
        return _default_jobs(cells)
    return int(said) if said.isdecimal() else os.cpu_count() or 1


def _names(cell: Cell) -> bool:
    """Tell whether the command line names this very cell: then it is asked for."""
    return any(cell.id in word for word in sys.argv[1:])


def _run_file(workspace: Workspace) -> Path:
    """Return this run's own file: two may run at once. What a killed run leaves is swept."""
    return workspace.folder / f".run.{os.environ[_RUN].partition(' ')[0]}"


def _read_run(workspace: Workspace) -> _Run | None:
    try:
        return msgspec.json.decode(_run_file(workspace).read_bytes(), type=_Run)
    except (OSError, ValueError, RecursionError):
        return None
