# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "filelock>=3.15",
#   "msgspec>=0.19",
#   "nox[uv]>=2026.8",
#   "packaging>=25",
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

sys.path.insert(0, str(Path(__file__).parent / "src"))  # the harness of this very checkout

from torchfloor import sessions

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]
PYPROJECT = nox.project.load_toml("pyproject.toml")

sessions.define()


@nox.session
def tests(session: nox.Session) -> None:
    """Run the unit tests of both packages, on the newest PyTorch."""
    session.install("-e", ".[gradnorms]", *nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `-- --fix` mends what can be mended."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.install("-e", ".[gradnorms]", *nox.project.dependency_groups(PYPROJECT, "types"))
    session.run("mypy")
