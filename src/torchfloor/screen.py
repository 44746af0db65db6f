"""What a run shows before it starts and after it has ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torchfloor import host
from torchfloor.errors import NoEvidenceError, TorchfloorError
from torchfloor.rendering import read_evidence, render
from torchfloor.report.model import LEFT_OUT, make_report
from torchfloor.space import Download, check_space, estimate_downloads, in_bytes, needed_space
from torchfloor.storage import Storage, space_to_keep
from torchfloor.unasked import tell_indexes

if TYPE_CHECKING:
    from collections.abc import Collection

    from torchfloor.plan import Cell, Plan
    from torchfloor.report.model import Evidence, Report
    from torchfloor.workspace import Workspace

__all__ = ["describe_plan", "show_end", "show_plan", "show_space"]

_WRITTEN = ("records/", "logs/", "COMPATIBILITY.md", "index.html")


def show_plan(
    workspace: Workspace, cells: list[Cell], *, jobs: int, fresh: bool, discard: bool
) -> Storage:
    """Print what a run is going to do, and refuse one that cannot fit or would prove nothing.

    Args:
        workspace: Holds the plan and the records that need not be made again.
        cells: The selected cells.
        jobs: Cells that run at a time.
        fresh: Whether current records are made again.
        discard: Whether nothing that is downloaded is to be kept.

    Returns:
        How the run uses the disk.

    Raises:
        SpaceError: If the disk is too small for any of them.
        NoEvidenceError: If no selected cell can run.
    """
    plan = workspace.plan(pinned=True)
    runnable = [cell for cell in cells if cell.wheel is not None]
    due = [c for c in runnable if fresh or workspace.current_record(c) is None]
    for line in describe_plan(plan):
        _say(line)
    shares = _shares(len(due), len(runnable) - len(due))
    _say(f"Selected: {_counted(len(cells), 'cell')}; {shares}.")
    if not runnable:
        msg = "No selected cell can run on this machine, so nothing would be proved."
        raise NoEvidenceError(msg)
    return show_space(workspace, due, jobs, discard=discard)


def _shares(due: int, reused: int) -> str:
    return f"{due} to run" + (f", {reused} unchanged and reused" if reused else "")


def show_space(workspace: Workspace, due: list[Cell], jobs: int, *, discard: bool) -> Storage:
    """Decide whether to keep what is downloaded, and show what that takes.

    Args:
        workspace: Where cells lie.
        due: The cells that are to run.
        jobs: Cells that run at a time.
        discard: Whether nothing that is downloaded is to be kept.

    Returns:
        How the run uses the disk.

    Raises:
        SpaceError: If it is too small for any of them.
    """
    if not due:
        return Storage(workspace.folder)
    found = dict(zip(due, estimate_downloads(due, workspace.all_records()), strict=True))
    kept = Storage(workspace.folder)
    wanted, free = space_to_keep(kept, found), host.free_space(workspace.folder)
    keep = not discard and wanted <= free
    if keep:
        here = Download(0, exact=True)
        found = {cell: here if kept.has(cell) else each for cell, each in found.items()}
    else:
        kept.drop()
    needs = {cell.id: needed_space([download]) for cell, download in found.items()}
    turns = _turns(found.values(), jobs, free)
    needed = needed_space(found.values(), jobs=len(due) if keep else turns)
    at_once = jobs if keep else turns
    _say(f"{_downloads(found.values())}. {_disk(needed, workspace, at_once, keep=keep)}.")
    if not keep and not discard:
        had = f"{in_bytes(wanted)} must be free, and {in_bytes(free)} are"
        _say(f"Nothing is kept for the next run, as with --discard: to keep it, {had}.")
    check_space(min(needs.values()), workspace.folder)
    return Storage(workspace.folder, keep, turns, needs)


def _turns(downloads: Collection[Download], jobs: int, free: int) -> int:
    """Return how many cells at a time are within twice the largest, and fit."""
    return 2 if jobs > 1 and needed_space(downloads, jobs=2) <= free else 1


def _downloads(downloads: Collection[Download]) -> str:
    size = sum(download.size for download in downloads)
    exact = all(download.exact for download in downloads)
    if exact and not size:
        return "Download: nothing, earlier runs have kept it"
    return f"Download: {'about' if exact else 'at least'} {in_bytes(size)}"


def _disk(needed: int, workspace: Workspace, cells: int, *, keep: bool) -> str:
    at_once = f"{cells} at a time" if cells > 1 else "one at a time"
    what = "environment" if keep else "environment with its downloads"
    how = f"{at_once}, each {what} removed when its record is safe"
    how += "; downloads kept for the next run" if keep else ""
    free = in_bytes(host.free_space(workspace.folder))
    return f"Disk: up to {in_bytes(needed)} of {free} free ({how})"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this module's purpose


def describe_plan(plan: Plan) -> list[str]:
    """Sum up a plan in a few lines: its range, and what is not run and why."""
    span = f"{plan.package} {plan.cells[0].release} to {plan.cells[-1].release}"
    runnable = sum(cell.status == "planned" for cell in plan.cells)
    cells = f"{_counted(len(plan.cells), 'cell')}, of which {runnable} can run here"
    lines = [f"{span}, declared floor {plan.declared}: {cells}."]
    reasons = Counter((c.flavour, c.status, c.reason) for c in plan.cells if c.status != "planned")
    for (flavour, status, reason), count in reasons.items():
        lines.append(f"{status.capitalize()}: {_counted(count, f'{flavour} cell')}: {reason}.")
    lines += [f"Index: {told}." for told in tell_indexes(plan)]
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 else "")


def show_end(workspace: Workspace, selected: Collection[str]) -> tuple[int, Report]:
    """Print the table and the verdict.

    Args:
        workspace: Holds the records.
        selected: Identifiers of the cells that this run was about.

    Returns:
        The verdict's exit status if the run was about every cell that can run here and came to
        its end; else 0, since nothing is judged. If the table cannot be written, never 0. And the
        report.
    """
    # Half of what listing the sessions would take; only a run's end needs it.
    from torchfloor.report.terminal import Terminal, print_report  # noqa: PLC0415

    console = Terminal()
    console.print()
    evidence, report, error = _render(workspace)
    selected = _with_evidence_from_elsewhere(workspace, selected)
    print_report(report, console, only=selected)
    for damage in evidence.damaged.values():
        console.print(f"Damaged: {damage}", style="red", markup=False, soft_wrap=True)
    if error:
        console.print(f"Not written: {error}", style="red", markup=False, soft_wrap=True)
    else:
        written = ", ".join(f"{workspace.folder.name}/{name}" for name in _WRITTEN)
        console.print(f"Written: {written}", style="dim", soft_wrap=True)
    known = [row for row in report.rows if row.outcome not in LEFT_OUT]
    complete = all(row.cell in selected and row.outcome != "missing" for row in known)
    status = (report.verdict.exit_code if complete else 0) or (error.exit_code if error else 0)
    return status, report


def _render(workspace: Workspace) -> tuple[Evidence, Report, TorchfloorError | None]:
    """Write table and page once more: a run that was killed may have left the last cell out."""
    try:
        return *render(workspace), None
    except TorchfloorError as error:
        evidence = read_evidence(workspace)
        return evidence, make_report(evidence), error


def _with_evidence_from_elsewhere(workspace: Workspace, selected: Collection[str]) -> set[str]:
    """Add to all cells that can run here those that cannot: nobody has left them out."""
    cells = workspace.plan(pinned=True).cells
    complete = all(cell.id in selected for cell in cells if cell.status == "planned")
    return {*selected, *(cell.id for cell in cells if complete)}
