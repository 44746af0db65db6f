"""Being told to stop: by a signal, or by the end of the process that started this one."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest
from tests.torchfloor.system import POSIX

pytestmark = POSIX

WAITING = """
import threading
from torchfloor import interruption
interruption.{call}()
try:
    print("ready", flush=True)
    threading.Event().wait(60)
except KeyboardInterrupt:
    print("interrupted", interruption.interrupted.is_set(), flush=True)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {code!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def start(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_way_of_being_stopped_is_an_interruption(name: str) -> None:
    with start(WAITING.replace("{call}", "heed_interruption")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        assert process.stdout.read() == "interrupted True\n"


CLEANING = """
import os, signal
from torchfloor import interruption
interruption.heed_interruption()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.{again})
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(("again", "told"), [("SIGTERM", "cleaned up\n"), ("SIGINT", "")])
def test_cleaning_up_is_only_cut_short_by_ctrl_c(again: str, told: str) -> None:
    with start(CLEANING.replace("{again}", again)) as process:
        assert process.stdout is not None
        assert process.stdout.read() == told


PRESSED = """
import os, signal
from torchfloor import interruption
interruption.heed_interruption()
try:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    for _ in range(9):
        os.kill(os.getpid(), signal.SIGINT)
    print("cleaned up", flush=True)
"""


def test_ctrl_c_pressed_again_and_again_leaves_nothing_undone() -> None:
    with start(PRESSED) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "cleaned up\n"


def test_a_process_whose_parent_is_killed_is_interrupted() -> None:
    code = WAITING.replace("{call}()", "end_with_parent(__import__('os').getppid())")
    with start(PARENT.format(code=code)) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        process.kill()
    assert child.wait(timeout=20) is None


def test_a_process_whose_run_was_killed_before_it_came_to_look_is_interrupted() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as leader:
        pass
    code = WAITING.replace("{call}()", f"end_with_parent({leader.pid})")
    with start(code) as process:
        assert process.wait(timeout=20) == -signal.SIGINT
