"""Tests are collected where the system lacks what some of them need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.torchfloor.system import needs

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("tests/torchfloor", "tests/e2e")  # the others are gradnorms's, and need torch
ELSEWHERE = """
import asyncio, multiprocessing, os, signal, sys, urllib.request, webbrowser
import filelock, hypothesis, nox, platformdirs, psutil, requests, rich.console, xdist

# Only now: what was imported is this system's. Not win32, where pytest itself needs more of Python.
sys.platform = "darwin"
sys.modules["resource"] = None
for module, names in (
    (os, ("fork", "forkpty", "mkfifo", "geteuid", "getuid", "openpty", "setsid", "killpg")),
    (signal, ("SIGKILL", "SIGHUP", "SIGALRM", "pthread_kill")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""


def test_what_python_lacks_skips_a_test() -> None:
    assert needs("os.nonesuch", "sys.argv").args == (True,)
    assert needs("nonesuch", "nonesuch.either").kwargs["reason"] == (
        "there is no nonesuch, nonesuch.either here"
    )
    assert needs("os", "os.sep").args == (False,)


def test_all_tests_are_collected_where_posix_names_are_missing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE, "utf-8")
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY), *sys.path])
    ran = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-m", "pytest", "-p", "elsewhere", "--collect-only", *FOLDERS],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr
    assert ran.stdout.count("tests/e2e: left out") == 1
    assert "test_page_" not in ran.stdout
    assert "test_machine_faults" not in ran.stdout
    assert "<Module test_output.py>" in ran.stdout
