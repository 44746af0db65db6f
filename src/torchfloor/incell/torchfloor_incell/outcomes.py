"""Write what became of each probe: its start, its outcome, the end of the session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from torchfloor_incell import wording

if TYPE_CHECKING:
    from collections.abc import Generator

    from torchfloor_incell.journal import Journal
    from torchfloor_incell.origin import Origin


_NAMED_ERROR = re.compile(r"[\w.]*(Error|Exception|Exit|Warning)\b")


def capability_of(item: pytest.Item) -> str:
    """Return the row of the capability table that a probe is marked with, "" for none."""
    mark = item.get_closest_marker("capability")
    return str(mark.args[0]) if mark is not None and mark.args else ""


class Outcomes:
    """A pytest plugin that journals every probe as it starts and as it ends."""

    def __init__(self, config: pytest.Config, journal: Journal, origin: Origin) -> None:
        self._config = config
        self._journal = journal
        self._origin = origin
        self._reports: list[pytest.TestReport] = []
        self._capability = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Journal a module that could not be collected, or that skips as a whole, as a probe."""
        if not report.passed:
            self._write(report.nodeid, report.outcome, 0.0, report)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Journal the start, so that a crash can be laid at the right door."""
        self._reports = []
        self._journal.write("start", probe=self._probe(nodeid))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make an unexpected pass a failure: what is known to fail is strictly expected."""
        report = yield
        self._capability = capability_of(item)
        if report.outcome == "passed" and hasattr(report, "wasxfail"):
            report.outcome = "failed"
            report.longrepr = f"[XPASS] passes unexpectedly: {report.wasxfail}"
            del report.wasxfail
        return report

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
            probe=self._probe(nodeid),
            capability=capability,
            outcome=outcome,
            seconds=round(seconds, 6),
            message="" if outcome == "passed" else wording.message(_reason(report)),
            detail=wording.detail(report.longreprtext) if failed else "",
        )

    def _probe(self, nodeid: str) -> str:
        """Return the node id relative to the folder of probes rather than to pytest's root."""
        file, separator, rest = nodeid.partition("::")
        path = self._config.rootpath / file
        for argument in self._config.args:
            folder = Path(argument.partition("::")[0]).resolve()
            folder = folder if folder.is_dir() else folder.parent
            if folder in path.parents:
                return path.relative_to(folder).as_posix() + separator + rest
        return nodeid


def _telling(reports: list[pytest.TestReport]) -> pytest.TestReport | None:
    """Return the report that decides: the first failed, else the first skipped, else the call."""
    for outcome in ("failed", "skipped"):
        for report in reports:
            if report.outcome == outcome:
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
