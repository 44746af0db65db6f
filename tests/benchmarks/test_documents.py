"""The documents follow from the results, and are about the gradnorms that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks import documents
from benchmarks.page import render_page
from benchmarks.results import write_results
from tests.benchmarks.builders import make_results

from torchfloor.errors import RecordError
from torchfloor.provenance import digest_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of documents whose results are about the present subject."""
    subject = tmp_path / "gradnorms"
    subject.mkdir()
    (subject / "norms.py").write_text("", "utf-8")
    monkeypatch.setattr(documents, "SUBJECT", subject)
    monkeypatch.setattr(documents, "RESULTS", tmp_path / "benchmarks.json")
    monkeypatch.setattr(documents, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(documents, "CHARTS", {"light": tmp_path / "benchmarks-light.svg"})
    write_results(make_results(subject=digest_of(subject)), documents.RESULTS)
    chart = f"<svg>{documents.digest_of_results()}</svg>"
    (tmp_path / "benchmarks-light.svg").write_text(chart, "utf-8")
    return tmp_path


def test_before_the_first_benchmark_there_is_nothing_to_render(docs: Path) -> None:
    (docs / "benchmarks.json").unlink()
    assert documents.render_documents(checking=True) == {}


@pytest.mark.parametrize("checking", [False, True])
def test_the_page_follows_from_the_results_alone(docs: Path, *, checking: bool) -> None:
    page = render_page(make_results(subject=digest_of(documents.SUBJECT)))
    assert documents.render_documents(checking=checking) == {docs / "benchmarks.md": page}


def test_a_page_about_another_gradnorms_does_not_pass(docs: Path) -> None:
    (docs / "gradnorms/norms.py").write_text("changed\n", "utf-8")
    with pytest.raises(RecordError, match=r"is about gradnorms .*; run `nox -s bench` again"):
        documents.render_documents(checking=True)


def test_a_page_about_another_gradnorms_can_be_rendered(docs: Path) -> None:
    (docs / "gradnorms/norms.py").write_text("changed\n", "utf-8")
    assert documents.render_documents(checking=False)


def test_a_chart_of_other_results_does_not_pass(docs: Path) -> None:
    (docs / "benchmarks-light.svg").write_text("<svg>other</svg>", "utf-8")
    with pytest.raises(RecordError, match=r"benchmarks-light\.svg does not show .* `nox -s chart`"):
        documents.render_documents(checking=True)


def test_a_missing_chart_does_not_pass(docs: Path) -> None:
    (docs / "benchmarks-light.svg").unlink()
    with pytest.raises(RecordError, match=r"benchmarks-light\.svg"):
        documents.render_documents(checking=True)


def test_what_is_written_after_a_benchmark_is_what_is_rendered_from_it(docs: Path) -> None:
    documents.write_documents(make_results())
    rendered = documents.render_documents(checking=False)
    assert {file: file.read_text("utf-8") for file in rendered} == rendered
    assert set(rendered) == {docs / "benchmarks.md"}
