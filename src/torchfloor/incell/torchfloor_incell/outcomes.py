"""Write what became of each probe: its start, its outcome, the end of the session."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from torchfloor_incell import wording
from torchfloor_incell.skips import is_skipped_by_package

if TYPE_CHECKING:
    from collections.abc import Generator

    from torchfloor_incell.journal import Journal
    from torchfloor_incell.origin import Origin


_NAMED_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit|Warning)\b")


@dataclass
class Probe:
    """A probe that is running.

    Attributes:
        name: its node id, relative to the folder of probes.
        capability: the row of the capability table that it is marked with, "" for none.
        wrong: what its comparisons raised since its last report, also where it went on.
    """

    name: str
    capability: str
    wrong: list[str] = field(default_factory=list)


_PROBE = pytest.StashKey[Probe]()


def probe_of(item: pytest.Item) -> Probe:
    """Return the probe that an item is; the same whenever it is asked for."""
    mark = item.get_closest_marker("capability")
    capability = str(mark.args[0]) if mark is not None and mark.args else ""
    return item.stash.setdefault(_PROBE, Probe(_name_of(item.config, item.nodeid), capability))


class Outcomes:
    """A pytest plugin that journals every probe as it starts and as it ends."""

    def __init__(self, config: pytest.Config, journal: Journal, origin: Origin) -> None:
        self._config = config
        self._journal = journal
        self._origin = origin
        self._reports: list[pytest.TestReport] = []
        self._capability = ""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Make failures of a module that the release has skipped, or that would end pytest.

        The modules beside it are still evidence.
        """
        try:
            report = yield
        except SystemExit as error:
            words = wording.of_exception(error)
            return pytest.CollectReport(collector.nodeid, "failed", words, result=[])
        call = getattr(report, "call", None)
        if report.outcome == "skipped" and call is not None:
            self._hold_skip(report, call.excinfo)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Journal a module that could not be collected, or that skips as a whole, as a probe."""
        if not report.passed:
            self._write(report.nodeid, report.outcome, 0.0, report)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Journal the start, so that a crash can be laid at the right door."""
        self._reports = []
        self._journal.write("start", probe=_name_of(self._config, nodeid))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make failures of what only looks like a pass or a skip.

        Those are an unexpected pass, since what is known to fail is strictly expected; a comparison
        that failed, though nobody heard of it; and a skip that the release decided on.
        """
        raised = call.excinfo  # pytest puts another one in the place of unittest's
        report = yield
        excinfo = raised or call.excinfo
        probe = probe_of(item)
        self._capability = probe.capability
        wrong, probe.wrong = probe.wrong, []
        if report.outcome == "passed" and hasattr(report, "wasxfail"):
            _fail(report, f"[XPASS] passes unexpectedly: {report.wasxfail}")
        elif wrong and report.outcome != "failed" and not hasattr(report, "wasxfail"):
            _fail(report, f"a comparison failed, though its probe went on: {wrong[0]}")
        elif report.outcome == "skipped" and excinfo is not None:
            self._hold_skip(report, excinfo)
        return report

    def _hold_skip(
        self,
        report: pytest.CollectReport | pytest.TestReport,
        excinfo: pytest.ExceptionInfo[BaseException],
    ) -> None:
        folders = _folders_of(self._config)
        if is_skipped_by_package(excinfo, folders, self._origin.brings):
            why = wording.of_exception(excinfo.value)
            _fail(report, f"the release raised a skip, which proves nothing: {why}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the report of a phase until the probe is over."""
        self._reports.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Journal the probe: failed if any phase failed, skipped if any skipped."""
        self._journal.end_copies()
        telling = _telling(self._reports)
        if telling is not None:
            seconds = sum(report.duration for report in self._reports)
            self._write(nodeid, telling.outcome, seconds, telling, self._capability)

    @pytest.hookimpl(tryfirst=True)  # what is broken may break the others' hooks, too
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Journal why pytest itself broke down: what it prints may go nowhere by now."""
        told = wording.of_exception(excinfo.value)
        self._journal.write("broken", stage="pytest", message=told, traceback="")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Journal what was imported meanwhile, and the end: without that the session crashed."""
        self._journal.end_copies()
        faults = self._origin.faults()
        if faults:
            told = wording.first_of(faults)
            self._journal.write("broken", stage="readback", message=told, traceback="")
        self._journal.write("finish", exitstatus=int(session.exitstatus))

    def _write(
        self,
        nodeid: str,
        outcome: str,
        seconds: float,
        report: pytest.CollectReport | pytest.TestReport,
        capability: str = "",
    ) -> None:
        failed = outcome == "failed"
        self._journal.write(
            "probe",
            probe=_name_of(self._config, nodeid),
            capability=capability,
            outcome=outcome,
            seconds=round(seconds, 6),
            message="" if outcome == "passed" else wording.message(_reason(report)),
            detail=wording.detail(report.longreprtext) if failed else "",
        )


def _fail(report: pytest.CollectReport | pytest.TestReport, why: str) -> None:
    report.outcome, report.longrepr = "failed", why
    vars(report).pop("wasxfail", None)


def _name_of(config: pytest.Config, nodeid: str) -> str:
    """Return the node id relative to the folder of probes rather than to pytest's root."""
    file, separator, rest = nodeid.partition("::")
    path = config.rootpath / file
    for folder in _folders_of(config):
        if folder in path.parents:
            return path.relative_to(folder).as_posix() + separator + rest
    return nodeid


def _folders_of(config: pytest.Config) -> list[Path]:
    """Return the folders of the probes, wherever the process has gone meanwhile."""
    started = config.invocation_params.dir
    named = [started / argument.partition("::")[0] for argument in config.args]
    paths = [Path(os.path.normpath(path)) for path in named]
    return [path if path.is_dir() else path.parent for path in (*paths, *map(Path.resolve, paths))]


def _telling(reports: list[pytest.TestReport]) -> pytest.TestReport | None:
    """Return the report that decides: the first failed, else the first skipped, else the call."""
    for report in reports:
        if report.outcome == "failed":
            return report
    for report in reports:
        # A part of a probe that is skipped (a subtest has a context) does not skip the others.
        if report.outcome == "skipped" and not hasattr(report, "context"):
            return report
    return next((report for report in reports if report.when == "call"), None)


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return why a report is no pass: the exception or the reason for skipping."""
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected failure: {str(expected).replace('reason: ', '', 1)}"
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).replace("Skipped: ", "", 1)
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else _last_words(report.longreprtext)


def _last_words(text: str) -> str:
    """Return what pytest marks as the error, from its name on, or the last line of another text."""
    lines = text.strip().splitlines()
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    # A syntax error is told after the line that it is about.
    named = [place for place, line in enumerate(marked) if _NAMED_ERROR.match(line)]
    return "\n".join(marked[named[-1] if named else 0 :] or lines[-1:])
