"""The command `torchfloor`: the pieces of a run, for scripts."""

from __future__ import annotations

import argparse
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.version import InvalidVersion, Version
from rich.console import Console
from rich.progress import Progress

from torchfloor import __version__, record, screen
from torchfloor.changes import compare
from torchfloor.errors import NoEvidenceError, StorageError, TorchfloorError
from torchfloor.interruption import heed_interruption
from torchfloor.matrix import read_matrix
from torchfloor.output import open_output
from torchfloor.publish import published_evidence, write_document
from torchfloor.records import read_records
from torchfloor.report.changes import print_changes, render_changes
from torchfloor.report.explain import print_story
from torchfloor.report.markdown import render_page
from torchfloor.report.model import make_report
from torchfloor.report.story import tell_stories
from torchfloor.report.terminal import Terminal, print_report
from torchfloor.snapshot import read_snapshot
from torchfloor.wheels import DEFAULT
from torchfloor.workspace import Workspace, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.plan import Cell
    from torchfloor.report.model import Evidence
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
    plan.add_argument("--json", action="store_true", help="print JSON")

    run = _command(commands, "run", _run, "run cells, one after the other")
    run.add_argument("--only", metavar="CELL", nargs="+", default=[], help="these cells")
    run.add_argument("--fresh", action="store_true", help="run what has not changed, too")
    run.add_argument("--discard", action="store_true", help="keep no downloads for the next run")

    report = _command(commands, "report", _report, "show the table")
    _add_evidence(report)
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument("--markdown", action="store_true", help="print COMPATIBILITY.md")
    report.add_argument("--page", metavar="FOLDER", type=Path, help="write the page into a folder")

    explain = _command(commands, "explain", _explain, "tell what is known of one cell")
    explain.add_argument("cell", metavar="CELL", help="its identifier")
    _add_evidence(explain)
    explain.add_argument("--json", action="store_true", help="print JSON")

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

    changes = _command(commands, "changes", _changes, "say what changed; 1 if it is a regression")
    which = "a folder of records, or a git revision of evidence/"
    changes.add_argument("old", metavar="OLD", help=f"the baseline: {which}")
    changes.add_argument("new", metavar="NEW", help="what to compare with it: the same")
    changes.add_argument("--json", action="store_true", help="print JSON")
    changes.add_argument("--markdown", action="store_true", help="print Markdown")

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
    evidence = _read_evidence(options)
    report = make_report(*evidence)
    if options.page:
        _write_page(evidence, options.page)
    elif options.json:
        _print_json(report)
    elif options.markdown:
        _print_document(render_page(report).encode())
    else:
        print_report(report, Terminal())
    return 0


def _write_page(evidence: Evidence, folder: Path) -> None:
    # As in workspace.py: only who renders needs templates.
    from torchfloor.report.html import render_site  # noqa: PLC0415

    for name, text in render_site(evidence).items():
        write_document(folder / name, text)
    print(f"Written: {folder / 'index.html'}, and the badge and charts beside it")  # noqa: T201


def _explain(options: argparse.Namespace) -> int:
    evidence = _read_evidence(options)
    known = [cell.id for cell in evidence.plan.cells]
    if options.cell not in known:
        near = get_close_matches(options.cell, known, cutoff=0.5)
        hint = f"; near it: {', '.join(near)}" if near else ""
        msg = f"no cell {options.cell} in the plan{hint}; `torchfloor plan` lists them"
        raise TorchfloorError(msg)
    rows = [row for row in make_report(*evidence).rows if row.cell == options.cell]
    story = next(tell_stories(rows, evidence.records))
    if options.json:
        _print_json(story)
    else:
        print_story(story, Terminal())
    return 0 if story.row.verified else NoEvidenceError.exit_code


def _verdict(options: argparse.Namespace) -> int:
    report = make_report(*_read_evidence(options))
    verdict = report.verdict
    if options.json:
        _print_json(verdict)
    else:
        below = [f"Below the declared floor: {line}" for line in verdict.below]
        indexes = [f"Index: {told}." for told in report.unreachable]
        for line in (verdict.sentence, *verdict.failing, *below, *indexes):
            print(line)  # noqa: T201
    return verdict.exit_code


def _read_evidence(options: argparse.Namespace) -> Evidence:
    matrix = read_matrix(options.matrix)
    if not options.published:
        workspace = Workspace(matrix)
        if not workspace.records.exists():
            msg = "No evidence in .compat/: run `nox -s compat`, or add --published."
            raise NoEvidenceError(msg)
        for error in read_records(workspace.records)[1]:
            print(f"torchfloor: {error}", file=sys.stderr)  # noqa: T201
        return workspace.evidence()
    return published_evidence(matrix)


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
