"""Records: written whole, read back equal, refused in words when they are not what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.torchfloor.builders import ENVIRONMENT, IDENTITY, make_cell, make_record
from tests.torchfloor.system import LINKS, POSIX, needs

from torchfloor.errors import RecordError, StorageError
from torchfloor.record import (
    Failure,
    Match,
    Note,
    PathSeen,
    Probe,
    Ratio,
    RawMatch,
    Record,
    Timing,
    schema,
)
from torchfloor.records import (
    read_record,
    read_records,
    sweep_unfinished,
    write_atomically,
    write_record,
)

FULL = make_record(
    outcome="incompatible",
    failure=Failure("probes", "test_it.py::test_no: wrong", "tail"),
    paths=(PathSeen("call", "fast", ("dep.fast",), ("aten::fast",)),),
    matches=(Match("call", "big", "float32", 3, None, 1e-6, passed=False, digest="0" * 16),),
    raw=(RawMatch("dep.fast", "big", "float32", 3, "refused", None, 1e-6, "no"),),
    notes=(Note("dep.fast", "signature", "fast(x) -> y"),),
    ratios=(Ratio("small", "call", "loop", 0.5, 0.4, 0.6, 15, 1e-3),),
    timings=(Timing("test_time", "small", 5, 1e-3, 2e-3, 1e-4),),
    probes=(
        Probe("test_it.py::test_yes", "big", "passed", 0.1),
        Probe("test_it.py::test_no", "big", "failed", 0.1, "wrong", "assert 1 == 2 | <b>"),
    ),
)

MATCH = Match("call", "big", "float32", 1, 2e-6, 1e-6, passed=True, digest="0" * 16)

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("record", [make_record(), FULL], ids=["small", "full"])
def test_a_record_is_read_back_equal(tmp_path: Path, record: Record) -> None:
    file = write_record(record, tmp_path / "new/folder")
    assert file.name == "dep1.0-cpu-py311.json"
    assert read_record(file) == record


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_record(FULL, tmp_path).read_bytes()
    assert (
        write_record(read_record(tmp_path / "dep1.0-cpu-py311.json"), tmp_path).read_bytes()
        == first
    )
    assert first.endswith(b"}\n")


def test_nothing_but_the_record_is_left_in_the_folder(tmp_path: Path) -> None:
    write_record(FULL, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["dep1.0-cpu-py311.json"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.json"
    write_atomically(target, b"old")

    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_what_killed_writers_have_left_is_swept_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    left, busy = f".a.json.{gone.pid}.0123abcd", f".a.json.{os.getpid()}.0123abcd"
    for name in (left, busy, ".gitignore", "a.json"):
        (tmp_path / name).touch()
    sweep_unfinished(tmp_path, tmp_path / "not there")
    assert {file.name for file in tmp_path.iterdir()} == {busy, ".gitignore", "a.json"}


def test_beside_the_files_of_others_only_what_was_to_become_a_certain_one_is_swept(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    left, other = (f".{name}.{gone.pid}.0123abcd" for name in ("README.md", "theirs"))
    for name in (left, other, f".README.md.{gone.pid}.orig", ".README.md", "README.md"):
        (tmp_path / name).touch()
    sweep_unfinished(tmp_path, of="README.md")
    assert {file.name for file in tmp_path.iterdir()} == {
        other,
        f".README.md.{gone.pid}.orig",
        ".README.md",
        "README.md",
    }


@POSIX
def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    told = r"a\.json cannot be written \(Is a directory\); remove what stands in its place"
    with pytest.raises(StorageError, match=told):
        write_atomically(tmp_path / "a.json", b"")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def content_of(**changes: object) -> bytes:
    """Return the file of the full record, changed by hand."""
    content = json.loads(msgspec.json.encode(FULL))
    return json.dumps({**content, "digest": "0" * 16, **changes}).encode()


def without(key: str) -> bytes:
    content = json.loads(content_of())
    del content[key]
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no record of schema 2"),
        (b"{", "is no record of schema 2"),
        (b"[]", "is no record of schema 2"),
        (b"null", "is no record of schema 2"),
        (b"\xff\xfe", "is no record of schema 2"),
        (b'{"x": ' + b"[" * 100_000, "is no record of schema 2"),
        (content_of()[:-20], "is no record of schema 2"),
        (content_of(schema=1), r"is no record of schema 2 \(but of schema 1\)"),
        (
            content_of(schema=3),
            r"is no record of schema 2 \(but of schema 3, from a newer torchfloor: use that one\)",
        ),
        (content_of(schema="2"), "is no record of schema 2"),
        (content_of(schema=True), "is no record of schema 2"),
        (content_of(), r"was changed since its run wrote it \(its digest does not fit\)"),
        (without("digest"), r"was changed since its run wrote it \(its digest does not fit\)"),
        (
            content_of(digest=None),
            r"was changed since its run wrote it \(its digest does not fit\)",
        ),
        (content_of().replace(b"1e-06", b"1e999"), "is no record of schema 2"),
        (content_of().replace(b"1e-06", b"1" * 10**6), "is no record of schema 2"),
        (content_of().replace(b"1e-06", b'"1e-06"'), "is no record of schema 2"),
        (without("schema"), "is no record of schema 2"),
        (without("provenance"), "is no record of schema 2"),
        (content_of(outcome="fine"), "is no record of schema 2"),
        (content_of(outcome="not-run"), "is no record of schema 2"),
        (content_of(cell="../../etc/passwd"), "is no record of schema 2"),
        (content_of(cell="x" * 201), "is no record of schema 2"),
        (content_of(probes=[{"probe": "a"}]), "is no record of schema 2"),
        (content_of(release="newest"), "is no record of schema 2"),
        (content_of(release=1.0), "is no record of schema 2"),
        (content_of(cell="dep1.1-cpu-py311"), "holds the record of dep1.1-cpu-py311"),
        (content_of().replace(b"1e-06", b"NaN"), "is no record of schema 2"),
        (content_of().replace(b"2026-01-02", b"2026-13-02"), "is no record of schema 2"),
    ],
)
def test_what_is_no_record_is_refused_with_the_file_and_what_to_do(
    tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "dep1.0-cpu-py311.json"
    file.write_bytes(content)
    with pytest.raises(
        RecordError, match=rf"(?s)dep1\.0-cpu-py311\.json {words}.*run the cell again"
    ):
        read_record(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"a\.json cannot be read \(No such file or directory\)"):
        read_record(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"0.5", b"0.4"), (b'"fast"', b'"slow"'), (b"\n ", b"\n  "), (b'"\n}', b'0"\n}')],
)
def test_a_change_after_the_run_is_noticed(tmp_path: Path, before: bytes, after: bytes) -> None:
    file = write_record(FULL, tmp_path)
    file.write_bytes(file.read_bytes().replace(before, after, 1))
    with pytest.raises(RecordError, match="was changed since its run wrote it"):
        read_record(file)


def test_line_ends_that_git_has_changed_change_nothing(tmp_path: Path) -> None:
    file = write_record(FULL, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_record(file) == FULL


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python": "3.10"}, "names another cell than its release, flavour and Python do"),
        ({"release": "1.1"}, "names a wheel of another release"),
        ({"package": "other"}, "names a wheel of another release"),
        (
            {"identity": msgspec.structs.replace(IDENTITY, wheel="dep-1.0.zip")},
            "names a wheel of another release",
        ),
        (
            {"environment": msgspec.structs.replace(ENVIRONMENT, python="3.1.1")},
            "ran on another Python",
        ),
        ({"matches": (MATCH,)}, "holds a match that passed beyond its tolerance"),
        ({"outcome": "errored"}, "is errored, but does not say why"),
        ({"outcome": "incompatible"}, "is incompatible, but does not say why"),
        (
            {"outcome": "incompatible", "failure": Failure("probes", ""), "identity": None},
            "incompatible, though nothing was read back",
        ),
        ({"environment": None}, "compatible, though nothing was read back"),
        ({"probes": ()}, "compatible, though no probe passed"),
        ({"failure": Failure("probes", "one failed")}, "compatible, though something failed"),
        ({"probes": FULL.probes}, "compatible, though something failed"),
        (
            {"matches": (msgspec.structs.replace(MATCH, passed=False),)},
            "compatible, though a match failed",
        ),
        (
            {
                "matches": (msgspec.structs.replace(MATCH, passed=False, failed=("a", "b")),),
                "probes": (*FULL.probes[:1], Probe("a", "big", "skipped", 0.1)),
            },
            "compatible, though a match failed",
        ),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    file = write_record(msgspec.structs.replace(make_record(), **changes), tmp_path)
    with pytest.raises(
        RecordError, match=rf"dep1.0-cpu-py311.json .*{words}.*; remove it, or run the cell again"
    ):
        read_record(file)


def test_what_a_run_may_find_is_no_contradiction(tmp_path: Path) -> None:
    expected = (*make_record().probes, Probe("test_it.py::test_known", "big", "skipped", 0.1))
    failed = msgspec.structs.replace(MATCH, passed=False, failed=("test_it.py::test_known",))
    late = Failure("timings", "stopped after 60 s")
    record = msgspec.structs.replace(
        make_record(), probes=expected, matches=(failed,), failure=late
    )
    assert read_record(write_record(record, tmp_path)) == record


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param("link", "is a symbolic link, so what it says may change", marks=LINKS),
        pytest.param("dangling link", "is a symbolic link, so what it says", marks=LINKS),
        pytest.param("fifo", "cannot be read .Not a regular file", marks=needs("os.mkfifo")),
    ],
)
def test_what_stands_in_the_place_of_a_record_is_refused_at_once(
    tmp_path: Path, fault: str, words: str
) -> None:
    file = write_record(FULL, tmp_path)
    elsewhere = file.rename(tmp_path / "elsewhere")
    if fault == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to(elsewhere if fault == "link" else tmp_path / "nowhere")
    with pytest.raises(RecordError, match=words):
        read_record(file)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(RecordError, match=r"a\.json cannot be read"):
        read_record(tmp_path / "a.json")


def test_a_file_that_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "dep1.0-cpu-py311.json"
    with file.open("wb") as sparse:
        sparse.truncate(64 * 2**20 + 1)
    with pytest.raises(RecordError, match=r"cannot be read \(Larger than 65536 KiB\)"):
        read_record(file)


def test_a_folder_gives_its_records_oldest_first_and_an_error_for_each_bad_file(
    tmp_path: Path,
) -> None:
    for release in ("1.10", "1.9", "1.0"):
        write_record(make_record(make_cell(release)), tmp_path)
    (tmp_path / "bad.json").write_text("{", "utf-8")
    (tmp_path / "odd.json").write_bytes(content_of(cell="odd", release="odd"))
    (tmp_path / "plan.json").write_text("{", "utf-8")
    (tmp_path / ".dep1.0.json").write_text("{", "utf-8")
    (tmp_path / "\uff44ep.json").write_text("{", "utf-8")
    (tmp_path / "notes.txt").write_text("{", "utf-8")
    records, errors = read_records(tmp_path)
    assert [record.release for record in records] == ["1.0", "1.9", "1.10"]
    assert sorted(str(error).partition(" ")[0] for error in errors) == [
        "bad.json",
        "odd.json",
        "\uff44ep.json",
    ]


def test_a_folder_that_is_not_there_holds_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == ([], [])


@pytest.mark.parametrize(
    ("error", "tolerance", "excess"),
    [(0.5, 1.0, 0.5), (None, 1.0, float("inf")), (0.0, 0.0, 0.0), (1e-9, 0.0, float("inf"))],
)
def test_excess_counts_in_tolerances(error: float | None, tolerance: float, excess: float) -> None:
    match = Match("a", "b", "c", 1, error, tolerance, passed=True, digest="")
    raw = RawMatch("a", "b", "c", 1, "right", error, tolerance)
    assert (match.excess, raw.excess) == (excess, excess)


def test_the_path_of_a_subject_is_the_first_observed() -> None:
    assert FULL.path_of("call") == "fast"
    assert FULL.path_of("other") == ""


def resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = definitions[reference] if reference else node
    return found


def test_the_schema_names_exactly_what_a_record_holds() -> None:
    described = schema()
    definitions = described["$defs"]
    record = resolve(described, definitions)
    content = json.loads(content_of())
    assert set(record["properties"]) == set(content)
    assert set(record["required"]) == {
        *("schema", "cell", "package", "release", "flavour", "python", "promised", "outcome"),
        *("provenance", "digest"),
    }
    probe = resolve(record["properties"]["probes"]["items"], definitions)
    assert set(probe["properties"]) == set(content["probes"][1])


def test_the_published_schema_is_the_records_own() -> None:
    published = json.loads((REPOSITORY / "docs/record.schema.json").read_text("utf-8"))
    assert published == json.loads(msgspec.json.encode(schema()))


def test_the_published_evidence_can_be_read() -> None:
    records, errors = read_records(REPOSITORY / "evidence")
    assert not errors
    assert records
