"""What a workspace knows -> its table and its page."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from filelock import FileLock

from torchfloor.errors import StorageError
from torchfloor.files import read_bounded
from torchfloor.records import storing, write_atomically
from torchfloor.report.markdown import render_page
from torchfloor.report.model import Evidence, Report, make_report
from torchfloor.report.reading import SHELVES, read_condensed
from torchfloor.snapshot import Snapshot
from torchfloor.static import known_static

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torchfloor.workspace import Workspace

__all__ = ["read_evidence", "refresh", "render"]

_QUICK = 1.0
"""Seconds that a rendering may take and be worth them after every cell …"""
_SHARE = 1 / 20
"""… else it may take this share of a run."""
_LONGEST_WAIT = 300
"""… but never fewer than every so many seconds: it may have taken so long only once."""
_MAX_NOTE = 64
_TABLE, _PAGE = "COMPATIBILITY.md", "index.html"


def read_evidence(workspace: Workspace) -> Evidence:
    """Read what a workspace knows, and what was published before."""
    plan, root = workspace.plan(pinned=True), workspace.matrix.root
    shelves = root / SHELVES
    own = read_condensed(workspace.records, plan, shelves / "own")
    others = read_condensed(root / "evidence", plan, shelves / "published before", earlier=True)
    return Evidence(
        plan=plan,
        records=own.records,
        inputs=workspace.inputs,
        static=known_static(workspace.matrix),
        published=Snapshot("evidence/", others.records, others.damaged),
        stories=own.stories,
        damaged=own.damaged,
    )


def refresh(workspace: Workspace, say: Callable[[str], None], *, ending: bool = False) -> None:
    """Render anew after a cell if there is something new, so that a killed run leaves it.

    Of thousands of cells, rendering takes seconds: then a run does not do so after each.

    Args:
        workspace: What to render.
        say: Told if that cannot be written: the records are safe.
        ending: Whether nothing will be rendered after that.
    """
    try:
        if _is_due(workspace, ending=ending):
            with _turn(workspace):
                if _is_due(workspace, ending=ending):  # nobody else has done so meanwhile
                    _write(workspace)
    except StorageError as error:
        with contextlib.suppress(OSError):  # nobody reads it
            say(str(error))


def render(workspace: Workspace) -> tuple[Evidence, Report]:
    """Write table and page of what is known so far.

    Returns:
        What they were made from, and the model.

    Raises:
        StorageError: If they cannot be written.
    """
    with _turn(workspace):
        return _write(workspace)


@contextlib.contextmanager
def _turn(workspace: Workspace) -> Iterator[None]:
    """Hold the right to render; several processes may want to at once."""
    with storing(workspace.folder / _TABLE), FileLock(workspace.folder / "render.lock"):
        yield


def _write(workspace: Workspace) -> tuple[Evidence, Report]:
    # Templates take their time to load; only who renders needs them.
    from torchfloor.report.html import render_html  # noqa: PLC0415

    began, seen = time.monotonic(), _last_change(workspace)
    evidence = read_evidence(workspace)
    report = make_report(evidence)
    write_atomically(workspace.folder / _TABLE, render_page(report).encode())
    write_atomically(workspace.folder / _PAGE, render_html(evidence, report).encode())
    with contextlib.suppress(StorageError):  # then the next cell renders as well
        write_atomically(_note(workspace), b"%.3f %d\n" % (time.monotonic() - began, seen))
    return evidence, report


def _note(workspace: Workspace) -> Path:
    """Name the file that says how long the last rendering took, and of what; as old as that is."""
    return workspace.folder / "rendered.txt"


def _last_change(workspace: Workspace) -> int:
    """Return when a record was last written, by the clock of its folder."""
    return workspace.records.stat().st_mtime_ns if workspace.records.exists() else 0


def _is_due(workspace: Workspace, *, ending: bool) -> bool:
    note = _note(workspace)
    try:
        ago = time.time() - note.stat().st_mtime
        took, seen = read_bounded(note, _MAX_NOTE).split()
        seconds, is_new = float(took), int(seen) != _last_change(workspace)
    except (OSError, ValueError):  # there is none yet, or something else has written it
        return True
    if not all((workspace.folder / name).exists() for name in (_TABLE, _PAGE)):
        return True
    wait = 0 if ending or seconds < _QUICK else min(seconds / _SHARE, _LONGEST_WAIT)
    return is_new and not 0 <= ago < wait
