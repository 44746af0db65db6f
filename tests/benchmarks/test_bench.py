"""Which releases are measured."""

from __future__ import annotations

import pytest
from benchmarks.bench import choose_cells
from tests.torchfloor.builders import make_cell, make_plan

from torchfloor.errors import ConfigError, NoEvidenceError

OLD = make_cell("1.13.1", promised=False)
KNOWN = ("2.0.0", "2.0.1", "2.4.1", "2.8.0", "2.10.0")
PLAN = make_plan([OLD, *map(make_cell, KNOWN)], declared="2.0.0", floor="2.0.0")


def chosen(*words: str) -> list[str]:
    return [cell.release for cell in choose_cells(PLAN, words)]


def test_by_default_the_newest_the_floor_and_two_between_are_measured() -> None:
    assert chosen() == ["2.10.0", "2.8.0", "2.4.1", "2.0.0"]


@pytest.mark.parametrize(
    ("words", "releases"),
    [
        (["2.0.1"], ["2.0.1"]),
        (["==2.0.*"], ["2.0.1"]),
        (["<2.8"], ["2.4.1"]),
        (["2.0.0", "2.10", "2.0.0"], ["2.10.0", "2.0.0"]),
    ],
)
def test_words_on_the_command_line_name_others(words: list[str], releases: list[str]) -> None:
    assert chosen(*words) == releases


def test_all_that_is_wrong_with_the_words_is_told_at_once() -> None:
    told = r"(?s)2 mistakes.*'new' is neither.*9\.9: no such .* there are 2\.0\.0, .*, 2\.10\.0"
    with pytest.raises(ConfigError, match=told):
        chosen("new", "9.9")


def test_what_lies_below_the_floor_is_not_measured() -> None:
    with pytest.raises(ConfigError, match="no such release from the floor on can run here"):
        chosen("1.13.1")


def test_only_cells_that_run_on_the_processor_are_measured() -> None:
    cells = [make_cell("2.0.0", "cuda"), make_cell("2.0.0", status="not-run", reason="why")]
    with pytest.raises(NoEvidenceError, match="`nox -s plan` tells why"):
        choose_cells(make_plan(cells), [])
