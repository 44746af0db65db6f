"""The folder `.compat/` of a checkout: the cached plan, the records, and the cells in work."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import os
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout
from packaging.tags import platform_tags

from torchfloor import host
from torchfloor.errors import RecordError, StorageError, TorchfloorError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.handover import Merged, handed_plan, merge_records
from torchfloor.plan import Cell, Host, Plan, make_plan
from torchfloor.provenance import Inputs
from torchfloor.publish import earlier_plan
from torchfloor.records import (
    read_record,
    read_records,
    storing,
    sweep_unfinished,
    write_atomically,
    write_record,
)
from torchfloor.unasked import complete, remembering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.record import Record
    from torchfloor.storage import Storage

__all__ = ["Workspace", "choose", "plan_after", "this_host"]

_PLAN_AGE = dt.timedelta(hours=1)
"""How long a plan is kept: a new release enters after this time, or with `--refresh`."""
_PARTIAL_PLAN_AGE = dt.timedelta(minutes=10)
"""How long, if an index did not answer: it may do so again soon."""
_FOLDERS = ("cache", "cells", "logs", "records")
_MAX_PLAN = 64 * 2**20
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class _CachedPlan(msgspec.Struct, frozen=True):
    key: str
    plan: Plan


class Workspace:
    """The state of one checkout's runs.

    Args:
        matrix: The matrix that is run.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        # It may be a link to a larger disk; processes in it only know where it really is.
        self.folder = (matrix.root / ".compat").resolve()
        self.records = self.folder / "records"

    @cached_property
    def inputs(self) -> Inputs:
        """Digests of what evidence is made from, as the files are now."""
        return Inputs(self.matrix)

    def plan(self, *, refresh: bool = False, pinned: bool = False) -> Plan:
        """Return the plan, from the indexes or, if it is young, from the cache.

        Args:
            refresh: Ask the indexes even if the cached plan is young.
            pinned: Take the cached plan however old it is: part of a run must not replan it.

        Returns:
            The plan; where another machine has made it, that one (see `handover`).

        Raises:
            TorchfloorError: If there is none.
        """
        if handed := handed_plan(self.matrix):
            return handed.with_credentials(self.matrix)
        file = self.folder / "plan.json"
        key = self._plan_key()
        cached = _read_plan(file)
        if cached is not None and cached.key == key and not refresh:
            age = dt.datetime.now(dt.UTC) - cached.plan.made
            limit = _PARTIAL_PLAN_AGE if cached.plan.unreachable else _PLAN_AGE
            if pinned or dt.timedelta() <= age < limit:
                return cached.plan.with_credentials(self.matrix)
        cached_before = cached.plan if cached is not None and cached.key == key else None
        plan = plan_after(self.matrix, cached_before)
        self._make()
        write_atomically(file, seal(_CachedPlan(key, plan)))
        return plan.with_credentials(self.matrix)

    def merge(self, folders: Sequence[Path]) -> Merged:
        """Take over the records of other machines, as `merge_records` does."""
        self._make()
        sweep_unfinished(self.records)
        return merge_records(folders, self.records, self.matrix.package)

    def current_record(self, cell: Cell) -> Record | None:
        """Return a cell's record if running the cell again would only repeat it.

        Returns:
            The record, if it says something about the release and was made from the same
            subject, probes, matrix and wheel on a machine like this one; else None.
        """
        try:
            record = read_record(self.records / f"{cell.id}.json")
        except RecordError:
            return None
        same = (
            record.outcome != "errored"
            and cell.wheel is not None
            and record.identity is not None
            and record.identity.wheel == cell.wheel.filename
            and record.identity.sha256 == cell.wheel.sha256
            and record.identity.sha256 is not None  # else it may be another one by now
            and record.environment is not None
            and record.environment.machine == host.machine()
            and self.inputs.made(record)
        )
        return record if same else None

    def obtain(
        self, cell: Cell, storage: Storage, say: Callable[[str], None], *, fresh: bool = False
    ) -> Record:
        """Return a cell's record: the current one, else by running the cell.

        Args:
            cell: A cell with a wheel.
            storage: How the run uses the disk.
            say: Told each stage in a line.
            fresh: Run it even if there is a current record.

        Returns:
            The record; it has been written, unless it is errored and there is a current one.

        Raises:
            StorageError: If the record cannot be written.
        """
        if not fresh and (record := self._reuse(cell, say)):
            return record

        def tell(text: str) -> None:
            with contextlib.suppress(OSError):  # nobody reads it: the cell goes on all the same
                say(text)

        # What runs processes is not worth importing where cells are only listed.
        from torchfloor.folder import alone  # noqa: PLC0415
        from torchfloor.run import run_cell  # noqa: PLC0415

        self._make()
        with storage.turn(), alone(storage.folder(cell), tell) as waited:
            if waited and (record := self._reuse(cell, tell)):
                return record
            record = run_cell(self.matrix, cell, storage, tell)
            kept = self.current_record(cell) if record.outcome == "errored" else None
            if kept is None:
                self._write(record, storage.folder(cell))
            else:  # what went wrong here says nothing against it
                tell(f"errored; the record of {_minute(kept)} stays, since nothing has changed")
        return record

    def _reuse(self, cell: Cell, say: Callable[[str], None]) -> Record | None:
        record = self.current_record(cell)
        if record is not None:
            say(f"nothing changed since {_minute(record)}: reused")
        return record

    def _write(self, record: Record, folder: Path) -> None:
        """Write a record; on a full disk, where the cell's own files have been."""
        from torchfloor.folder import empty  # noqa: PLC0415 - as above

        try:
            write_record(record, self.records)
        except StorageError:
            empty(folder)
            write_record(record, self.records)

    def all_records(self) -> list[Record]:
        """Read the published records and, after them, this workspace's own."""
        published, _ = read_records(self.matrix.root / "evidence")
        return [*published, *read_records(self.records)[0]]

    def sweep(self) -> None:
        """Remove what a killed run has left: processes, environments, files half written."""
        from torchfloor.storage import Storage  # noqa: PLC0415 - as above

        self._make()
        sweep_unfinished(self.folder, self.records)
        self.sweep_cells()
        Storage(self.folder).prune()

    def sweep_cells(self) -> None:
        """End what runs in cells that no run holds any more, and remove them."""
        from torchfloor.folder import empty  # noqa: PLC0415 - as above

        for folder in (self.folder / "cells").glob("*/"):
            lock = FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0)
            with storing(folder), contextlib.suppress(Timeout), lock:  # where no other run works
                empty(folder)

    def _make(self) -> None:
        """Make the folder: private, since plans may hold an index's credentials, and untracked.

        Raises:
            TorchfloorError: If something else stands in its place, or in that of what it holds.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self.folder.stat().st_mode & 0o077:  # made by something else
                self.folder.chmod(0o700)
        except OSError as error:
            advice = "remove what stands in its place"
            if isinstance(error, PermissionError):
                advice = f"make {self.matrix.root.name}/ writable"
            msg = f".compat/ cannot be made ({error.strerror}): {advice}"
            raise TorchfloorError(msg) from None
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n")
        for place in map(self.folder.joinpath, _FOLDERS):
            if os.path.lexists(place) and not place.is_dir():
                raise StorageError(place, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        for place in (*self.folder.glob("*.lock"), *self.folder.glob("cells/*.lock")):
            if place.is_dir():
                raise StorageError(place, OSError(errno.EISDIR, os.strerror(errno.EISDIR)))

    def _plan_key(self) -> str:
        """Digest what a plan depends on, other than the indexes and the interpreters.

        It names the wheels of a folder in the checkout by where they were when it was made.
        """
        matrix = self.matrix
        said = [str(matrix.root), matrix.source.read_text("utf-8"), str(matrix.declared)]
        said += [os.environ.get(name, "") for name in _INDEX_VARIABLES]
        return hashlib.sha256("\0".join(said).encode(errors="surrogateescape")).hexdigest()


def plan_after(matrix: Matrix, before: Plan | None) -> Plan:
    """Ask the indexes; what those that do not answer had before stays in the plan.

    Args:
        matrix: What to vary.
        before: An earlier plan of this workspace, beside the published one.

    Raises:
        TorchfloorError: As `make_plan`.
    """
    known = [plan for plan in (before, earlier_plan(matrix)) if plan is not None]
    plan = make_plan(matrix, this_host(), remembering(known))
    for earlier in known:
        plan = complete(plan, earlier, matrix)
    return plan


def this_host() -> Host:
    """Look at this machine: interpreters, platform and devices."""
    return Host(
        pythons=host.interpreters(),
        platforms=tuple(platform_tags()),
        devices=frozenset({"cuda"} if host.has_cuda_device() else ()),
    )


def _minute(record: Record) -> str:
    return f"{record.provenance.finished:%Y-%m-%d %H:%M} UTC"


def _read_plan(file: Path) -> _CachedPlan | None:
    """Read the cached plan; None if there is none, or one that was changed since."""
    try:
        content = read_bounded(file, _MAX_PLAN)
        cached = msgspec.json.decode(content, type=_CachedPlan)
    except (OSError, ValueError, RecursionError):
        return None
    return cached if is_unchanged(content) else None


def choose(plan: Plan, identifiers: list[str]) -> list[Cell]:
    """Pick cells by identifier.

    Raises:
        TorchfloorError: If one is not in the plan.
    """
    unknown = [name for name in identifiers if plan.cell(name) is None]
    if unknown:
        msg = f"no cell {', '.join(unknown)} in the plan; `torchfloor plan` lists them"
        raise TorchfloorError(msg)
    return [cell for cell in plan.cells if cell.id in identifiers]
