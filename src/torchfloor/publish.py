"""Move results into the repository: evidence/, COMPATIBILITY.md and the block in README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from torchfloor import static
from torchfloor.errors import ConfigError, NoEvidenceError, RecordError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.plan import Plan
from torchfloor.provenance import Inputs
from torchfloor.records import read_records, write_atomically, write_record
from torchfloor.report.markdown import render_block, render_page, replace_block
from torchfloor.report.model import Report, make_report

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.record import Record

__all__ = ["publish_records", "published_plan", "render_documents"]


_MAX_PLAN = 64 * 2**20


def publish_records(matrix: Matrix, plan: Plan, records: Iterable[Record]) -> int:
    """Put records into evidence/, beside the plan they belong to.

    A cell that was not run again, or whose run failed to say anything, keeps the evidence it has;
    evidence of cells that are no longer planned is removed.

    Args:
        matrix: Names the repository.
        plan: The plan the records were made from.
        records: The records of this workspace.

    Returns:
        The number of records written.

    Raises:
        NoEvidenceError: If there is none.
    """
    folder = matrix.root / "evidence"
    planned = {cell.id for cell in plan.cells}
    chosen = [record for record in records if record.cell in planned]
    if not chosen:
        msg = "Nothing to publish: .compat/ holds no record of a planned cell; run `nox -s compat`."
        raise NoEvidenceError(msg)
    for record in chosen:
        if record.outcome != "errored" or not (folder / f"{record.cell}.json").exists():
            write_record(record, folder)
    for file in folder.glob("*.json"):
        if file.stem not in planned and file.name != static.FILE:
            _remove(file)
    write_atomically(folder / "plan.json", seal(plan.without_urls()))
    return len(chosen)


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError as error:
        msg = f"evidence/{file.name} cannot be removed ({error.strerror}); look what it is"
        raise RecordError(msg) from None


def published_plan(matrix: Matrix) -> Plan:
    """Read the plan that the published evidence belongs to.

    Raises:
        NoEvidenceError: If nothing has been published.
        ConfigError: If the plan cannot be read, was changed by hand, or is about another declared
            floor.
    """
    name = "evidence/plan.json"
    file = matrix.root / name
    try:
        content = read_bounded(file, _MAX_PLAN)
        plan = msgspec.json.decode(content, type=Plan)
    except FileNotFoundError:
        msg = "No published evidence: run `nox -s compat`, then `nox -s publish`."
        raise NoEvidenceError(msg) from None
    except OSError as error:
        mistake = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        mistake = f"cannot be read: {error}"
    else:
        mistake = _mistake(plan, content, matrix)
        if not mistake:
            return plan
    hint = "run `nox -s compat` and `nox -s publish`, or take the change back"
    raise ConfigError(name, [f"{mistake}; {hint}"])


def _mistake(plan: Plan, content: bytes, matrix: Matrix) -> str:
    if not is_unchanged(content):
        return "was changed since it was published (its digest does not fit)"
    if plan.declared != str(matrix.declared):
        return f"{matrix.declared_in.name} declares {matrix.declared}, the evidence {plan.declared}"
    return ""


def published_report(matrix: Matrix) -> Report:
    """Bring the published evidence into the model that renderers show.

    Args:
        matrix: Names the repository, and what the evidence must have been made from.

    Raises:
        NoEvidenceError: If nothing has been published.
        ConfigError: If the published plan or timeline is damaged, or about something else.
        RecordError: If records are damaged, or the plan does not know them; all are named.
    """
    plan = published_plan(matrix)
    records, errors = read_records(matrix.root / "evidence")
    mistakes = [str(error) for error in errors]
    mistakes += [
        f"{record.cell}.json is of no cell in plan.json; remove it, or publish anew"
        for record in records
        if plan.cell(record.cell) is None
    ]
    if mistakes:
        raise RecordError("\n".join(f"evidence/{mistake}" for mistake in mistakes))
    return make_report(plan, records, Inputs(matrix), static.read_static(matrix))


def render_documents(matrix: Matrix) -> dict[Path, str]:
    """Render the generated documents from the published evidence.

    Args:
        matrix: Names the repository.

    Returns:
        The text that each generated file should have.

    Raises:
        ConfigError: If README.md has no place for the short table.
        NoEvidenceError: As `published_report`, whose other errors it raises as well.
    """
    report = published_report(matrix)
    readme = matrix.root / "README.md"
    return {
        matrix.root / "COMPATIBILITY.md": render_page(report),
        readme: replace_block(readme, render_block(report)),
    }
