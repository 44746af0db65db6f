"""Commands: their end is told, and with a timeout nothing they started is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import psutil
import pytest

from torchfloor.process import Ended, end_strays, execute

CHILD = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
print(child.pid, flush=True)
threading.Event().wait()
"""


def run(code: str, output: IO[bytes], timeout: float = 60) -> Ended:
    folder = Path(output.name).parent
    return execute([sys.executable, "-c", code], {"WORD": "x"}, folder, output, timeout)


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
    with (tmp_path / "log").open("wb") as output:
        end = run(code, output)
    assert (end.status, end.signal, end.timed_out) == (status, signal, False)
    assert end.seconds > 0


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert Ended(-200, timed_out=False, seconds=0).signal == "signal 200"


def test_both_streams_go_to_the_file_and_the_environment_is_what_was_given(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ.get('WORD'), os.environ.get('HOME')); sys.exit('no')"
    with (tmp_path / "log").open("wb") as output:
        run(code, output)
    assert sorted((tmp_path / "log").read_text("utf-8").splitlines()) == ["no", "x None"]


def test_after_the_timeout_neither_the_command_nor_its_children_are_left(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        end = run(CHILD, output, timeout=2)
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
    with (tmp_path / "log").open("wb") as output, pytest.raises(KeyboardInterrupt):
        run("import threading; threading.Event().wait()", output)
    assert [process.returncode for process in started] == [-9]


def test_what_a_killed_harness_has_left_running_is_found_by_its_folder(tmp_path: Path) -> None:
    harness = f"""
import sys
from pathlib import Path
from torchfloor.process import execute
with open({str(tmp_path / "log")!r}, "wb") as output:
    execute([sys.executable, "-c", {CHILD!r}], {{}}, Path({str(tmp_path)!r}), output, 60)
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
