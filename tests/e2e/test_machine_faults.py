"""Faults of the machine, planted for real: of its disk, its folders, its clock, its neighbours."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import resource
import secrets
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, build_wheel, make_project, obey_permissions

from torchfloor.space import files_of, size_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.network

MEGA = 10**6
TWO = dict.fromkeys(("1.0", "1.1"), tiny.GOOD)
THREE = dict.fromkeys(("1.0", "1.1", "1.2"), tiny.GOOD)
RANDOM = secrets.token_hex(10 * MEGA)
"""20 MB, half of that as a wheel."""


def size_of(folder: Path) -> int:
    return size_on_disk(files_of(folder).values())


def finish(process: subprocess.Popen[str]) -> Ran:
    output, _ = process.communicate(timeout=120)
    return Ran(process.returncode, output)


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


# --- the disk -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A small disk; where none can be mounted, processes that may only write small files."""

    root: Path
    size: int
    is_mounted: bool

    def start(self, project: Project, *command: str) -> subprocess.Popen[str]:
        process = project.start(*command)
        if not self.is_mounted:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self.size, self.size))
        return process

    def fill(self) -> None:
        """Leave not a byte free."""
        with (self.root / "ballast").open("wb", buffering=0) as file:
            for size in (MEGA, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a disk of 75 MB."""
    root, size = tmp_path / "disk", 75 * MEGA
    root.mkdir()
    mounted = mount(root, f"size={size}")
    yield Disk(root, size if mounted else size // 3, is_mounted=mounted)
    if mounted:
        subprocess.run(["umount", "--lazy", root], check=True)  # noqa: S603, S607 - our own


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - our own
    except FileNotFoundError:
        return False


def test_a_disk_that_is_full_during_an_installation_ends_that_cell_alone(disk: Disk) -> None:
    project = make_project(disk.root, THREE)
    # A wheel of a few kilobytes, and 100 MB on disk: no estimate sees that coming.
    build_wheel(disk.root / "wheels", "1.1", tiny.GOOD, data="x" * 100 * MEGA)
    ran = finish(disk.start(project, "torchfloor", "run"))
    assert ran.status == 1
    assert "Traceback" not in ran.output
    records = project.records()
    assert {release: record.outcome for release, record in records.items()} == {
        "1.0": "compatible",
        "1.1": "errored",
        "1.2": "compatible",
    }
    failure = records["1.1"].failure
    assert failure is not None
    assert failure.stage == "install"
    told = " ".join(f"{failure.message} {failure.log}".split())
    assert any(w in told for w in ("No space left on device", "File too large", "SIGXFSZ")), told
    assert f"{project.cell('1.1')} is errored: install: " in ran.output


def test_a_disk_that_fills_meanwhile_costs_no_record_and_refuses_the_cells_that_follow(
    disk: Disk,
) -> None:
    project = make_project(disk.root, TWO)
    command = ("torchfloor", "run") if disk.is_mounted else patched(project, SHRINKING, "run")
    with project.start(*command) as process:
        wait_for(process, lambda: any(disk.root.glob(".compat/logs/*1.0*/timings.log")))
        if disk.is_mounted:
            disk.fill()
        ran = finish(process)
    assert (ran.status, "Traceback" in ran.output) == (1, False), ran.output
    assert "Nothing is kept for the next run, as with --discard: to keep it, " in ran.output
    assert project.records()["1.0"].outcome == "compatible"  # there was room when the cell had gone
    refused = project.records()["1.1"]
    assert refused.failure is not None
    assert (refused.outcome, refused.failure.stage) == ("errored", "install")
    assert re.match(
        r"Not enough disk: \S+ [GM]B are needed, and \S+ [GM]B are free, so \S+ [GM]B are missing",
        refused.failure.message,
    )
    assert refused.provenance.seconds == {}  # it was never started


FILLING = f"""{tiny.GOOD}
_double = double


def double(it):
    with open("ballast", "ab", buffering=0) as file:  # in the cell: it goes with that
        for size in (2**20, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass
    return _double(it)
"""


MANY_PROBES = """
import pytest
from tinysub import twice


@pytest.mark.parametrize("it", range(300))
def test_many(it):
    assert twice(it) == 2 * it
"""


def test_a_disk_that_is_full_while_probes_run_says_nothing_about_the_release(disk: Disk) -> None:
    if not disk.is_mounted:
        pytest.skip("a disk of its own cannot be mounted here")
    project = make_project(disk.root, {"1.0": FILLING, "1.1": tiny.GOOD})
    (disk.root / "probes/test_many.py").write_text(MANY_PROBES, "utf-8")
    ran = finish(disk.start(project, "torchfloor", "run"))
    assert (ran.status, "Traceback" in ran.output) == (1, False), ran.output
    records = project.records()
    failure = records["1.0"].failure
    assert failure is not None
    assert (records["1.0"].outcome, failure.stage) == ("errored", "probes"), failure
    assert "free some space" in failure.message
    assert records["1.1"].outcome == "compatible"


SHRINKING = """
from pathlib import Path
from torchfloor import host
host.free_space = lambda _folder: 10**6 if any(Path(".compat/records").glob("*")) else 10**8
"""


def patched(project: Project, code: str, *arguments: str) -> tuple[str, ...]:
    """Write a module that is the command in another world, and return what starts it."""
    lines = ("import sys", "from torchfloor import cli", code, "sys.exit(cli.main(sys.argv[1:]))")
    (project.root / "patched.py").write_text("\n".join(lines), "utf-8")
    return ("patched", *arguments)


def test_a_record_that_cannot_be_written_is_told_and_the_finished_ones_are_kept(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, THREE)
    records, aside = tmp_path / ".compat/records", tmp_path / "aside"
    with project.start("torchfloor", "run") as process:
        wait_for(process, lambda: any(tmp_path.glob(".compat/logs/*1.1*/timings.log")))
        records.rename(aside)
        records.touch()
        ran = finish(process)
    assert (ran.status, "Traceback" in ran.output) == (1, False)
    for release, why in {"1.1": "File exists", "1.2": "Not a directory"}.items():
        told = f"{project.cell(release)}: no record: records cannot be written ({why}); remove what"
        assert told in ran.output
    records.unlink()
    aside.rename(records)
    again = project.torchfloor("run")
    assert again.status == 0, again.output
    assert "3 cells; 2 to run, 1 unchanged and reused" in again.output


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    assert project.torchfloor("run").status == 0
    for command in (("report", "--markdown"), ("verdict",), ("run",)):
        with (
            Path("/dev/full").open("wb") as full,
            project.start("torchfloor", *command, output=full) as process,
        ):
            _, told = process.communicate()
        assert process.returncode == 2
        assert told == "torchfloor: No space left on device\n"
    unread, pipe = os.pipe()
    os.close(unread)
    with os.fdopen(pipe, "wb") as nobody:
        for command in (("report",), ("report", "--json"), ("plan",)):
            with project.start("torchfloor", *command, output=nobody) as process:
                assert process.communicate()[1] == ""
            assert process.returncode == 141
    plain = Project(tmp_path, {"PYTHONIOENCODING": "ascii"}).torchfloor("report")
    assert plain.status == 0, plain.output
    assert "compatible" in plain.output

    page = tmp_path / ".compat/COMPATIBILITY.md"
    page.unlink()  # as a run that is killed after its last record leaves it
    assert project.torchfloor("run").status == 0
    assert project.cell("1.0") in page.read_text("utf-8")
    page.unlink()
    page.mkdir()
    ran = project.torchfloor("run", "--fresh")
    assert ran.status == 2
    assert "COMPATIBILITY.md cannot be written (Is a directory)" in ran.output
    assert "tinydep>=1.0 holds" in ran.output


# --- downloads that are kept, and discarded -------------------------------------------------------


@dataclass
class Peak:
    """The most that a folder has held."""

    size: int = 0


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Peak]:
    """Look at a folder's size all the time, each file once."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            with contextlib.suppress(OSError):  # removed between two looks
                peak.size = max(peak.size, size_of(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def test_downloads_are_kept_for_the_next_run_unless_they_are_to_be_discarded(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, THREE)
    for release in THREE:
        build_wheel(tmp_path / "wheels", release, tiny.GOOD, data=release + RANDOM)
    workspace = tmp_path / ".compat"

    with watched(workspace) as peak:
        discarded = project.nox("-s", "compat", "-j", "3", "--", "--discard")
    assert discarded.status == 0, discarded.output
    assert "2 at a time, each environment with its downloads removed" in discarded.output
    with watched(workspace) as largest:
        alone = project.torchfloor("run", "--fresh", "--discard", "--only", project.cell("1.0"))
    assert alone.status == 0, alone.output
    assert len(RANDOM) < largest.size < peak.size < 2 * largest.size
    assert size_of(workspace) < MEGA

    kept = project.torchfloor("run", "--fresh")
    assert "downloads kept for the next run" in kept.output
    assert size_of(workspace) > 3 * len(RANDOM)
    assert [path for path in (workspace / "cells").iterdir() if path.is_dir()] == []

    again = project.torchfloor("run", "--fresh")
    assert again.status == 0, again.output
    assert "Download: nothing, earlier runs have kept it." in again.output
    assert size_of(workspace) < 4 * len(RANDOM)

    dropped = project.torchfloor("run", "--fresh", "--discard")
    assert dropped.status == 0, dropped.output
    assert size_of(workspace) < MEGA


def test_what_a_probe_has_written_into_is_not_kept_for_other_cells(tmp_path: Path) -> None:
    tampering = "open(__file__, 'a').write('# changed')\n" + tiny.GOOD
    project = make_project(tmp_path, {"1.0": tiny.GOOD, "1.1": tampering})
    ran = project.torchfloor("run")
    assert re.search(r"1\.1-\S+ is errored: .*written into \(lib/\S+/tinydep\.py\)", ran.output)
    assert project.records()["1.0"].outcome == "compatible"
    for release in ("1.0", "1.1"):
        wheel = f"tinydep-{release}.dist-info"
        assert list((tmp_path / ".compat/cache").glob(f"uv/archive-*/*/{wheel}")) == []
    assert not list((tmp_path / ".compat/cache").glob("*.txt"))


LEAVES_READ_ONLY_FOLDERS = f"""{tiny.GOOD}
import os

os.makedirs("kept/deeper")
open("kept/deeper/file", "w").close()
os.chmod("kept/deeper", 0o500)
os.chmod("kept", 0)
"""

SLY = """
import os, pathlib, time

def double(number):
    return 2 * number

mark, here = pathlib.Path({mark!r}), pathlib.Path(__file__)
if not mark.exists():
    was = here.stat()
    here.write_text(here.read_text("utf-8").replace("2 * number", "3 * number"), "utf-8")
    os.utime(here, ns=(was.st_atime_ns, was.st_mtime_ns))
    mark.touch()
    time.sleep(600)
"""
"""Writes into itself once, so that neither size nor time tell, and gives no time to look."""


def test_nothing_that_is_kept_is_used_if_it_was_written_into_or_exchanged(tmp_path: Path) -> None:
    mark = tmp_path / "written"
    project = make_project(tmp_path, {"1.0": SLY.format(mark=str(mark))})
    with project.start("torchfloor", "run") as process:
        wait_for(process, mark.exists)
        process.kill()
    again = project.torchfloor("run")
    assert again.status == 0, again.output
    assert project.records()["1.0"].outcome == "compatible"

    build_wheel(tmp_path / "wheels", "1.0", tiny.WRONG)
    assert project.torchfloor("plan", "--refresh").status == 0
    exchanged = project.torchfloor("run")
    assert project.records()["1.0"].outcome == "incompatible", exchanged.output


# --- settings -------------------------------------------------------------------------------------

ODD = """
exclude-newer = "2001-01-01T00:00:00Z"
no-binary = true
link-mode = "symlink"
cache-dir = "elsewhere"
index-url = "http://127.0.0.1:9/simple/"
python-preference = "only-managed"
"""


def test_what_uv_is_configured_to_do_in_a_project_changes_no_cell(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    (tmp_path / "uv.toml").write_text(ODD, "utf-8")
    ran = Project(tmp_path, {"UV_LINK_MODE": "symlink"}).torchfloor("run")
    assert ran.status == 0, ran.output
    assert project.records()["1.0"].outcome == "compatible"
    assert not (tmp_path / "elsewhere").exists()


# --- folders --------------------------------------------------------------------------------------


def test_a_workspace_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    (tmp_path / ".compat").touch()
    for ran, status in ((project.torchfloor("run"), 2), (project.nox("-s", "compat"), 1)):
        assert ran.status == status
        assert (
            ".compat/ cannot be made (File exists): remove what stands in its place" in ran.output
        )
        assert "Traceback" not in ran.output


def test_what_stands_in_the_place_of_a_file_or_folder_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    workspace = tmp_path / ".compat"
    assert project.torchfloor("plan").status == 0
    for name in ("logs", "cache", "cells", "records"):
        (workspace / name).touch()
        ran = project.torchfloor("run")
        assert f"{name} cannot be written (Not a directory); remove what stands" in ran.output
        assert (ran.status, "Traceback" in ran.output) == (2, False)
        (workspace / name).unlink()
    for name in ("turn0.lock", "timings.lock", f"cells/{project.cell('1.0')}.lock"):
        (workspace / name).mkdir(parents=True)
        ran = project.torchfloor("run", "--discard")
        told = f"{name.rpartition('/')[2]} cannot be written (Is a directory); remove what stands"
        assert told in ran.output
        assert (ran.status, "Traceback" in ran.output) == (2, False)
        (workspace / name).rmdir()


def test_a_workspace_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", {"1.0": tiny.GOOD})
    there = tmp_path / "other/disk/results"
    there.mkdir(parents=True)
    (project.root / ".compat").symlink_to(there)
    ran = project.torchfloor("run")
    assert ran.status == 0, ran.output
    assert (there / f"records/{project.cell('1.0')}.json").exists()
    assert there.stat().st_mode & 0o777 == 0o700


def test_folders_that_a_probe_makes_read_only_are_removed_all_the_same(tmp_path: Path) -> None:
    releases = {"1.0": LEAVES_READ_ONLY_FOLDERS, "1.1": tiny.GOOD}
    project = make_project(tmp_path, releases)
    for options in ((), ("--fresh",)):
        with project.start("torchfloor", "run", *options, prepare=obey_permissions) as process:
            output, _ = process.communicate()
        assert process.returncode == 0, output
        assert not [each for each in tmp_path.glob(".compat/cells/*") if each.is_dir()]


def test_a_workspace_that_is_read_only_is_told_and_can_be_read(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    assert project.torchfloor("run").status == 0
    with read_only(tmp_path / ".compat"):
        ran = project.torchfloor("run", "--fresh")
        assert ran.status == 1, ran.output
        assert f"{project.cell('1.0')}: no record: " in ran.output
        assert "cannot be written (" in ran.output
        assert "Traceback" not in ran.output
        session = project.nox("-s", "compat", "--", "--fresh")
        assert session.status != 0
        assert "cannot be written (" in session.output
        assert "Traceback" not in session.output
        assert "tinydep>=1.0 holds" in project.torchfloor("report").output
        assert project.torchfloor("verdict").status == 0
    assert project.torchfloor("run").status == 0


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only; where nothing can be mounted, nothing at all can be written."""
    before = folder.with_name("before")
    shutil.copytree(folder, before)
    if not mount(folder, "size=50m"):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    shutil.copytree(before, folder, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)  # noqa: S603, S607 - our own
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S603, S607 - our own


AWKWARD = "it's a \"path\" with 'quotes', 100%25 #1; $5 & [é] 🔥 "


def test_any_path_will_do_and_more_jobs_than_cores(tmp_path: Path) -> None:
    root = tmp_path / AWKWARD.ljust(200, "x")
    root.mkdir()
    releases = {"0.9": tiny.WRONG, "1.0": tiny.GOOD, "1.1": tiny.GOOD, "1.2": tiny.UNIMPORTABLE}
    project = make_project(root, releases)
    (root / "wheels/tinydep-1.3-py3-none-any.whl").write_bytes(b"no wheel")
    ran = project.nox("-s", "compat", "-j", "8")
    assert ran.status == 1
    assert "Traceback" not in ran.output
    outcomes = {release: record.outcome for release, record in project.records().items()}
    assert outcomes == {
        "0.9": "incompatible",
        "1.0": "compatible",
        "1.1": "compatible",
        "1.2": "errored",
        "1.3": "errored",
    }
    for file in (root / ".compat/records").iterdir():
        text = file.read_text("utf-8")
        assert "xxxxx" not in text, text
        assert "🔥" not in text, text
    assert project.nox("-s", "publish").status == 0
    assert project.torchfloor("verdict", "--published").status == 1


# --- neighbours and clocks ------------------------------------------------------------------------


def test_two_runs_at_once_share_the_work_and_both_tell_the_whole(tmp_path: Path) -> None:
    project = make_project(tmp_path, THREE)
    nox = ("nox", "-s", "compat", "-j", "2")
    commands = [("torchfloor", "run"), nox, nox]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(project.start(*command)) for command in commands]
        outputs = [finish(process) for process in processes]
    told = "".join(ran.output for ran in outputs)
    for ran in outputs:
        assert ran.status == 0, ran.output
        assert "tinydep>=1.0 holds: 3 releases" in ran.output
        assert "Traceback" not in ran.output
    for release in THREE:
        assert told.count(f"{project.cell(release)}: installed") == 1
        assert told.count(f"{project.cell(release)}: nothing changed since") == 2
    assert "another process in this checkout is running it: waiting for its end" in told


CLOCK = """
import datetime, types
from pathlib import Path
from torchfloor import plan, run, workspace

class Clock(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        jump = -48 if any(Path(".compat/logs").glob("*/probes.log")) else 48
        return datetime.datetime.now(zone) + datetime.timedelta(hours=jump)

clock = types.SimpleNamespace(**vars(datetime))
clock.datetime = Clock
for module in (plan, run, workspace):
    module.dt = clock
"""
"""A clock that is two days ahead until a cell runs its probes, and then two days behind."""


def test_a_clock_that_jumps_back_costs_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    jumping = project.run(*patched(project, CLOCK, "run"))
    assert jumping.status == 0, jumping.output
    first = project.records()["1.0"].provenance
    assert first.started <= first.finished <= first.started + dt.timedelta(minutes=5)
    assert first.started > dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)

    # Neither the plan nor the record of what seems to be the future stays for ever.
    build_wheel(tmp_path / "wheels", "1.1", tiny.GOOD)
    after = project.torchfloor("run", "--fresh")
    assert (after.status, set(project.records())) == (0, {"1.0", "1.1"}), after.output
    assert project.records()["1.0"].provenance.started < first.started
    assert project.torchfloor("report").status == 0


# --- interpreters ---------------------------------------------------------------------------------


def test_a_cell_without_an_interpreter_is_not_run_and_says_which_to_install(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, TWO)
    matrix = project.root / "matrix.yaml"
    matrix.write_text(matrix.read_text("utf-8").replace(f'python: "{tiny.PYTHON}"', "python: auto"))
    wheel = tmp_path / "wheels/tinydep-1.1-py3-none-any.whl"
    wheel.rename(wheel.with_name("tinydep-1.1-cp399-cp399-linux_x86_64.whl"))
    plan = project.torchfloor("plan")
    told = "tinydep1.1-cpu-py399  not-run: no Python 3.99 on this machine; install one"
    assert told in plan.output
    ran = project.torchfloor("run")
    assert ran.status == 3, ran.output
    assert [record.outcome for record in project.records().values()] == ["compatible"]


def test_an_interpreter_that_is_gone_since_it_was_planned_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    assert project.torchfloor("plan").status == 0
    for name in ("PATH", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    ran = project.torchfloor("run")
    assert ran.status == 1, ran.output
    assert "Traceback" not in ran.output
    record = project.records()["1.0"]
    assert record.failure is not None
    assert (record.outcome, record.failure.stage) == ("errored", "install")
    assert f"No interpreter found for Python {tiny.PYTHON}" in record.failure.message
