"""What machines that share a run hand to each other."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from tests.torchfloor.builders import (
    PROVENANCE,
    make_cell,
    make_matrix,
    make_plan,
    make_record,
    make_wheel,
)

from torchfloor.errors import ConfigError, NoEvidenceError, TorchfloorError
from torchfloor.handover import PLAN, handed_plan, merge_records, save_plan
from torchfloor.records import read_records, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from torchfloor.record import Record

MADE = make_plan([make_cell("1.0")])


def later(record: Record) -> Record:
    """Return the same record, made a day later."""
    finished = PROVENANCE.finished + dt.timedelta(days=1)
    return replace(record, provenance=replace(PROVENANCE, finished=finished))


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a plan that the environment names."""
    monkeypatch.setenv(PLAN, "plan.json")
    save_plan(MADE, tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_a_plan_is_handed_over_as_it_is(handed: Path) -> None:
    assert handed_plan(make_matrix(handed.parent)) == MADE


def test_without_a_name_there_is_none(handed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLAN)
    assert handed_plan(make_matrix(handed.parent)) is None


def test_a_plan_that_is_not_there_is_never_made_anew_in_silence(handed: Path) -> None:
    handed.unlink()
    with pytest.raises(ConfigError, match=r"plan.json: .*\n.* cannot be read: .*TORCHFLOOR_PLAN"):
        handed_plan(make_matrix(handed.parent))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"cpu"', '"gpu"', "was changed since it was written"),
        ('"package"', '"parcel"', "is no plan"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    handed: Path, before: str, after: str, told: str
) -> None:
    handed.write_text(handed.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(ConfigError, match=told):
        handed_plan(make_matrix(handed.parent))


def test_a_plan_of_another_floor_is_refused(handed: Path) -> None:
    save_plan(replace(MADE, declared="0.9"), handed)
    with pytest.raises(ConfigError, match=r"about dep>=0.9, and this project declares dep>=1.0"):
        handed_plan(make_matrix(handed.parent))


def test_links_that_may_let_in_are_handed_to_nobody(tmp_path: Path) -> None:
    wheel = make_wheel("1.0", url="https://files.invalid/dep.whl?token=secret")
    with pytest.raises(TorchfloorError, match="the links of main have a query") as told:
        save_plan(make_plan([make_cell("1.0", wheel=wheel)]), tmp_path / "plan.json")
    assert "secret" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_records_are_found_in_any_depth_and_the_same_one_twice_is_one(tmp_path: Path) -> None:
    one, two = make_record(make_cell("1.0")), make_record(make_cell("1.1"), "incompatible")
    write_record(one, tmp_path / "a/record-one")
    write_record(one, tmp_path / "b")
    write_record(two, tmp_path / "a/record-two")
    (tmp_path / "a/record-two/badge.json").write_text("{}", "utf-8")
    merged = merge_records([tmp_path / "a", tmp_path / "b"], tmp_path / "to", "dep")
    assert merged == (2, (), ())
    assert read_records(tmp_path / "to") == ([one, two], [])


def test_records_that_disagree_are_refused_and_cost_only_their_cell(tmp_path: Path) -> None:
    record = make_record(make_cell("1.0"))
    write_record(record, tmp_path / "a")
    write_record(later(record), tmp_path / "b")
    write_record(make_record(make_cell("1.1")), tmp_path / "b")
    merged = merge_records([tmp_path / "a", tmp_path / "b"], tmp_path / "to", "dep")
    assert [found.release for found in read_records(tmp_path / "to")[0]] == ["1.1"]
    (told,) = merged.refused
    assert told.startswith("dep1.0-cpu-py311: its records disagree, compatible (2026-01-02 12:00")
    for folder in ("a", "b"):
        assert f" UTC) in {tmp_path / folder}" in told
    assert told.endswith("; remove all but one, or run the cell again")


def test_records_of_another_package_are_named_and_fail_nothing(tmp_path: Path) -> None:
    write_record(make_record(make_cell("1.0")), tmp_path / "a")
    for name in ("other1.0-cpu-py311", "other1.1-cpu-py311", "badge"):
        (tmp_path / f"a/{name}.json").write_text("{}", "utf-8")
    merged = merge_records([tmp_path / "a"], tmp_path / "to", "dep")
    span = "2 files (other1.0-cpu-py311.json to other1.1-cpu-py311.json)"
    assert merged == (1, (), (f"{tmp_path / 'a'}: {span}: not of dep",))
    with pytest.raises(NoEvidenceError, match=r"No record of deq in .* Passed over: .*dep1\.0-cpu"):
        merge_records([tmp_path / "a"], tmp_path / "empty", "deq")


def test_what_is_there_already_stays_where_another_one_disagrees(tmp_path: Path) -> None:
    record = make_record(make_cell("1.0"))
    write_record(record, tmp_path / "to")
    write_record(later(record), tmp_path / "a")
    assert len(merge_records([tmp_path / "a"], tmp_path / "to", "dep").refused) == 1
    assert read_records(tmp_path / "to")[0] == [record]


def test_a_damaged_record_is_named_with_its_place(tmp_path: Path) -> None:
    file = write_record(make_record(make_cell("1.0")), tmp_path / "a")
    file.write_text(file.read_text("utf-8").replace("compatible", "incompatible"), "utf-8")
    write_record(make_record(make_cell("1.1")), tmp_path / "a")
    merged = merge_records([tmp_path / "a"], tmp_path / "to", "dep")
    assert merged.records == 1
    assert f"{tmp_path / 'a'}: dep1.0-cpu-py311.json was changed" in merged.refused[0]


def test_no_record_at_all_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(NoEvidenceError, match="no machine has handed one back"):
        merge_records([tmp_path / "a"], tmp_path / "to", "dep")
    assert (tmp_path / "to").is_dir()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TorchfloorError, match="gone: no such folder"):
        merge_records([tmp_path / "gone"], tmp_path / "to", "dep")
