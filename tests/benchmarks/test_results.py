"""What docs/benchmarks.json holds, and the arithmetic on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.results import compare, read_results, write_results
from tests.benchmarks.builders import make_measured, make_results

from torchfloor.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_ratio_is_taken_within_each_round() -> None:
    # The medians alone would say 10 / 10 = 1.
    assert compare([1, 10, 100], [2, 5, 10]).median == 2


def test_a_spread_is_the_middle_half_of_the_ratios() -> None:
    assert compare([1, 2, 3, 4, 5], [1, 1, 1, 1, 1]) == (2, 3, 4)


def test_rounds_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(RecordError, match="3 rounds cannot be compared with 2"):
        compare([1, 2, 3], [1, 2])


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.json"
    write_results(make_results(), file)
    assert read_results(file) == make_results()


def test_the_samples_of_an_implementation_stand_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.json"
    write_results(make_results(), file)
    assert '"torch._foreach_norm": [ 0.002, 0.002, 0.002 ]' in file.read_text("utf-8")


def test_a_memory_measurement_that_misses_a_known_allocation_is_not_believed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "benchmarks.json"
    write_results(make_results(make_measured("2.7.0", found=8)), file)
    with pytest.raises(RecordError, match=r"2\.7\.0, a call that allocates 12 bytes .* allocate 8"):
        read_results(file)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"made": "2026-01-02"}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "benchmarks.json"
    file.write_text(content, "utf-8")
    with pytest.raises(RecordError, match=r"benchmarks\.json holds no results .*`nox -s bench`"):
        read_results(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"benchmarks\.json cannot be read"):
        read_results(tmp_path / "benchmarks.json")


@pytest.mark.parametrize("samples", ["[ 0.001 ]", "[ 0.001, 0.0, 0.001 ]", "[ 0.001, -1, 0.001 ]"])
def test_samples_that_no_clock_gives_are_refused(tmp_path: Path, samples: str) -> None:
    file = tmp_path / "benchmarks.json"
    write_results(make_results(), file)
    text = file.read_text("utf-8").replace("[ 0.002, 0.002, 0.002 ]", samples)
    file.write_text(text, "utf-8")
    with pytest.raises(RecordError, match="holds no results"):
        read_results(file)
