"""Commands: their end is told, and with a timeout nothing they started is left."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.torchfloor.system import POSIX

from torchfloor.process import Ended, end_strays, execute

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
print(child.pid, flush=True)
threading.Event().wait()
"""


def run(code: str, folder: Path, timeout: float = 60) -> Ended:
    return execute([sys.executable, "-c", code], {"WORD": "x"}, folder, folder / "log", timeout)


@POSIX
@pytest.mark.parametrize(
    ("code", "status", "signal"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "SIGKILL"),
        ("import os; os.abort()", -6, "SIGABRT"),
    ],
)
def test_the_end_is_told(tmp_path: Path, code: str, status: int, signal: str) -> None:
    end = run(code, tmp_path)
    assert (end.status, end.signal, end.timed_out) == (status, signal, False)
    assert end.seconds > 0


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert Ended(-200, timed_out=False, seconds=0).signal == "signal 200"


def test_both_streams_go_to_the_file_and_the_environment_is_what_was_given(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ.get('WORD'), os.environ.get('HOME')); sys.exit('no')"
    run(code, tmp_path)
    assert sorted((tmp_path / "log").read_text("utf-8").splitlines()) == ["no", "x None"]


@POSIX
@POSIX
def test_after_the_timeout_neither_the_command_nor_its_children_are_left(tmp_path: Path) -> None:
    end = run(CHILD, tmp_path, timeout=2)
    assert (end.timed_out, end.signal) == (True, "SIGKILL")
    child = int((tmp_path / "log").read_text("utf-8"))
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_an_interruption_stops_the_command_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    wait = subprocess.Popen.wait

    def interrupt(self: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if self not in started:
            started.append(self)
            raise KeyboardInterrupt
        return wait(self, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("import threading; threading.Event().wait()", tmp_path)
    assert [process.returncode for process in started] == [-9]


@POSIX
def test_what_a_killed_harness_has_left_running_is_found_by_its_folder(tmp_path: Path) -> None:
    harness = f"""
import sys
from pathlib import Path
from torchfloor.process import execute
folder = Path({str(tmp_path)!r})
execute([sys.executable, "-c", {CHILD!r}], {{}}, folder, folder / "log", 60)
"""
    with subprocess.Popen([sys.executable, "-c", harness]) as process:  # noqa: S603 - our own
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text("utf-8"):
            assert process.poll() is None
        left = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(left) == 2
    end_strays(tmp_path / "other")
    assert all(each.is_running() for each in left)
    end_strays(tmp_path)
    assert psutil.wait_procs(left, timeout=20)[1] == []


WANDERER = """
import os, threading
print(os.getpid(), flush=True)
os.chdir("/")
threading.Event().wait()
"""


@POSIX
def test_what_a_killed_harness_has_left_is_found_after_the_folder_was_renamed(
    tmp_path: Path,
) -> None:
    before, after = tmp_path / "before/cell", tmp_path / "it's after"
    before.mkdir(parents=True)
    harness = f"""
import sys
from pathlib import Path
from torchfloor.process import execute
folder = Path({str(before)!r})
execute([sys.executable, "-c", {WANDERER!r}], {{}}, folder, folder / "log", 60)
"""
    with subprocess.Popen([sys.executable, "-c", harness]) as process:  # noqa: S603 - our own
        while not (before / "log").exists() or not (before / "log").read_text("utf-8"):
            assert process.poll() is None
        process.kill()
    left = psutil.Process(int((before / "log").read_text("utf-8")))
    before.parent.rename(after)
    end_strays(tmp_path)  # neither what is around it
    assert left.is_running()
    end_strays(after / "cell")
    assert psutil.wait_procs([left], timeout=20)[1] == []


GROUP = "import os, signal; os.killpg(0, signal.SIGTERM)"
"""What a release may do that means to end its own helpers."""


@POSIX
def test_a_signal_to_the_commands_own_group_reaches_nobody_else(tmp_path: Path) -> None:
    assert run(GROUP, tmp_path).signal == "SIGTERM"


LEAVES = """
import os, subprocess, sys
code = "import os, sys, time; os.setsid(); os.chdir(sys.argv[1]); print('here', flush=True); " \
    "time.sleep(600)"
left = subprocess.Popen([PROGRAM, "-c", code, WHERE], env={}, stdout=subprocess.PIPE)
left.stdout.readline()
print(left.pid)
"""


@POSIX
@pytest.mark.parametrize(
    ("program", "where"), [(sys.executable, "."), ("bin/python", "/")], ids=["place", "program"]
)
def test_what_has_emptied_its_environment_is_ended_all_the_same(
    tmp_path: Path, program: str, where: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    path = str(tmp_path / program)  # where it is absolute, as it is
    run(LEAVES.replace("PROGRAM", repr(path)).replace("WHERE", repr(where)), tmp_path)
    left = int((tmp_path / "log").read_text("utf-8"))
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
