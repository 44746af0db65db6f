"""The documents that are rendered from docs/benchmarks.json, and whether they still hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

from benchmarks.page import render_page
from benchmarks.results import Results, read_results, write_results

from torchfloor.errors import RecordError
from torchfloor.provenance import digest_of
from torchfloor.records import write_atomically

__all__ = [
    "CHARTS",
    "RESULTS",
    "ROOT",
    "SUBJECT",
    "digest_of_results",
    "render_documents",
    "write_documents",
]

ROOT = Path(__file__).parents[1]
SUBJECT = ROOT / "src" / "gradnorms"
RESULTS = ROOT / "docs" / "benchmarks.json"
PAGE = RESULTS.with_suffix(".md")
CHARTS = {
    "light": RESULTS.with_name("benchmarks-light.svg"),
    "dark": RESULTS.with_name("benchmarks-dark.svg"),
}


def render_documents(*, checking: bool) -> dict[Path, str]:
    """Render the page of the benchmarks; there is none before the first one.

    Args:
        checking: Whether documents are only compared: then they must be about gradnorms as it is.

    Returns:
        The text that each file should have.

    Raises:
        RecordError: If the results cannot be read, or, when checking, are about another gradnorms
            or not those that the chart shows.
    """
    if not RESULTS.exists():
        return {}
    results = read_results(RESULTS)
    if checking:
        _check_subject(results.subject)
        _check_charts()
    return {PAGE: render_page(results)}


def write_documents(results: Results) -> None:
    """Write results and their page; the chart takes matplotlib (`python -m benchmarks.chart`)."""
    page = render_page(results)
    write_results(results, RESULTS)
    write_atomically(PAGE, page.encode())


def digest_of_results() -> str:
    """Digest the results; a chart holds the digest of those it shows."""
    return hashlib.sha256(RESULTS.read_bytes()).hexdigest()


def _check_subject(measured: str) -> None:
    present = digest_of(SUBJECT)
    if measured != present:
        msg = (
            f"docs/benchmarks.md is about gradnorms {measured}, and src/gradnorms is {present} "
            "now; run `nox -s bench` again and commit docs/"
        )
        raise RecordError(msg)


def _check_charts() -> None:
    digest = digest_of_results()
    for file in CHARTS.values():
        if not file.exists() or digest not in file.read_text("utf-8"):
            msg = f"docs/{file.name} does not show docs/benchmarks.json; run `nox -s chart`"
            raise RecordError(msg)
