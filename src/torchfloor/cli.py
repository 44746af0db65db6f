"""The command `torchfloor`: the pieces of a run, for scripts."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.version import InvalidVersion, Version
from rich.console import Console
from rich.progress import Progress

from torchfloor import __version__, record, screen
from torchfloor.errors import NoEvidenceError, StorageError, TorchfloorError
from torchfloor.interruption import heed_interruption
from torchfloor.matrix import read_matrix
from torchfloor.publish import published_report
from torchfloor.records import read_records
from torchfloor.report.markdown import render_page
from torchfloor.report.terminal import print_report
from torchfloor.wheels import DEFAULT
from torchfloor.workspace import Workspace, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.plan import Cell
    from torchfloor.report.model import Report
    from torchfloor.storage import Storage

__all__ = ["main"]

_INTERRUPTED = 130
_UNREAD = 141
_ALLOW_FULL = "download whole wheels from a server that gives no byte ranges"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The words after `torchfloor`; by default the process's own.

    Returns:
        The exit status: 0 all as declared; 1 something at or above the floor is not compatible, or
        its evidence is missing; 2 a mistake in the configuration or call; 3 no evidence;
        130 interrupted; 141 nobody reads the output.
    """
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know no more than ASCII
            stream.reconfigure(errors="backslashreplace")
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
    plan.add_argument("--json", action="store_true", help="print JSON")

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

    requires = _command(commands, "requires", _requires, "find the floor that code's names need")
    requires.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="files and folders")
    requires.add_argument("--package", default="torch", help="the dependency (%(default)s)")
    requires.add_argument("--module", help="the name it is imported by, if that is another")
    requires.add_argument("--index", default=DEFAULT, help="as in matrix.yaml")
    requires.add_argument("--versions", default="", metavar="SPEC", help="compare only these")
    requires.add_argument(
        "--at-least", type=_version, metavar="VERSION", help="fail if this release is not enough"
    )
    requires.add_argument("--json", action="store_true", help="print JSON")

    timeline = _command(
        commands, "timeline", _timeline, "show since which release names exist, from wheels alone"
    )
    timeline.add_argument("names", metavar="NAME", nargs="+", help="such as torch._foreach_norm")
    timeline.add_argument(
        "--package", help="the distribution, where it is not the name's first part"
    )
    timeline.add_argument("--versions", metavar="SPEC", default="", help="such as '>=2.0,<2.5'")
    timeline.add_argument("--pre", action="store_true", help="pre-releases, too")
    timeline.add_argument("--index", default=DEFAULT, help="default, a URL, or a folder of wheels")
    timeline.add_argument("--refresh", action="store_true", help="ask the index again")
    timeline.add_argument("--allow-full", action="store_true", help=_ALLOW_FULL)
    timeline.add_argument("--all", action="store_true", help="a line for each release")
    timeline.add_argument("--json", action="store_true", help="print JSON")

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
    plan = Workspace(read_matrix(options.matrix)).plan(refresh=options.refresh)
    if options.json:
        _print_json(plan.without_urls())
        return 0
    for line in screen.describe_plan(plan):
        print(line)  # noqa: T201
    for cell in plan.cells:
        print(f"{cell.id}  {cell.status}{f': {cell.reason}' if cell.reason else ''}")  # noqa: T201
    return 0


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
        print(render_page(report), end="")  # noqa: T201
    else:
        print_report(report, Console())
    return 0


def _verdict(options: argparse.Namespace) -> int:
    verdict = _read_report(options).verdict
    if options.json:
        _print_json(verdict)
    else:
        below = [f"Below the declared floor: {line}" for line in verdict.below]
        for line in (verdict.sentence, *verdict.failing, *below):
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


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        msg = f"{text!r} is no version; write one such as 2.0"
        raise argparse.ArgumentTypeError(msg) from None


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


def _schema(_options: argparse.Namespace) -> int:
    _print_json(record.schema())
    return 0


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())  # noqa: T201
