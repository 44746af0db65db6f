"""The command `torchfloor timeline` over small wheels, in a folder and on a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.wheelhouse import WheelServer, pack, write_wheels

from torchfloor import index
from torchfloor.cli import main
from torchfloor.timeline import read_timelines
from torchfloor.timeline.catalogue import list_offers
from torchfloor.timeline.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELEASES = {
    "0.9": {"dep/__init__.py": ""},
    "1.0": {
        "dep/__init__.py": "from .norms import norm\n",
        "dep/norms.py": "def norm(tensors): ...",
    },
    "1.1": {
        "dep/__init__.py": "from .norms import *\n",
        "dep/norms.py": "__all__ = ['norm']\ndef norm(self, *, dtype=None): ...",
    },
    "2.0rc1": {"dep/__init__.py": "norm = 1\n"},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_wheels(tmp_path / "wheels", RELEASES)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[WheelServer]:
    with WheelServer(tmp_path / "wheels").running() as running:
        yield running


class Ran:
    """How the command ended, and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        self.status = main(["timeline", *words])
        printed = capsys.readouterr()
        self.out, self.err = printed.out, printed.err


def test_change_points_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "dep.norm", "--index", "wheels")
    assert ran.out.splitlines() == [
        "dep.norm: 3 releases, 0.9 to 1.1, read from wheels, not run",
        "  1.0  first in 1.0",
        "  1.1  parameter tensors renamed to self; dtype added (keyword-only, default None)",
        "  In 1.1, as written in dep/norms.py of dep-1.1-py3-none-any.whl:",
        "    norm(self, *, dtype=None)",
    ]
    assert (ran.status, ran.err) == (0, "")


def test_a_line_for_each_release_can_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "dep.norm", "--index", "wheels", "--all", "--pre")
    assert ran.out.splitlines()[1:] == [
        "  0.9     not there  dep/__init__.py does not define it",
        "  1.0     there      (tensors)",
        "  1.1     there      (self, *, dtype=None)",
        "  2.0rc1  there      attribute",
    ]


def test_json_has_every_sighting_and_the_changes(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "dep.norm", "dep.norms", "--index", "wheels", "--json", "--versions", ">=1")
    told = json.loads(ran.out)
    assert told["releases"] == ["1.0", "1.1"]
    assert [name["name"] for name in told["names"]] == ["dep.norm", "dep.norms"]
    norm = told["names"][0]
    assert (norm["first"], norm["last"]) == ("1.0", "1.1")
    assert [change["release"] for change in norm["changes"]] == ["1.0", "1.1", "1.1"]
    assert norm["sightings"][0]["wheel"] == "dep-1.0-py3-none-any.whl"
    assert "http" not in ran.out


def test_a_name_that_never_was_is_a_mistake_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "dep.nrom", "--index", "wheels")
    assert (ran.status, ran.out) == (2, "")
    assert "dep.nrom: no release that was read has it; did you mean dep.norm?" in ran.err
    assert "does not define it" in Ran(capsys, "dep.zzzzz", "--index", "wheels").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dep.norm", "--versions", "1.0"], "'1.0' is no PEP 440 specifier"),
        (["dep.norm", "--versions", ">3"], "'>3' matches no release of dep (0.9 to 2.0rc1)"),
        (["dep.norm", "--package", "other"], "wheels has no wheel of 'other'; name the dist"),
        (["dep.norm()"], "'dep.norm()' is no dotted name"),
        (["dep.norm", "other.norm"], "names of dep and other: ask for one at a time"),
    ],
)
def test_a_mistake_in_the_call_is_told(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    ran = Ran(capsys, *words, "--index", "wheels")
    assert ran.status == 2
    assert told in ran.err


def test_a_distribution_with_pre_releases_only_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_wheels(tmp_path / "early", {"1.0a1": {"dep/__init__.py": "norm = 1"}})
    assert "pre-releases only" in Ran(capsys, "dep.norm", "--index", "early").err
    assert Ran(capsys, "dep.norm", "--index", "early", "--pre").status == 0


def test_a_second_look_asks_no_server(
    capsys: pytest.CaptureFixture[str], house: WheelServer
) -> None:
    first = Ran(capsys, "dep.norm", "--index", house.url)
    asked = house.asked
    assert asked > 0
    assert Ran(capsys, "dep.norm", "--index", house.url).out == first.out
    assert house.asked == asked


def test_a_second_look_parses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Ran(capsys, "dep.norm", "--index", "wheels")
    monkeypatch.setattr("torchfloor.timeline.resolve.Release", None)
    assert Ran(capsys, "dep.norm", "--index", "wheels").out == first.out


def test_another_name_of_the_same_files_asks_no_server(
    capsys: pytest.CaptureFixture[str], house: WheelServer
) -> None:
    Ran(capsys, "dep.norm", "--index", house.url)
    asked = house.asked
    assert Ran(capsys, "dep.norms", "--index", house.url).status == 0
    assert house.asked == asked


def test_what_is_kept_is_shown_when_the_index_no_longer_answers(
    capsys: pytest.CaptureFixture[str], house: WheelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_RETRIES", 0)
    first = Ran(capsys, "dep.norm", "--index", house.url)
    house.index = lambda: b"{"  # type: ignore[method-assign]
    again = Ran(capsys, "dep.norm", "--index", house.url, "--refresh")
    assert (again.status, again.out) == (0, first.out)
    assert "answers, but not as an index does" in again.err
    assert "its releases are those it listed on" in again.err


def test_an_index_that_never_answered_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_RETRIES", 0)
    ran = Ran(capsys, "dep.norm", "--index", "http://127.0.0.1:9/simple/")
    assert ran.status == 2
    assert "does not answer (connection refused): check the network" in ran.err


def test_without_byte_ranges_nothing_is_read_unless_it_is_allowed(
    capsys: pytest.CaptureFixture[str], house: WheelServer
) -> None:
    house.manner = "whole"
    refused = Ran(capsys, "dep.norm", "--index", house.url)
    assert refused.status == 3
    assert "No release of dep could be read" in refused.err
    assert "--allow-full downloads it" in refused.err
    allowed = Ran(capsys, "dep.norm", "--index", house.url, "--allow-full")
    assert allowed.status == 0
    assert "first in 1.0" in allowed.out
    assert "no byte ranges, so the whole wheel is downloaded (0.0 MB)" in allowed.err


def test_a_wheel_that_is_no_archive_is_that_releases_own_affair(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "wheels/dep-1.0-py3-none-any.whl").write_bytes(b"no archive")
    ran = Ran(capsys, "dep.norm", "--index", "wheels")
    assert ran.status == 0
    assert "1.1  first in 1.1, or as early as 1.0" in ran.out
    assert "unread in 1.0: dep-1.0-py3-none-any.whl: it is no zip archive" in ran.out


def test_many_names_are_read_in_one_go(tmp_path: Path, house: WheelServer) -> None:
    names = [f"dep.n{number}" for number in range(200)]
    body = "\n".join(f"n{number} = {number}" for number in range(200))
    write_wheels(tmp_path / "wheels", {"3.0": {"dep/__init__.py": body}})
    steps: list[tuple[int, int]] = []
    reading = read_timelines(
        "dep",
        [*names, *names],
        index=house.url,
        versions=">=3",
        on_release=lambda finished, total: steps.append((finished, total)),
    )
    assert [line.name for line in reading.timelines] == names
    assert {line.first for line in reading.timelines} == {"3.0"}
    assert steps == [(0, 1), (1, 1)]
    assert (reading.requests, reading.received) == (house.asked, house.sent)
    assert reading.timeline("dep.n7").first == "3.0"
    with pytest.raises(KeyError):
        reading.timeline("dep.nothing")


def test_the_wheel_that_is_read_is_the_smallest_that_is_not_for_windows(tmp_path: Path) -> None:
    content = pack({"dep/__init__.py": ""})
    folder = tmp_path / "many"
    folder.mkdir()
    for size, tags in enumerate(
        ["cp27-cp27m-manylinux1_x86_64", "cp311-cp311-win_amd64", "cp311-none-macosx_11_0_arm64"]
    ):
        (folder / f"dep-1.0-{tags}.whl").write_bytes(content + bytes(size))
    (folder / "dep-1.0-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(content + bytes(99))
    store = Store(tmp_path / "cache")
    (offer,) = list_offers("dep", "many", tmp_path, store)[0].offers
    store.close()
    assert offer.wheel.filename == "dep-1.0-cp311-none-macosx_11_0_arm64.whl"


def test_a_release_with_source_only_is_named_and_the_others_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "wheels/dep-0.1.tar.gz").write_bytes(b"")
    ran = Ran(capsys, "dep.norm", "--index", "wheels")
    assert ran.status == 0
    assert "unread in 0.1: no wheel, only source" in ran.out


def test_a_mistake_in_the_middle_of_a_name_is_corrected(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_wheels(tmp_path / "wheels", {"9.0": {"dep/__init__.py": "", "dep/inner.py": "a = 1"}})
    ran = Ran(capsys, "dep.iner.a", "--index", "wheels", "--versions", ">=9")
    assert "did you mean dep.inner.a?" in ran.err
    ran = Ran(capsys, "den.a", "--package", "dep", "--index", "wheels", "--versions", ">=9")
    assert "the wheel holds no module den, but dep" in ran.err
