"""The journal a cell leaves: read as far as it came, aggregated by what was compared."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.torchfloor.builders import ENVIRONMENT

from torchfloor import journal as module
from torchfloor.journal import Broken, Journal, read_journal
from torchfloor.record import Note, PathSeen, Probe, Ratio

if TYPE_CHECKING:
    from pathlib import Path

READBACK = {
    "kind": "readback",
    "package": "dep",
    "release": "1.0",
    "module_version": "1.0+cu118",
    "build": "+cu118",
    "cuda": "11.8",
    "git": None,
    "python": "3.11.7",
    "implementation": "cpython",
    "platform": "Linux",
    "machine": "x86_64",
    "cpu": "Some CPU",
    "cores": 2,
    "threads": 1,
    "device": "cpu",
    "device_name": "",
    "driver": "",
    "packages": ENVIRONMENT.packages,
}
FINISH = {"kind": "finish", "exitstatus": 0}


def start(probe: str) -> dict[str, Any]:
    return {"kind": "start", "probe": probe}


def probe(name: str, outcome: str = "passed", **fields: object) -> dict[str, Any]:
    line = {"kind": "probe", "probe": name, "capability": "", "outcome": outcome, "seconds": 0.1}
    return {**line, "message": "", "detail": "", **fields}


def match(error: float | None = 1e-9, **fields: object) -> dict[str, Any]:
    line = {"kind": "match", "subject": "call", "capability": "big", "dtype": "float32"}
    values = {"cases": 2, "tolerance": 1e-6, "passed": True, "digest": "a" * 16}
    return {**line, **values, "error": error, **fields}


def raw(verdict: str, error: float | None = 0.0, **fields: object) -> dict[str, Any]:
    line = {"kind": "raw", "subject": "dep.fast", "capability": "big", "dtype": "float32"}
    values = {"cases": 2, "tolerance": 1e-6, "message": ""}
    return {**line, **values, "verdict": verdict, "error": error, **fields}


def read(folder: Path, *lines: dict[str, Any], rest: str = "") -> Journal:
    file = folder / "probes.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest, "utf-8")
    return read_journal(file)


BEGIN = {"kind": "begin"}


def test_no_file_tells_only_that_it_is_gone(tmp_path: Path) -> None:
    journal = read_journal(tmp_path / "none.jsonl")
    assert journal == Journal(damage=journal.damage)
    assert "the journal of the cell is gone" in journal.damage


@pytest.mark.parametrize(
    ("lines", "damage"),
    [
        ((), "the journal of the cell is empty: pytest did not start (see the log), or"),
        ((probe("a"), FINISH), "the journal of the cell lacks its beginning"),
        ((BEGIN,), ""),
        ((BEGIN, READBACK, start("a")), ""),
        ((READBACK,), ""),
    ],
)
def test_a_journal_that_was_cut_says_so(
    tmp_path: Path, lines: tuple[dict[str, Any], ...], damage: str
) -> None:
    told = read(tmp_path, *lines).damage
    assert told.startswith(damage)
    assert bool(told) == bool(damage)


def test_a_whole_pass_is_read(tmp_path: Path) -> None:
    journal = read(tmp_path, READBACK, start("a"), probe("a"), start("b"), probe("b"), FINISH)
    assert journal.readback is not None
    assert (journal.readback.release, journal.readback.build) == ("1.0", "+cu118")
    assert [each.probe for each in journal.probes] == ["a", "b"]
    assert (journal.unfinished, journal.finished, journal.broken) == ("", True, None)


@pytest.mark.parametrize(
    "rest",
    [
        '{"kind":"probe","probe":"b","outc',
        '{"kind":"finish"',
        "{",
        '"',
        "12",
        "null",
        "\0\0\0",
        '{"probe":"b"}',
        '{"kind":["probe"]}',
        '{"kind":"probe","probe":"b","outcome":5}',
        '{"kind":"note","subject":"x"}',
        "[" * 100_000,
        "1" * 5_000,
    ],
)
def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path, rest: str) -> None:
    journal = read(tmp_path, READBACK, start("a"), probe("a"), start("b"), rest=rest)
    assert [each.probe for each in journal.probes] == ["a"]
    assert (journal.unfinished, journal.finished) == ("b", False)


def test_what_has_no_shape_does_not_leave_the_journal(tmp_path: Path) -> None:
    bell = "\x1b[31m\x07 \udc80"
    packages = READBACK | {"packages": {bell: bell}}
    lines = (packages, start(bell), probe(bell, message=bell), {"kind": "note", "value": [bell]})
    journal = read(tmp_path, *lines, {"kind": "note", "subject": "s", "key": bell, "value": bell})
    assert journal.readback is not None
    assert journal.readback.packages == {"� �": "� �"}
    assert [(each.probe, each.message) for each in journal.probes] == [("� �", "� �")]
    assert journal.notes == (Note("s", "� �", "� �"),)
    assert journal.unfinished == ""


def test_a_journal_without_an_end_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST", 2_000)
    flood = ({"kind": "note", "subject": "s", "key": str(n), "value": "x"} for n in range(99))
    journal = read(tmp_path, READBACK, start("a"), probe("a"), *flood, FINISH)
    assert [each.probe for each in journal.probes] == ["a"]
    assert not journal.finished


def test_bytes_that_are_no_text_cost_only_their_line(tmp_path: Path) -> None:
    file = tmp_path / "probes.jsonl"
    lines = [json.dumps(probe("a")).encode(), b"\xff\xfe", json.dumps(FINISH).encode()]
    file.write_bytes(b"\n".join(lines))
    journal = read_journal(file)
    assert [each.probe for each in journal.probes] == ["a"]
    assert journal.finished


def test_a_probe_that_started_and_never_ended_is_named(tmp_path: Path) -> None:
    journal = read(tmp_path, start("a"), probe("a"), start("b"))
    assert journal.unfinished == "b"


def test_a_module_that_was_not_collected_is_a_failed_probe_that_never_started(
    tmp_path: Path,
) -> None:
    journal = read(tmp_path, probe("test_a.py", "failed", message="no such name"), FINISH)
    assert journal.probes == (Probe("test_a.py", "", "failed", 0.1, "no such name"),)
    assert journal.unfinished == ""


def test_a_broken_import_is_read(tmp_path: Path) -> None:
    line = {"kind": "broken", "stage": "subject", "message": "no dep", "traceback": "tail"}
    assert read(tmp_path, READBACK, line).broken == Broken("subject", "no dep", "tail")


def test_matches_are_summed_up_by_subject_capability_and_dtype(tmp_path: Path) -> None:
    journal = read(
        tmp_path,
        match(1e-9, digest="1" * 16),
        match(dtype="float64"),
        match(4e-7, cases=3, digest="2" * 16),
        match(subject="other"),
        match(capability="small"),
    )
    keys = [(m.subject, m.capability, m.dtype) for m in journal.matches]
    assert keys == [
        ("call", "big", "float32"),
        ("call", "big", "float64"),
        ("other", "big", "float32"),
        ("call", "small", "float32"),
    ]
    first = journal.matches[0]
    assert (first.cases, first.error, first.passed) == (5, 4e-7, True)
    assert first.digest == hashlib.sha256(("1" * 16 + "2" * 16).encode()).hexdigest()[:16]


def test_the_match_furthest_beyond_its_tolerance_is_kept(tmp_path: Path) -> None:
    near, far = match(1e-3, tolerance=1e-2), match(1e-5, tolerance=1e-6, passed=False)
    (found,) = read(tmp_path, near, far, near).matches
    assert (found.error, found.tolerance, found.passed) == (1e-5, 1e-6, False)


def test_every_probe_in_which_a_comparison_failed_is_named_once(tmp_path: Path) -> None:
    one, two = (match(1.0, passed=False, failed=[probe]) for probe in ("a", "b"))
    (found,) = read(tmp_path, match(), two, one, two).matches
    assert found.failed == ("b", "a")


def test_an_unbounded_error_is_worse_than_any_number(tmp_path: Path) -> None:
    (found,) = read(tmp_path, match(1e30), match(None, passed=False), match(1e30)).matches
    assert found.error is None


def test_digests_depend_on_the_order_of_the_results(tmp_path: Path) -> None:
    one, two = match(digest="1" * 16), match(digest="2" * 16)
    assert read(tmp_path, one, two).matches[0].digest != read(tmp_path, two, one).matches[0].digest


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (("right", "missing"), "missing"),
        (("missing", "refused", "right"), "refused"),
        (("refused", "wrong", "missing"), "wrong"),
        (("right", "right"), "right"),
    ],
)
def test_raw_findings_keep_the_worst_verdict(
    tmp_path: Path, verdicts: tuple[str, ...], worst: str
) -> None:
    (found,) = read(tmp_path, *(raw(verdict) for verdict in verdicts)).raw
    assert (found.verdict, found.cases) == (worst, 2 * len(verdicts))


def test_of_equal_raw_verdicts_the_largest_error_is_kept(tmp_path: Path) -> None:
    (found,) = read(tmp_path, raw("wrong", 0.1), raw("wrong", None), raw("wrong", 0.5)).raw
    assert found.error is None


def test_paths_and_notes_are_kept_once(tmp_path: Path) -> None:
    path = {"kind": "path", "subject": "call", "path": "fast", "entry_points": ["dep.fast"]}
    note = {"kind": "note", "subject": "dep.fast", "key": "signature", "value": "fast(x)"}
    journal = read(tmp_path, path | {"operators": []}, path | {"operators": []}, note, note)
    assert journal.paths == (PathSeen("call", "fast", ("dep.fast",), ()),)
    assert journal.notes == (Note("dep.fast", "signature", "fast(x)"),)


def test_a_note_that_is_no_text_is_kept_as_json(tmp_path: Path) -> None:
    note = {"kind": "note", "subject": "dep.fast", "key": "types", "value": ["a", None]}
    assert read(tmp_path, note).notes == (Note("dep.fast", "types", '["a", null]'),)


def test_ratios_are_kept_in_order(tmp_path: Path) -> None:
    values: Any = {"median": 0.5, "low": 0.4, "high": 0.6, "rounds": 15, "seconds": 1e-3}
    ratio = {"kind": "ratio", "group": "small", "candidate": "call", "baseline": "loop", **values}
    journal = read(tmp_path, ratio, ratio | {"group": "big"})
    assert journal.ratios == (
        Ratio("small", "call", "loop", **values),
        Ratio("big", "call", "loop", **values),
    )


def test_a_text_is_mended_after_it_is_read_so_that_no_line_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "probes.jsonl"
    note = {"kind": "note", "subject": "s", "key": "from", "value": "https://h/x.whl?a=b"}
    file.write_text(json.dumps(note) + "\n", "utf-8")
    journal = read_journal(file, lambda text: text.partition("?")[0])
    assert [each.value for each in journal.notes] == ["https://h/x.whl"]
