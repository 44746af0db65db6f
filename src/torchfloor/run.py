"""Cell -> record: install it, run the probes, take the timings, remove it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock

from torchfloor import __version__, host, install
from torchfloor.errors import SpaceError
from torchfloor.index import default_index
from torchfloor.installed import forget_installed, note_installed, written_into
from torchfloor.journal import Journal, read_journal, read_timings
from torchfloor.judgement import describe_end, judge_probes
from torchfloor.output import (
    bounded_files,
    installer_words,
    without_addresses,
)
from torchfloor.process import Ended, execute
from torchfloor.provenance import INCELL, Inputs
from torchfloor.readback import make_environment, make_identity
from torchfloor.record import (
    SCHEMA,
    Failure,
    Outcome,
    Provenance,
    Record,
    Timing,
)
from torchfloor.space import Download, resolve_download
from torchfloor.storage import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torchfloor.matrix import Matrix
    from torchfloor.plan import Cell
    from torchfloor.storage import Storage

__all__ = ["run_cell"]

_LOG_TAIL = 4000
_NO_TESTS = 5
"""pytest's exit status where a pass selects nothing."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "CUDA_VISIBLE_DEVICES")
"""All of the caller's environment that reaches the probes: no tokens, no settings of its own."""


class _Stopped(Exception):  # noqa: N818 - not an error of the harness: the cell's own outcome
    """A cell ended before its last stage."""

    def __init__(self, outcome: Outcome, failure: Failure) -> None:
        self.outcome, self.failure = outcome, failure
        super().__init__(failure.message)


def run_cell(matrix: Matrix, cell: Cell, storage: Storage, say: Callable[[str], None]) -> Record:
    """Run one planned cell, in its folder, which is `alone`'s to make and remove.

    Args:
        matrix: The matrix the cell comes from.
        cell: A cell whose status is `planned`, or one that is run all the same.
        storage: Where it lies on disk.
        say: Told each stage in a line.

    Returns:
        The record, whatever happened inside the cell.
    """
    return _Run(matrix, cell, storage, say).record()


class _Run:
    """One cell on its way from plan to record."""

    def __init__(
        self, matrix: Matrix, cell: Cell, storage: Storage, say: Callable[[str], None]
    ) -> None:
        self.matrix, self.cell, self.storage, self.say = matrix, cell, storage, say
        self.folder = storage.folder(cell)
        self.logs = storage.workspace / "logs" / cell.id
        self.environment = self.folder / ENVIRONMENT
        self.stage = "install"
        self.digests = Inputs(matrix).of(cell.version, cell.flavour)
        self.started, self.start = dt.datetime.now(dt.UTC), time.monotonic()
        self.seconds: dict[str, float] = {}
        self.download = Download(0, exact=False)
        self.disk = 0
        self.journal = Journal()
        self.timed = Journal()
        self.timings: tuple[Timing, ...] = ()

    def record(self) -> Record:
        """Go through the stages, and tell how far they came."""
        # Those of an earlier run, which may have come further.
        shutil.rmtree(self.logs, ignore_errors=True)
        try:
            self.logs.mkdir(parents=True)
            self._install()
            self._probe()
            failure = self._time()
            self._check_inputs()
            outcome: Outcome = "compatible"
        except _Stopped as stopped:
            outcome, failure = stopped.outcome, stopped.failure
        except OSError as error:  # the disk is full, say: nothing is known about the release
            outcome, failure = "errored", self._failure(self.stage, error.strerror or str(error))
        if written := written_into(self.environment):
            outcome, failure = "errored", self._failure("probes", _told_written(written))
        else:
            forget_installed(self.environment)
        return self._make_record(outcome, failure)

    def _install(self) -> None:
        try:
            self.storage.check(self.cell)
        except SpaceError as error:
            self._stop("errored", "install", str(error))
        unchecked = self.cell.wheel is not None and not self.cell.wheel.sha256
        self.say("install" + (", unchecked: the index gives no sha256" if unchecked else ""))
        uv, environment = host.uv(), host.uv_environment(default_index())
        cache = self.storage.cache(self.cell)
        source = self.folder / "requirements.txt"
        install.write_requirements(self.cell, source)
        commands = [
            install.create_arguments(uv, self.cell, self.environment),
            install.install_arguments(uv, source, self.environment, cache),
        ]
        for command in commands:
            ended = self._execute("install", command, environment)
            if ended.timed_out or ended.status != 0:
                words = installer_words(self._printed("install"))
                self._stop("errored", "install", describe_end(ended, self.matrix.timeout, words))
        self._extend_path()
        self.disk = note_installed(self.environment)
        if written := self.storage.share_written(self.environment):
            self.storage.drop(at_once=True)
            self._stop("errored", "install", _told_written(written))
        python = install.environment_python(self.environment)
        environment["UV_CACHE_DIR"] = str(cache)
        self.download = resolve_download(self.cell, environment, python)
        self.storage.note(self.cell)
        self.say(f"installed in {self.seconds['install']:.0f} s; probes")

    def _extend_path(self) -> None:
        """Let the cell find the plugin and the subject, after all that is installed in it.

        PYTHONPATH would put what lies beside the subject before the wheel's own modules, and can
        name no folder with a colon.
        """
        file = install.site_packages(self.environment) / "torchfloor.pth"
        file.unlink(missing_ok=True)  # one that some wheel brought is linked to the cache
        file.write_text(f"{INCELL}\n{self.matrix.subject.parent}\n", "utf-8")

    def _probe(self) -> None:
        ended = self._pytest("probes", ["-m", "not timing"])
        self.journal = read_journal(self.folder / "probes.jsonl", self._neutral)
        printed = self._printed("probes")
        judgement = judge_probes(self.cell, self.journal, ended, self.matrix.timeout, printed)
        counts = Counter(probe.outcome for probe in self.journal.probes)
        passed, failed = counts["passed"], counts["failed"]
        told = f"{passed} probe{'s' if passed != 1 else ''} passed"
        told += f", {failed} failed" if failed else ""
        self.say(f"{told} in {self.seconds['probes']:.0f} s{'' if judgement else '; timings'}")
        if judgement:
            self._stop(*judgement)

    def _time(self) -> Failure | None:
        """Take the timings; one cell at a time, so that cells do not disturb each other."""
        result = self.folder / "benchmark.json"
        with FileLock(self.storage.workspace / "timings.lock"):
            ended = self._pytest("timings", ["-m", "timing", f"--benchmark-json={result}"])
        self.timed = read_journal(self.folder / "timings.jsonl", self._neutral)
        self.timings = read_timings(result)
        self.say(f"timings in {self.seconds['timings']:.0f} s")
        if self.timed.broken is not None:  # whatever was timed, it is not to be told
            why, self.timed, self.timings = self.timed.broken.message, Journal(), ()
            return self._failure("timings", why)
        failed = [probe for probe in self.timed.probes if probe.outcome == "failed"]
        if wrong := next((match for match in self.timed.matches if not match.passed), None):
            # However long it takes, it is wrong.
            about = f"{wrong.about}: wrong"
            told = f"{failed[0].probe}: {failed[0].message}" if failed else about
            self._stop("incompatible", "timings", told)
        if failed:
            return self._failure("timings", f"{failed[0].probe}: {failed[0].message}")
        if ended.timed_out or ended.status not in {0, _NO_TESTS}:
            why = describe_end(ended, self.matrix.timeout, "pytest did not come to its end")
            return self._failure("timings", why)
        return None

    def _check_inputs(self) -> None:
        """Make no evidence from a mixture: files may have been edited while the cell ran."""
        if Inputs(self.matrix).of(self.cell.version, self.cell.flavour) != self.digests:
            what = "the subject, the probes or the matrix changed while the cell ran"
            self._stop("errored", "probes", f"{what}; run it again")

    def _pytest(self, stage: str, selection: list[str]) -> Ended:
        journal = self.folder / f"{stage}.jsonl"
        journal.touch()  # if it is gone later, something in the cell has removed it
        command = [
            *(str(install.environment_python(self.environment)), "-m", "pytest"),
            *("-p", "torchfloor_incell", "-p", "no:cacheprovider"),
            *("-c", str(INCELL / "pytest.ini"), "--rootdir", str(self.matrix.probes)),
            # The conftest.py of a folder around the probes may need what no cell has.
            *("--confcutdir", str(self.matrix.probes)),
            *(f"--timeout={self.matrix.timeout}", "--tb=short", "-ra"),
            *selection,
            # Relative: pytest takes what follows a bracket in an argument for a test's parameters.
            os.path.relpath(self.matrix.probes, self.folder),
        ]
        with bounded_files():
            return self._execute(stage, command, self._probe_environment(journal))

    def _probe_environment(self, journal: Path) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            **passed_on,
            "HOME": str(temporary),
            # Bytecode of the subject and the probes that another cell left may be that of other
            # code: a file's size and time do not always tell.
            "PYTHONPYCACHEPREFIX": str(temporary / "pycache"),
            "TMPDIR": str(temporary),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TORCHFLOOR_JOURNAL": str(journal),
            "TORCHFLOOR_PACKAGE": self.cell.package,
            "TORCHFLOOR_SUBJECT": str(self.matrix.subject),
            "TORCHFLOOR_DEVICE": self.cell.device,
        }

    def _log(self, stage: str) -> Path:
        return self.logs / f"{stage}.log"

    def _execute(self, stage: str, command: list[str], environment: Mapping[str, str]) -> Ended:
        self.stage, log = stage, self._log(stage)
        ended = execute(command, environment, self.folder, log, self.matrix.timeout)
        self.seconds[stage] = round(self.seconds.get(stage, 0) + ended.seconds, 1)
        return ended

    def _stop(self, outcome: Outcome, stage: str, message: str) -> NoReturn:
        raise _Stopped(outcome, self._failure(stage, message))

    def _failure(self, stage: str, message: str) -> Failure:
        log = stage if stage in {"install", "timings"} else "probes"
        return Failure(stage=stage, message=message, log=self._printed(log)[-_LOG_TAIL:])

    def _printed(self, stage: str) -> str:
        log = self._log(stage)
        return self._neutral(log.read_text("utf-8")) if log.exists() else ""

    def _neutral(self, text: str) -> str:
        """Leave this machine's folders and the index's address out of what is published."""
        folders = {self.folder: "<cell>", self.matrix.root: "<project>", Path.home(): "~"}
        for folder, name in folders.items():
            if folder != Path(folder.anchor):  # the home of some daemons
                text = text.replace(str(folder), name)
        return without_addresses(text)

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
            matches=(*self.journal.matches, *self.timed.matches),
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
                # Not what the clock says by now: it may have been set back.
                finished=self.started + dt.timedelta(seconds=time.monotonic() - self.start),
                seconds=self.seconds,
                download=self.download.size if self.download.exact else 0,
                disk=self.disk,
            ),
        )


def _told_written(files: list[str]) -> str:
    which = files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    return (
        f"installed files were written into ({which}), by a probe of this cell or one beside it: "
        "nothing is known about the release as it is; what is kept of them for other cells is "
        "removed. Let the probes write elsewhere, and run it again"
    )
