"""The command: what it prints, and how it ends, with cells that only seem to run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.torchfloor.builders import PROVENANCE, make_record, write_project
from tests.torchfloor.system import POSIX, needs

from torchfloor import __version__, host
from torchfloor.cli import main
from torchfloor.matrix import read_matrix
from torchfloor.plan import Host
from torchfloor.provenance import Inputs
from torchfloor.publish import publish_records
from torchfloor.record import Failure, Record
from torchfloor.records import read_record, write_record
from torchfloor.space import Download
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell

OUTCOMES = {
    "compatible": None,
    "incompatible": Failure("probes", "test_it.py::test_it: wrong"),
    "errored": Failure("install", "no network"),
}


class Project:
    """A project in the current folder whose cells end the way they are told to.

    Attributes:
        outcomes: Outcome by release; compatible if not named.
        ran: The releases that ran, in order.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outcomes: dict[str, Any] = {}
        self.ran: list[str] = []

    def run_cell(
        self, matrix: Matrix, cell: Cell, _folder: Path, say: Callable[[str], None]
    ) -> Record:
        """Stand in for `torchfloor.run.run_cell`."""
        self.ran.append(cell.release)
        outcome = self.outcomes.get(cell.release, "compatible")
        if isinstance(outcome, BaseException):
            raise outcome
        say("runs")
        digests = Inputs(matrix).of(cell.version, cell.flavour)
        record = make_record(cell, outcome, failure=OUTCOMES[outcome])
        assert record.environment is not None
        return msgspec.structs.replace(
            record,
            environment=msgspec.structs.replace(record.environment, machine=host.machine()),
            provenance=msgspec.structs.replace(PROVENANCE, **msgspec.structs.asdict(digests)),
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with wheels for 0.9, 1.0 and 1.1."""
    file = write_project(tmp_path)
    text = file.read_text("utf-8")
    file.write_text(text + '  cuda: {indexes: [wheels], needs: cuda}\nhistory: ["0.9"]\n', "utf-8")
    (tmp_path / "wheels").mkdir()
    for release in ("0.9", "1.0", "1.1"):
        (tmp_path / f"wheels/dep-{release}-py3-none-any.whl").write_bytes(release.encode())
    made = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    here = Host(pythons=("3.11",), platforms=("linux_x86_64",))
    monkeypatch.setattr("torchfloor.workspace.this_host", lambda: here)
    monkeypatch.setattr("torchfloor.run.run_cell", made.run_cell)
    monkeypatch.setattr(
        "torchfloor.space.resolve_download", lambda _cell, _environment: Download(10**9, exact=True)
    )
    monkeypatch.setattr("torchfloor.host.free_space", lambda _folder: 10**12)
    return made


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"torchfloor {__version__}\n"


@pytest.mark.parametrize(
    ("outcomes", "status", "verdict"),
    [
        ({}, 0, "dep>=1.0 holds: 2 releases from 1.0 to 1.1"),
        ({"0.9": "incompatible"}, 0, "dep>=1.0 holds"),
        ({"0.9": "errored"}, 0, "dep>=1.0 holds"),
        ({"1.0": "incompatible"}, 1, "dep>=1.0 does not hold: dep 1.0 is incompatible"),
        ({"1.1": "incompatible"}, 1, "dep>=1.0 does not hold: dep 1.1 is incompatible"),
        ({"1.1": "errored"}, 1, "dep>=1.0 is not proved"),
    ],
)
def test_a_run_ends_with_the_verdict_and_its_exit_status(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    outcomes: dict[str, str],
    status: int,
    verdict: str,
) -> None:
    project.outcomes = outcomes
    assert main(["run"]) == status
    assert project.ran == ["0.9", "1.0", "1.1"]
    output = capsys.readouterr().out
    assert verdict in output
    assert "2 of 3 dep1.0-cpu-py311: runs" in output


def test_a_second_run_reuses_what_is_known_and_repeats_what_errored(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.outcomes = {"0.9": "incompatible", "1.1": "errored"}
    main(["run"])
    project.ran.clear()
    main(["run"])
    assert project.ran == ["1.1"]
    assert "1 to run, 2 unchanged and reused" in capsys.readouterr().out


def test_fresh_runs_everything_again(project: Project) -> None:
    main(["run"])
    main(["run", "--fresh"])
    assert project.ran == ["0.9", "1.0", "1.1"] * 2


def test_only_the_named_cells_run_and_decide(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.outcomes = {"1.0": "incompatible"}
    assert main(["run", "--only", "dep1.1-cpu-py311"]) == 0
    assert project.ran == ["1.1"]
    assert "Selected cells: 1 compatible" in capsys.readouterr().out


def change_probe(root: Path) -> None:
    (root / "probes/test_it.py").write_text("changed", "utf-8")


def change_subject(root: Path) -> None:
    (root / "src/sub/__init__.py").write_text("changed", "utf-8")


def change_wheels(root: Path) -> None:
    for file in (root / "wheels").iterdir():
        file.write_bytes(b"changed")


def change_companions(root: Path) -> None:
    with (root / "matrix.yaml").open("a", encoding="utf-8") as matrix:
        matrix.write("companions: [{install: [more]}]\n")


@pytest.mark.parametrize("change", [change_probe, change_subject, change_wheels, change_companions])
def test_a_changed_input_runs_again(project: Project, change: Callable[[Path], None]) -> None:
    main(["run"])
    change(project.root)
    main(["plan", "--refresh"])
    main(["run"])
    assert project.ran == ["0.9", "1.0", "1.1"] * 2


def test_a_cell_of_another_machine_runs_again(project: Project) -> None:
    main(["run"])
    for file in (project.root / ".compat/records").iterdir():
        record = read_record(file)
        assert record.environment is not None
        machine = msgspec.structs.replace(record.environment.machine, cpu="another")
        environment = msgspec.structs.replace(record.environment, machine=machine)
        write_record(msgspec.structs.replace(record, environment=environment), file.parent)
    main(["run"])
    assert project.ran == ["0.9", "1.0", "1.1"] * 2


def test_a_damaged_record_runs_again(project: Project) -> None:
    main(["run"])
    (project.root / ".compat/records/dep1.0-cpu-py311.json").write_text("{", "utf-8")
    assert main(["run"]) == 0
    assert project.ran == ["0.9", "1.0", "1.1", "1.0"]


def test_a_disk_that_is_too_small_is_refused_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torchfloor.host.free_space", lambda _folder: 10**9)
    assert main(["run"]) == 3
    assert project.ran == []
    output = capsys.readouterr()
    assert "Download: about 3.0 GB." in output.out
    assert "torchfloor: Not enough disk" in output.err
    assert "are missing" in output.err


def test_a_selection_that_cannot_run_is_no_evidence(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (project.root / "wheels").iterdir():
        file.rename(file.with_name(file.name.replace("py3-none-any", "cp39-cp39-linux_x86_64")))
    assert main(["run", "--only", "dep1.0-cpu-py39"]) == 3
    assert "nothing would be proved" in capsys.readouterr().err
    assert project.ran == []


def test_an_unknown_cell_is_a_mistake_of_the_call(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--only", "dep1.0-cpu-py311", "nonsense"]) == 2
    assert "no cell nonsense in the plan; `torchfloor plan` lists them" in capsys.readouterr().err
    assert project.ran == []


def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_from_there(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.outcomes = {"1.0": KeyboardInterrupt()}
    assert main(["run"]) == 130
    assert "interrupted; finished cells are kept" in capsys.readouterr().err
    page = (project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    assert "missing: planned, but there is no record of it" in page
    project.outcomes = {}
    project.ran.clear()
    assert main(["run"]) == 0
    assert project.ran == ["1.0", "1.1"]


def test_the_plan_names_each_cell_and_why_it_is_not_run(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dep 0.9 to 1.1, declared floor 1.0: 6 cells, of which 3 can run here."
    assert lines[1] == "Not-run: 3 cuda cells: no CUDA device on this machine."
    assert "dep1.0-cpu-py311  planned" in lines
    assert "dep1.0-cuda-py311  not-run: no CUDA device on this machine" in lines
    assert project.ran == []


@POSIX
def test_what_stands_in_the_place_of_the_workspace_is_told(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / ".compat").write_text("", "utf-8")
    assert main(["plan"]) == 2
    assert "torchfloor: .compat/ cannot be made (File exists)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "verdict"])
def test_a_damaged_record_is_told(
    project: Project, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    main(["run"])
    (project.root / ".compat/records/dep1.0-cpu-py311.json").write_text("{", "utf-8")
    capsys.readouterr()
    main([command])
    assert "dep1.0-cpu-py311.json is no record" in capsys.readouterr().err


def test_the_verdict_says_which_of_its_lines_fail_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (main(["run"]), main(["verdict"])) == (0, 0)
    assert project.ran
    assert "Below the declared floor: 0.9: compatible" in capsys.readouterr().out.splitlines()


NASTY = "<b>@octocat</b> closes #1 ![x](https://evil.invalid/p)\n\n# A heading\n::error::gone"


def test_a_message_begins_no_line_of_its_own_wherever_it_is_quoted(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OUTCOMES, "incompatible", Failure("probes", NASTY))
    project.outcomes = {"0.9": "incompatible", "1.1": "incompatible"}
    workspace = Workspace(read_matrix(project.root / "matrix.yaml"))
    first = workspace.plan().cells[0]
    publish_records(workspace.matrix, workspace.plan(), [make_record(first)])
    for arguments in (["run"], ["verdict"], ["report"], ["changes", "evidence", ".compat/records"]):
        main(arguments)
        lines = capsys.readouterr().out.splitlines()
        assert any("# A heading ::error::gone" in line for line in lines), arguments
        assert not [line for line in lines if line.lstrip().startswith(("::", "#"))], arguments


def test_a_verdict_for_github_holds_nothing_that_github_obeys(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OUTCOMES, "incompatible", Failure("probes", NASTY))
    project.outcomes = {"1.1": "incompatible"}
    main(["run"])
    capsys.readouterr()
    assert main(["verdict", "--markdown"]) == 1
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == ("**dep>=1.0 does not hold: dep 1.1 is incompatible; mend it.**")
    assert (
        "- Does not count: dep1.1-cpu-py311 is incompatible: probes: `<b>@octocat</b>` closes `#1` "
        "`![x](https://evil.invalid/p)` `#` A heading ::error::gone."
    ) in lines


@POSIX
def test_who_stops_reading_sees_no_traceback() -> None:
    command = [sys.executable, "-m", "torchfloor", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - our own command line
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("command", ["plan", "report", "verdict"])
def test_every_piece_speaks_json(
    project: Project, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    main(["run"])
    capsys.readouterr()
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert project.ran


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert "Record" in json.loads(capsys.readouterr().out)["$defs"]


@pytest.mark.parametrize("command", ["report", "verdict"])
def test_without_evidence_it_says_where_to_get_some(
    project: Project, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command]) == 3
    assert "run `nox -s compat`" in capsys.readouterr().err
    assert main([command, "--published"]) == 3
    assert project.ran == []


@pytest.mark.parametrize(
    ("outcomes", "status"), [({}, 0), ({"1.0": "incompatible"}, 1), ({"1.0": "errored"}, 1)]
)
def test_the_verdict_has_the_exit_status_of_what_it_says(
    project: Project, capsys: pytest.CaptureFixture[str], outcomes: dict[str, str], status: int
) -> None:
    project.outcomes = outcomes
    main(["run"])
    capsys.readouterr()
    assert main(["verdict"]) == status
    output = capsys.readouterr().out
    assert ("dep1.0-cpu-py311 is" in output) == bool(outcomes)


def test_a_mistake_in_the_matrix_is_told_without_a_traceback(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / "matrix.yaml").write_text("package: dep\n", "utf-8")
    assert main(["run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("torchfloor: matrix.yaml: 5 mistakes\n")


def test_another_matrix_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--matrix", str(tmp_path / "other.yaml"), "plan"]) == 2
    assert "other.yaml: 1 mistake\n  not found" in capsys.readouterr().err


@POSIX
def test_the_workspace_is_private_and_untracked(project: Project) -> None:
    main(["plan"])
    folder = project.root / ".compat"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text("utf-8") == "*\n"


def test_the_plan_is_kept_until_it_is_asked_for_anew(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan"])
    (project.root / "wheels/dep-1.2-py3-none-any.whl").write_bytes(b"")
    main(["plan"])
    assert "dep1.2-cpu" not in capsys.readouterr().out
    main(["plan", "--refresh"])
    assert "dep1.2-cpu" in capsys.readouterr().out


def test_a_changed_matrix_is_planned_anew(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan"])
    matrix = project.root / "matrix.yaml"
    matrix.write_text(matrix.read_text("utf-8") + "sample: all\n", "utf-8")
    (project.root / "wheels/dep-1.1.1-py3-none-any.whl").write_bytes(b"")
    capsys.readouterr()
    main(["plan"])
    output = capsys.readouterr().out
    assert "dep1.1-cpu-py311" in output
    assert "dep1.1.1-cpu-py311" in output


def test_environments_of_a_killed_run_are_swept(project: Project) -> None:
    left = project.root / ".compat/cells/dep1.0-cpu-py311/env"
    left.mkdir(parents=True)
    main(["run", "--only", "dep1.1-cpu-py311"])
    assert not left.exists()


def test_published_evidence_is_judged_on_its_own(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run"])
    workspace = Workspace(read_matrix(project.root / "matrix.yaml"))
    publish_records(workspace.matrix, workspace.plan(), workspace.all_records())
    capsys.readouterr()
    assert main(["verdict", "--published"]) == 0
    assert "dep>=1.0 holds" in capsys.readouterr().out


@POSIX
@POSIX
@pytest.mark.parametrize("streams", ["", ">&-", ">&- 2>&- <&-"])
def test_a_command_that_has_no_output_ends_as_ever(streams: str) -> None:
    shell = ["/bin/sh", "-c", f'exec "$0" -m torchfloor schema {streams}', sys.executable]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert (ran.returncode, ran.stderr) == (0, "")
    assert bool(ran.stdout) == (not streams)


def test_ctrl_c_while_the_command_is_imported_is_an_interruption(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "torchfloor", "schema"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(  # noqa: S603 - our own
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"")


RUNNING = """
import sys, threading
from torchfloor import cli
from torchfloor.interruption import heed_interruption

def run(_options):
    heed_interruption()
    print("ready", flush=True)
    threading.Event().wait(60)

cli._COMMANDS["schema"] = run
sys.exit(cli.main(["schema"]))
"""


@needs("os.openpty", "signal.SIGHUP")
def test_a_terminal_that_is_closed_is_an_interruption() -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", RUNNING]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:  # noqa: S603 - our own
        os.close(theirs)
        assert os.read(ours, 5) == b"ready"
        os.close(ours)
        process.send_signal(signal.SIGHUP)  # which who has a terminal gets with its end
    assert process.returncode == 130


def test_a_plan_for_github_is_saved_for_its_jobs_which_make_none(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--github", "--only", "floor", "--save", "handed/plan.json"]) == 0
    name, _, value = capsys.readouterr().out.partition("=")
    assert name == "cells"
    assert json.loads(value) == [{"cell": "dep1.0-cpu-py311", "python": "3.11", "large": False}]

    monkeypatch.setenv("TORCHFLOOR_PLAN", "handed/plan.json")
    monkeypatch.setattr("torchfloor.workspace.make_plan", None)
    assert main(["run"]) == 0
    assert project.ran == ["1.0"]


def test_what_was_left_out_of_a_run_fails_nothing_and_what_is_missing_does(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["plan", "--only", "floor", "--save", "plan.json"])
    monkeypatch.setenv("TORCHFLOOR_PLAN", "plan.json")
    assert main(["run"]) == 0
    assert main(["verdict"]) == 0
    (project.root / ".compat/records/dep1.0-cpu-py311.json").unlink()
    assert main(["verdict"]) == 1


def test_shards_run_apart_and_merged_are_the_whole(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        capsys.readouterr()
        main(["plan", "--shard", f"{number}/2"])
        assert main(["run", "--only", *capsys.readouterr().out.split()]) in {0, 3}
        (project.root / ".compat/records").rename(project.root / f"from{number}")
    assert main(["merge", "from1", "from2"]) == 0
    assert "3 records in .compat/records/" in capsys.readouterr().out
    assert main(["verdict"]) == 0


def test_a_record_that_is_not_taken_is_named_and_fails(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run"])
    damaged = project.root / ".compat/records/dep1.1-cpu-py311.json"
    damaged.write_text("{}", "utf-8")
    (project.root / ".compat/records").rename(project.root / "from")
    assert main(["merge", "from"]) == 1
    told = capsys.readouterr()
    assert "not taken: from: dep1.1-cpu-py311.json is no record" in told.err
    assert "2 records in .compat/records/" in told.out
