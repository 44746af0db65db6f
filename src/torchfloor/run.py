"""Cell -> record: install it, run the probes, take the timings, remove it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock, Timeout

from torchfloor import __version__, host, install
from torchfloor.errors import TorchfloorError
from torchfloor.journal import Journal, read_journal, read_timings
from torchfloor.process import Ended, execute
from torchfloor.provenance import INCELL, Inputs
from torchfloor.readback import find_differences, make_environment, make_identity
from torchfloor.record import (
    SCHEMA,
    Failure,
    Outcome,
    Provenance,
    Record,
    Timing,
    unexpected_mismatch,
)
from torchfloor.space import Download, resolve_download
from torchfloor.wheels import default_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell

__all__ = ["alone", "installer_words", "run_cell"]

_LOG_TAIL = 4000
_ADDRESS = re.compile(r"\bhttps?://[^\s/`]+(?=\S*\.(whl|tar\.gz|metadata)|\S*/simple/)")
"""Scheme, credentials and host of what an installer talks to."""
_NO_TESTS = 5
"""pytest's exit status where a pass selects nothing."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "CUDA_VISIBLE_DEVICES")
"""All of the caller's environment that reaches the probes: no tokens, no settings of its own."""


class _Stopped(Exception):  # noqa: N818 - not an error of the harness: the cell's own outcome
    """A cell ended before its last stage."""

    def __init__(self, outcome: Outcome, failure: Failure) -> None:
        self.outcome, self.failure = outcome, failure
        super().__init__(failure.message)


def run_cell(matrix: Matrix, cell: Cell, workspace: Path, say: Callable[[str], None]) -> Record:
    """Run one planned cell.

    Args:
        matrix: The matrix the cell comes from.
        cell: A cell whose status is `planned`, or one that is run all the same.
        workspace: The folder for its environment (removed afterwards) and its logs (kept).
        say: Told each stage in a line.

    Returns:
        The record, whatever happened inside the cell.
    """
    return _Run(matrix, cell, workspace, say).record()


class _Run:
    """One cell on its way from plan to record."""

    def __init__(
        self, matrix: Matrix, cell: Cell, workspace: Path, say: Callable[[str], None]
    ) -> None:
        self.matrix, self.cell, self.workspace, self.say = matrix, cell, workspace, say
        self.folder = workspace / "cells" / cell.id
        self.logs = workspace / "logs" / cell.id
        self.environment = self.folder / "env"
        self.digests = Inputs(matrix).of(cell.version, cell.flavour)
        self.started = dt.datetime.now(dt.UTC)
        self.seconds: dict[str, float] = {}
        self.download = Download(0, exact=False)
        self.disk = 0
        self.journal = Journal()
        self.timed = Journal()
        self.timings: tuple[Timing, ...] = ()

    def record(self) -> Record:
        """Go through the stages, and tell how far they came."""
        with alone(self.folder):
            try:
                self._install()
                self._probe()
                failure = self._time()
                outcome: Outcome = "compatible"
            except _Stopped as stopped:
                outcome, failure = stopped.outcome, stopped.failure
        return self._make_record(outcome, failure)

    def _install(self) -> None:
        self.say("install")
        uv, environment = host.uv(), host.uv_environment(default_index())
        log = self._log("install")
        commands = [
            install.create_arguments(uv, self.cell, self.environment),
            install.install_arguments(uv, self.cell, self.environment, self.folder / "cache"),
        ]
        for command in commands:
            ended = self._execute("install", command, environment, log)
            if ended.timed_out or ended.status != 0:
                self._stop(
                    "errored", "install", self._why(ended, self._neutral(installer_words(log)))
                )
        python = install.environment_python(self.environment)
        environment["UV_CACHE_DIR"] = str(self.folder / "cache")
        self.download = resolve_download(self.cell, environment, python)
        self.disk = _size(self.environment)
        self.say(f"installed in {self.seconds['install']:.0f} s; probes")

    def _probe(self) -> None:
        ended = self._pytest("probes", ["-m", "not timing"])
        self.journal = journal = read_journal(self.folder / "probes.jsonl", self._neutral)
        self._check_imports(journal, ended)
        failed = [probe for probe in journal.probes if probe.outcome == "failed"]
        # What failed before the time was out is evidence all the same.
        if journal.unfinished and not (ended.timed_out and failed):
            outcome: Outcome = "errored" if ended.timed_out else "incompatible"
            why = self._why(ended, "ended in the middle of it")
            self._stop(outcome, "probes", f"{journal.unfinished}: {why}")
        passed = [probe for probe in journal.probes if probe.outcome == "passed"]
        told = f"{len(passed)} probe{'s' if len(passed) != 1 else ''} passed" + (
            f", {len(failed)} failed" if failed else ""
        )
        self.say(f"{told} in {self.seconds['probes']:.0f} s{'' if failed else '; timings'}")
        if failed:
            first = failed[0]
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            self._stop("incompatible", "probes", f"{first.probe}: {first.message}{more}")
        if mismatch := unexpected_mismatch(journal.matches, journal.probes):
            what = ", ".join(filter(None, (mismatch.subject, mismatch.capability, mismatch.dtype)))
            self._stop("incompatible", "probes", f"{what}: wrong, though its probe passed")
        if not passed:
            self._stop("errored", "probes", "no probe ran: nothing is known about this release")
        if not journal.finished or ended.status != 0:
            self._stop("errored", "probes", self._why(ended, "pytest did not come to its end"))

    def _check_imports(self, journal: Journal, ended: Ended) -> None:
        """Tell a broken dependency (no evidence) from a broken subject (evidence)."""
        broken, readback = journal.broken, journal.readback
        if broken is not None and broken.stage != "subject":
            self._stop("errored", "dependency", broken.message)
        if readback is None:
            why = self._why(ended, "the interpreter ended before the first probe")
            self._stop("errored", "dependency", why)
        if differences := find_differences(self.cell, readback):
            self._stop("errored", "readback", "; ".join(differences))
        if broken is not None:  # only now: a subject that breaks on another release proves nothing
            self._stop("incompatible", "subject", broken.message)

    def _time(self) -> Failure | None:
        """Take the timings; one cell at a time, so that cells do not disturb each other."""
        result = self.folder / "benchmark.json"
        with FileLock(self.workspace / "timings.lock"):
            ended = self._pytest("timings", ["-m", "timing", f"--benchmark-json={result}"])
        self.timed = read_journal(self.folder / "timings.jsonl", self._neutral)
        self.timings = read_timings(result)
        self.say(f"timings in {self.seconds['timings']:.0f} s")
        failed = [probe for probe in self.timed.probes if probe.outcome == "failed"]
        if failed:
            return self._failure("timings", f"{failed[0].probe}: {failed[0].message}")
        if ended.timed_out or ended.status not in {0, _NO_TESTS}:
            return self._failure("timings", self._why(ended, "pytest did not come to its end"))
        return None

    def _pytest(self, stage: str, selection: list[str]) -> Ended:
        journal = self.folder / f"{stage}.jsonl"
        command = [
            *(str(install.environment_python(self.environment)), "-m", "pytest"),
            *("-p", "torchfloor_incell", "-p", "no:cacheprovider"),
            *("-c", str(INCELL / "pytest.ini"), "--rootdir", str(self.matrix.probes)),
            *(f"--timeout={self.matrix.timeout}", "--tb=short", "-ra"),
            *selection,
            str(self.matrix.probes),
        ]
        return self._execute(stage, command, self._probe_environment(journal), self._log(stage))

    def _probe_environment(self, journal: Path) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            **passed_on,
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join([str(INCELL), str(self.matrix.subject.parent)]),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TORCHFLOOR_JOURNAL": str(journal),
            "TORCHFLOOR_PACKAGE": self.cell.package,
            "TORCHFLOOR_SUBJECT": self.matrix.subject.stem,
            "TORCHFLOOR_DEVICE": self.cell.device,
        }

    def _log(self, stage: str) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / f"{stage}.log"

    def _execute(
        self, stage: str, command: list[str], environment: Mapping[str, str], log: Path
    ) -> Ended:
        with log.open("wb") as output:
            ended = execute(command, environment, self.folder, output, self.matrix.timeout)
        self.seconds[stage] = round(self.seconds.get(stage, 0) + ended.seconds, 1)
        return ended

    def _why(self, ended: Ended, otherwise: str) -> str:
        if ended.timed_out:
            return f"stopped after {self.matrix.timeout} s, the timeout in matrix.yaml"
        return f"killed by {ended.signal}" if ended.signal else otherwise

    def _stop(self, outcome: Outcome, stage: str, message: str) -> NoReturn:
        raise _Stopped(outcome, self._failure(stage, message))

    def _failure(self, stage: str, message: str) -> Failure:
        log = self._log(stage if stage in {"install", "timings"} else "probes")
        text = log.read_text("utf-8", errors="replace") if log.exists() else ""
        return Failure(stage=stage, message=message, log=self._neutral(text[-_LOG_TAIL:]))

    def _neutral(self, text: str) -> str:
        """Leave this machine's folders and the index's address out of what is published."""
        folders = {self.folder: "<cell>", self.matrix.root: "<project>", Path.home(): "~"}
        for folder, name in folders.items():
            text = text.replace(str(folder), name)
        return _ADDRESS.sub("<index>", text)

    def _make_record(self, outcome: Outcome, failure: Failure | None) -> Record:
        readback = self.journal.readback
        return Record(
            schema=SCHEMA,
            cell=self.cell.id,
            package=self.cell.package,
            release=self.cell.release,
            flavour=self.cell.flavour,
            python=self.cell.python,
            promised=self.cell.promised,
            outcome=outcome,
            failure=failure,
            identity=make_identity(self.cell, readback),
            environment=make_environment(readback) if readback else None,
            paths=self.journal.paths,
            matches=self.journal.matches,
            raw=self.journal.raw,
            notes=self.journal.notes,
            ratios=self.timed.ratios,
            timings=self.timings,
            probes=self.journal.probes,
            provenance=Provenance(
                subject=self.digests.subject,
                probes=self.digests.probes,
                matrix=self.digests.matrix,
                torchfloor=__version__,
                started=self.started,
                finished=dt.datetime.now(dt.UTC),
                seconds=self.seconds,
                download=self.download.size if self.download.exact else 0,
                disk=self.disk,
            ),
        )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Give a cell an empty folder that no other run uses meanwhile, and remove it at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        msg = f"{folder.name} is being run by another process in this checkout; wait for its end"
        raise TorchfloorError(msg) from None
    try:
        shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
        folder.mkdir()
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def installer_words(log: Path) -> str:
    """Pick what uv says went wrong from its log."""
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    telling = [
        line.lstrip("×╰─▶ ")
        for line in lines
        if line.startswith(("error", "×", "╰─▶", "Caused", "cause:"))
    ]
    return " ".join(telling)[:500] or (lines[-1][:500] if lines else "the installer said nothing")


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
