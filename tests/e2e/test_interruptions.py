"""Stopped at any moment, in any way, and started again: what is finished is kept, and true."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.e2e import project as tiny
from tests.e2e.comparison import without_times
from tests.e2e.project import Project, make_project

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.network

RELEASES = {"0.9": tiny.WRONG, **dict.fromkeys(("1.0", "1.1", "1.2", "1.3"), tiny.GOOD)}
RUN = ("torchfloor", "run")
NOX = ("nox", "-s", "compat", "-j", "2")
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
PATIENCE = 60

Reached = Callable[[Project, float], bool]


@pytest.fixture(scope="module")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Tell whether this is the long profile: `pytest --hypothesis-profile=long`."""
    profile: str | None = pytestconfig.getoption("hypothesis_profile", None)
    return profile == "long"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the records of a run that nobody disturbs, without their times."""
    project = make_project(tmp_path_factory.mktemp("as-it-is-"), RELEASES)
    ran = project.torchfloor("run")
    assert ran.status == 0, ran.output
    return without_times(project.records())


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose path is as long as the undisturbed one's: sizes depend on it."""
    return make_project(tmp_path_factory.mktemp("disturbed"), RELEASES)


def newer(files: list[Path], start: float) -> bool:
    for file in files:
        try:
            if file.stat().st_mtime > start:
                return True
        except FileNotFoundError:
            continue
    return False


def log(stage: str) -> Reached:
    return lambda p, start: newer([*p.root.glob(f".compat/logs/*/{stage}.log")], start)


def written(pattern: str) -> Reached:
    """Look for a file that has just been written, or is being written."""
    return lambda p, start: newer([*p.root.glob(f".compat/{pattern}")], start)


STAGES = {
    "plan": written("plan.json"),
    "install": log("install"),
    "probes": log("probes"),
    "timings": log("timings"),
    "record": written("records/*.json*"),
    "render": written("*COMPATIBILITY.md*"),
}


def wait_until(project: Project, reached: Reached, process: subprocess.Popen[str]) -> None:
    start, deadline = time.time(), time.monotonic() + PATIENCE
    while not reached(project, start):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def stop(process: subprocess.Popen[str], how: signal.Signals) -> None:
    """Stop a run as the world does: Ctrl-C reaches the whole group, others the one process."""
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)


def processes_of(project: Project) -> list[psutil.Process]:
    """List what runs in a project's folder, whoever started it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(project.root)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_clean(project: Project) -> bool:
    """Tell whether neither an environment nor a file half written is left."""
    workspace = project.root / ".compat"
    cells = [path for path in workspace.glob("cells/*") if path.is_dir()]
    hidden = [path.name for path in workspace.rglob(".*") if "cache" not in path.parts]
    return not cells and set(hidden) <= {".gitignore"}


def assert_nothing_is_left(project: Project) -> None:
    assert is_clean(project)
    assert psutil.wait_procs(processes_of(project), timeout=20)[1] == []


def assert_completes(project: Project, undisturbed: dict[str, Any], *command: str) -> None:
    ran = project.run(*command)
    assert ran.status == 0, ran.output
    assert "tinydep>=1.0 holds: 4 releases" in ran.output
    assert "Traceback" not in ran.output
    assert_nothing_is_left(project)
    assert without_times(project.records()) == undisturbed
    assert all(project.cell(each) in table(project) for each in RELEASES)
    # By now what outlived its parent for a moment has ended, too, and is swept up after.
    assert "0 to run, 5 unchanged and reused" in project.torchfloor("run").output
    assert list(project.root.glob(".compat/cache/**/.tmp*")) == []


def table(project: Project) -> str:
    return (project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")


@pytest.mark.parametrize("command", [RUN, NOX], ids=["run", "nox"])
@pytest.mark.parametrize("first", range(len(SIGNALS)))
def test_a_run_stopped_at_every_stage_loses_only_what_was_running(
    project: Project,
    undisturbed: dict[str, Any],
    command: tuple[str, ...],
    first: int,
    *,
    is_long: bool,
) -> None:
    if (first or command == NOX) and not is_long:
        pytest.skip("the long profile has every signal at every stage, and of nox as well")
    for how, reached in zip(islice(cycle(SIGNALS), first, None), STAGES.values(), strict=False):
        before = project.records()
        with project.start(*command) as process:
            wait_until(project, reached, process)
            stop(process, how)
            output, _ = process.communicate(timeout=PATIENCE)
        after = project.records()
        assert before.items() <= after.items()
        if how != signal.SIGKILL:
            assert process.returncode == 130, output
            assert "Traceback" not in output
            assert is_clean(project)
        if command == NOX or how != signal.SIGKILL:
            assert psutil.wait_procs(processes_of(project), timeout=20)[1] == []
    assert_completes(project, undisturbed, *command)


def test_what_a_killed_run_has_left_running_is_ended_by_the_next(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    releases = {"1.0": tiny.ENDLESS, "1.1": tiny.ENDLESS, "1.2": tiny.GOOD}
    project = make_project(tmp_path_factory.mktemp("endless"), releases)
    with project.start(*RUN) as process:
        wait_until(project, lambda _project, _start: has_loiterer(project), process)
        process.kill()
    assert has_loiterer(project)  # its parent's parent is gone, and it knows nothing of it
    other = project.torchfloor("run", "--only", project.cell("1.2"))
    assert project.records()["1.2"].outcome == "compatible", other.output
    assert_nothing_is_left(project)

    with project.start(*NOX) as process:
        wait_until(project, lambda _project, _start: has_loiterer(project), process)
        process.kill()
    # The workers notice, end what they run, and clean up.
    assert psutil.wait_procs(processes_of(project), timeout=20)[1] == []


def test_a_worker_that_is_killed_costs_its_cell_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    releases = {"1.0": tiny.ENDLESS, "1.1": tiny.GOOD}
    project = make_project(tmp_path_factory.mktemp("worker"), releases)
    with project.start(*NOX) as process:
        wait_until(project, lambda _project, _start: has_loiterer(project), process)
        worker_of(project, "1.0").kill()
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"{project.cell('1.0')} is missing: planned, but there is no record of it" in output
    assert set(project.records()) == {"1.1"}
    assert_nothing_is_left(project)


def worker_of(project: Project, release: str) -> psutil.Process:
    """Return nox's process that runs a cell."""
    session = f"compat({project.cell(release)})"
    return next(each for each in processes_of(project) if session in each.cmdline())


def test_a_run_killed_in_a_checkout_that_is_then_renamed_is_resumed_there(
    tmp_path_factory: pytest.TempPathFactory, *, is_long: bool
) -> None:
    if not is_long:
        pytest.skip("the long profile has it; what it takes has tests of its own")
    root = tmp_path_factory.mktemp("renamed")
    (root / "before").mkdir()
    project = make_project(root / "before", {"1.0": tiny.ENDLESS, "1.1": tiny.GOOD})
    with project.start(*RUN) as process:
        wait_until(project, lambda _project, _start: has_loiterer(project), process)
        process.kill()
    moved = Project(project.root.rename(root / "it's after"))
    assert has_loiterer(moved)
    ran = moved.torchfloor("run", "--only", moved.cell("1.1"))
    assert moved.records()["1.1"].outcome == "compatible", ran.output
    assert_nothing_is_left(moved)


def has_loiterer(project: Project) -> bool:
    if not any(project.root.glob(".compat/logs/*/probes.log")):
        return False  # to look at every process takes a while
    for process in processes_of(project):
        with contextlib.suppress(psutil.Error):
            if tiny.LOITERER in process.cmdline():
                return True
    return False


def test_a_run_killed_at_random_moments_ends_as_one_that_nobody_disturbed(
    project: Project, undisturbed: dict[str, Any], *, is_long: bool
) -> None:
    moments: list[str] = []
    chance = random.Random()  # noqa: S311 - the moments are told when it fails
    try:
        for _ in range(50 if is_long else 6):
            command, group = chance.choice([RUN, NOX]), chance.choice([True, False])
            seconds = chance.uniform(0, 6 if command == NOX else 4)
            moments.append(f"{command[0]} after {seconds:.3f} s, {'group' if group else 'leader'}")
            before = project.records()
            with project.start(*command) as process:
                time.sleep(seconds)
                (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
                process.communicate(timeout=PATIENCE)
            after = project.records()
            assert before.items() <= after.items()
            if len(after) == len(RELEASES):
                assert_completes(project, undisturbed, *command)
                shutil.rmtree(project.root / ".compat/records")
        assert_completes(project, undisturbed, *RUN)
    except BaseException:
        print("\n".join(moments))  # noqa: T201 - how to see it again
        raise
