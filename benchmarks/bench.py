"""Measure gradnorms on a few releases: install each, measure it, remove it."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from typing import TYPE_CHECKING, TypeVar

import msgspec
from benchmarks.documents import ROOT, SUBJECT
from benchmarks.results import Measured, Memory, Results, Times
from filelock import FileLock
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from torchfloor import host, install
from torchfloor.errors import ConfigError, NoEvidenceError, TorchfloorError
from torchfloor.folder import alone
from torchfloor.index import default_index
from torchfloor.matrix import read_matrix
from torchfloor.output import installer_words
from torchfloor.process import execute
from torchfloor.provenance import INCELL, digest_of
from torchfloor.space import check_space, estimate_downloads, needed_space
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torchfloor.plan import Cell, Plan

__all__ = ["choose_cells", "run_benchmark"]

BETWEEN = ("==2.8.*", "==2.4.*")
"""Beside the newest release and the declared floor, the newest one that each of these matches."""
THREADS = (1, 0)
"""How many threads torch may use; 0: as many as it chooses by itself."""

_CALL = "nox -s bench"
_PATIENCE = 3600
"""Seconds until a release's measuring is given up."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
"""All of the caller's environment that reaches what is measured: no settings of its own."""

T = TypeVar("T", Times, Memory)


def run_benchmark(words: Sequence[str], say: Callable[[str], None]) -> Results:
    """Run the benchmark.

    Args:
        words: Releases or specifiers that replace the usual ones (`2.15.0`, `==2.7.*`).
        say: Told each stage in a line.

    Returns:
        The results.

    Raises:
        TorchfloorError: If a release cannot be had, installed or measured.
    """
    workspace = Workspace(read_matrix(ROOT / "matrix.yaml"))
    plan = workspace.plan()
    cells = choose_cells(plan, words)
    downloads = estimate_downloads(cells, workspace.all_records())
    check_space(needed_space(downloads, jobs=1), workspace.folder)
    subject, revision = digest_of(SUBJECT), _revision()
    releases = tuple(_Bench(workspace, cell, say).measure() for cell in cells)
    if digest_of(SUBJECT) != subject:
        msg = "src/gradnorms changed while it was measured; run `nox -s bench` again"
        raise TorchfloorError(msg)
    made = dt.datetime.now(dt.UTC).date()
    return Results(made, host.machine(), subject, revision, releases)


def choose_cells(plan: Plan, words: Sequence[str]) -> list[Cell]:
    """Choose the cells to measure.

    Args:
        plan: Knows the releases, and what can run here.
        words: Releases or specifiers; if there are none, the newest release, `BETWEEN` and the
            floor. Of each, the newest match is taken.

    Returns:
        Cells that run on the processor, newest first.

    Raises:
        ConfigError: If a word is no release, or matches none.
    """
    known = {
        cell.version: cell
        for cell in plan.cells
        if cell.status == "planned" and cell.device == "cpu" and cell.promised
    }
    if not known:
        msg = "No release at or above the declared floor can run here; `nox -s plan` tells why."
        raise NoEvidenceError(msg)
    mistakes: list[str] = []
    chosen = {
        _newest(word, known, mistakes)
        for word in words or (f"=={max(known)}", *BETWEEN, f"=={plan.floor}")
    }
    if mistakes:
        raise ConfigError(_CALL, mistakes)
    return [known[version] for version in sorted(chosen, reverse=True)]


def _newest(word: str, known: Mapping[Version, Cell], mistakes: list[str]) -> Version:
    try:
        matching = [*_specifier(word).filter(known)]
    except InvalidSpecifier:
        mistakes.append(f"{word!r} is neither a release (2.4.1) nor a specifier (==2.4.*)")
        return min(known)
    if not matching:
        there = ", ".join(map(str, sorted(known)))
        mistakes.append(
            f"{word}: no such release from the floor on can run here; there are {there}"
        )
        return min(known)
    return max(matching)


def _specifier(word: str) -> SpecifierSet:
    try:
        return SpecifierSet(f"=={Version(word)}")
    except InvalidVersion:
        return SpecifierSet(word)


class _Bench:
    """One release on its way from plan to figures."""

    def __init__(self, workspace: Workspace, cell: Cell, say: Callable[[str], None]) -> None:
        self.cell, self.say = cell, say
        self.folder = workspace.folder / "cells" / f"bench-{cell.id}"
        self.logs = workspace.folder / "logs" / f"bench-{cell.id}"
        self.lock = FileLock(workspace.folder / "timings.lock")
        self.environment = self.folder / "env"
        self.timeout = workspace.matrix.timeout

    def measure(self) -> Measured:
        """Install, measure, and remove; nothing else of this checkout is timed meanwhile."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with alone(self.folder):
            self._install()
            with self.lock:
                memory = self._run("memory", Memory)
                times = [self._run("times", Times, str(threads)) for threads in THREADS]
        # Where torch chooses one thread, that is what was measured already.
        by_threads = {each.facts.threads: each for each in reversed(times)}
        return Measured(tuple(by_threads[threads] for threads in sorted(by_threads)), memory)

    def _install(self) -> None:
        self.say(f"{self.cell.id}: install")
        uv, environment = host.uv(), host.uv_environment(default_index())
        source, cache = self.folder / "requirements.txt", self.folder / "cache"
        install.write_requirements(self.cell, source)
        for command in (
            install.create_arguments(uv, self.cell, self.environment),
            install.install_arguments(uv, source, self.environment, cache),
        ):
            log = self.logs / "install.log"
            if execute(command, environment, self.folder, log, self.timeout).status:
                words = installer_words(log.read_text("utf-8"))
                msg = f"{self.cell.id} could not be installed: {words}"
                raise TorchfloorError(msg)

    def _run(self, what: str, into: type[T], *arguments: str) -> T:
        self.say(" ".join([f"{self.cell.id}: {what}", *arguments]))
        target: Path = self.folder / f"{what}.json"
        log = self.logs / f"{what}.log"
        command = [
            *(str(install.environment_python(self.environment)), "-B"),
            *(str(ROOT / "benchmarks" / "measure.py"), what, str(target), *arguments),
        ]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join([str(INCELL), str(SUBJECT.parent)])
        if execute(command, environment, self.folder, log, _PATIENCE).status:
            lines = log.read_text("utf-8").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
            msg = f"{self.cell.id} could not be measured: {last} (log: {log.relative_to(ROOT)})"
            raise TorchfloorError(msg)
        return msgspec.json.decode(target.read_bytes(), type=into)


def _revision() -> str:
    """Name the commit that is checked out, as far as git is there to tell."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return f"{head}+changes" if _git("status", "--porcelain", str(SUBJECT)) else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - fixed
    return ran.stdout.strip()
