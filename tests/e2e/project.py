"""A small project with a small dependency, whose releases go wrong in every way a cell can."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from torchfloor.records import read_records
from torchfloor.report.markdown import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torchfloor.record import Record

SOURCE = Path(__file__).parents[2] / "src"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LOITERER = "torchfloor-end-to-end-loiterer"
"""Stands on the command line of a process that a probe leaves behind."""

GOOD = "def double(number):\n    return 2 * number\n"
WRONG = "def double(number):\n    return 3 * number\n"
ABORTS = "import os\n\ndef double(number):\n    os.abort()\n"
EXITS = "import os\n\ndef double(number):\n    os._exit(0)\n"
UNFIT = "SKIP = True\n" + GOOD
NAMELESS = "def twofold(number):\n    return 2 * number\n"
UNIMPORTABLE = "raise ImportError('libtiny.so: no such file')\n"
ENDLESS = f"""
import subprocess, sys, time

def double(number):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{LOITERER}"])
    while True:
        time.sleep(1)
"""

PROBES = """
import pytest
import tinydep
import tinysub


@pytest.mark.capability("doubles")
def test_doubles(evidence):
    if getattr(tinydep, "SKIP", False):
        pytest.skip("this release cannot")
    with evidence.observe("twice", {"fast": ["tinydep.double"]}):
        result = tinysub.twice(2)
    evidence.compare("twice", [result], [4], 1e-9)


@pytest.mark.timing
@pytest.mark.benchmark(max_time=0.01, min_rounds=2)
def test_time(benchmark, evidence):
    benchmark(tinysub.twice, 2)
    calls = {"twice": lambda: tinysub.twice(2), "loop": lambda: 2 + 2}
    evidence.race("a number", calls, baseline="loop", rounds=2)
"""

NOXFILE = """
import nox

from torchfloor import sessions

sessions.define()


@nox.session(python=False)
def hello(session):
    print("hello from another session")
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended, and all that it printed."""

    status: int
    output: str


@dataclass(frozen=True)
class Project:
    """A project in a folder of its own, and what its commands find in their environment."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def cell(self, release: str) -> str:
        """Return the identifier of a release's cell."""
        return f"tinydep{release}-cpu-py{PYTHON.replace('.', '')}"

    def records(self) -> dict[str, Record]:
        """Return the workspace's records by release; none of them may be damaged."""
        records, errors = read_records(self.root / ".compat/records")
        assert not errors
        return {record.release: record for record in records}

    def nox(self, *arguments: str) -> Ran:
        """Run nox the way a user of the project does."""
        return self.run("nox", *arguments)

    def torchfloor(self, *arguments: str) -> Ran:
        """Run the command `torchfloor`."""
        return self.run("torchfloor", *arguments)

    def run(self, module: str, *arguments: str) -> Ran:
        """Run a module, free of what the test run itself has in its environment."""
        with self.start(module, *arguments) as process:
            output, _ = process.communicate()
        return Ran(process.returncode, output)

    def start(
        self,
        module: str,
        *arguments: str,
        output: IO[bytes] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a module, in a process group of its own; what it prints may go elsewhere."""
        ours = ("TORCHFLOOR_", "NOX", "PYTEST_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        environment |= {"PYTHONPATH": str(SOURCE), "NO_COLOR": "1", "COLUMNS": "100"}
        environment |= self.environment
        return subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=environment,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.PIPE if output else subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - the tests start no thread that holds a lock
        )


def obey_permissions() -> None:
    """Give up root's right to write where permissions forbid it, in this process and its own."""
    override, read_search, drop_bound = 1, 2, 24  # <linux/capability.h>, <linux/prctl.h>
    for capability in (override, read_search):
        ctypes.CDLL(None).prctl(drop_bound, capability, 0, 0, 0)


def make_project(
    root: Path, releases: Mapping[str, str], timeout: str = "5m", indexes: str = "wheels"
) -> Project:
    """Write a project whose declared floor is 1.0.

    Args:
        root: An empty folder.
        releases: The dependency's code by release; those below 1.0 are history.
        timeout: As in matrix.yaml.
        indexes: The same, separated by commas; the wheels are in the folder `wheels` anyway.
    """
    history = [release for release in releases if release.startswith("0.")]
    matrix = f"""
package: tinydep
subject: src/tinysub
headline: twice
probes: probes
declared-in: pyproject.toml
versions: ">=1.0"
history: {history}
python: "{PYTHON}"
timeout: {timeout}
flavours:
  cpu: {{indexes: [{indexes}]}}
  cuda: {{indexes: [{indexes}], needs: cuda}}
"""
    files = {
        "matrix.yaml": matrix,
        "pyproject.toml": '[project]\ndependencies = ["tinydep>=1.0"]\n',
        "noxfile.py": NOXFILE,
        "README.md": f"# tiny\n\n{BEGIN}\n{END}\n\nThe end.\n",
        "src/tinysub/__init__.py": "from tinydep import double\n\n\ntwice = double\n",
        "probes/test_probes.py": PROBES,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    (root / "wheels").mkdir(exist_ok=True)
    for release, code in releases.items():
        build_wheel(root / "wheels", release, code)
    return Project(root)


def build_wheel(folder: Path, release: str, code: str, data: str = "") -> Path:
    """Build a wheel of one module, with data beside it.

    Args:
        folder: Where to.
        release: The release.
        code: The module; it says its version unless the code does.
        data: Whatever else the wheel holds, compressed.
    """
    if "__version__" not in code:
        code = f'__version__ = "{release}"\n{code}'
    files = {"tinydep.py": code, **({"tinydep.txt": data} if data else {})}
    return pack_wheel(folder, "tinydep", release, files)


def pack_wheel(folder: Path, name: str, release: str, content: Mapping[str, str]) -> Path:
    """Build the wheel of any distribution.

    Args:
        folder: Where to.
        name: The distribution.
        release: The release.
        content: What it installs, by file.
    """
    info = f"{name}-{release}.dist-info"
    files = {
        **content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n",
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    lines = [f"{file},{hash_of(text)},{len(text.encode())}" for file, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-{release}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():  # without the time: equal releases are equal wheels
            archive.writestr(zipfile.ZipInfo(file), text, zipfile.ZIP_DEFLATED)
    return wheel


def hash_of(text: str) -> str:
    """Return the digest of a file as RECORD says it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
