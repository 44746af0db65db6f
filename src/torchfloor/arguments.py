"""The arguments of the command `torchfloor`: what may be written, and what it means."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from torchfloor import __version__
from torchfloor.handover import PLAN
from torchfloor.index import DEFAULT

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - no public name

__all__ = ["make_parser"]

_ALLOW_FULL = "download whole wheels from a server that gives no byte ranges"
_ONLY = "these cells: identifiers, patterns such as '*-cpu-*', tags such as quick"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; what it parses holds the command's name as `command`."""
    parser = argparse.ArgumentParser(
        prog="torchfloor", description="Prove which releases of a dependency your code runs on."
    )
    parser.add_argument("--version", action="version", version=f"torchfloor {__version__}")
    parser.add_argument("--matrix", type=Path, default=Path("matrix.yaml"), help="the matrix file")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_cells(commands)
    _add_reports(commands)
    _add_wheels(commands)
    _add(commands, "schema", "print the JSON Schema of a record")
    return parser


def _add_cells(commands: Commands) -> None:
    """Add what plans, runs and brings together cells."""
    plan = _add(commands, "plan", "list the cells, and why some are not run")
    plan.add_argument("--refresh", action="store_true", help="ask the indexes again")
    plan.add_argument("--only", metavar="WORD", nargs="+", default=[], help=_ONLY)
    plan.add_argument("--save", metavar="FILE", type=Path, help=f"write it for {PLAN}")
    shown = plan.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--github", action="store_true", help="print cells=[…] for GITHUB_OUTPUT")
    shown.add_argument("--shard", metavar="K/N", help="print the cells of machine K of N")

    merge = _add(commands, "merge", "collect the records of several machines")
    merge.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="their records")

    run = _add(commands, "run", "run cells, one after the other")
    run.add_argument("--only", metavar="CELL", nargs="+", default=[], help="these cells")
    run.add_argument("--fresh", action="store_true", help="run what has not changed, too")
    run.add_argument("--discard", action="store_true", help="keep no downloads for the next run")


def _add_reports(commands: Commands) -> None:
    """Add what shows evidence."""
    report = _add(commands, "report", "show the table")
    _add_evidence(report)
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument("--markdown", action="store_true", help="print COMPATIBILITY.md")
    report.add_argument("--page", metavar="FOLDER", type=Path, help="write the page into a folder")

    explain = _add(commands, "explain", "tell what is known of one cell")
    explain.add_argument("cell", metavar="CELL", help="its identifier, or enough of its beginning")
    _add_evidence(explain)
    explain.add_argument("--json", action="store_true", help="print JSON")

    verdict = _add(commands, "verdict", "compare declared and measured floor")
    _add_evidence(verdict)
    verdict.add_argument("--json", action="store_true", help="print JSON")
    verdict.add_argument("--markdown", action="store_true", help="print Markdown")

    changes = _add(commands, "changes", "say what changed; 1 if it is a regression")
    which = "a folder of records, or a git revision of evidence/"
    changes.add_argument("old", metavar="OLD", help=f"the baseline: {which}")
    changes.add_argument("new", metavar="NEW", help="what to compare with it: the same")
    changes.add_argument("--json", action="store_true", help="print JSON")
    changes.add_argument("--markdown", action="store_true", help="print Markdown")


def _add_wheels(commands: Commands) -> None:
    """Add what reads wheels and runs nothing."""
    requires = _add(commands, "requires", "find the floor that code's names need")
    requires.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="files and folders")
    requires.add_argument("--package", default="torch", help="the dependency (%(default)s)")
    requires.add_argument("--module", help="the name it is imported by, if that is another")
    requires.add_argument("--index", default=DEFAULT, help="as in matrix.yaml")
    requires.add_argument("--versions", default="", metavar="SPEC", help="compare only these")
    requires.add_argument(
        "--at-least", type=_version, metavar="VERSION", help="fail if this release is not enough"
    )
    requires.add_argument("--json", action="store_true", help="print JSON")

    timeline = _add(commands, "timeline", "show since which release names exist, from wheels alone")
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


def _add(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--published", action="store_true", help="from evidence/ instead of .compat/"
    )


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        msg = f"{text!r} is no version; write one such as 2.0"
        raise argparse.ArgumentTypeError(msg) from None
