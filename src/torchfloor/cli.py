"""The command `torchfloor`: the pieces of a run, for scripts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from torchfloor import __version__, record, screen
from torchfloor.errors import NoEvidenceError, StorageError, TorchfloorError
from torchfloor.handover import PLAN, save_plan
from torchfloor.interruption import heed_interruption
from torchfloor.matrix import read_matrix
from torchfloor.output import open_output
from torchfloor.publish import published_report
from torchfloor.records import read_records
from torchfloor.report.markdown import render_page
from torchfloor.report.terminal import Terminal, print_report
from torchfloor.selection import github_output, narrow, shard, tag_cells
from torchfloor.workspace import Workspace, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.plan import Cell
    from torchfloor.report.model import Report
    from torchfloor.storage import Storage

__all__ = ["main"]

_INTERRUPTED = 130
_UNREAD = 141
_ONLY = "these cells: identifiers, patterns such as '*-cpu-*', tags such as quick"


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
    options = _parser().parse_args(arguments)
    try:
        status: int = options.do(options)
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
        print("torchfloor: interrupted; finished cells are kept", file=sys.stderr)  # noqa: T201
        return _INTERRUPTED
    return status


def _drop_output() -> None:
    """Leave nothing to be written when the interpreter ends, where it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchfloor", description="Prove which releases of a dependency your code runs on."
    )
    parser.add_argument("--version", action="version", version=f"torchfloor {__version__}")
    parser.add_argument("--matrix", type=Path, default=Path("matrix.yaml"), help="the matrix file")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = _command(commands, "plan", _plan, "list the cells, and why some are not run")
    plan.add_argument("--refresh", action="store_true", help="ask the indexes again")
    plan.add_argument("--only", metavar="WORD", nargs="+", default=[], help=_ONLY)
    plan.add_argument("--save", metavar="FILE", type=Path, help=f"write it for {PLAN}")
    shown = plan.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--github", action="store_true", help="print cells=[…] for GITHUB_OUTPUT")
    shown.add_argument("--shard", metavar="K/N", help="print the cells of machine K of N")

    merge = _command(commands, "merge", _merge, "collect the records of several machines")
    merge.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="their records")

    run = _command(commands, "run", _run, "run cells, one after the other")
    run.add_argument("--only", metavar="CELL", nargs="+", default=[], help="these cells")
    run.add_argument("--fresh", action="store_true", help="run what has not changed, too")
    run.add_argument("--discard", action="store_true", help="keep no downloads for the next run")

    report = _command(commands, "report", _report, "show the table")
    _add_evidence(report)
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument("--markdown", action="store_true", help="print COMPATIBILITY.md")

    verdict = _command(commands, "verdict", _verdict, "compare declared and measured floor")
    _add_evidence(verdict)
    verdict.add_argument("--json", action="store_true", help="print JSON")

    _command(commands, "schema", _schema, "print the JSON Schema of a record")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    do: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    parser.set_defaults(do=do)
    return parser


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--published", action="store_true", help="from evidence/ instead of .compat/"
    )


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
    for line in merged.refused:
        print(f"torchfloor: not taken: {line}", file=sys.stderr)  # noqa: T201
    print(f"{merged.records} record{'s' if merged.records != 1 else ''} in .compat/records/")  # noqa: T201
    return 1 if merged.refused else 0


def _run(options: argparse.Namespace) -> int:
    heed_interruption()
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
    verdict = screen.show_end(workspace, [cell.id for cell in asked])
    standing = {row.cell: row for row in workspace.report().rows}
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
    return not (cell.promised and record.outcome == "errored")


def _report(options: argparse.Namespace) -> int:
    report = _read_report(options)
    if options.json:
        _print_json(report)
    elif options.markdown:
        _print_document(render_page(report).encode())
    else:
        print_report(report, Terminal())
    return 0


def _verdict(options: argparse.Namespace) -> int:
    report = _read_report(options)
    verdict = report.verdict
    if options.json:
        _print_json(verdict)
    else:
        below = [f"Below the declared floor: {line}" for line in verdict.below]
        indexes = [f"Index: {told}." for told in report.unreachable]
        for line in (verdict.sentence, *verdict.failing, *below, *indexes):
            print(line)  # noqa: T201
    return verdict.exit_code


def _read_report(options: argparse.Namespace) -> Report:
    matrix = read_matrix(options.matrix)
    if not options.published:
        workspace = Workspace(matrix)
        if not workspace.records.exists():
            msg = "No evidence in .compat/: run `nox -s compat`, or add --published."
            raise NoEvidenceError(msg)
        for error in read_records(workspace.records)[1]:
            print(f"torchfloor: {error}", file=sys.stderr)  # noqa: T201
        return workspace.report()
    return published_report(matrix)


def _schema(_options: argparse.Namespace) -> int:
    _print_json(record.schema())
    return 0


def _print_json(value: object) -> None:
    _print_document(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _print_document(content: bytes) -> None:
    """Write UTF-8, whatever the output's encoding is: what is read by a program must be whole."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
