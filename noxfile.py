# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "filelock>=3.15",
#   "jinja2>=3.1.6",
#   "msgspec>=0.19",
#   "nox[uv]>=2026.8",
#   "packaging>=25",
#   "platformdirs>=4.3",
#   "psutil>=6",
#   "pypi-simple>=1.6",
#   "pyyaml>=6.0.2",
#   "requests>=2.32",
#   "rich>=13.9",
# ]
# ///
"""Prove which PyTorch releases gradnorms runs on, and check this repository."""

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]  # the harness of this very checkout

from benchmarks import documents

from torchfloor import sessions
from torchfloor.errors import TorchfloorError

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]
WORKFLOWS = sorted(Path(".github/workflows").glob("*.yml"))
PYPROJECT = nox.project.load_toml("pyproject.toml")

sessions.define(documents=documents.render_documents)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests of both packages, on the newest PyTorch."""
    session.install("-e", ".[gradnorms]", *nox.project.dependency_groups(PYPROJECT, "test"))
    # A file's tests share what they build. Threads that wait in turns would hold up the other half.
    workers = ("--numprocesses=auto", "--dist=loadfile")
    session.run("pytest", *workers, *session.posargs, env={"OMP_WAIT_POLICY": "PASSIVE"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the workflows; `-- --fix` mends what can be mended."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    session.run("zizmor", "--offline", "--pedantic", ".github")
    validate = ("check-jsonschema", "--builtin-schema")
    session.run(*validate, "vendor.github-workflows", *map(str, WORKFLOWS))
    session.run(*validate, "vendor.dependabot", ".github/dependabot.yml")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.install("-e", ".[gradnorms]", *nox.project.dependency_groups(PYPROJECT, "types"))
    session.run("mypy")
    session.run("basedpyright")
    session.run("basedpyright", "--verifytypes", "gradnorms", "--ignoreexternal")


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Ask the advisory service about every dependency of the harness; needs the open network."""
    session.install("pip-audit")
    wanted = str(Path(session.create_tmp(), "requirements.txt"))
    resolve = ("uv", "pip", "compile", "--quiet", "--generate-hashes", "pyproject.toml")
    session.run(*resolve, "--output-file", wanted, external=True)
    # Strict: a dependency that the service does not know is no dependency that is safe.
    session.run("pip-audit", "--strict", "--require-hashes", "--disable-pip", "-r", wanted)


@nox.session(python=False, default=False)
def bench(session: nox.Session) -> None:
    """Measure gradnorms on some releases, for docs/benchmarks.md; `-- 2.15.0` names others."""
    # What runs processes is not worth importing where sessions are only listed.
    from benchmarks.bench import run_benchmark  # noqa: PLC0415

    try:
        documents.write_documents(run_benchmark(session.posargs, session.log))
    except TorchfloorError as error:
        session.error(str(error).removesuffix("."))
    session.notify("chart", [])


@nox.session(default=False)
def chart(session: nox.Session) -> None:
    """Draw the chart of docs/benchmarks.md; `bench` does it by itself."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, "chart"))
    session.run("python", "-m", "benchmarks.chart")
