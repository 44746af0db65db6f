"""The sessions that write what is tracked, or hold it against the evidence: publish and docs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import nox

from torchfloor.errors import TorchfloorError, unfinished
from torchfloor.output import one_line
from torchfloor.publish import publish_records, published_report, render_documents, write_document
from torchfloor.records import read_records
from torchfloor.static import publish_static
from torchfloor.verdict import name_cells

if TYPE_CHECKING:
    from pathlib import Path

    from torchfloor.plan import Plan
    from torchfloor.report.model import Report
    from torchfloor.workspace import Workspace

__all__ = ["Documents", "define_docs", "define_publish"]


class Documents(Protocol):
    """Renders documents of the project's own; see `torchfloor.sessions.define`."""

    def __call__(self, *, checking: bool) -> dict[Path, str]:
        """Return the text that each file should have."""


def define_publish(workspace: Workspace, plan: Plan) -> None:
    """Define the session publish.

    Args:
        workspace: The checkout's.
        plan: What the evidence is published for.
    """

    @nox.session(python=False, default=False)
    def publish(session: nox.Session) -> None:
        """Move the results into evidence/, COMPATIBILITY.md and README.md."""
        records, errors = read_records(workspace.records)
        for error in errors:
            session.warn(str(error))
        try:
            count, notes = publish_records(workspace.matrix, plan, records)
            for note in (*notes, *publish_static(workspace.matrix, plan.releases)):
                session.warn(note)
            for file, text in render_documents(workspace.matrix).items():
                write_document(file, text)
        except TorchfloorError as error:
            session.error(unfinished(error))
        report = published_report(workspace.matrix)
        session.log(report.verdict.sentence)
        published = f"{count} record{'s' if count != 1 else ''} published"
        session.log(f"{published}; look at the changes, and commit them")
        _shout(session, report)


def _shout(session: nox.Session, report: Report) -> None:
    """Fail where wheels say something else than what was run."""
    found = report.timeline.disagreements if report.timeline else ()
    for line in found:
        session.warn(f"DISAGREEMENT of wheel and run: {one_line(line)}")
    if found:
        what = "what wheels say and what was run disagree"
        hint = "a stub, a probe or the reading of wheels is wrong: find out which"
        session.error(f"{what} in {len(found)} point{'s' if len(found) != 1 else ''}; {hint}")


def define_docs(workspace: Workspace, documents: Documents | None) -> None:
    """Define the session docs, which needs no plan and so no index.

    Args:
        workspace: The checkout's.
        documents: Renders the project's own, if it has any.
    """

    @nox.session(python=False, default=False)
    def docs(session: nox.Session) -> None:
        """Render the documents from the published evidence anew; `-- --check` only compares."""
        checking = "--check" in session.posargs
        try:
            rendered = render_documents(workspace.matrix)
            report = published_report(workspace.matrix)
            if documents is not None:
                rendered |= documents(checking=checking)
        except TorchfloorError as error:
            session.error(unfinished(error))
        differing = [file for file, text in rendered.items() if not _equals(file, text)]
        if checking and differing:
            names = " and ".join(file.name for file in differing)
            verb = "differs" if len(differing) == 1 else "differ"
            session.error(f"{names} {verb} from what the evidence says; {_advise(report)}")
        for file in differing:
            write_document(file, rendered[file])
            session.log(f"rendered {file.name}")
        if workspace.matrix.names and report.timeline is None:
            session.warn("no timeline of the matrix's names is published: run `nox -s publish`")
        _shout(session, report)


def _advise(report: Report) -> str:
    """Say how the documents come to say what the evidence says, and something at that."""
    stale = [row.cell for row in report.rows if row.outcome == "stale"]
    if not stale:
        return "run `nox -s docs` and commit the result"
    why = "since the subject, the probes, the matrix or a wheel have changed"
    again = "run the matrix again and publish: `nox -s compat`, then `nox -s publish`"
    return f"{name_cells(stale)} stale, {why}; {again}"


def _equals(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text
