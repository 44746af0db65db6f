"""Move results into the repository: evidence/, COMPATIBILITY.md and the block in README.md."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor import static
from torchfloor.errors import ConfigError, NoEvidenceError, RecordError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.plan import Plan, is_cell_name
from torchfloor.provenance import Inputs
from torchfloor.records import (
    read_records,
    record_files,
    storing,
    sweep_unfinished,
    write_atomically,
    write_record,
)
from torchfloor.report.markdown import RENDERED, render_block, render_page, replace_block
from torchfloor.report.model import Evidence, Report, make_report
from torchfloor.report.reading import SHELVES, read_condensed
from torchfloor.unasked import complete, stand_in
from torchfloor.verdict import is_of_wheel, name_cells

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell
    from torchfloor.record import Record

__all__ = [
    "Published",
    "earlier_plan",
    "publish_records",
    "published_evidence",
    "published_plan",
    "render_documents",
    "write_document",
]


_MAX_PLAN = 64 * 2**20
_NAME = "evidence/plan.json"


class Published(NamedTuple):
    """What publishing has done.

    Attributes:
        records: Records of this workspace that are now the published ones.
        notes: What was not published, removed or left alone, and why: a line for each reason.
    """

    records: int
    notes: tuple[str, ...]


def publish_records(matrix: Matrix, plan: Plan, records: Iterable[Record]) -> Published:
    """Put records into evidence/, beside the plan they belong to.

    A cell keeps the evidence it has unless there is better: what says something about the planned
    wheel beats what does not, current evidence what was made from other inputs, and the newer the
    older. Evidence of cells that are no longer planned is removed, but for what only an index that
    did not answer may offer, and for what the same release and flavour has no other evidence.

    Args:
        matrix: Names the repository.
        plan: The plan the records were made from.
        records: The records of this workspace.

    Returns:
        How many were published, and what was not.

    Raises:
        NoEvidenceError: If there is none.
        RecordError: If it is not known which of the published cells still count, or if one that
            does not cannot be removed.
        StorageError: If something cannot be written.
    """
    folder, inputs = matrix.root / "evidence", Inputs(matrix)
    sweep_unfinished(folder)  # who commits the folder would commit that, too
    found = {record.cell: record for record in records}
    kept = {record.cell: record for record in read_records(folder)[0]}
    full = _with_published(matrix, plan, found, kept)
    chosen = {cell: record for cell, record in found.items() if full.cell(cell)}
    if not chosen:
        msg = "Nothing to publish: .compat/ holds no record of a planned cell; run `nox -s compat`."
        raise NoEvidenceError(msg)
    left_out = {cell: _why_unplanned(cell, plan) for cell in found.keys() - chosen.keys()}
    for cell, record in chosen.items():
        if cell in kept and (why := _why_worse(record, kept[cell], full.cell(cell), inputs)):
            left_out[cell] = why
        else:
            write_record(record, folder)
    gone, foreign = _not_planned(matrix, full)
    for file in gone:
        _remove(file)
    write_atomically(folder / "plan.json", seal(full.without_urls()))
    left_out |= {file.stem: "no longer planned: removed from evidence/" for file in gone}
    notes = _by_reason(left_out)
    notes += [f"evidence/{file.name} is no record of a cell: left alone" for file in foreign]
    return Published(len(chosen.keys() - left_out.keys()), tuple(notes))


def _with_published(
    matrix: Matrix, plan: Plan, found: Mapping[str, Record], kept: Mapping[str, Record]
) -> Plan:
    """Add to a plan the published cells that it must not make away with."""
    earlier, inputs = earlier_plan(matrix), Inputs(matrix)
    if earlier is None:
        if plan.silent and (gone := _not_planned(matrix, plan)[0]):
            cells = name_cells([file.stem for file in gone])
            msg = f"{cells} in evidence/, but not planned, and {plan.unreachable[0]}: whether to"
            msg += f" keep them, only {_NAME} could tell, which cannot be read; take it back, or"
            msg += " publish when the index answers"
            raise RecordError(msg)
        return plan
    current = {
        record.cell
        for record in (*kept.values(), *found.values())
        if _weight(record, plan.cell(record.cell), inputs)[:2] == (True, True)
    }
    return stand_in(complete(plan, earlier, matrix), earlier, matrix, current, kept.keys())


def _weight(record: Record, cell: Cell | None, inputs: Inputs) -> tuple[bool, bool, dt.datetime]:
    """Weigh evidence of a cell, if it is planned: the heavier is the better."""
    tells = record.outcome != "errored" and (cell is None or is_of_wheel(record, cell))
    return tells, inputs.made(record), record.provenance.finished


def _why_worse(new: Record, published: Record, cell: Cell | None, inputs: Inputs) -> str:
    """Say why a record must not take the place of the published one, if so."""
    mine, other = _weight(new, cell, inputs), _weight(published, cell, inputs)
    if mine >= other:
        return ""
    if mine[0] < other[0] and new.outcome != "errored":
        return "not published: of another wheel than the index offers now; run it again"
    if mine[0] < other[0]:
        return "not published: errored, while the published evidence says something"
    if mine[:2] < other[:2]:
        return (
            "not published: made from another subject, other probes or another matrix, while the "
            "published evidence is current"
        )
    return (
        "not published: older than the published evidence; to publish it all the same, remove "
        "that from evidence/"
    )


def _why_unplanned(cell: str, plan: Plan) -> str:
    if plan.cell(cell):
        return "not published: nothing is known there that another Python has not proved"
    return (
        "no longer planned, and not published: matrix.yaml does not name its release or flavour "
        "any more, or no index offers it"
    )


def _by_reason(reasons: Mapping[str, str]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for cell, why in sorted(reasons.items()):
        alike.setdefault(why, []).append(cell)
    return [f"{name_cells(cells)} {why}" for why, cells in alike.items()]


def _not_planned(matrix: Matrix, plan: Plan) -> tuple[list[Path], list[Path]]:
    """List the files of evidence/ of no planned cell: our records, and what is not ours."""
    every = record_files(matrix.root / "evidence")
    files = [file for file in every if plan.cell(file.stem) is None]
    earlier = earlier_plan(matrix) if files else None
    ours = [file for file in files if _is_ours(file, matrix, earlier)]
    return ours, [file for file in files if file not in ours]


def _is_ours(file: Path, matrix: Matrix, plan: Plan | None) -> bool:
    known = plan is not None and plan.cell(file.stem) is not None
    return known or is_cell_name(file.stem, matrix.package)


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
    file = matrix.root / _NAME
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
    raise ConfigError(_NAME, [f"{mistake}; {hint}"])


def earlier_plan(matrix: Matrix) -> Plan | None:
    """Read the published plan, be it about another floor; None if there is no sound one."""
    try:
        content = read_bounded(matrix.root / _NAME, _MAX_PLAN)
        plan = msgspec.json.decode(content, type=Plan)
    except (OSError, ValueError, RecursionError):
        return None
    return plan if is_unchanged(content) else None


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
        NoEvidenceError: As `published_evidence`, whose other errors it raises as well.
    """
    return make_report(published_evidence(matrix))


def published_evidence(matrix: Matrix) -> Evidence:
    """Read the published plan and its records.

    Args:
        matrix: Names the repository, and what the evidence must have been made from.

    Raises:
        NoEvidenceError: If nothing has been published.
        ConfigError: If the published plan or timeline is damaged, or about something else.
        RecordError: If records are damaged, or the plan does not know them; all are named.
    """
    plan = published_plan(matrix)
    foreign = {file.name for file in _not_planned(matrix, plan)[1]}
    reading = read_condensed(
        matrix.root / "evidence", plan, matrix.root / SHELVES / "published", passing_over=foreign
    )
    mistakes = [*reading.damaged.values()]
    mistakes += [
        f"{record.cell}.json is of no cell in plan.json; remove it, or publish anew"
        for record in reading.records
        if plan.cell(record.cell) is None
    ]
    if mistakes:
        raise RecordError("\n".join(f"evidence/{mistake}" for mistake in mistakes))
    return Evidence(
        plan=plan,
        records=reading.records,
        inputs=Inputs(matrix),
        static=static.read_static(matrix),
        stories=reading.stories,
    )


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
    # Templates take their time to load; only who renders needs them.
    from torchfloor.report.html import render_charts  # noqa: PLC0415

    evidence = published_evidence(matrix)
    report = make_report(evidence)
    charts = render_charts(evidence, report)
    readme = matrix.root / "README.md"
    return {
        matrix.root / "COMPATIBILITY.md": render_page(report),
        readme: replace_block(readme, render_block(report, [*charts])),
        **{matrix.root / RENDERED / name: text for name, text in charts.items()},
    }


def write_document(file: Path, text: str) -> None:
    """Write a generated file, and the folder it lies in.

    Raises:
        StorageError: If it cannot be written.
    """
    with storing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep_unfinished(file.parent, of=glob.escape(file.name))
    write_atomically(file, text.encode())
