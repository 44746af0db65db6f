"""The canary: which pre-release it is, and what its wheel foretells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.builders import HOST, MATRIX, make_record, write_project
from tests.torchfloor.wheelhouse import write_wheels

from torchfloor.canary import try_canary
from torchfloor.errors import ConfigError
from torchfloor.index import IndexUnreachableError
from torchfloor.matrix import read_matrix
from torchfloor.record import Failure, Probe
from torchfloor.storage import Storage
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchfloor.plan import Cell
    from torchfloor.record import Record

THERE = {"dep/__init__.py": "def norm(tensors: list): ...\n"}
FINAL = {"1.0": {"dep/__init__.py": ""}, "1.1": THERE}
NAMED = f"{MATRIX}    names: [dep.norm]\n    canary: nightly\n"


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that are said; a cell is not run, and goes wrong."""
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(tmp_path / "cache"))
    for module in ("canary", "workspace"):
        monkeypatch.setattr(f"torchfloor.{module}.this_host", lambda: HOST)
    monkeypatch.setattr("torchfloor.screen.show_space", lambda w, *_, **__: Storage(w.folder))
    lines: list[str] = []

    def run_cell(_: object, cell: Cell, *__: object) -> Record:
        lines.append(f"{cell.id} runs")
        probes = [Probe(f"test_it.py::test_{n}", "", "failed", 0.1, f"wrong {n}") for n in (1, 2)]
        failure = Failure("probes", "test_it.py::test_1: wrong 1")
        return make_record(cell, "incompatible", failure=failure, probes=tuple(probes))

    monkeypatch.setattr("torchfloor.run.run_cell", run_cell)
    return lines


def attempt(
    root: Path,
    said: list[str],
    nightly: Mapping[str, Mapping[str, str]],
    matrix: str = NAMED,
) -> Workspace:
    write_wheels(root / "wheels", FINAL)
    write_wheels(root / "nightly", nightly)
    workspace = Workspace(read_matrix(write_project(root, matrix)))
    workspace.plan()
    try_canary(workspace, said.append)
    return workspace


def test_the_newest_pre_release_is_tried_and_its_record_kept_apart(
    tmp_path: Path, said: list[str]
) -> None:
    nightly = {"1.2.dev1": THERE, "1.2.dev20": THERE, "1.1.dev3": THERE, "1.3": THERE}
    workspace = attempt(tmp_path, said, nightly)
    cell = "dep1.2.dev20-cpu-py312"
    assert said == [
        "Canary: dep 1.2.dev20, from nightly.",
        "Read from wheels, not run: dep.norm: the same as in 1.1.",
        f"{cell} runs",
        "Canary: dep 1.2.dev20 is incompatible: probes: test_it.py::test_1: wrong 1.",
        "  test_it.py::test_2: wrong 2",
        "It is allowed to fail, so this fails nothing: mend it before it is released.",
        f"Record: .compat/canary/{cell}.json; it stands in no table, and moves no floor.",
    ]
    assert (workspace.folder / f"canary/{cell}.json").exists()
    assert not workspace.records.exists()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "CHANGED since 1.1: gone in 1.2.dev1."),
        ("def norm(self): ...", "CHANGED since 1.1: parameter tensors renamed to self."),
        ("def norm(tensors: tuple): ...", "type of tensors is tuple instead of list."),
        ("norm = make()", "there, but its signature cannot be read (attribute)."),
        ("if made():\n    def norm(): ...", "nothing is known of 1.2.dev1 (undecided: "),
    ],
)
def test_what_changes_is_told_before_anything_runs(
    tmp_path: Path, said: list[str], body: str, told: str
) -> None:
    attempt(tmp_path, said, {"1.2.dev1": {"dep/__init__.py": body}})
    assert said[1].startswith(f"Read from wheels, not run: dep.norm: {told}")
    assert said[2].endswith(" runs")


def test_a_wheel_that_cannot_be_read_foretells_nothing_and_runs_all_the_same(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        msg = "no ranges"
        raise IndexUnreachableError(msg)

    monkeypatch.setattr("torchfloor.canary.read_wheels", unreadable)
    attempt(tmp_path, said, {"1.2.dev1": THERE})
    assert said[1] == "Nothing is foretold: wheels cannot be read (no ranges)."
    assert said[2].endswith(" runs")


def test_without_names_nothing_is_foretold(tmp_path: Path, said: list[str]) -> None:
    attempt(tmp_path, said, {"1.2.dev1": THERE}, f"{MATRIX}    canary: nightly\n")
    assert said[1].startswith("Nothing is foretold: matrix.yaml lists no `names`")


@pytest.mark.parametrize("nightly", [{}, {"1.1rc1": THERE}, {"1.2": THERE}])
def test_an_index_without_a_newer_pre_release_is_told(
    tmp_path: Path, said: list[str], nightly: dict[str, dict[str, str]]
) -> None:
    with pytest.raises(IndexUnreachableError, match=r"no pre-release of dep .* newer than 1\.1"):
        attempt(tmp_path, said, nightly)
    assert said == []


def test_an_older_one_is_tried_where_the_newest_has_no_wheel_for_this_machine(
    tmp_path: Path, said: list[str]
) -> None:
    write_wheels(tmp_path / "nightly", {"1.3.dev1": THERE})
    file = tmp_path / "nightly/dep-1.3.dev1-py3-none-any.whl"
    file.rename(file.with_name("dep-1.3.dev1-cp312-cp312-win_amd64.whl"))
    with pytest.raises(IndexUnreachableError, match="cannot run here: unavailable: no wheel"):
        attempt(tmp_path, said, {})
    attempt(tmp_path, said, {"1.2.dev1": THERE})
    assert said[0] == "Canary: dep 1.2.dev1, from nightly."


def test_without_an_index_of_pre_releases_it_says_what_to_write(
    tmp_path: Path, said: list[str]
) -> None:
    with pytest.raises(ConfigError, match="canary: names no index; write where pre-releases are"):
        attempt(tmp_path, said, {}, MATRIX)
