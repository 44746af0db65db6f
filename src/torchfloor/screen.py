"""What a run shows before it starts and after it has ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torchfloor import host
from torchfloor.errors import NoEvidenceError
from torchfloor.records import read_records
from torchfloor.report.model import LEFT_OUT
from torchfloor.space import check_space, estimate_downloads, gigabytes, needed_space

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from torchfloor.plan import Cell, Plan
    from torchfloor.workspace import Workspace

__all__ = ["describe_plan", "show_end", "show_plan"]


def show_plan(workspace: Workspace, cells: list[Cell], *, jobs: int, fresh: bool) -> None:
    """Print what a run is going to do, and refuse one that cannot fit or would prove nothing.

    Args:
        workspace: Holds the plan and the records that need not be made again.
        cells: The selected cells.
        jobs: Cells that run at a time.
        fresh: Whether current records are made again.

    Raises:
        SpaceError: If the disk is too small.
        NoEvidenceError: If no selected cell can run.
    """
    plan = workspace.plan(pinned=True)
    runnable = [cell for cell in cells if cell.wheel is not None]
    due = [c for c in runnable if fresh or workspace.current_record(c) is None]
    for line in describe_plan(plan):
        print(line)  # noqa: T201 - this module's purpose
    shares = _shares(len(due), len(runnable) - len(due))
    print(f"Selected: {_counted(len(cells), 'cell')}; {shares}.")  # noqa: T201
    if not runnable:
        msg = "No selected cell can run on this machine, so nothing would be proved."
        raise NoEvidenceError(msg)
    if due:
        _show_space(workspace, due, min(jobs, len(due)))


def _shares(due: int, reused: int) -> str:
    return f"{due} to run" + (f", {reused} unchanged and reused" if reused else "")


def _show_space(workspace: Workspace, due: list[Cell], jobs: int) -> None:
    downloads = estimate_downloads(due, workspace.all_records())
    total = gigabytes(sum(download.size for download in downloads))
    least = "about" if all(download.exact for download in downloads) else "at least"
    needed = needed_space(downloads, jobs)
    free = gigabytes(host.free_space(workspace.folder))
    at_once = f"{jobs} at a time" if jobs > 1 else "one at a time"
    print(  # noqa: T201
        f"Download: {least} {total}. Disk: up to {gigabytes(needed)} of {free} free "
        f"({at_once}, each environment removed when its record is safe).",
        flush=True,
    )
    check_space(needed, workspace.folder)


def describe_plan(plan: Plan) -> list[str]:
    """Sum up a plan in a few lines: its range, and what is not run and why."""
    span = f"{plan.package} {plan.cells[0].release} to {plan.cells[-1].release}"
    runnable = sum(cell.status == "planned" for cell in plan.cells)
    cells = f"{_counted(len(plan.cells), 'cell')}, of which {runnable} can run here"
    lines = [f"{span}, declared floor {plan.declared}: {cells}."]
    reasons = Counter((c.flavour, c.status, c.reason) for c in plan.cells if c.status != "planned")
    for (flavour, status, reason), count in reasons.items():
        lines.append(f"{status.capitalize()}: {_counted(count, f'{flavour} cell')}: {reason}.")
    lines += [f"Index: {index}; the next one in the list is used." for index in plan.unreachable]
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 else "")


def show_end(workspace: Workspace, selected: Collection[str]) -> int:
    """Print the table and the verdict.

    Args:
        workspace: Holds the records.
        selected: Identifiers of the cells that this run was about.

    Returns:
        The verdict's exit status if the run was about every cell that can run here and came to
        its end; else 0, since nothing is judged.
    """
    # Half of what listing the sessions would take; only a run's end needs it.
    from rich.console import Console  # noqa: PLC0415

    from torchfloor.report.terminal import print_report  # noqa: PLC0415

    console = Console()
    console.print()
    report = workspace.report()
    print_report(report, console, only=selected)
    for error in read_records(workspace.records)[1]:
        console.print(f"Damaged: {error}", style="red", markup=False, soft_wrap=True)
    console.print(f"Written: {_written(workspace)}", style="dim", soft_wrap=True)
    known = [row for row in report.rows if row.outcome not in LEFT_OUT]
    complete = all(row.cell in selected and row.outcome != "missing" for row in known)
    return report.verdict.exit_code if complete else 0


def _written(workspace: Workspace) -> str:
    files: Iterable[str] = ("records/", "logs/", "COMPATIBILITY.md")
    return ", ".join(f"{workspace.folder.name}/{name}" for name in files)
