"""What reports read of records: the same as from the whole ones, however many, and as they are."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.torchfloor.builders import PROVENANCE, make_cell, make_plan, make_record

from torchfloor.condensed import condense
from torchfloor.differences import find_differences
from torchfloor.files import read_bounded
from torchfloor.record import Failure, Match, Note, PathSeen, Probe, Ratio, RawMatch, Timing
from torchfloor.records import read_records, write_record
from torchfloor.report import reading, shelf
from torchfloor.report.block import Block, Task, make_block
from torchfloor.report.model import Evidence, make_report
from torchfloor.report.reading import Reading, read_condensed
from torchfloor.report.series import make_charts
from torchfloor.snapshot import Snapshot
from torchfloor.static import NameHistory, Seen, StaticEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.record import Record

ROOT = Path(__file__).parents[2]
CELLS = [make_cell(f"1.{minor}") for minor in range(12)]
PLAN = make_plan(CELLS)
MATCH = Match("call", "big", "float32", 3, 4e-7, 1e-6, passed=True, digest="")
STATIC = StaticEvidence(
    "dep",
    "default",
    dt.date(2026, 1, 2),
    (NameHistory("dep.fast", (), tuple(Seen(cell.release, "absent") for cell in CELLS)),),
)

words = st.sampled_from(["", "a", "b", "call", "dep.fast"])
errors = st.sampled_from([None, 0.0, 1e-9, 1e-3])
tolerances = st.sampled_from([0.0, 1e-6])
times = st.floats(0.1, 10)
matches = st.builds(
    Match, words, words, words, st.integers(1, 2), errors, tolerances, st.booleans(), words
)
outcomes = st.sampled_from(["passed", "failed", "skipped"])


def tuples(of: st.SearchStrategy[Any], most: int = 20) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=most).map(tuple)


said = st.fixed_dictionaries(
    {
        "probes": tuples(st.builds(Probe, words, words, outcomes, times, words, words)),
        "matches": tuples(matches),
        "raw": tuples(
            st.builds(
                RawMatch,
                *(words, words, words, st.just(1)),
                st.sampled_from(["right", "wrong", "refused", "missing"]),
                *(errors, tolerances, words),
            )
        ),
        "paths": tuples(st.builds(PathSeen, words, words, st.tuples(words), st.tuples(words))),
        "notes": tuples(st.builds(Note, words, words, words), 3),
        "ratios": tuples(
            st.builds(Ratio, words, words, words, times, times, times, st.just(9), times)
        ),
        "timings": tuples(st.builds(Timing, words, words, st.just(9), times, times, times)),
        "failure": st.none() | st.builds(Failure, words, words, words),
    }
)


def assert_same(whole: Sequence[Record]) -> None:
    """Check that reports and comparisons say the same of condensed records."""
    condensed = [condense(record) for record in whole]
    plan = make_plan([make_cell(r.release, r.flavour, id=r.cell, wheel=None) for r in whole])
    published = Snapshot("evidence/", tuple(whole[:1]), {})
    for records in (whole[1:], whole):
        one = Evidence(plan, records, static=STATIC, published=published)
        other = one._replace(records=[condense(record) for record in records])
        report = make_report(one)
        assert make_report(other) == report
        assert make_charts(report, other.records) == make_charts(report, one.records)
    for at, before in enumerate(whole):
        for to, after in enumerate(whole):
            found = find_differences(condensed[at], condensed[to])
            assert found == find_differences(before, after)


@given(st.lists(said, min_size=2, max_size=3))
def test_of_a_condensed_record_everything_is_summed_up_as_of_the_whole(
    several: list[dict[str, Any]],
) -> None:
    assert_same(
        [
            msgspec.structs.replace(make_record(cell), **fields)
            for cell, fields in zip(CELLS, several, strict=False)
        ]
    )


def test_so_it_is_of_our_own_evidence_and_most_is_left_out() -> None:
    records, _ = read_records(ROOT / "evidence")
    assert_same(records)
    probes = sum(len(record.probes) for record in records)
    assert sum(len(condense(record).probes) for record in records) < probes / 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the records of all cells."""
    for cell in CELLS:
        write_record(make_record(cell), tmp_path / "records")
    return tmp_path / "records"


def cells_of(found: Reading) -> list[str]:
    return [record.cell for record in found.records]


def read(folder: Path) -> Reading:
    return read_condensed(folder, PLAN, folder.parent / "shelf")


def test_a_folder_is_read_as_records_are(folder: Path) -> None:
    (folder / f"{CELLS[3].id}.json").write_text("{}", "utf-8")
    (folder / "other.json").write_text("{}", "utf-8")
    write_record(make_record(make_cell("0.5")), folder)  # not planned: read, but not told of
    found = read_condensed(folder, PLAN, folder.parent / "shelf", passing_over={"other.json"})
    records, damaged = read_records(folder, passing_over={"other.json"})
    assert found.records == tuple(map(condense, records))
    assert [*found.damaged.values()] == [str(error) for error in damaged]
    told = [cell for packed in found.stories for cell in packed.cells]
    assert told == [cell.id for cell in CELLS if cell != CELLS[3]]
    assert not (folder.parent / "shelf").exists()  # of so few, nothing is kept


def test_a_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "gone") == Reading((), {}, ())


@pytest.fixture
def many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the folder for one of very many records: two to a block, six blocks."""
    monkeypatch.setattr(reading, "_SIZE", 2)
    monkeypatch.setattr(shelf, "_TICK", -60.0)  # the files are as old as if a minute had passed
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the files that are read in this process."""
    names: list[str] = []

    def make(task: Task) -> Block:
        names.extend(task.names)
        return make_block(task)

    monkeypatch.setattr(shelf, "make_block", make)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    return names


def test_of_very_many_only_what_is_new_is_read_again(many: Path, made: list[str]) -> None:
    first = read(many)
    assert cells_of(first) == [cell.id for cell in CELLS]
    assert len(made) == 12
    made.clear()
    assert read(many) == first
    assert made == []
    write_record(make_record(CELLS[4], promised=False), many)
    changed = read(many)
    assert made == [f"{cell.id}.json" for cell in CELLS[4:6]]
    assert [record.promised for record in changed.records].count(False) == 1
    assert len(list((many.parent / "shelf").iterdir())) == 6  # what is outdated is removed


def test_a_new_record_changes_no_block_but_its_own(many: Path, made: list[str]) -> None:
    file = many / f"{CELLS[4].id}.json"
    content = file.read_bytes()
    file.unlink()
    read(many)
    made.clear()
    file.write_bytes(content)
    assert cells_of(read(many)) == [cell.id for cell in CELLS]
    assert made == [f"{cell.id}.json" for cell in CELLS[4:6]]


def test_what_was_changed_by_hand_is_found_however_often_it_was_read(
    many: Path, made: list[str]
) -> None:
    read(many)
    file = many / f"{CELLS[0].id}.json"
    status = file.stat()
    file.write_bytes(file.read_bytes().replace(b'"passed"', b'"failed"'))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if it had not been touched
    found = read(many)
    assert "was changed since its run wrote it" in found.damaged[file.name]
    assert cells_of(found) == [cell.id for cell in CELLS[1:]]
    assert file.name in made


def test_what_may_have_changed_since_it_was_read_is_read_again(
    many: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(many)
    made.clear()
    monkeypatch.setattr(shelf, "_TICK", 2.0)  # all were written a moment ago
    read(many)
    assert len(made) == 12


def test_other_code_reads_everything_anew(
    many: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(many)
    made.clear()
    monkeypatch.setattr(shelf, "digest_of", lambda *_roots: "other")
    read(many)
    assert len(made) == 12


def flipped(content: bytes) -> bytes:
    return content.replace(b'"passed"', b'"Passed"', 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _content, _other: b"",
        lambda _content, _other: b"[" * 10**6,
        lambda content, _other: content[:-1],
        lambda content, _other: flipped(content),
        lambda _content, other: other,
    ],
)
def test_a_damaged_shelf_costs_nothing_but_time(
    many: Path, made: list[str], spoil: Callable[[bytes, bytes], bytes]
) -> None:
    first = read(many)
    places = sorted((many.parent / "shelf").iterdir())
    contents = [place.read_bytes() for place in places]
    for place, content, other in zip(places, contents, contents[::-1], strict=True):
        place.write_bytes(spoil(content, other))
    made.clear()
    assert read(many) == first
    assert len(made) == 12


def test_what_stands_beside_the_blocks_is_left_alone_and_outdated_ones_go(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(many)
    place = many.parent / "shelf"
    (place / "mine.csv").touch()
    (place / ".mine.csv.99999999999999999999.ab").touch()  # no process has such a number
    (place / ".mine.csv.999999999.ab").mkdir()  # has the name of a file that was never finished
    beside = {path.name for path in place.glob("*mine*")}
    assert len([*place.iterdir()]) == 6 + len(beside)
    monkeypatch.setattr(reading, "_FEW", 100)
    assert cells_of(read(many)) == [cell.id for cell in CELLS]
    assert {path.name for path in place.iterdir()} == beside


def test_what_could_not_be_read_once_is_read_again(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as world:

        def fail(file: Path, limit: int) -> bytes:
            if file.stem == CELLS[0].id:
                raise OSError(5, "Input/output error")
            return read_bounded(file, limit)

        world.setattr("torchfloor.records.read_bounded", fail)
        world.setattr("os.cpu_count", lambda: 1)
        assert [*read(many).damaged] == [f"{CELLS[0].id}.json"]
    assert cells_of(read(many)) == [cell.id for cell in CELLS]


ODD = [
    {"matches": (msgspec.structs.replace(MATCH, cases=10**30),)},
    {"provenance": msgspec.structs.replace(PROVENANCE, disk=10**25)},
    {
        "provenance": msgspec.structs.replace(
            PROVENANCE, finished=dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))
        )
    },
]


@pytest.mark.parametrize("fields", ODD)
def test_what_a_record_may_hold_may_be_kept(
    many: Path, made: list[str], fields: dict[str, Any]
) -> None:
    write_record(make_record(CELLS[0], **fields), many)
    first = read(many)
    assert first.damaged == {}
    made.clear()
    assert read(many) == first
    assert made == []


@pytest.mark.parametrize("block", [lambda place: place.touch(), lambda place: place.parent.rmdir()])
def test_where_nothing_can_be_kept_everything_is_read(
    many: Path,
    tmp_path: Path,
    block: Any,  # noqa: ANN401 - a function
) -> None:
    place = tmp_path / "none/shelf"
    place.parent.mkdir()
    block(place)
    assert cells_of(read_condensed(many, PLAN, place)) == [cell.id for cell in CELLS]


def test_other_processes_help(many: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = subprocess.Popen

    def start_and_tell(command: list[str], **how: Any) -> Any:  # noqa: ANN401 - as it is
        started.append(how["env"]["PYTHONPATH"])
        return start(command, **how)

    monkeypatch.setattr(shelf, "_WORTH", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr("subprocess.Popen", start_and_tell)
    assert cells_of(read(many)) == [cell.id for cell in CELLS]
    # Where it is on the path of this process alone, as in our noxfile, they find it all the same.
    assert [path.split(os.pathsep)[0] for path in started] == [str(ROOT / "src")] * 2
    assert len(made) == 4  # a third of it


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_is_told_as_any_other(many: Path) -> None:
    name = os.fsdecode(b"odd-\xff.json")
    (many / name).write_text("{}", "utf-8")
    many = many.parent.rename(many.parent.with_name(os.fsdecode(b"odd-\xff"))) / many.name
    for _ in range(2):
        found = read(many)
        assert cells_of(found) == [cell.id for cell in CELLS]
        assert [*found.damaged] == [name]


def test_without_any_place_to_write_to_everything_is_read(
    many: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(shelf, "_WORTH", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = read_condensed(many, PLAN, many.parent / "none/shelf")
    assert cells_of(found) == [cell.id for cell in CELLS]
    assert len(made) == 12


@pytest.mark.parametrize("executable", ["/bin/false", "/gone/python", "", None])
def test_a_helper_that_fails_leaves_its_share_to_this_process(
    many: Path, monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    monkeypatch.setattr(shelf, "_WORTH", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr("sys.executable", executable)
    assert cells_of(read(many)) == [cell.id for cell in CELLS]
