"""The floor by search, the canary, and the published timeline, with real wheels and sessions."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import pytest
from tests.e2e import project as tiny
from tests.e2e.project import Project, Ran, build_wheel, make_project

pytestmark = pytest.mark.network

BELOW = ["0.9", "1.0", "1.1", "1.2"]
ABOVE = [f"1.{minor}" for minor in range(3, 13)]
FLOOR = "1.3"
LIES = f"{tiny.GOOD}space = vars()\nspace.pop('double')\n"
"""Its source defines what a run does not find."""


class Session(NamedTuple):
    """A project after a session, and what the session printed."""

    project: Project
    ran: Ran


def steps(ran: Ran) -> list[str]:
    """Return the releases that a search looked at, in order."""
    return re.findall(r"(?m)^Step \d+: tinydep (\S+), ", ran.output)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a project whose true floor is known, after `nox -s floor`."""
    code = dict.fromkeys(BELOW, tiny.NAMELESS) | dict.fromkeys(ABOVE, tiny.GOOD)
    code["1.4"] = tiny.UNIMPORTABLE
    root = tmp_path_factory.mktemp("floor")
    project = make_project(root, code)
    build_wheel(root / "wheels", "1.13", tiny.GOOD).rename(
        root / "wheels/tinydep-1.13-cp36-cp36m-plan9_z80.whl"
    )
    for release, canary in (("1.14.dev1", tiny.GOOD), ("1.14.dev2", tiny.NAMELESS)):
        (root / "nightly").mkdir(exist_ok=True)
        build_wheel(root / "nightly", release, canary)
    with (root / "matrix.yaml").open("a", encoding="utf-8") as matrix:
        matrix.write("names: [tinydep.double]\ncanary: nightly\n")
    environment = {"TORCHFLOOR_CACHE": str(tmp_path_factory.mktemp("cache"))}
    project = dataclasses.replace(project, environment=environment)
    return Session(project, project.nox("-s", "floor"))


def test_the_floor_is_found_where_wheels_let_expect_it_and_proved_on_both_sides(
    searched: Session,
) -> None:
    output = searched.ran.output
    assert "The timeline predicts 1.3: tinydep.double first in 1.3 (read from wheels" in output
    assert steps(searched.ran) == ["1.12", FLOOR, "1.2", "1.4", "1.5"]
    assert "among 14 releases, 0.9 to 1.12: at most 7 installations" in output
    assert "Measured floor: tinydep 1.3 (bisected: 8 of the 11 releases" in output
    assert "1.2 is incompatible; 1.3, 1.5, 1.12 are compatible." in output


def test_each_step_says_why_and_what_it_has_shown(searched: Session) -> None:
    output = searched.ran.output
    assert "Step 1: tinydep 1.12, the newest: a floor holds up to it." in output
    assert "Step 3: tinydep 1.2, next below where the floor may be." in output
    assert "1.2 is incompatible: subject: ImportError: cannot import name 'double'" in output
    assert "So the floor is at most 1.3: 4 releases below it left to look at." in output


def test_what_errored_or_has_no_wheel_is_stepped_around(searched: Session) -> None:
    output = searched.ran.output
    assert "Stepped around: 1.13: unavailable: no wheel for this platform." in output
    assert "1.4 is errored: dependency: ImportError: libtiny.so: no such file (says not" in output
    assert "1.4 is incompatible" not in output


def test_a_declared_floor_that_the_search_disproves_fails_the_session(searched: Session) -> None:
    assert searched.ran.status == 1
    wanted = "tinydep>=1.0 does not hold: 1.2 is incompatible; declare tinydep>=1.3, or mend it"
    assert wanted in searched.ran.output
    assert "Traceback" not in searched.ran.output


def test_what_is_proved_already_costs_nothing_and_any_range_will_do(searched: Session) -> None:
    again = searched.project.nox("-s", "floor", "--", "--versions", ">=1.2,<=1.3")
    assert steps(again) == []
    assert (
        "Measured floor: tinydep 1.3 (verified without gap: every release of the range"
        in again.output
    )
    above = searched.project.nox("-s", "floor", "--", "--versions", "==1.5")
    assert (above.status, steps(above)) == (0, [])
    assert "Measured floor: tinydep 1.5 or lower" in above.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--versions", "1.3"], "'1.3' is no PEP 440 specifier"),
        (["--flavour", "cuda"], "No release of this range can run on this machine"),
        (["--wat"], "unrecognized arguments: --wat; usage: nox -s floor -- [--versions SPEC]"),
    ],
)
def test_a_call_that_cannot_be_meant_is_told(
    searched: Session, words: list[str], told: str
) -> None:
    ran = searched.project.nox("-s", "floor", "--", *words)
    assert (ran.status, told in ran.output, "Traceback" in ran.output) == (1, True, False)


def test_the_tag_floor_is_the_declared_floor_alone(searched: Session) -> None:
    listed = searched.project.nox("-t", "floor", "--list").output
    cells = re.findall(r"(?m)^\* compat\((\S+)\)", listed)
    assert cells == [searched.project.cell("1.0")]


def test_a_canary_tells_what_changed_before_anything_is_installed_and_fails_nothing(
    searched: Session,
) -> None:
    project = searched.project
    before = project.records()
    ran = project.nox("-s", "canary")
    assert ran.status == 0, ran.output
    told = "tinydep.double: CHANGED since 1.13: gone in 1.14.dev2."
    assert told in ran.output
    assert ran.output.index(told) < ran.output.index(": install")
    assert "Canary: tinydep 1.14.dev2 is incompatible: subject: ImportError" in ran.output
    assert "stands in no table" in ran.output
    assert project.records() == before
    assert (project.root / f".compat/canary/{project.cell('1.14.dev2')}.json").exists()
    assert "1.14" not in (project.root / ".compat/COMPATIBILITY.md").read_text("utf-8")


def test_a_canary_that_cannot_be_had_is_told_plainly_and_fails_nothing(searched: Session) -> None:
    root = searched.project.root
    (root / "nightly").rename(root / "elsewhere")
    try:
        gone = searched.project.nox("-s", "canary")
        (root / "nightly").mkdir()
        none = searched.project.nox("-s", "canary")
    finally:
        (root / "nightly").rmdir()
        (root / "elsewhere").rename(root / "nightly")
    assert (gone.status, none.status) == (0, 0)
    assert "Canary: nightly is no folder; name a folder of wheels relative" in gone.output
    assert "nightly has no pre-release of tinydep that is newer than 1.1" in none.output
    assert gone.output.count("nothing is known of what is coming") == 1


def test_wheels_and_runs_that_disagree_fail_publish_and_docs_and_stand_in_the_table(
    searched: Session,
) -> None:
    project = searched.project
    published = project.nox("-s", "publish")
    assert published.status == 0, published.output
    page = project.root / "COMPATIBILITY.md"
    assert "release by release" in page.read_text("utf-8")
    assert "| 1.3 | `(number)` | first in 1.3 | agrees |" in page.read_text("utf-8")
    quick = project.nox("-t", "quick", "--list").output
    for release in ("1.0", "1.2", "1.3", "1.12"):
        assert f"* compat({project.cell(release)})" in quick

    build_wheel(project.root / "wheels", "1.20", LIES)
    project.nox("--list", "--", "--refresh")
    ran = project.nox("-s", f"compat({project.cell('1.20')})")
    assert ran.status == 1
    lied = f"{project.cell('1.20')}: tinydep.double is missing when run, but tinydep.py has it"
    published = project.nox("-s", "publish")
    checked = project.nox("-s", "docs", "--", "--check")
    for told in (published, checked):
        assert told.status == 1
        assert f"DISAGREEMENT of wheel and run: {lied}" in told.output
        assert "disagree in 1 point; a stub, a probe or the reading of wheels" in told.output
    assert "| **DISAGREES**: is missing when run, but tinydep.py has it |" in page.read_text(
        "utf-8"
    )
    assert lied in project.torchfloor("report", "--published", "--json").output
    shown = project.torchfloor("report", "--published").output
    assert f"DISAGREEMENT of wheel and run: {lied}" in shown
