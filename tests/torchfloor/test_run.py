"""One cell, from what happened inside it to the record that tells it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.torchfloor.builders import make_cell, make_matrix, make_wheel, write_project
from tests.torchfloor.test_journal import BEGIN, FINISH, READBACK, match, probe, start

from torchfloor import run as module
from torchfloor.folder import alone
from torchfloor.process import Ended
from torchfloor.run import run_cell
from torchfloor.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchfloor.record import Record

BACK = READBACK | {"module_version": "1.0", "build": ""}
PASSED = (start("t.py::a"), probe("t.py::a"))
FAILED = (start("t.py::b"), probe("t.py::b", "failed", message="2 is not 3"))
SHORT = (start("t.py::m"), probe("t.py::m", "failed", message="MemoryError"))
FULL = (start("t.py::f"), probe("t.py::f", "failed", message="No space left on device"))
SKIPPED = (start("t.py::c"), probe("t.py::c", "skipped", message="not here"))
FOREIGN = {"kind": "broken", "stage": "readback", "message": "x.py was imported as dep"}
BROKEN = {"kind": "broken", "stage": "subject", "message": "no name 'x'", "traceback": ""}
WORN = {"kind": "broken", "stage": "pytest", "message": "E: worn out"}
WRONG = {
    "kind": "match",
    "subject": "call",
    "capability": "big",
    "dtype": "",
    "cases": 1,
    "error": 1.0,
    "tolerance": 0.0,
    "passed": False,
    "digest": "",
    "failed": ["t.py::a"],
}
KNOWN = WRONG | {"failed": ["t.py::c"]}
"""What a probe says that is known to fail: it counts as skipped."""
GOOD = ((BACK, *PASSED, FINISH), Ended(0, timed_out=False, seconds=1))
NO_TIMINGS = ((BACK, FINISH), Ended(5, timed_out=False, seconds=1))

Pass = tuple[tuple[dict[str, Any], ...], Ended]
Runner = Callable[..., "Record"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return what runs a cell whose installation and passes are made up."""
    write_project(tmp_path)

    def make(
        probes: Pass = GOOD,
        timings: Pass = NO_TIMINGS,
        statistics: str = "",
        printed: str = "",
        **cell: Any,  # noqa: ANN401
    ) -> Record:
        def run_pass(self: module._Run, stage: str, _selection: Iterable[str]) -> Ended:
            lines, ended = probes if stage == "probes" else timings
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / f"{stage}.jsonl").write_text(text, "utf-8")
            said = f"the log of {stage} in {self.folder}{printed}"
            self._log(stage).write_text(said, "utf-8")
            if stage == "timings":
                (self.folder / "benchmark.json").write_text(statistics, "utf-8")
            self.seconds[stage] = ended.seconds
            return ended

        monkeypatch.setattr(module._Run, "_install", lambda _self: None)
        monkeypatch.setattr(module._Run, "_pytest", run_pass)
        storage, planned = Storage(tmp_path / ".compat"), make_cell(**cell)
        with alone(storage.folder(planned)):
            return run_cell(make_matrix(tmp_path), planned, storage, lambda _text: None)

    return make


def ended(status: int = 1, *, timed_out: bool = False) -> Ended:
    return Ended(status, timed_out=timed_out, seconds=1)


@pytest.mark.parametrize("edited", ["src/sub/__init__.py", "probes/test_it.py"])
def test_what_was_edited_while_the_cell_ran_makes_no_evidence(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    file = tmp_path / edited

    def edit(_self: module._Run) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("another = True\n", "utf-8")

    monkeypatch.setattr(module._Run, "_probe", edit)
    record = run()
    assert record.failure is not None
    assert record.outcome == "errored"
    assert "changed while the cell ran; run it again" in record.failure.message


@pytest.mark.parametrize(
    ("lines", "end", "outcome", "told"),
    [
        ((BACK, *PASSED, FINISH), ended(0), "compatible", None),
        ((BACK, *PASSED, *SKIPPED, FINISH), ended(0), "compatible", None),
        ((BACK, *PASSED, *FAILED, FINISH), ended(), "incompatible", "t.py::b: 2 is not 3"),
        (
            (BACK, *FAILED, probe("t.py::d", "failed", message="x"), FINISH),
            ended(),
            "incompatible",
            "t.py::b: 2 is not 3 (and 1 more)",
        ),
        ((BACK, *SKIPPED, FINISH), ended(0), "errored", "no probe ran"),
        ((BACK, FINISH), ended(5), "errored", "no probe ran"),
        ((BACK, *PASSED, start("t.py::x")), ended(-11), "incompatible", "x: killed by SIGSEGV"),
        ((BACK, start("t.py::x")), ended(0), "incompatible", "x: ended in the middle of it"),
        ((BACK, start("t.py::x")), ended(-9), "errored", "x: killed by SIGKILL, as a system does"),
        ((BACK, start("t.py::x")), ended(-15), "errored", "x: killed by SIGTERM"),
        ((BACK, *FAILED, start("t.py::x")), ended(-9), "incompatible", "t.py::b: 2 is not 3"),
        ((BACK, *FAILED, start("t.py::x")), ended(-11), "incompatible", "x: killed by SIGSEGV"),
        ((BACK, *PASSED, *SHORT, FINISH), ended(), "errored", "MemoryError (memory ran out, here"),
        ((BACK, *SHORT, *FAILED, FINISH), ended(), "incompatible", "2 is not 3 (and 1 more)"),
        ((BACK, *FULL, FINISH), ended(), "errored", "(the disk is full, or a file grew past"),
        ((BACK,), ended(-6), "errored", "killed by SIGABRT before the first probe"),
        ((BACK, start("t.py::x")), ended(-9, timed_out=True), "errored", "stopped after 60 s"),
        (
            (BACK, *FAILED, start("t.py::x")),
            ended(-9, timed_out=True),
            "incompatible",
            "t.py::b: 2 is not 3",
        ),
        ((BACK, *PASSED), ended(-15), "errored", "killed by SIGTERM"),
        ((BACK, *PASSED, FINISH), ended(3), "errored", "pytest did not come to its end"),
        ((BACK, *PASSED, WORN, FINISH), ended(3), "errored", "pytest broke down (E: worn out)"),
        ((BACK, WORN, FINISH), ended(3), "errored", "(E: worn out) before the first probe"),
        ((BACK, *FAILED, WORN, FINISH), ended(3), "incompatible", "t.py::b: 2 is not 3"),
        ((BACK, start("t.py::x"), WORN), ended(3), "incompatible", "x: pytest broke down (E: worn"),
        (
            (BACK, *PASSED, FINISH),
            ended(-9, timed_out=True),
            "errored",
            "every probe ended, but the process did not, held up by a thread, say: stopped after",
        ),
        ((BACK, WRONG, *PASSED, *SKIPPED, FINISH), ended(0), "incompatible", "call, big: wrong"),
        ((BACK, *PASSED, *SKIPPED, KNOWN, FINISH), ended(0), "compatible", None),
        ((), ended(-11), "errored", "killed by SIGSEGV"),
        ((), ended(), "errored", "the journal of the cell is empty: pytest did not start"),
        ((BEGIN,), ended(), "errored", "the interpreter ended before the first probe"),
        ((*PASSED, FINISH), ended(0), "errored", "the journal of the cell lacks its beginning"),
        ((BACK, *PASSED, FOREIGN, FINISH), ended(0), "errored", "x.py was imported as dep"),
        ((BACK, FOREIGN), ended(4), "errored", "x.py was imported as dep"),
        ((), ended(-9, timed_out=True), "errored", "stopped after 60 s"),
        ((BACK, BROKEN), ended(4), "incompatible", "no name 'x'"),
        ((BACK, {**BROKEN, "message": "MemoryError"}), ended(4), "errored", "memory ran out"),
        (({**BROKEN, "stage": "dependency"},), ended(4), "errored", "no name 'x'"),
        ((BACK, {**BROKEN, "stage": "dependency"}), ended(4), "errored", "no name 'x'"),
        (
            (BACK | {"release": "1.1"}, BROKEN),
            ended(4),
            "errored",  # not the planned release: a subject that breaks here proves nothing
            "release: planned 1.0, but the cell has 1.1",
        ),
    ],
)
def test_the_outcome_follows_from_the_journal_and_the_end(
    run: Runner, lines: tuple[dict[str, Any], ...], end: Ended, outcome: str, told: str | None
) -> None:
    record = run(probes=(lines, end))
    assert record.outcome == outcome
    assert (record.failure is None) == (told is None)
    if record.failure is not None:
        assert str(told) in record.failure.message


FULL_DISK = "\nTraceback ...\nOSError: [Errno 28] No space left on device\n\nlost sys.stderr\n"


@pytest.mark.parametrize(
    ("lines", "end", "outcome"),
    [
        ((BACK, *PASSED, start("t.py::x")), ended(3), "errored"),
        ((BACK, *PASSED), ended(3), "errored"),
        ((BACK,), ended(3), "errored"),
        ((BEGIN,), ended(1), "errored"),
        ((BACK, *FAILED, start("t.py::x")), ended(3), "incompatible"),  # evidence all the same
        ((BACK, *PASSED, FINISH), ended(0), "compatible"),  # a release may print what it likes
    ],
)
def test_what_cannot_be_written_down_on_a_full_disk_is_told_from_what_was_printed(
    run: Runner, lines: tuple[dict[str, Any], ...], end: Ended, outcome: str
) -> None:
    record = run(probes=(lines, end), printed=FULL_DISK)
    assert record.outcome == outcome
    if outcome == "errored":
        assert record.failure is not None
        assert "No space left on device (the disk is full, or a" in record.failure.message


@pytest.mark.parametrize(
    ("fact", "value", "told"),
    [
        ("release", "1.0.1", "release: planned 1.0, but the cell has 1.0.1"),
        ("release", "odd", "release: planned 1.0, but the cell has odd"),
        ("module_version", "2.0", "imported version: planned 1.0, but the cell has 2.0"),
        ("module_version", "odd version", "imported version: planned 1.0, but the cell has odd"),
        ("python", "3.12.1", "Python: planned 3.11, but the cell has 3.12"),
        ("device", "cuda", "device: planned cpu, but the cell has cuda"),
    ],
)
def test_a_cell_that_is_not_what_was_planned_is_no_evidence(
    run: Runner, fact: str, value: str, told: str
) -> None:
    record = run(probes=((BACK | {fact: value}, *PASSED, FINISH), ended(0)))
    assert record.failure is not None
    assert (record.outcome, record.failure.stage) == ("errored", "readback")
    assert told in record.failure.message


@pytest.mark.parametrize("version", ["", "1.0", "1.0+cpu", "1.0.0", "v1.0"])
def test_a_module_may_say_its_build_or_no_version_at_all(run: Runner, version: str) -> None:
    record = run(probes=((BACK | {"module_version": version}, *PASSED, FINISH), ended(0)))
    assert record.outcome == "compatible"


@pytest.mark.parametrize(
    ("planned", "found", "outcome"),
    [
        ("1.0+cpu", "+cpu", "compatible"),
        ("1.0+cpu", "", "errored"),
        ("1.0+cpu", "+cu118", "errored"),
        ("1.0", "+cu118", "compatible"),  # the index named no build: whichever it is, is recorded
    ],
)
def test_a_planned_build_must_be_the_one_that_is_read_back(
    run: Runner, planned: str, found: str, outcome: str
) -> None:
    lines = (BACK | {"build": found}, *PASSED, FINISH)
    record = run(probes=(lines, ended(0)), wheel=make_wheel(planned))
    assert record.outcome == outcome
    assert record.identity is not None
    assert record.identity.build == found


def test_a_record_names_its_wheel_its_environment_and_its_evidence(run: Runner) -> None:
    lines = (BACK, *PASSED, match(), FINISH)
    record = run(probes=(lines, ended(0)))
    assert (record.cell, record.release, record.promised) == ("dep1.0-cpu-py311", "1.0", True)
    assert record.identity is not None
    assert record.identity.sha256 == "ab" * 32
    assert record.environment is not None
    assert (record.environment.python, record.environment.threads) == ("3.11.7", 1)
    assert [entry.subject for entry in record.matches] == ["call"]
    assert record.provenance.seconds == {"probes": 1, "timings": 1}
    assert record.provenance.started <= record.provenance.finished


@pytest.mark.parametrize(
    ("timings", "told"),
    [
        (((BACK, *FAILED, FINISH), ended()), "t.py::b: 2 is not 3"),
        (((BACK,), ended(-9, timed_out=True)), "stopped after 60 s"),
        (((BACK,), ended(-11)), "killed by SIGSEGV"),
        (((BACK,), ended(2)), "pytest did not come to its end"),
        (((BACK, *PASSED, FOREIGN, FINISH), ended(0)), "x.py was imported as dep"),
    ],
)
def test_timings_that_fail_are_told_and_change_no_outcome(
    run: Runner, timings: Pass, told: str
) -> None:
    record = run(timings=timings)
    assert record.failure is not None
    assert (record.outcome, record.failure.stage) == ("compatible", "timings")
    assert told in record.failure.message


def test_what_is_timed_and_wrong_is_incompatible(run: Runner) -> None:
    record = run(timings=((BACK, WRONG, *FAILED, FINISH), ended()))
    assert record.failure is not None
    assert (record.outcome, record.failure.stage) == ("incompatible", "timings")
    assert [match.passed for match in record.matches] == [False]


STATS = {"rounds": 5, "min": 0.1, "median": 0.2, "iqr": 0.01, "mean": 0.3}


@pytest.mark.parametrize(
    ("statistics", "names"),
    [
        ("", []),
        ('{"benchmarks": [', []),
        (json.dumps({"benchmarks": [{"name": "a", "group": None, "stats": STATS}]}), ["a"]),
    ],
)
def test_statistics_are_kept_as_far_as_they_were_written(
    run: Runner, statistics: str, names: list[str]
) -> None:
    record = run(statistics=statistics)
    assert [timing.name for timing in record.timings] == names


def test_the_log_of_a_failure_does_not_tell_where_the_project_lies(
    run: Runner, tmp_path: Path
) -> None:
    told = probe("t.py::b", "failed", message=f"no {tmp_path}/x", detail=f"in {tmp_path}")
    record = run(probes=((BACK, told, FINISH), ended()))
    assert record.failure is not None
    assert record.failure.message == "t.py::b: no <project>/x"
    assert record.failure.log == "the log of probes in <cell>"
    assert str(tmp_path) not in repr(record)


def test_logs_of_an_earlier_run_are_not_taken_for_this_ones(run: Runner, tmp_path: Path) -> None:
    run()
    run(probes=((), ended()))
    assert [log.name for log in tmp_path.glob(".compat/logs/*/*")] == ["probes.log"]


def test_nothing_but_the_logs_is_left_of_a_cell(run: Runner, tmp_path: Path) -> None:
    run()
    assert not (tmp_path / ".compat/cells/dep1.0-cpu-py311").exists()
    assert (tmp_path / ".compat/logs/dep1.0-cpu-py311/probes.log").exists()


def test_an_interrupted_cell_leaves_no_environment(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_journal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (tmp_path / ".compat/cells/dep1.0-cpu-py311").exists()


def test_probes_get_nothing_of_the_callers_environment_but_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--maxfail=1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    matrix = make_matrix(write_project(tmp_path).parent)
    cell = module._Run(matrix, make_cell(), Storage(tmp_path / ".compat"), print)
    with contextlib.suppress(FileExistsError):
        cell.folder.mkdir(parents=True)
    environment = cell._probe_environment(tmp_path / "journal")
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "1"
    assert "PYTHONPATH" not in environment
    # Bytecode that another cell left beside the sources may be that of other code.
    assert environment["PYTHONPYCACHEPREFIX"].startswith(str(cell.folder))
    assert environment["TORCHFLOOR_PACKAGE"] == "dep"
    assert environment["TORCHFLOOR_SUBJECT"] == str(tmp_path / "src/sub")
    assert environment["TORCHFLOOR_DEVICE"] == "cpu"
    assert not {"SECRET_TOKEN", "PYTEST_ADDOPTS"} & set(environment)


def test_a_home_that_is_the_root_of_everything_is_left_in_the_log(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/")
    told = probe("t.py::b", "failed", message="no /usr/lib/x")
    record = run(probes=((BACK, told, FINISH), ended()))
    assert record.failure is not None
    assert record.failure.message == "t.py::b: no /usr/lib/x"
