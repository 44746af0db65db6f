"""Releases that go wrong in every way: what is said of each, and that no other cell is harmed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, make_project, pack_wheel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.network

NEW_SIGNATURE = "def double(number, *, exactly):\n    return 2 * number\n"
WARNS = "import warnings\n\nwarnings.warn('deprecated', DeprecationWarning)\n\n" + tiny.GOOD
MISLABELLED = '__version__ = "1.3"\n' + tiny.GOOD
DAEMON = f"""
import os, subprocess, sys, time

def leave_a_daemon():
    code = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code, "{tiny.LOITERER}"], stdout=subprocess.DEVNULL)
"""
ENDLESS = f"""{DAEMON}
def double(number):
    leave_a_daemon()
    while True:
        time.sleep(1)
"""
LEAVES_A_DAEMON = f"{DAEMON}\nleave_a_daemon()\n\n{tiny.GOOD}"
HUGE = """
import resource

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

def allocate():
    return bytearray(4 * 2**30)
"""
FLOODS = """
import atexit, os

def flood():
    for _ in range(1600):
        os.write(1, b"x" * 65535 + b"\\n")

atexit.register(flood)
calls = []

def double(number):
    calls or flood()
    calls.append(number)
    return 2 * number
"""
OTHER_PROBES = """
import helper
import tinydep

getattr(tinydep, "triple", int)()
"""
NASTY = "\\x1b[31m\\x1b]0;owned\\x07a | <b>b</b> `c` \\udc80\\x9b2J\\u202e"
SHOUTS = f"""
import os

def double(number):
    os.write(2, b"\\x1b[2J \\xff\\xfe \\x1b]0;owned\\x07")
    raise ValueError("{NASTY}")
"""
FORKS = f"import os\n\nos.fork()\n\n{tiny.GOOD}"
LEAVES_WITH_THE_NAME = "def __getattr__(name):\n    raise SystemExit('gone')\n"
JOURNAL = "import os\n\njournal = os.environ['TORCHFLOOR_JOURNAL']\n"
REMOVES_THE_JOURNAL = f"{JOURNAL}os.remove(journal)\n{tiny.GOOD}"
CUTS_THE_JOURNAL = f"{JOURNAL}\ndef double(number):\n    os.truncate(journal, 0)\n    return 4\n"
SKIPS = "import unittest\n\ndef double(number):\n    raise unittest.SkipTest('not today')\n"
CLOSES_ITS_OUTPUT = f"import sys\n\nsys.stdout.close()\n{tiny.GOOD}"
LEAVES_A_THREAD = f"""
import threading, time

threading.Thread(target=time.sleep, args=[600]).start()

{tiny.GOOD}"""
LEAVES_THE_PROBES = f"{tiny.GOOD}\ndef triple():\n    raise SystemExit('no triple')\n"
BRINGS_A_HELPER = {"tinydep.py": tiny.GOOD, "helper.py": "where = 'installed'"}
ROGUE = {
    "rogue/tinydep.py": tiny.GOOD,
    "rogue.pth": "import sys; sys.path[:0] = [sitedir + '/rogue']",
}

RELEASES = {
    "0.5": ENDLESS,
    "1.0": tiny.GOOD,
    "1.1": tiny.WRONG,
    "1.2": tiny.NAMELESS,
    "1.3": tiny.UNIMPORTABLE,
    "1.4": MISLABELLED,
    "1.5": tiny.UNFIT,
    "1.6": NEW_SIGNATURE,
    "1.7": WARNS,
    "1.8": LEAVES_A_DAEMON,
    "1.9": FLOODS,
    "1.10": SHOUTS,
    "1.11": f'raise ValueError("{NASTY}")\n',
    "1.12": FORKS,
    "1.13": LEAVES_WITH_THE_NAME,
    "1.14": REMOVES_THE_JOURNAL,
    "1.15": CUTS_THE_JOURNAL,
    "1.16": tiny.WRONG,
    "1.17": SKIPS,
    "1.18": CLOSES_ITS_OUTPUT,
    "1.19": LEAVES_A_THREAD,
    "1.23": LEAVES_THE_PROBES,
    "1.20": "import os\n\nos._exit(0)\n",
    "1.21": "import os\n\nos.abort()\n",
    "1.22": "import ctypes\n\nctypes.string_at(0)\n",
    "1.30": tiny.EXITS,
    "1.31": tiny.ABORTS,
    "1.32": "import ctypes\n\ndef double(number):\n    ctypes.string_at(0)\n",
    "1.33": "import os\n\ndef double(number):\n    os.kill(os.getpid(), 9)\n",
    "1.40": f"{HUGE}\nallocate()\n",
    "1.41": f"{HUGE}\ndef double(number):\n    return allocate()\n",
}
HARMLESS = ("1.0", "1.7", "1.8", "1.9", "1.12")


class Session(NamedTuple):
    """A project after a session, and what the session printed."""

    project: Project
    ran: Ran


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a project after `nox -s compat`, in which each release goes another way.

    Beside its subject lies another module of the dependency's name; for one release, a companion
    brings one.
    """
    project = make_project(tmp_path_factory.mktemp("releases"), RELEASES, timeout="30s")
    (project.root / "src/tinydep.py").write_text(tiny.WRONG, "utf-8")
    (project.root / "src/helper.py").write_text("where = 'beside'", "utf-8")
    (project.root / "probes/test_other.py").write_text(OTHER_PROBES, "utf-8")
    pack_wheel(project.root / "wheels", "tinydep", "1.24", BRINGS_A_HELPER)
    rogue = pack_wheel(project.root / "wheels", "rogue", "1", ROGUE)
    with (project.root / "matrix.yaml").open("a", encoding="utf-8") as matrix:
        matrix.write(f"companions: [{{when: ==1.16, install: ['rogue @ {rogue.as_uri()}']}}]\n")
    return Session(project, project.nox("-s", "compat"))


@pytest.mark.parametrize(
    ("release", "outcome", "stage", "message"),
    [
        ("0.5", "errored", "probes", "test_probes.py::test_doubles: stopped after 30 s"),
        ("1.1", "incompatible", "probes", "test_doubles: AssertionError: twice, doubles: result 0"),
        ("1.2", "incompatible", "subject", "cannot import name 'double'"),
        ("1.3", "errored", "dependency", "libtiny.so: no such file"),
        ("1.4", "errored", "readback", "planned 1.4, but the cell has 1.3"),
        ("1.5", "errored", "probes", "no probe ran"),
        ("1.6", "incompatible", "probes", "missing 1 required keyword-only argument: 'exactly'"),
        ("1.10", "incompatible", "probes", "ValueError: a | <b>b</b> `c` �"),
        ("1.11", "errored", "dependency", "ValueError: a | <b>b</b> `c` �"),
        ("1.13", "incompatible", "subject", "SystemExit: gone"),
        ("1.14", "errored", "dependency", "the journal of the cell is gone: something in the cell"),
        ("1.15", "errored", "dependency", "the journal of the cell lacks its beginning"),
        ("1.16", "errored", "readback", "rogue/tinydep.py was imported as tinydep, and the wheel"),
        ("1.17", "incompatible", "probes", "the release raised a skip, which proves nothing"),
        ("1.18", "errored", "probes", "pytest broke down (ValueError: I/O operation on closed"),
        ("1.19", "errored", "probes", "every probe ended, but the process did not, held up by"),
        ("1.23", "incompatible", "probes", "test_other.py: SystemExit: no triple"),
        ("1.24", "errored", "readback", "helper.py was imported as helper, and hides <project>"),
        ("1.20", "errored", "dependency", "the interpreter ended before the first probe"),
        ("1.21", "errored", "dependency", "killed by SIGABRT"),
        ("1.22", "errored", "dependency", "killed by SIGSEGV"),
        ("1.30", "incompatible", "probes", "test_probes.py::test_doubles: ended in the middle"),
        ("1.31", "incompatible", "probes", "test_probes.py::test_doubles: killed by SIGABRT"),
        ("1.32", "incompatible", "probes", "test_probes.py::test_doubles: killed by SIGSEGV"),
        ("1.33", "errored", "probes", "killed by SIGKILL, as a system does that runs out of mem"),
        ("1.40", "errored", "dependency", "MemoryError (memory ran out, here or under a limit"),
        ("1.41", "errored", "probes", "MemoryError (memory ran out, here or under a limit"),
    ],
)
def test_a_release_that_goes_wrong_is_told_how_where_and_why(
    session: Session, release: str, outcome: str, stage: str, message: str
) -> None:
    record = session.project.records()[release]
    assert record.failure is not None, session.ran.output
    assert (record.outcome, record.failure.stage) == (outcome, stage), record.failure
    assert message in record.failure.message


@pytest.mark.parametrize("release", HARMLESS)
def test_a_release_that_only_looks_bad_is_compatible(session: Session, release: str) -> None:
    record = session.project.records()[release]
    assert (record.outcome, record.failure) == ("compatible", None)
    assert [match.passed for match in record.matches] == [True]
    assert [probe.outcome for probe in record.probes] == ["passed"]


def test_each_release_has_its_record_and_its_word_in_the_output(session: Session) -> None:
    assert set(session.project.records()) == {*RELEASES, "1.24"}
    assert session.ran.status == 1
    assert "Traceback" not in session.ran.output
    for release, record in session.project.records().items():
        told = f"{session.project.cell(release)} is {record.outcome}: "
        assert (told in session.ran.output) == (release not in HARMLESS)


def test_no_process_is_left_not_even_one_that_left_its_parent(session: Session) -> None:
    assert set(session.project.records()) >= {"0.5", "1.8"}  # those that leave one
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any(tiny.LOITERER in line for line in lines)


def test_a_flood_leaves_little_behind(session: Session) -> None:
    logs = session.project.root / ".compat/logs" / session.project.cell("1.9")
    log = (logs / "probes.log").read_text("utf-8")
    assert re.search(r"\n\[10374\d{4} bytes left out\]\n", log)
    assert "1 passed" in log
    assert len(log) < 2 * 2**20


def test_nothing_reaches_a_terminal_a_page_or_a_record_that_has_no_shape(session: Session) -> None:
    workspace = session.project.root / ".compat"
    kept = [file for file in workspace.rglob("*") if file.suffix in {".json", ".md", ".log"}]
    texts = {str(file): file.read_text("utf-8") for file in kept}
    texts["output"] = session.ran.output + session.project.torchfloor("verdict").output
    texts["report"] = session.project.torchfloor("report").output
    for name, text in texts.items():
        shapeless = {c for c in text if not (c.isprintable() or c in "\n\t")}
        assert not shapeless, name


def test_a_page_takes_nothing_that_a_release_says_for_markup(session: Session) -> None:
    page = (session.project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith('| <a id="tinydep1.10-'))
    assert r"ValueError: a \| \<b>b\</b> \`c\` �" in row


def test_probes_that_are_not_there_prove_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    (project.root / "probes/test_probes.py").write_text("import tinysub\n", "utf-8")
    ran = project.torchfloor("run")
    assert ran.status == 1, ran.output
    record = project.records()["1.0"]
    assert record.failure is not None
    assert (record.outcome, record.failure.stage) == ("errored", "probes")
    assert "no probe ran: nothing is known about this release" in record.failure.message
    assert "no probe ran" in ran.output


def test_only_the_conftest_of_the_probes_is_loaded_and_named_where_it_breaks(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, {"1.0": tiny.GOOD})
    (project.root / "conftest.py").write_text("import what_no_cell_has\n", "utf-8")
    around = project.torchfloor("run")
    assert around.status == 0, around.output

    (project.root / "probes/conftest.py").write_text("import what_no_cell_has\n", "utf-8")
    within = project.torchfloor("run")
    assert within.status == 1, within.output
    failure = project.records()["1.0"].failure
    assert failure is not None
    assert "pytest could not load the probes (see the log)" in failure.message
    assert "No module named 'what_no_cell_has'" in failure.log
