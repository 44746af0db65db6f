"""The declared floor, as a pyproject.toml writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version
from tests.torchfloor.builders import write_project

from torchfloor.declared import declared_floor
from torchfloor.errors import ConfigError
from torchfloor.matrix import read_matrix

if TYPE_CHECKING:
    from pathlib import Path


def floor_of(root: Path, content: str) -> Version:
    file = root / "pyproject.toml"
    file.write_text(content, "utf-8")
    return declared_floor(file, "some-dep")


@pytest.mark.parametrize(
    ("requirement", "floor"),
    [
        ("some-dep>=2.0", "2.0"),
        ("Some_Dep >= 2.0.1", "2.0.1"),
        ("some.dep[extra]>=1,<3", "1"),
        ("some-dep~=1.4.2", "1.4.2"),
        ("some-dep==1.4.*", "1.4"),
        ("some-dep==1.4", "1.4"),
        ("some-dep>=1.0,>=1.2,!=1.3", "1.2"),
        ("some-dep>=1.0; python_version > '3.8'", "1.0"),
    ],
)
def test_a_lower_bound_is_read_as_written(tmp_path: Path, requirement: str, floor: str) -> None:
    found = floor_of(tmp_path, f'[project]\ndependencies = ["other>=9", "{requirement}"]\n')
    assert str(found) == floor


def test_an_extra_can_declare_it(tmp_path: Path) -> None:
    content = '[project.optional-dependencies]\nmore = ["some-dep>=3"]\n'
    assert floor_of(tmp_path, content) == Version("3")


def test_places_that_agree_are_one_floor(tmp_path: Path) -> None:
    content = (
        '[project]\ndependencies = ["some-dep>=3"]\n'
        '[project.optional-dependencies]\nmore = ["some-dep>=3.0"]\n'
    )
    assert floor_of(tmp_path, content) == Version("3")


def test_places_that_differ_are_a_mistake_that_names_both(tmp_path: Path) -> None:
    content = (
        '[project]\ndependencies = ["some-dep>=3"]\n'
        '[project.optional-dependencies]\nmore = ["some-dep>=4"]\n'
    )
    with pytest.raises(ConfigError, match=r"project\.dependencies says 3.*\.more says 4; keep one"):
        floor_of(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no lower bound for some-dep; declare one, such as 'some-dep>=2.0'"),
        ('[project]\ndependencies = ["some-dep"]', "no lower bound"),
        ('[project]\ndependencies = ["some-dep<2"]', "no lower bound"),
        ('[project]\ndependencies = ["some-dep>"]', "no lower bound"),
        ('[project]\ndependencies = ["some-dep===odd"]', "no lower bound"),
        ('[project]\ndependencies = "some-dep>=2"', "cannot be read"),
        ('[project]\ndependencies = [["some-dep>=2"]]', "cannot be read"),
        ('[project]\noptional-dependencies = ["some-dep>=2"]', "cannot be read"),
        ("project = 3", "cannot be read"),
        ("[project", "cannot be read"),
    ],
)
def test_no_floor_is_a_mistake(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        floor_of(tmp_path, content)


def test_a_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"pyproject\.toml: 1 mistake\n  cannot be read"):
        declared_floor(file, "some-dep")


def test_the_matrix_asks_for_the_floor_of_its_own_package(tmp_path: Path) -> None:
    assert read_matrix(write_project(tmp_path, floor="dep>=1.7")).declared == Version("1.7")


@pytest.mark.parametrize(
    "content", ["x = " + "9" * 5000, "x = " + "[" * 100_000, "x = '\ud800'", "#" * 2**20 + "\n"]
)
def test_a_file_that_no_parser_takes_is_a_mistake(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(ConfigError, match=r"pyproject\.toml: 1 mistake\n  cannot be read: "):
        declared_floor(file, "some-dep")


def test_a_bound_of_more_digits_than_python_reads_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no lower bound for some-dep"):
        floor_of(tmp_path, f'[project]\ndependencies = ["some-dep>={"9" * 5000}"]\n')
