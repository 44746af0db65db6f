"""`nox -s canary`: the newest pre-release, tried ahead of its release; reported apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from torchfloor import screen
from torchfloor.addresses import without_credentials
from torchfloor.errors import ConfigError, TorchfloorError
from torchfloor.index import IndexUnreachableError
from torchfloor.output import one_line
from torchfloor.plan import plan_release
from torchfloor.records import write_record
from torchfloor.static import read_wheels
from torchfloor.wheels import Wheel, list_wheels, with_credentials
from torchfloor.workspace import this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell
    from torchfloor.record import Record
    from torchfloor.timeline import Sighting
    from torchfloor.workspace import Workspace

__all__ = ["try_canary"]

_DECIDED = {"present", "absent"}


def try_canary(workspace: Workspace, say: Callable[[str], None], *, discard: bool = False) -> None:
    """Tell what the newest pre-release brings: first from its wheel, then by running its cell.

    Its record goes to `.compat/canary/`: it is no part of any table, floor or verdict.

    Args:
        workspace: Names the index of pre-releases, and the newest release to compare with.
        say: Told everything, in lines.
        discard: Whether nothing that is downloaded is to be kept.

    Raises:
        ConfigError: If matrix.yaml names no such index.
        TorchfloorError: If nothing could be found out; it is allowed to.
    """
    matrix = workspace.matrix
    if not matrix.canary:
        hint = "canary: names no index; write where pre-releases are, or default"
        raise ConfigError(matrix.source.name, [hint])
    newest = workspace.plan(pinned=True).releases[-1]
    cell = _newest_canary(matrix, newest)
    say(f"Canary: {cell.package} {cell.release}, from {without_credentials(matrix.canary)}.")
    for line in _foretell(matrix, cell.release, newest):
        say(line)
    workspace.sweep()
    storage = screen.show_space(workspace, [cell], 1, discard=discard)
    # What runs processes is not worth importing before it is known that something is to be run.
    from torchfloor.folder import alone  # noqa: PLC0415
    from torchfloor.run import run_cell  # noqa: PLC0415

    def tell(text: str) -> None:
        say(f"  {cell.id}: {text}")

    with storage.turn(), alone(storage.folder(cell), tell):
        record = run_cell(matrix, cell, storage, tell)
    write_record(record, workspace.folder / "canary")
    for line in _report(record):
        say(line)


def _newest_canary(matrix: Matrix, newest: str) -> Cell:
    """Plan the newest pre-release that can run here, if it is newer than the newest release."""
    name = without_credentials(matrix.canary)
    offers: dict[Version, list[Wheel]] = {}
    for wheel in list_wheels(matrix.package, matrix.canary, matrix.root):
        if wheel.release.is_prerelease and wheel.release > Version(newest):
            usable = with_credentials(wheel, matrix.canary)
            offers.setdefault(wheel.release, []).append(usable)
    if not offers:
        msg = f"{name} has no pre-release of {matrix.package} that is newer than {newest}"
        raise IndexUnreachableError(msg)
    flavour = next(iter(matrix.flavours))
    host = this_host()
    every = [
        plan_release(matrix, host, release, flavour, offers[release])
        for release in sorted(offers, reverse=True)
    ]
    planned = (cell for cell in every if cell.status == "planned")
    cell = next(planned, every[0])
    if cell.status != "planned":
        msg = f"{matrix.package} {cell.release} cannot run here: {cell.status}: {cell.reason}"
        raise IndexUnreachableError(msg)
    return cell


def _foretell(matrix: Matrix, release: str, newest: str) -> Iterator[str]:
    """Say how the matrix's names differ from those of the newest release, as wheels tell it."""
    if not matrix.names:
        yield "Nothing is foretold: matrix.yaml lists no `names` to read from wheels."
        return
    from torchfloor.timeline import Timeline, change_points  # noqa: PLC0415 - slow to import

    try:
        new = read_wheels(matrix, f"=={release}", index=matrix.canary, pre=True)
        old = read_wheels(matrix, f"=={newest}")
    except TorchfloorError as error:
        yield f"Nothing is foretold: wheels cannot be read ({error})."
        return
    for before, after in zip(old.timelines, new.timelines, strict=True):
        seen = (before.sightings[0], after.sightings[0])
        doubts = [_doubt(each) for each in seen if each.status not in _DECIDED]
        changes = [c for c in change_points(Timeline(after.name, seen)) if c.before is not None]
        told = "; ".join(change.text for change in changes) or f"the same as in {newest}"
        if seen[0].signatures and seen[1].status == "present" and not seen[1].signatures:
            told = f"there, but its signature cannot be read ({seen[1].kind})"
        if any(change.kind != "annotation" for change in changes):
            told = f"CHANGED since {newest}: {told}"
        yield f"Read from wheels, not run: {after.name}: {'; '.join(doubts) or told}."


def _doubt(sighting: Sighting) -> str:
    return f"nothing is known of {sighting.release} ({sighting.status}: {sighting.why})"


def _report(record: Record) -> Iterator[str]:
    """Say what came of it, and what that means."""
    told = f"Canary: {record.package} {record.release} is {record.outcome}"
    if record.failure is not None and record.outcome != "compatible":
        told += f": {one_line(f'{record.failure.stage}: {record.failure.message}')}"
    yield f"{told}."
    failed = [probe for probe in record.probes if probe.outcome == "failed"]
    for probe in failed[1:]:
        yield f"  {probe.probe}: {one_line(probe.message)}"
    if record.outcome == "incompatible":
        yield "It is allowed to fail, so this fails nothing: mend it before it is released."
    yield f"Record: .compat/canary/{record.cell}.json; it stands in no table, and moves no floor."
