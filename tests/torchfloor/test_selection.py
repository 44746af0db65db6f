"""Which cells a run is about: named, shared out, or told to GitHub Actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import make_cell, make_matrix, make_plan, make_wheel

from torchfloor.errors import NoEvidenceError, TorchfloorError
from torchfloor.selection import github_output, narrow, shard, tag_cells

if TYPE_CHECKING:
    from torchfloor.plan import Cell

CELLS = [
    make_cell("0.9", promised=False),
    make_cell("1.0"),
    make_cell("1.1"),
    make_cell("1.2"),
    make_cell("1.2", "cuda", status="not-run", reason="no CUDA device"),
]
PLAN = make_plan(CELLS)
TAGS = tag_cells(make_matrix(), PLAN)


def chosen(*words: str) -> list[str]:
    """Name the releases that are left."""
    cells = narrow(PLAN, words, TAGS).cells
    return [cell.release for cell in cells if cell.status == "planned"]


@pytest.mark.parametrize(
    ("words", "releases"),
    [
        ([], ["0.9", "1.0", "1.1", "1.2"]),
        (["quick"], ["1.0", "1.2"]),
        (["floor"], ["1.0"]),
        (["cpu"], ["0.9", "1.0", "1.1", "1.2"]),
        (["dep1.1-cpu-py311"], ["1.1"]),
        (["dep1.*-cpu-*"], ["1.0", "1.1", "1.2"]),
        (["floor", "dep0.*"], ["0.9", "1.0"]),
    ],
)
def test_cells_are_named_by_identifier_pattern_or_tag(
    words: list[str], releases: list[str]
) -> None:
    assert chosen(*words) == releases


def test_what_is_left_out_says_so_and_what_could_not_run_keeps_its_reason() -> None:
    reasons = {cell.id: cell.reason for cell in narrow(PLAN, ["floor"], TAGS).cells}
    assert reasons["dep1.1-cpu-py311"] == "left out of this run, which is about floor"
    assert reasons["dep1.2-cuda-py311"] == "no CUDA device"


def test_a_word_that_names_nothing_is_told_even_beside_one_that_does() -> None:
    with pytest.raises(TorchfloorError, match=r"can run here is named cuda or 1\.1:"):
        narrow(PLAN, ["floor", "cuda", "1.1"], TAGS)


@pytest.mark.parametrize("count", range(1, 5))
def test_shards_hold_every_cell_once(count: int) -> None:
    shards = [shard(CELLS, f"{number}/{count}") for number in range(1, count + 1)]
    ids = [cell.id for cells in shards for cell in cells]
    assert sorted(ids) == sorted(cell.id for cell in CELLS)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("which", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard_is_told(which: str) -> None:
    with pytest.raises(TorchfloorError, match="is no shard: write 2/5"):
        shard(CELLS, which)


def test_a_shard_without_a_cell_is_told() -> None:
    with pytest.raises(TorchfloorError, match="shard 6/7 has no cell, since only 5 can run"):
        shard(CELLS, "6/7")


def test_github_is_told_each_cell_its_python_and_whether_it_is_large() -> None:
    big = make_cell("1.1", wheel=make_wheel("1.1", size=800 * 10**6))
    gpu = make_cell("1.2", "cuda")
    name, _, value = github_output([make_cell("1.0"), big, gpu]).partition("=")
    assert (name, "\n" in value) == ("cells", False)
    assert json.loads(value) == [
        {"cell": "dep1.0-cpu-py311", "python": "3.11", "large": False},
        {"cell": "dep1.1-cpu-py311", "python": "3.11", "large": True},
        {"cell": "dep1.2-cuda-py311", "python": "3.11", "large": True},
    ]


def test_an_empty_plan_is_no_matrix() -> None:
    with pytest.raises(NoEvidenceError, match="nothing would be proved"):
        github_output([])


def many(count: int) -> list[Cell]:
    """Make cells."""
    return [make_cell(f"1.{number}") for number in range(count)]


def test_more_cells_than_a_matrix_has_jobs_are_told() -> None:
    assert len(json.loads(github_output(many(256)).partition("=")[2])) == 256
    with pytest.raises(TorchfloorError, match="257 cells can run, and GitHub Actions takes 256"):
        github_output(many(257))
