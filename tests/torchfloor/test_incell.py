"""The in-cell plugin, in a pytest of its own, on a small package that stands in for torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import venv
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.project import hash_of
from tests.torchfloor.system import LINKS, needs

from torchfloor.install import environment_python, site_packages
from torchfloor_incell import facts, wording
from torchfloor_incell import race as race_module
from torchfloor_incell.distance import digest, relative_error, worst
from torchfloor_incell.journal import Journal, finite
from torchfloor_incell.observe import observing, resolve
from torchfloor_incell.race import Runner, race

if TYPE_CHECKING:
    from collections.abc import Iterator

INCELL = Path(__file__).parents[2] / "src" / "torchfloor" / "incell"

DEPENDENCY = """
import math
__version__ = "3.1.4+local7"
root = math.sqrt
def power(number):
    return number * number
def slow_power(number):
    return sum(number for _ in range(number))
"""
SUBJECT = """
from fakedep import power as captured, root
import fakedep
def norm(a, b):
    return root(captured(a) + captured(b))
"""

ODD = """
class Odd(BaseException):
    def __str__(self):
        raise ValueError("no words")
"""

Line = dict[str, Any]


def install_into(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Install a distribution; the last one to bring a file wins."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    record = [f"{file},{hash_of(text)},{len(text)}" for file, text in files.items()]
    record.append(f"{info}/RECORD,,")
    own = {f"{info}/METADATA": metadata, f"{info}/RECORD": "\n".join(record)}
    for file, text in {**files, **own}.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)


class Cell:
    """An environment with a dependency; beside it a subject, probes, the journal of the last run.

    Attributes:
        site: Where packages are installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / "env"
        venv.create(self.environment, symlinks=True)
        self.site = site_packages(self.environment)
        self.install("fakedep", "3.1.4", {"fakedep/__init__.py": DEPENDENCY})
        # The second folder has pytest; cells have it installed.
        lines = [INCELL, Path(pytest.__file__).parents[1], folder / "src"]
        (self.site / "torchfloor.pth").write_text("\n".join(map(str, lines)))
        self.write("src/subject.py", SUBJECT)
        self.status = -1
        self.output = ""

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def install(self, name: str, version: str, files: dict[str, str]) -> None:
        install_into(self.site, name, version, files)

    def run(self, probes: str, *options: str, **environment: str) -> list[Line]:
        """Run probes as the harness would and return the journal."""
        self.write("probes/test_it.py", probes)
        journal = self.folder / "journal"
        journal.unlink(missing_ok=True)
        told = {
            "TORCHFLOOR_JOURNAL": str(journal),
            "TORCHFLOOR_PACKAGE": "fakedep",
            "TORCHFLOOR_SUBJECT": str(self.folder / "src/subject.py"),
            "TORCHFLOOR_DEVICE": "cpu",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        python = str(environment_python(self.environment))
        command = [python, "-m", "pytest", "-c", str(INCELL / "pytest.ini"), "--rootdir", "."]
        plugins = ["-p", "torchfloor_incell", "-p", "no:cacheprovider", "-W", "error"]
        done = subprocess.run(  # noqa: S603 - this very Python
            [*command, *plugins, *options, "probes"],
            cwd=self.folder,
            env={**told, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.status, self.output = done.returncode, done.stdout + done.stderr
        assert "INTERNALERROR" not in self.output
        written = journal.read_text().splitlines() if journal.exists() else []
        return [json.loads(line, parse_constant=pytest.fail) for line in written]


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


def of(kind: str, lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] == kind]


def only(kind: str, lines: list[Line]) -> Line:
    (line,) = of(kind, lines)
    return line


def test_a_cell_is_read_back_before_anything_runs(cell: Cell) -> None:
    lines = cell.run("def test_one(device): assert device == 'cpu'")
    begin, facts_line, start, probe, finish = lines
    assert begin == {"kind": "begin"}
    assert (
        facts_line.items()
        >= {
            "kind": "readback",
            "package": "fakedep",
            "release": "3.1.4",
            "build": "+local7",
            "module_version": "3.1.4+local7",
            "python": sys.version.split()[0],
            "device": "cpu",
            "cuda": None,
            "threads": 1,
        }.items()
    )
    assert "pytest" in facts_line["packages"]
    assert start == {"kind": "start", "probe": "test_it.py::test_one"}
    assert (probe["probe"], probe["outcome"]) == ("test_it.py::test_one", "passed")
    assert finish == {"kind": "finish", "exitstatus": 0}
    assert [next(iter(line)) for line in lines] == ["kind"] * 5


OUTCOMES = [
    ("def test_it(): assert 1 == 2", "failed", "assert 1 == 2"),
    ("def test_it(): pytest.skip('no such thing')", "skipped", "no such thing"),
    ("@pytest.mark.skip(reason='not now')\ndef test_it(): pass", "skipped", "not now"),
    ("@pytest.mark.xfail(reason='known')\ndef test_it(): assert 0", "skipped", "known"),
    ("@pytest.mark.xfail(reason='known')\ndef test_it(): pass", "failed", "known"),
    ("@pytest.mark.xfail(reason='k', strict=True)\ndef test_it(): pass", "failed", "k"),
    ("def test_it(absent): pass", "failed", "fixture 'absent' not found"),
    ("@pytest.fixture\ndef f(): 1/0\ndef test_it(f): pass", "failed", "ZeroDivisionError"),
    (
        "@pytest.fixture\ndef f():\n yield\n 1/0\ndef test_it(f): pass",
        "failed",
        "ZeroDivisionError",
    ),
    ("import absent_module", "failed", "No module named 'absent_module'"),
    ("1 +", "failed", "SyntaxError"),
    ("pytest.skip('whole', allow_module_level=True)", "skipped", "whole"),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """Run a module of probes for each of OUTCOMES, in one session, and return their lines."""
    cell = Cell(tmp_path_factory.mktemp("cell"))
    for place, (text, _, _) in enumerate(OUTCOMES):
        cell.write(f"probes/test_{place:02}.py", f"import pytest\n{text}\n")
    lines = of("probe", cell.run("def test_last(): pass"))
    assert cell.status == 1
    assert str(cell.folder) not in json.dumps(lines)
    return sorted(lines, key=lambda line: str(line["probe"]))


@pytest.mark.parametrize("place", range(len(OUTCOMES)))
def test_every_outcome_is_told_with_its_reason(outcomes: list[Line], place: int) -> None:
    _, outcome, message = OUTCOMES[place]
    probe = outcomes[place]
    assert probe["probe"].startswith(f"test_{place:02}.py")
    assert probe["outcome"] == outcome
    assert message in probe["message"]
    assert probe["message"].count("\n") <= 1
    assert bool(probe["detail"]) == (outcome == "failed")


def test_a_module_that_does_not_import_leaves_the_others_running(cell: Cell) -> None:
    cell.write("probes/test_broken.py", "import absent_module")
    lines = cell.run("def test_one(): pass")
    outcomes = {line["probe"]: line["outcome"] for line in of("probe", lines)}
    assert outcomes == {"test_broken.py": "failed", "test_it.py::test_one": "passed"}


def test_a_crash_leaves_what_was_known_and_who_did_it(cell: Cell) -> None:
    lines = cell.run("import os\ndef test_one(): pass\ndef test_two(): os._exit(139)")
    assert cell.status == 139
    assert lines[-1] == {"kind": "start", "probe": "test_it.py::test_two"}
    assert only("probe", lines)["outcome"] == "passed"


@pytest.mark.parametrize(
    ("file", "text", "stage", "message"),
    [
        ("fakedep", "import absent_library", "dependency", "absent_library"),
        ("fakedep", "raise SystemExit(3)", "dependency", "SystemExit: 3"),
        ("fakedep", f"{ODD}raise Odd", "dependency", "Odd"),
        ("fakedep", "import pytest\npytest.exit('enough')", "dependency", "Exit: enough"),
        ("src/subject.py", "raise SystemExit(3)", "subject", "SystemExit: 3"),
        ("src/subject.py", f"{ODD}raise Odd", "subject", "Odd"),
        ("src/subject.py", "import pytest\npytest.exit('enough')", "subject", "Exit: enough"),
        (
            "src/subject.py",
            "from fakedep import renamed",
            "subject",
            "cannot import name 'renamed'",
        ),
    ],
)
def test_a_broken_dependency_and_a_broken_subject_are_told_apart(
    cell: Cell, file: str, text: str, stage: str, message: str
) -> None:
    if file == "fakedep":
        cell.install("fakedep", "3.1.4", {"fakedep/__init__.py": text})
    else:
        cell.write(file, text)
    cell.write("probes/conftest.py", "import subject")
    lines = cell.run("def test_one(): pass")
    broken = only("broken", lines)
    assert broken["stage"] == stage
    assert message in broken["message"]
    assert message.split("'", maxsplit=1)[0] in broken["traceback"]
    assert str(cell.folder) not in json.dumps(broken)
    assert len(of("readback", lines)) == (stage == "subject")
    assert cell.status == 4
    assert not of("probe", lines)


def test_a_subject_that_is_interrupted_is_not_broken(cell: Cell) -> None:
    cell.write("src/subject.py", "raise KeyboardInterrupt")
    lines = cell.run("def test_one(): pass")
    assert [line["kind"] for line in lines] == ["begin", "readback"]
    assert cell.status != 0


def test_a_dependency_that_another_distribution_has_overwritten_is_named(cell: Cell) -> None:
    for code in (f"{DEPENDENCY}# rogue\n", "1 / 0"):
        cell.install("rogue", "1", {"fakedep/__init__.py": code})
        broken = only("broken", cell.run("def test_one(): pass"))
        assert (broken["stage"], cell.status) == ("readback", 4)
        assert "__init__.py was overwritten by rogue, which installs that" in broken["message"]


def test_what_lies_beside_the_subject_does_not_come_before_what_is_installed(cell: Cell) -> None:
    cell.write("src/fakedep.py", "raise RuntimeError('shadow')")
    cell.install("rogue", "1", {"subject.py": "raise RuntimeError('another')"})
    cell.write("src/beside.py", "where = 'beside'")
    lines = cell.run("""
import subprocess, sys
import beside
def test_one():
    assert beside.where == "beside"
def test_a_child_finds_it():
    subprocess.run([sys.executable, "-c", "import fakedep, beside"], check=True)
""")
    assert [line["outcome"] for line in of("probe", lines)] == ["passed", "passed"], cell.output


@pytest.mark.parametrize("beside", ["src/helper.py", "src/helper/__init__.py", "src/helper/one.py"])
@pytest.mark.parametrize("imports", ["src/subject.py", "probes/conftest.py"])
def test_an_installed_module_that_hides_one_beside_the_subject_is_named(
    cell: Cell, beside: str, imports: str
) -> None:
    files = {"fakedep/__init__.py": DEPENDENCY, "helper.py": "where = 'installed'"}
    cell.install("fakedep", "3.1.4", files)
    cell.write(beside, "where = 'beside'")
    cell.write(imports, "import helper")
    broken = only("broken", cell.run("def test_one(): pass"))
    assert broken["stage"] == "readback"
    hidden = cell.folder / beside.removesuffix("/one.py")
    assert f"helper.py was imported as helper, and hides {hidden}" in broken["message"]


def test_a_folder_beside_the_subject_hides_nothing_that_a_companion_brings(cell: Cell) -> None:
    cell.install("helper", "1", {"helper.py": ""})
    cell.write("src/helper/notes.py", "")
    assert not of("broken", cell.run("import helper\ndef test_one(): pass"))


def test_a_subject_that_was_imported_from_elsewhere_is_named(cell: Cell) -> None:
    cell.install("rogue", "1", {"subject.py": "where = 'installed'"})
    (cell.site / "rogue.pth").write_text("import subject\n")
    broken = only("broken", cell.run("def test_one(): pass"))
    assert (broken["stage"], cell.status) == ("readback", 4)
    here = cell.folder / "src/subject.py"
    assert f"subject was imported from {cell.site}/subject.py, not from {here}" in broken["message"]


def test_modules_that_are_imported_later_are_held_as_well(cell: Cell) -> None:
    files = {"fakedep/__init__.py": DEPENDENCY, "fakedep/one.py": "", "fakedep/two.py": ""}
    cell.install("fakedep", "3.1.4", files)
    for file in ("one", "two"):
        (cell.site / f"fakedep/{file}.py").write_text("tampered = True")
    lines = cell.run("def test_one(): import fakedep.one, fakedep.two")
    broken = only("broken", lines)
    assert "fakedep/one.py is not as the RECORD" in broken["message"]
    assert broken["message"].endswith("(and 1 more)")
    assert [line["kind"] for line in lines][-2:] == ["broken", "finish"]


@needs("os.fork")
@pytest.mark.parametrize(
    ("dependency", "probes"),
    [
        (f"import os\nchild = os.fork()\n{DEPENDENCY}", "def test_one(): pass"),
        (DEPENDENCY, "import os\ndef test_one(): os.fork()"),
    ],
)
def test_only_the_process_that_began_the_journal_writes_there(
    cell: Cell, dependency: str, probes: str
) -> None:
    cell.install("fakedep", "3.1.4", {"fakedep/__init__.py": dependency})
    lines = cell.run(f"{probes}\ndef test_two(): open('ran', 'a').write('x')")
    assert [line["kind"] for line in lines] == [
        *("begin", "readback", "start", "probe", "start", "probe", "finish")
    ]
    assert (cell.folder / "ran").read_text() == "x"


def test_capabilities_come_from_the_nearest_mark(cell: Cell) -> None:
    lines = cell.run("""
import pytest
pytestmark = pytest.mark.capability("module")
def test_one(evidence): evidence.compare("norm", [1.0], [1.0], 0.0)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.capability("parameter"))])
def test_two(n, evidence): evidence.compare("norm", [1.0], [1.0], 0.0)
""")
    assert [line["capability"] for line in of("probe", lines)] == ["module", "parameter"]
    assert [line["capability"] for line in of("match", lines)] == ["module", "parameter"]


def test_matches_are_written_before_they_fail(cell: Cell) -> None:
    lines = cell.run("""
import math, pytest
from contextlib import contextmanager, nullcontext
from fractions import Fraction
@pytest.mark.capability("thirds")
def test_right(evidence):
    evidence.compare("norm", [1/3, 2.0], [Fraction(1, 3), 2], 1e-15, dtype="double")
def test_wrong(evidence): evidence.compare("norm", [1.0, 2.5], [1.0, 2.0], 1e-3)
def test_nan(evidence): evidence.compare("norm", [math.nan], [2.0], 1e-3)
def test_short(evidence): evidence.compare("norm", [], [2.0], 1e-3)
""")
    right, wrong, nan, short = of("match", lines)
    assert right.items() >= {"subject": "norm", "capability": "thirds", "dtype": "double"}.items()
    assert (right["cases"], right["passed"], 0 < right["error"] < 1e-16) == (2, True, True)
    assert (wrong["passed"], wrong["error"], wrong["tolerance"]) == (False, 0.25, 1e-3)
    assert (nan["passed"], nan["error"]) == (False, None)
    assert (short["passed"], short["error"], short["cases"]) == (False, None, 0)
    outcomes = [line["outcome"] for line in of("probe", lines)]
    assert outcomes == ["passed", "failed", "failed", "failed"]
    assert "result 1 is 2.5, its reference 2.0: relative error 0.25" in json.dumps(lines)


def test_a_comparison_that_failed_is_a_failed_probe_whatever_becomes_of_it(cell: Cell) -> None:
    lines = cell.run("""
import threading
import pytest
pytestmark = pytest.mark.capability("sums")
def wrong(evidence): evidence.compare("sum", [1.0], [2.0], 1e-3)
def test_swallowed(evidence):
    with pytest.raises(AssertionError): wrong(evidence)
@pytest.mark.filterwarnings("ignore")
def test_in_a_thread(evidence):
    thread = threading.Thread(target=wrong, args=[evidence])
    thread.start(); thread.join()
def test_skipped_after_it(evidence):
    with pytest.raises(AssertionError): wrong(evidence)
    pytest.skip("not here")
@pytest.fixture
def late(evidence):
    yield
    with pytest.raises(AssertionError): wrong(evidence)
def test_while_tidying_up(late): pass
def test_that_raised_otherwise(evidence):
    with pytest.raises(TypeError): evidence.compare("sum", ["1"], [2.0], 1e-3)
@pytest.mark.xfail(reason="known")
def test_known_to_fail(evidence): wrong(evidence)
@pytest.mark.xfail(reason="known")
def test_not_failing_any_more(evidence):
    with pytest.raises(AssertionError): wrong(evidence)
def test_beside_them(): pytest.skip("this release cannot")
""")
    probes = of("probe", lines)
    told = "a comparison failed, though its probe went on: "
    assert [probe["outcome"] for probe in probes] == [
        *["failed"] * 5,
        "skipped",
        "failed",
        "skipped",
    ]
    assert all(probe["message"].startswith(told) for probe in probes[:5])
    assert "AssertionError: sum, sums: result 0 is 1.0, its reference 2.0" in probes[0]["message"]
    failed = [line["failed"] for line in of("match", lines)]
    names = ("swallowed", "in_a_thread", "skipped_after_it", "while_tidying_up")
    more = ("that_raised_otherwise", "known_to_fail", "not_failing_any_more")
    assert failed == [[f"test_it.py::test_{name}"] for name in (*names, *more)]


IN_A_THREAD = """
import threading
def test_one():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start(); thread.join()
"""


def test_a_comparison_that_nobody_waits_for_is_told_all_the_same(cell: Cell) -> None:
    lines = cell.run("""
import multiprocessing, threading, time
kept = []
def test_one(evidence):
    kept.append(evidence)
    evidence.compare("sum", [1.0], [1.0], 1e-3)
def test_later():
    thread = threading.Thread(target=swallow, args=[kept[0], [None]])
    thread.start(); thread.join()
def test_in_a_copy(evidence):
    process = multiprocessing.get_context("fork").Process(target=swallow, args=[evidence, [2.0]])
    process.start(); process.join()
def swallow(evidence, results):
    try: evidence.compare("sum", results, [1.0], 1e-3)
    except Exception: pass
""")
    assert [line["outcome"] for line in of("probe", lines)] == ["passed"] * 3
    failed = [line["failed"] for line in of("match", lines)]
    assert failed == [[], ["test_it.py::test_one"], ["test_it.py::test_in_a_copy"]]


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("def test_one(): return 1 == 2", "PytestReturnNotNoneWarning"),
        (IN_A_THREAD, "PytestUnhandledThreadExceptionWarning"),
    ],
)
def test_what_pytest_only_warns_of_is_a_failure(cell: Cell, probes: str, message: str) -> None:
    lines = cell.run(probes)
    assert {line["outcome"] for line in of("probe", lines)} == {"failed"}
    assert message in json.dumps(lines)


def test_a_part_of_a_probe_that_is_skipped_does_not_skip_the_others(cell: Cell) -> None:
    lines = cell.run("""
import unittest
class TestParts(unittest.TestCase):
    def test_one(self):
        for n in range(2):
            with self.subTest(n=n):
                if n: self.skipTest("not this one")
    def test_two(self):
        self.skipTest("not at all")
""")
    assert [line["outcome"] for line in of("probe", lines)] == ["passed", "skipped"]


def test_numbers_of_other_libraries_are_compared_as_they_are(cell: Cell) -> None:
    lines = cell.run("""
class Single:
    def __float__(self): return 0.5
    def as_integer_ratio(self): return (1, 2)
def test_one(evidence): evidence.compare("half", [Single()], [0.5], 0.0)
""")
    assert only("match", lines)["passed"]


def test_what_is_compared_is_read_once_and_is_something(cell: Cell) -> None:
    lines = cell.run("""
import pytest
class Shy:
    def __len__(self): return 3
    def __iter__(self): return iter([])
def test_right(evidence): evidence.compare("norm", iter([1.0, 2.0]), (n for n in (1, 2)), 0.0)
def test_unread(evidence): evidence.compare("norm", Shy(), [1.0, 2.0, 3.0], 1e-3)
def test_nothing(evidence): evidence.compare("norm", [], [], 1e-3)
""")
    right, unread, nothing = of("probe", lines)
    assert right["outcome"] == "passed"
    told = [(line["cases"], line["passed"]) for line in of("match", lines)]
    assert told == [(2, True), (0, False), (0, False)]
    assert "0 results where 3 were due" in unread["message"]
    assert "there is nothing to compare, so nothing is proved" in nothing["message"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("compare(1, [1.0], [1.0], 0.0)", "subject must be a text, not 1 of int"),
        ("compare('norm', [1.0], [1.0], 0.0, dtype=float)", "dtype must be a text, not <class"),
        ("compare('norm', [1.0], [2.0], True)", "tolerance must be a number, not True"),
        ("compare('norm', [1.0], [2.0], float('inf'))", "tolerance must be finite, not inf"),
        ("compare('norm', [1.0], [2.0], 10**400)", "int too large to convert to float"),
        ("compare('norm', ['1.0'], [1.0], 0.0)", "must be real number, not str"),
        ("inform('norm', list, [], True)", "tolerance must be a number, not True"),
        ("inform('norm', list, [], 0.0, capability=2)", "capability must be a text, not 2"),
        ("note('norm', None, 1)", "key must be a text, not None"),
        ("race('sums', {1: list}, baseline=1)", "candidates must be a text, not 1"),
        ("observe('norm', {None: []}).__enter__()", "paths must be a text, not None"),
    ],
)
def test_what_names_something_must_be_a_text(cell: Cell, call: str, message: str) -> None:
    lines = cell.run(f"def test_one(evidence): evidence.{call}")
    probe = only("probe", lines)
    assert (probe["outcome"], message in probe["message"]) == ("failed", True), probe
    assert not {line["kind"] for line in lines} & {"raw", "note", "ratio", "path"}
    assert not any(line["passed"] for line in of("match", lines))


SKIPPING = f"""{DEPENDENCY}
import functools, unittest
def refuse(): unittest.TestCase().skipTest("not here")
def refuse_in_pytests_words():
    import pytest
    pytest.skip("not here")
def refuse_as_known():
    import pytest
    pytest.xfail("not here")
def call(function): return function()
def only_elsewhere(function):
    @functools.wraps(function)
    def skipping(*arguments): raise unittest.SkipTest("not here")
    return skipping
"""


DECIDES_ITSELF = """
def test_one():
    try: fakedep.refuse()
    except unittest.SkipTest: pytest.skip("my own reason")
"""
TEST_CASE = "class TestIt(unittest.TestCase):\n "


@pytest.mark.parametrize(
    ("probes", "outcome"),
    [
        ("def test_one(): fakedep.refuse()", "failed"),
        ("def test_one(): fakedep.refuse_in_pytests_words()", "failed"),
        ("def test_one(): fakedep.refuse_as_known()", "failed"),
        ("def test_one(): subject.call(fakedep.refuse)", "failed"),
        ("def test_one(): subject.leave()", "skipped"),
        (f"{TEST_CASE}def test_one(self): fakedep.refuse()", "failed"),
        (f"{TEST_CASE}def setUp(self): fakedep.refuse()\n def test_one(self): pass", "failed"),
        (f"{TEST_CASE}def test_one(self): self.skipTest('h')", "skipped"),
        (f"{TEST_CASE}test_one = fakedep.only_elsewhere(print)", "skipped"),
        (DECIDES_ITSELF, "skipped"),
        ("@pytest.fixture\ndef made(): fakedep.refuse()\ndef test_one(made): pass", "failed"),
        ("fakedep.refuse()\ndef test_one(): pass", "failed"),
        ("def leave(): pytest.skip('h')\ndef test_one(): fakedep.call(leave)", "skipped"),
        ("@fakedep.only_elsewhere\ndef test_one(): pass", "skipped"),
        ("pytest.importorskip('absent')", "skipped"),
    ],
)
def test_a_skip_is_the_probes_own_decision_or_it_is_a_failure(
    cell: Cell, probes: str, outcome: str
) -> None:
    cell.install("fakedep", "3.1.4", {"fakedep/__init__.py": SKIPPING})
    helpers = "def leave(): raise unittest.SkipTest('no')\ndef call(function): function()"
    cell.write("src/subject.py", f"import unittest\n{helpers}")
    lines = cell.run(f"import pytest, fakedep, subject, unittest\n{probes}")
    probe = only("probe", lines)
    assert probe["outcome"] == outcome, probe
    told = "the release raised a skip, which proves nothing: "
    assert probe["message"].startswith(told) == (outcome == "failed")


@LINKS
def test_a_skip_is_a_failure_below_a_linked_folder_of_probes_too(cell: Cell) -> None:
    (cell.folder / "elsewhere").mkdir()
    (cell.folder / "probes").symlink_to("elsewhere")
    cell.install("fakedep", "3.1.4", {"fakedep/__init__.py": SKIPPING})
    lines = cell.run("import fakedep\ndef test_one(): fakedep.refuse()")
    assert only("probe", lines)["outcome"] == "failed"


def test_probes_keep_their_names_wherever_the_process_goes(cell: Cell) -> None:
    cell.install(
        "fakedep", "3.1.4", {"fakedep/__init__.py": f"import os\nos.chdir('/'){DEPENDENCY}"}
    )
    lines = cell.run("def test_one(): pass")
    assert only("probe", lines)["probe"] == "test_it.py::test_one"


def test_unguarded_code_informs_and_never_fails(cell: Cell) -> None:
    lines = cell.run("""
import warnings
import fakedep, pytest
def leave(): raise SystemExit("gone")
def refuse(): raise TypeError("no such argument")
def warn():
    warnings.warn("soon gone", DeprecationWarning)
    return [2.0]
def test_raw(evidence):
    for call in (lambda: [2.0], lambda: [3.0], lambda: [], refuse, lambda: fakedep.gone(1), warn,
                 lambda: ["x"], lambda: [object().gone], lambda: pytest.skip("no"), leave):
        evidence.inform("fakedep.gone", call, [2.0], 1e-6, dtype="double")
    evidence.inform("fakedep.gone", lambda: [2.0], [2.0], 0.0, capability="other row")
    evidence.note("fakedep.gone", "signature", "gone(x)")
""")
    assert only("probe", lines)["outcome"] == "passed"
    raw = of("raw", lines)
    verdicts = [line["verdict"] for line in raw]
    expected = ["right", "wrong", "wrong", "refused", "missing", "right", "refused", "missing"]
    assert verdicts == [*expected, "refused", "refused", "right"]
    assert [line["capability"] for line in raw] == [""] * 10 + ["other row"]
    assert [line["error"] for line in raw][:4] == [0.0, 0.5, 0.0, None]
    assert raw[3]["message"] == "TypeError: no such argument"
    assert only("note", lines)["value"] == "gone(x)"
    assert cell.status == 0


def test_paths_are_observed_from_outside(cell: Cell) -> None:
    lines = cell.run("""
import fakedep, subject
PATHS = {
    "new": ["fakedep.cube"],
    "fast": ["math.sqrt", "fakedep.power"], "slow": ["fakedep.slow_power"]
}
def test_path(evidence):
    with evidence.observe("norm", PATHS) as seen:
        subject.norm(3, 4)
    assert (seen.path, seen.entry_points) == ("fast", ["math.sqrt", "fakedep.power"])
    with evidence.observe("other", PATHS) as seen:
        fakedep.slow_power(3)
    assert seen.path == "slow"
    with evidence.observe("none", PATHS) as seen:
        pass
    assert seen.path == ""
""")
    assert [(line["subject"], line["path"]) for line in of("path", lines)] == [
        ("norm", "fast"),
        ("other", "slow"),
        ("none", ""),
    ]
    assert cell.status == 0


def test_a_patched_entry_point_is_seen_as_it_is() -> None:
    def patched(_: float) -> float:
        return 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(math, "sqrt", patched)
        with observing("", {"patched": ["math.sqrt"]}) as seen:
            math.sqrt(4.0)
    assert seen.path == "patched"


def test_watching_ends_with_the_block_even_when_it_raises() -> None:
    before = sys.getprofile()
    with pytest.raises(ZeroDivisionError), observing("", {"root": ["math.sqrt"]}):
        math.sqrt(1 / 0)
    assert sys.getprofile() is before


def test_names_resolve_through_packages_and_classes() -> None:
    assert resolve("os.path.join") is __import__("os").path.join
    assert resolve("pathlib.Path.cwd") == Path.cwd
    assert resolve("math.absent") is None
    assert resolve("absent.module") is None


def test_ratios_are_against_the_baseline_of_the_same_round(cell: Cell) -> None:
    lines = cell.run("""
from contextlib import contextmanager, nullcontext
entered = []
@contextmanager
def setting():
    entered.append(1)
    yield
def work(times): return lambda: sum(range(2000 * times))
def test_race(evidence):
    calls = {"longer": work(200), "once": work(4), "same": work(4)}
    evidence.race("sums", calls, baseline="once", rounds=7, around={"longer": setting})
    assert len(entered) >= 7
""")
    longer, same = of("ratio", lines)
    assert (longer["group"], longer["candidate"], longer["baseline"]) == ("sums", "longer", "once")
    assert (same["candidate"], longer["rounds"]) == ("same", 7)
    assert longer["low"] <= longer["median"] <= longer["high"]
    assert same["median"] < longer["median"]
    assert 0 < longer["seconds"] < 1


def test_no_candidate_of_a_race_always_follows_the_same_one() -> None:
    order: list[str] = []
    runners = {
        name: Runner(lambda: sum(range(200_000)), partial(_noting, order, name), int)
        for name in "abcd"
    }
    race(runners, "a", 9)
    rounds = [order[-36:][start : start + 4] for start in range(0, 36, 4)]
    assert all(sorted(each) == [*"abcd"] for each in rounds)
    before = {
        name: {pair[0] for pair in pairwise(order[-36:]) if pair[1] == name} for name in "abcd"
    }
    assert all(len(names - {name}) > 1 for name, names in before.items())


def test_no_candidate_of_a_race_pays_for_what_another_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"now": 0.0, "left": 0.0}
    monkeypatch.setattr(race_module, "time", SimpleNamespace(perf_counter=lambda: clock["now"]))

    def leave() -> None:
        clock.update(now=clock["now"] + 5, left=9)

    def clear_up() -> None:
        clock.update(now=clock["now"] + 1 + clock["left"], left=0)

    def work() -> None:
        clock.update(now=clock["now"] + 1)

    calls = {"leaving": leave, "clearing": clear_up, "baseline": work}
    ratios = race({name: Runner(calls[name], nullcontext, int) for name in calls}, "baseline", 9)
    assert (ratios["clearing"].low, ratios["clearing"].high) == (1.0, 1.0)
    assert ratios["leaving"].median == 5.0


@contextmanager
def _noting(order: list[str], name: str) -> Iterator[None]:
    order.append(name)
    yield


@pytest.mark.parametrize(
    ("result", "reference", "error"),
    [
        (0.0, 0, 0.0),
        (1e-300, 0, math.inf),
        (math.nan, math.nan, 0.0),
        (math.nan, 1, math.inf),
        (1.0, math.nan, math.inf),
        (math.inf, math.inf, 0.0),
        (math.inf, -math.inf, math.inf),
        (math.inf, 1, math.inf),
        (1.0, Fraction(4), 0.75),
        (1.0, Fraction(1, 10**400), math.inf),
        (3.0, 2, 0.5),
    ],
)
def test_relative_errors(result: float, reference: float, error: float) -> None:
    assert relative_error(result, reference) == error


def test_the_worst_of_many_is_told_with_its_place() -> None:
    distance = worst([1.0, 3.0, 2.0], [1.0, 2.0, 1.9])
    assert (distance.cases, distance.error, distance.index) == (3, 0.5, 1)


def test_digests_tell_bits_apart() -> None:
    assert digest([0.1, math.nan]) == digest([0.1, math.nan])
    assert digest([0.1 + 0.2]) != digest([0.3])
    assert digest([1.0, 2.0]) != digest([2.0, 1.0])
    assert len(digest([])) == 16


def test_a_journal_is_strict_json_and_flushed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path))
    journal.write("note", value="\N{GREEK SMALL LETTER ALPHA}\n")
    with pytest.raises(ValueError, match="JSON"):
        journal.write("note", value=math.nan)
    assert path.read_text() == '{"kind": "note", "value": "\\u03b1\\n"}\n'
    journal.close()
    journal.write("note", value="nowhere")
    assert [finite(math.inf), finite(math.nan), finite(1.5)] == [None, None, 1.5]


def test_no_journal_is_kept_where_none_is_asked_for(cell: Cell) -> None:
    assert cell.run("def test_one(): pass", TORCHFLOOR_JOURNAL="") == []
    assert cell.status == 0


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("open /home/someone/x/y.py failed", "open y.py failed"),
        (r"open C:\Users\x\y.py failed", "open y.py failed"),
        ("see https://example.org/a/b and a/b/c", "see https://example.org/a/b and a/b/c"),
        ("<Thing object at 0x7f3a5c0012d0>", "<Thing object at 0x...>"),
        ("half / of it, 1/2, ../up/one", "half / of it, 1/2, ../up/one"),
        (f"{json.__file__}:12", "json/__init__.py:12"),
        ("'/etc/x.cfg'", "'x.cfg'"),
    ],
)
def test_local_paths_and_addresses_stay_out_of_records(text: str, clean: str) -> None:
    assert wording.anonymous(text) == clean


def test_messages_are_two_lines_and_details_a_tail() -> None:
    assert wording.message("\n a \n\n b\nc") == "a\nb"
    assert len(wording.message("x" * 10_000)) == wording.LINE_LENGTH
    assert wording.detail("a" * 5000 + "end").endswith("end")
    assert len(wording.detail("a" * 5000)) == wording.DETAIL_LENGTH


def test_the_processor_has_a_name() -> None:
    assert facts.cpu_model()
