"""The timeline among the evidence: read from wheels, published, and read back with mistrust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import MATRIX, make_cell, make_plan, make_record, write_project
from tests.torchfloor.wheelhouse import write_wheels

from torchfloor.errors import ConfigError
from torchfloor.index import IndexUnreachableError
from torchfloor.matrix import Matrix, read_matrix
from torchfloor.publish import publish_records
from torchfloor.records import read_records
from torchfloor.static import known_static, publish_static, read_names, read_static, read_wheels

if TYPE_CHECKING:
    from pathlib import Path

RELEASES = {
    "0.9": {"dep/__init__.py": ""},
    "1.0": {"dep/__init__.py": "def norm(tensors: list) -> list: ..."},
    "1.1": {"dep/__init__.py": "def norm(self: list, *, dtype=None) -> list: ..."},
}
NAMED = MATRIX + "    names: [dep.norm]\n"


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Matrix:
    """Return a matrix with a name, whose wheels lie in a folder."""
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(tmp_path / "cache"))
    write_wheels(tmp_path / "wheels", RELEASES)
    (tmp_path / "evidence").mkdir()
    return read_matrix(write_project(tmp_path, NAMED))


def test_what_wheels_say_is_published_and_read_back_without_them(matrix: Matrix) -> None:
    assert read_static(matrix) is None
    assert publish_static(matrix, ("0.9", "1.0", "1.1")) == []
    for wheel in (matrix.root / "wheels").iterdir():
        wheel.unlink()
    found = read_static(matrix)
    assert found is not None
    (history,) = found.names
    assert [(seen.release, seen.status, seen.signatures) for seen in history.seen] == [
        ("0.9", "absent", ()),
        ("1.0", "present", ("(tensors: list) -> list",)),
        ("1.1", "present", ("(self: list, *, dtype=None) -> list",)),
    ]
    assert [(change.release, change.before, change.kind) for change in history.changes] == [
        ("1.0", "0.9", "status"),
        ("1.1", "1.0", "signature"),
        ("1.1", "1.0", "signature"),
    ]
    assert history.first == "1.0"


def test_only_planned_releases_are_published(matrix: Matrix) -> None:
    publish_static(matrix, ("1.0", "1.1"))
    found = read_static(matrix)
    assert found is not None
    assert [seen.release for seen in found.names[0].seen] == ["1.0", "1.1"]


def test_the_first_index_that_answers_is_read_and_all_are_named_if_none_does(
    matrix: Matrix, tmp_path: Path
) -> None:
    file = tmp_path / "matrix.yaml"
    file.write_text(file.read_text("utf-8").replace("[wheels]", "[gone, wheels]"), "utf-8")
    assert read_names(read_matrix(file), ">=1.0").index == "wheels"
    with pytest.raises(IndexUnreachableError, match=r"gone is no folder.*; .*'>=7' matches no"):
        read_names(read_matrix(file), ">=7")
    with pytest.raises(IndexUnreachableError, match="gone is no folder"):
        read_wheels(matrix, ">=1.0", index="gone")


def test_where_nothing_can_be_read_what_was_published_stays(matrix: Matrix) -> None:
    publish_static(matrix, ("0.9", "1.0", "1.1"))
    before = read_static(matrix)
    (matrix.root / "wheels/dep-1.0-py3-none-any.whl").write_bytes(b"no archive")
    told = publish_static(matrix, ("0.9", "1.0", "1.1"))
    assert told[0].startswith("1.0 could not be read: dep-1.0-py3-none-any.whl: it is no zip")
    assert told[1] == "evidence/timeline.json stays as it is"
    (matrix.root / "wheels").rename(matrix.root / "elsewhere")
    (told_again,) = publish_static(matrix, ("0.9", "1.0", "1.1"))
    assert told_again.endswith("; evidence/timeline.json stays as it is")
    assert read_static(matrix) == before


def test_what_cannot_be_read_the_first_time_is_published_as_such(matrix: Matrix) -> None:
    (matrix.root / "wheels/dep-1.0-py3-none-any.whl").write_bytes(b"no archive")
    assert len(publish_static(matrix, ("0.9", "1.0", "1.1"))) == 1
    found = read_static(matrix)
    assert found is not None
    assert [seen.status for seen in found.names[0].seen] == ["absent", "unread", "present"]


def test_where_no_index_ever_answered_it_is_told_and_nothing_is_claimed(matrix: Matrix) -> None:
    (matrix.root / "wheels").rename(matrix.root / "elsewhere")
    (told,) = publish_static(matrix, ("0.9", "1.0", "1.1"))
    assert told.endswith("; no timeline is published")
    assert read_static(matrix) is None


def test_publishing_records_leaves_it_and_it_is_no_record(matrix: Matrix) -> None:
    cell = make_cell("1.0")
    publish_static(matrix, ("0.9", "1.0", "1.1"))
    publish_records(matrix, make_plan([cell]), [make_record(cell)])
    assert read_static(matrix) is not None
    assert read_records(matrix.root / "evidence") == ([make_record(cell)], [])


def test_where_the_matrix_names_nothing_any_more_it_is_removed(matrix: Matrix) -> None:
    publish_static(matrix, ("0.9", "1.0", "1.1"))
    unnamed = read_matrix(write_project(matrix.root))
    with pytest.raises(ConfigError, match=r"is about dep\.norm, and matrix\.yaml names none"):
        read_static(unnamed)
    assert known_static(unnamed) is None
    assert publish_static(unnamed, ("0.9", "1.0", "1.1")) == []
    assert read_static(unnamed) is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"absent"', '"present"', "its digest does not fit"),
        ('"absent"', '"here"', "cannot be read: Invalid enum value 'here'"),
        ("{", "", "cannot be read"),
    ],
)
def test_a_timeline_that_was_changed_is_refused(
    matrix: Matrix, before: str, after: str, words: str
) -> None:
    publish_static(matrix, ("0.9", "1.0", "1.1"))
    file = matrix.root / "evidence/timeline.json"
    file.write_text(file.read_text("utf-8").replace(before, after, 1), "utf-8")
    with pytest.raises(ConfigError, match=words):
        read_static(matrix)
    assert known_static(matrix) is None
