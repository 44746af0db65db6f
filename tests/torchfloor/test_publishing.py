"""What the session docs advises where the documents differ from the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.torchfloor.builders import make_cell, make_plan, make_record, write_project

from torchfloor.matrix import read_matrix
from torchfloor.provenance import Inputs
from torchfloor.publishing import _advise
from torchfloor.report.model import Evidence, make_report

if TYPE_CHECKING:
    from pathlib import Path

CELL = make_cell("1.0")


def test_where_the_evidence_is_current_the_documents_are_rendered_anew() -> None:
    report = make_report(Evidence(make_plan([CELL]), [make_record(CELL)]))
    assert _advise(report) == "run `nox -s docs` and commit the result"


def test_where_it_is_stale_rendering_would_say_that_nothing_is_known(tmp_path: Path) -> None:
    changed = Inputs(read_matrix(write_project(tmp_path)))
    told = _advise(make_report(Evidence(make_plan([CELL]), [make_record(CELL)], changed)))
    assert told.startswith("dep1.0-cpu-py311 is stale, since ")
    assert "`nox -s compat`, then `nox -s publish`" in told
    assert "nox -s docs" not in told
