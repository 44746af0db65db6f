"""Searching the floor over a workspace, with outcomes that are known instead of installations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import pytest
from packaging.version import Version
from tests.torchfloor.builders import HOST, MATRIX, make_record, write_project
from tests.torchfloor.wheelhouse import write_wheels

from torchfloor.errors import NoEvidenceError
from torchfloor.floor import find_floor
from torchfloor.matrix import read_matrix
from torchfloor.record import Failure
from torchfloor.static import publish_static
from torchfloor.storage import Storage
from torchfloor.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from torchfloor.claim import Floor
    from torchfloor.plan import Cell
    from torchfloor.record import Record

Outcome = Literal["compatible", "incompatible", "errored"]

RELEASES = ["0.1", "0.9", *(f"1.{minor}" for minor in range(38))]
NORM = "def norm(tensors{}): ...\n"


class Searched:
    """A search over 40 releases: what it ran, what it said, and what it found."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, patch
        self.ran: list[str] = []
        self.indexes = "[wheels]"
        self.said: list[str] = []
        patch.setattr("torchfloor.workspace.this_host", lambda: HOST)
        patch.setattr(
            "torchfloor.screen.show_space", lambda workspace, *_, **__: Storage(workspace.folder)
        )
        patch.setenv("TORCHFLOOR_CACHE", str(root / "cache"))

    def wheels(self, since: str, dtype: str = "9") -> None:
        """Write wheels that have dep.norm since a release, and its parameter since another."""
        files = {}
        for release in RELEASES:
            has = Version(release) >= Version(since)
            more = ", dtype=None" if Version(release) >= Version(dtype) else ""
            files[release] = {"dep/__init__.py": NORM.format(more) if has else f"n = {release}\n"}
        write_wheels(self.root / "wheels", files)

    def after_planning(self) -> None:
        """Do nothing, unless a test does something then."""

    def find(self, outcomes: dict[str, Outcome], *words: str, names: str = "[dep.norm]") -> Floor:
        """Search; a release has the outcome of the newest one named at or below it."""
        matrix = MATRIX.replace("[wheels]", self.indexes)
        text = f"{matrix}    names: {names}\n    history: ['0.1']\n    sample: all\n"
        workspace = Workspace(read_matrix(write_project(self.root, text)))
        workspace.plan()
        self.after_planning()

        def obtain(_: Workspace, cell: Cell, *__: object, **___: object) -> Record:
            self.ran.append(cell.release)
            at = [word for since, word in outcomes.items() if cell.version >= Version(since)]
            failure = None if at[-1] == "compatible" else Failure("probes", "wrong")
            return make_record(cell, at[-1], failure=failure)

        self._patch.setattr(Workspace, "obtain", obtain)
        return find_floor(workspace, words, self.said.append)


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searched:
    return Searched(tmp_path, monkeypatch)


def test_it_starts_where_the_name_begins(search: Searched) -> None:
    search.wheels(since="1.5")
    found = search.find({"0": "incompatible", "1.5": "compatible"})
    assert (found.release, search.ran) == ("1.5", ["1.37", "1.5", "1.4", "1.6"])
    assert any("predicts 1.5: dep.norm first in 1.5 (read from wheels" in s for s in search.said)


def test_where_the_name_begins_too_early_its_change_points_are_tried(search: Searched) -> None:
    search.wheels(since="1.5", dtype="1.20")
    found = search.find({"0": "incompatible", "1.20": "compatible"})
    assert (found.release, search.ran) == ("1.20", ["1.37", "1.5", "1.20", "1.19", "1.21"])


@pytest.mark.parametrize("floor", ["0.1", "0.9", "1.0", "1.17", "1.36", "1.37"])
@pytest.mark.parametrize("names", ["[dep.norm]", "[]", "[dep.never]"])
def test_wherever_the_floor_is_it_is_found_within_the_bound(
    search: Searched, floor: str, names: str
) -> None:
    search.wheels(since="1.30")
    found = search.find({"0": "incompatible", floor: "compatible"}, names=names)
    assert found.release == floor
    assert len(search.ran) == len(set(search.ran)) <= math.ceil(math.log2(len(RELEASES))) + 3
    assert found.holds is (Version(floor) <= Version("1.0"))


def test_a_range_can_be_named(search: Searched) -> None:
    search.wheels(since="1.5")
    found = search.find({"0": "incompatible", "1.5": "compatible"}, "--versions", ">=1.5,<1.8")
    assert (found.release, search.ran) == ("1.5", ["1.7", "1.5", "1.6"])
    assert "among 3 releases, 1.5 to 1.7: at most 5 installations" in search.said[0]


def test_what_an_index_that_is_silent_now_offered_is_no_proof_and_is_told(
    search: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.wheels(since="0")
    search.indexes = "[far, wheels]"
    far = search.root / "far"
    write_wheels(far, {"2.0": {"dep/__init__.py": ""}})
    monkeypatch.setattr(search, "after_planning", lambda: far.rename(search.root / "gone"))
    outcomes: dict[str, Outcome] = {"0": "compatible", "2.0": "errored"}
    found = search.find(outcomes, "--versions", ">=1.36", names="[]")
    assert any(s.startswith("Index: far is no folder") and "dep 2.0" in s for s in search.said)
    assert "bisected: 1 of the 3" in found.lines[0]


def test_what_a_silent_index_may_have_is_not_claimed_either(search: Searched) -> None:
    search.wheels(since="0")
    search.indexes = "[far, wheels]"
    found = search.find({"0": "compatible"}, "--versions", ">=1.36", names="[]")
    assert "without gap among the releases of the indexes that answered" in found.lines[0]


def test_what_errored_is_said_to_say_nothing(search: Searched) -> None:
    search.wheels(since="1.5")
    outcomes: dict[str, Outcome] = {"0": "incompatible", "1.5": "errored", "1.6": "compatible"}
    found = search.find(outcomes)
    assert (found.release, found.lines[1]) == (
        "1.6",
        "Nothing is known of 1.5, so the floor may be lower.",
    )
    assert "  1.5 is errored: probes: wrong (says nothing about the release: stepped around)." in (
        search.said
    )


def test_however_many_error_the_floor_is_found_all_the_same(search: Searched) -> None:
    search.wheels(since="1.5")
    found = search.find({"0": "incompatible", "1.5": "compatible", "1.20": "errored"})
    assert (found.release, len(search.ran)) == ("1.5", 18 + 4)


def test_where_everything_errored_each_release_was_tried_and_nothing_is_claimed(
    search: Searched,
) -> None:
    search.wheels(since="1.5")
    with pytest.raises(NoEvidenceError, match="nothing is known"):
        search.find({"0": "errored"}, "--versions", ">=1.35")
    assert search.ran == ["1.37", "1.36", "1.35"]


def test_where_wheels_cannot_be_read_the_published_timeline_predicts(
    search: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.wheels(since="1.5")
    text = f"{MATRIX}    names: [dep.norm]\n"
    (search.root / "evidence").mkdir()
    publish_static(read_matrix(write_project(search.root, text)), tuple(RELEASES))
    monkeypatch.setattr("torchfloor.floor.read_names", unreadable)
    search.find({"0": "incompatible", "1.5": "compatible"})
    assert search.ran[:2] == ["1.37", "1.5"]
    assert any(line.startswith("Wheels cannot be read (no ranges)") for line in search.said)


def unreadable(*_: object) -> None:
    msg = "no ranges"
    raise NoEvidenceError(msg)
