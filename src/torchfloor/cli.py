"""The command `torchfloor`: the pieces of a run, for scripts."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import Progress

from torchfloor import interruption, record, screen
from torchfloor.arguments import make_parser
from torchfloor.changes import compare
from torchfloor.errors import NoEvidenceError, RecordError, StorageError, TorchfloorError
from torchfloor.handover import save_plan
from torchfloor.matrix import read_matrix
from torchfloor.output import one_line, open_output
from torchfloor.publish import published_evidence, write_document
from torchfloor.records import read_record
from torchfloor.rendering import read_evidence, refresh
from torchfloor.report.changes import print_changes, render_changes
from torchfloor.report.explain import find_row, print_story
from torchfloor.report.markdown import render_page, render_verdict
from torchfloor.report.model import make_report
from torchfloor.report.story import tell_story
from torchfloor.report.terminal import Terminal, print_report
from torchfloor.selection import github_output, narrow, shard, tag_cells
from torchfloor.snapshot import read_snapshot
from torchfloor.workspace import Workspace, choose

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell
    from torchfloor.record import Record
    from torchfloor.report.model import Evidence, Report
    from torchfloor.storage import Storage

__all__ = ["main"]

_UNREAD = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The words after `torchfloor`; by default the process's own.

    Returns:
        The exit status: 0 all as declared; 1 something at or above the floor is not compatible, or
        its evidence is missing; 2 a mistake in the configuration or call; 3 no evidence;
        130 interrupted; 141 nobody reads the output.
    """
    open_output()
    options = make_parser().parse_args(arguments)
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()
    except TorchfloorError as error:
        print(f"torchfloor: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return error.exit_code
    except BrokenPipeError:  # whoever read it, such as `head`, has seen enough
        _drop_output()
        return _UNREAD
    except OSError as error:
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        print(f"torchfloor: {where}{error.strerror or error}", file=sys.stderr)  # noqa: T201
        return TorchfloorError.exit_code
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # it may be the terminal that is gone
            print("torchfloor: interrupted; finished cells are kept", file=sys.stderr)  # noqa: T201
        return interruption.EXIT_CODE
    return status


def _drop_output() -> None:
    """Leave nothing to be written when the interpreter ends, where it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plan(options: argparse.Namespace) -> int:
    matrix = read_matrix(options.matrix)
    whole = Workspace(matrix).plan(refresh=options.refresh)
    words = [word for text in options.only for word in text.split()]
    plan = narrow(whole, words, tag_cells(matrix, whole) if words else {})
    planned = [cell for cell in plan.cells if cell.status == "planned"]
    if options.github:
        shown = github_output(planned)
    elif options.shard:
        shown = "\n".join(cell.id for cell in shard(planned, options.shard))
    else:
        shown = "\n".join([*screen.describe_plan(plan), *map(_describe, plan.cells)])
    if options.save:
        save_plan(plan, options.save)
    if options.json:
        _print_json(plan.without_urls())
    else:
        print(shown)  # noqa: T201
    return 0


def _describe(cell: Cell) -> str:
    return f"{cell.id}  {cell.status}{f': {cell.reason}' if cell.reason else ''}"


def _merge(options: argparse.Namespace) -> int:
    merged = Workspace(read_matrix(options.matrix)).merge(options.folders)
    told = [f"not taken: {line}" for line in merged.refused]
    told += [f"passed over: {line}" for line in merged.others]
    for line in told:
        print(f"torchfloor: {one_line(line)}", file=sys.stderr)  # noqa: T201
    print(f"{merged.records} record{'s' if merged.records != 1 else ''} in .compat/records/")  # noqa: T201
    return 1 if merged.refused else 0


def _run(options: argparse.Namespace) -> int:
    interruption.heed_interruption()
    workspace = Workspace(read_matrix(options.matrix))
    plan = workspace.plan()
    asked = choose(plan, options.only) or [c for c in plan.cells if c.status == "planned"]
    workspace.sweep()
    storage = screen.show_plan(
        workspace, asked, jobs=1, fresh=options.fresh, discard=options.discard
    )
    cells = [cell for cell in asked if cell.wheel is not None]
    lost = 0
    for position, cell in enumerate(cells, start=1):
        place = f"{position} of {len(cells)}"
        lost += not _run_cell(workspace, storage, cell, place, fresh=options.fresh)
    verdict, report = screen.show_end(workspace, [cell.id for cell in asked])
    standing = {row.cell: row for row in report.rows}
    broken = [c for c in cells if c.promised and standing[c.id].outcome != "compatible"]
    return 1 if broken or lost else verdict


def _run_cell(
    workspace: Workspace, storage: Storage, cell: Cell, place: str, *, fresh: bool
) -> bool:
    """Run a cell, and tell whether it came to evidence; the others run all the same."""

    def say(text: str) -> None:
        print(f"{place} {cell.id}: {text}", flush=True)  # noqa: T201

    say("starts")
    try:
        record = workspace.obtain(cell, storage, say, fresh=fresh)
    except StorageError as error:
        say(f"no record: {error}")
        return False
    refresh(workspace, say)
    return not (cell.promised and record.outcome == "errored")


def _report(options: argparse.Namespace) -> int:
    evidence = _read_evidence(read_matrix(options.matrix), published=options.published)
    report = make_report(evidence)
    if options.page:
        _write_page(evidence, report, options.page)
    elif options.json:
        _print_json(report)
    elif options.markdown:
        _print_document(render_page(report).encode())
    else:
        print_report(report, Terminal())
    return 0


def _write_page(evidence: Evidence, report: Report, folder: Path) -> None:
    # As in rendering.py: only who renders needs templates.
    from torchfloor.report.html import render_site  # noqa: PLC0415

    for name, text in render_site(evidence, report).items():
        write_document(folder / name, text)
    print(f"Written: {folder / 'index.html'}, and the badge and charts beside it")  # noqa: T201


def _explain(options: argparse.Namespace) -> int:
    matrix = read_matrix(options.matrix)
    evidence = _read_evidence(matrix, published=options.published)
    row = find_row(make_report(evidence).rows, options.cell)
    story = tell_story(row, _whole(matrix, row.cell, published=options.published))
    if options.json:
        _print_json(story)
    else:
        print_story(story, Terminal())
    return 0 if story.row.verified else NoEvidenceError.exit_code


def _whole(matrix: Matrix, cell: str, *, published: bool) -> Record | None:
    """Read all of a record: a report holds it condensed."""
    folder = matrix.root / "evidence" if published else Workspace(matrix).records
    try:
        return read_record(folder / f"{cell}.json")
    except RecordError:  # there is none, or it was told that it is damaged
        return None


def _verdict(options: argparse.Namespace) -> int:
    matrix = read_matrix(options.matrix)
    report = make_report(_read_evidence(matrix, published=options.published))
    verdict = report.verdict
    if options.json:
        _print_json(verdict)
    elif options.markdown:
        _print_document(render_verdict(report).encode())
    else:
        below = [f"Below the declared floor: {line}" for line in verdict.below]
        indexes = [f"Index: {told}." for told in report.unreachable]
        for line in (verdict.sentence, *verdict.failing, *below, *indexes):
            print(line)  # noqa: T201
    return verdict.exit_code


def _read_evidence(matrix: Matrix, *, published: bool) -> Evidence:
    if not published:
        workspace = Workspace(matrix)
        if not workspace.records.exists():
            msg = "No evidence in .compat/: run `nox -s compat`, or add --published."
            raise NoEvidenceError(msg)
        evidence = read_evidence(workspace)
        for error in evidence.damaged.values():
            print(f"torchfloor: {error}", file=sys.stderr)  # noqa: T201
        return evidence
    return published_evidence(matrix)


def _requires(options: argparse.Namespace) -> int:
    # What reads code and wheels is not worth importing for any other command.

    from torchfloor.report.requirements import print_requirements, shortfalls  # noqa: PLC0415
    from torchfloor.requires import names_to_read, requirements  # noqa: PLC0415
    from torchfloor.timeline import read_timelines  # noqa: PLC0415
    from torchfloor.usage import read_usage  # noqa: PLC0415

    module = options.module or options.package.replace("-", "_")
    usage = read_usage(options.paths, module, options.package)
    shown = Console(stderr=True)
    with Progress(console=shown, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("Reading releases", total=None)
        reading = read_timelines(
            options.package,
            names_to_read(usage),
            index=options.index,
            versions=options.versions,
            on_release=lambda done, known: progress.update(task, completed=done, total=known),
        )
    found = requirements(usage, reading)
    wanting = [] if options.at_least is None else shortfalls(found, options.at_least)
    if options.json:
        _print_json(found)
    else:
        print_requirements(found, Console())
    for line in wanting:
        print(f"torchfloor: {line}", file=sys.stderr)  # noqa: T201
    return 1 if wanting else 0


def _timeline(options: argparse.Namespace) -> int:
    # What reads wheels is not worth importing for any other command.
    from torchfloor.timeline.command import ask, tell  # noqa: PLC0415

    reading = ask(options)
    if options.json:
        from torchfloor.timeline.show import as_json  # noqa: PLC0415

        _print_json(as_json(reading))
    else:
        for line in tell(reading, every=options.all):
            print(line)  # noqa: T201
    return 0


def _changes(options: argparse.Namespace) -> int:
    root = options.matrix.parent
    found = compare(read_snapshot(options.old, root), read_snapshot(options.new, root))
    if options.json:
        _print_json(found)
    elif options.markdown:
        _print_document(render_changes(found).encode())
    else:
        print_changes(found, Terminal())
    return 1 if found.regressions else 0


def _schema(_options: argparse.Namespace) -> int:
    _print_json(record.schema())
    return 0


def _print_json(value: object) -> None:
    _print_document(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _print_document(content: bytes) -> None:
    """Write UTF-8, whatever the output's encoding is: what is read by a program must be whole."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "plan": _plan,
    "merge": _merge,
    "run": _run,
    "report": _report,
    "explain": _explain,
    "verdict": _verdict,
    "changes": _changes,
    "requires": _requires,
    "timeline": _timeline,
    "schema": _schema,
}
