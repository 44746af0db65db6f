"""Matrix × wheels × host: which cells there are, and why some cannot run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from tests.torchfloor.builders import HOST, FakeIndex, make_matrix, make_wheel, make_wheels

from torchfloor.errors import ConfigError
from torchfloor.index import IndexUnreachableError
from torchfloor.matrix import Companion, Flavour
from torchfloor.plan import Host, Plan, make_plan
from torchfloor.wheels import Wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.plan import Cell


def plan_of(wheels: Sequence[Wheel], host: Host = HOST, **changes: Any) -> Plan:  # noqa: ANN401
    return make_plan(make_matrix(**changes), host, FakeIndex({"main": list(wheels)}))


def only_cell(plan: Plan) -> Cell:
    (cell,) = plan.cells
    return cell


def releases_of(plan: Plan) -> list[str]:
    return [cell.release for cell in plan.cells]


MANY = make_wheels("0.7", "0.8", "0.8.1", "0.9", "1.0", "1.0.2", "1.1", "1.2", "1.2.1", "2.0")


@pytest.mark.parametrize(
    ("changes", "releases"),
    [
        ({}, ["1.0", "1.0.2", "1.1", "1.2.1", "2.0"]),
        ({"sample": "all"}, ["1.0", "1.0.2", "1.1", "1.2", "1.2.1", "2.0"]),
        ({"declared": Version("1.2")}, ["1.0.2", "1.1", "1.2", "1.2.1", "2.0"]),
        (
            {"declared": Version("1.0.1")},  # between two releases: the next one is the floor
            ["1.0.2", "1.1", "1.2.1", "2.0"],
        ),
        ({"history": ("0.8",)}, ["0.8.1", "1.0", "1.0.2", "1.1", "1.2.1", "2.0"]),
        ({"history": ("0.8.0",)}, ["0.8", "1.0", "1.0.2", "1.1", "1.2.1", "2.0"]),
        (
            {"history": ("0.9", "0.7", "0.8.1")},
            ["0.7", "0.8.1", "0.9", "1.0", "1.0.2", "1.1", "1.2.1", "2.0"],
        ),
    ],
)
def test_the_sample_decides_which_releases_are_cells(
    changes: dict[str, Any], releases: list[str]
) -> None:
    assert releases_of(plan_of(MANY, **changes)) == releases


def test_releases_are_ordered_as_versions_not_as_text() -> None:
    plan = plan_of(make_wheels("1.10", "1.9", "1.0"))
    assert releases_of(plan) == ["1.0", "1.9", "1.10"]


def test_a_cell_is_promised_at_or_above_the_declared_floor_only() -> None:
    plan = plan_of(MANY, history=("0.9",), declared=Version("1.0.1"))
    promised = {cell.release: cell.promised for cell in plan.cells}
    assert promised == {"0.9": False, "1.0.2": True, "1.1": True, "1.2.1": True, "2.0": True}


def test_history_at_or_above_a_lowered_floor_is_promised_all_the_same() -> None:
    plan = plan_of(MANY, history=("0.9",), declared=Version("0.8"))
    assert all(cell.promised for cell in plan.cells)


def test_the_plan_knows_every_release_from_its_oldest_cell_on() -> None:
    plan = plan_of(MANY, history=("0.9",))
    assert plan.releases == ("0.9", "1.0", "1.0.2", "1.1", "1.2", "1.2.1", "2.0")
    assert (plan.declared, plan.floor) == ("1.0", "1.0")


@pytest.mark.parametrize("left_out", ["2.0a1", "2.0rc1", "2.0.dev3"])
def test_pre_releases_are_left_out(left_out: str) -> None:
    assert releases_of(plan_of(make_wheels("1.0", left_out))) == ["1.0"]


def test_post_releases_are_releases() -> None:
    assert releases_of(plan_of(make_wheels("1.0", "1.1", "1.1.post1"))) == ["1.0", "1.1.post1"]


def test_a_yanked_release_is_unavailable_and_nothing_is_promised_for_it() -> None:
    plan = plan_of([make_wheel("1.0", yanked=True), *make_wheels("1.0.1", "1.2")])
    assert releases_of(plan) == ["1.0.1", "1.2"]
    assert (plan.floor, plan.releases) == ("1.0.1", ("1.0.1", "1.2"))

    plan = plan_of([*make_wheels("1.0", "1.2"), make_wheel("1.1", yanked=True)])
    assert releases_of(plan) == ["1.0", "1.1", "1.2"]
    yanked = plan.cells[1]
    assert (yanked.status, yanked.wheel) == ("unavailable", None)
    assert yanked.reason == "yanked: the index says not to use it"
    assert plan.releases == ("1.0", "1.2")


def test_a_release_with_nothing_but_source_is_unavailable_and_still_promised() -> None:
    source = Wheel("dep-1.0.tar.gz", "https://files.invalid/dep-1.0.tar.gz", "main")
    plan = plan_of([source, *make_wheels("1.1")])
    assert (plan.floor, releases_of(plan)) == ("1.0", ["1.0", "1.1"])
    assert (plan.cells[0].status, plan.cells[0].wheel) == ("unavailable", None)
    assert plan.cells[0].reason == "no wheel, only source, and nothing is built here"


@pytest.mark.parametrize(
    "newest",
    [
        make_wheel("1.1.2", yanked=True),
        Wheel("dep-1.1.2.tar.gz", "https://files.invalid/dep-1.1.2.tar.gz", "main"),
    ],
)
def test_a_patch_that_can_be_installed_stands_for_its_minor(newest: Wheel) -> None:
    plan = plan_of([*make_wheels("1.0", "1.1", "1.1.1"), newest])
    assert releases_of(plan) == ["1.0", "1.1.1"]
    history = plan_of([*make_wheels("1.1", "1.1.1", "1.2"), newest], history=("1.1",))
    assert releases_of(history) == ["1.1", "1.1.1", "1.2"]


def test_a_wheel_is_preferred_to_what_an_earlier_index_withholds() -> None:
    withheld, offered = make_wheel("1.0", yanked=True), make_wheel("1.0", index="second")
    flavours = {"cpu": Flavour(indexes=("main", "second"))}
    index = FakeIndex({"main": [withheld], "second": [offered]})
    cell = only_cell(make_plan(make_matrix(flavours=flavours), HOST, index))
    assert (cell.status, cell.wheel) == ("planned", offered)


def test_credentials_are_not_in_a_plan_until_they_are_needed() -> None:
    here, there = "https://host.invalid/simple/", "https://user:secret@host.invalid/simple/"
    near = make_wheel("1.0", url="https://host.invalid/files/dep-1.0-py3-none-any.whl", index=here)
    far = make_wheel("1.1", url="https://other.invalid/dep-1.1-py3-none-any.whl", index=here)
    matrix = make_matrix(flavours={"cpu": Flavour(indexes=(there,))})
    plan = make_plan(matrix, HOST, FakeIndex({there: [near, far]}))
    assert b"secret" not in msgspec.json.encode(plan)
    urls = [cell.wheel.url for cell in plan.with_credentials(matrix).cells if cell.wheel]
    assert urls == [near.url.replace("//", "//user:secret@"), far.url]


def test_local_versions_belong_to_their_release() -> None:
    cell = only_cell(plan_of([make_wheel("1.0+cu118")]))
    assert cell.release == "1.0"
    assert cell.id == "dep1.0-cpu-py312"
    assert cell.wheel is not None
    assert str(cell.wheel.version) == "1.0+cu118"


def test_the_first_index_that_has_a_release_provides_it() -> None:
    first = [make_wheel("1.0", index="first")]
    second = [make_wheel(release, index="second") for release in ("1.0", "1.1")]
    matrix = make_matrix(flavours={"cpu": Flavour(indexes=("first", "second"))})
    plan = make_plan(matrix, HOST, FakeIndex({"first": first, "second": second}))
    used = {cell.release: cell.wheel.index for cell in plan.cells if cell.wheel}
    assert used == {"1.0": "first", "1.1": "second"}


def test_an_unreachable_index_is_asked_and_named_once_and_the_next_is_used() -> None:
    index = FakeIndex({"gone": "gone does not answer (timed out)", "main": make_wheels("1.0")})
    indexes = ("gone", "main")
    flavours = {"cpu": Flavour(indexes=indexes), "other": Flavour(indexes=indexes)}
    plan = make_plan(make_matrix(flavours=flavours), HOST, index)
    assert plan.unreachable == ("gone does not answer (timed out)",)
    assert index.asked == ["gone", "main"]
    assert [cell.status for cell in plan.cells] == ["planned", "planned"]


def test_no_index_that_answers_is_an_error_that_says_what_to_check() -> None:
    index = FakeIndex({"main": "main does not answer (timed out)"})
    with pytest.raises(IndexUnreachableError, match=r"main does not answer .*check the network"):
        make_plan(make_matrix(), HOST, index)


@pytest.mark.parametrize(
    ("wheels", "changes", "words"),
    [
        ([], {}, "no index has a final release of 'dep'; check its spelling"),
        (make_wheels("1.0a1"), {}, "no index has a final release"),
        (make_wheels("0.9"), {}, "no release of dep is at or above the declared 1.0"),
        (
            make_wheels("1.0", "1.1"),
            {"versions": SpecifierSet(">=3,<2")},
            "matches none of 1.0 to 1.1; widen it",
        ),
        (make_wheels("1.0"), {"history": ("0.8", "0.9")}, r"history\[1\]: no index has .* 0\.9"),
    ],
)
def test_a_matrix_that_selects_nothing_is_a_mistake(
    wheels: list[Wheel], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        plan_of(wheels, **changes)


@pytest.mark.parametrize(
    ("versions", "releases"),
    [
        (">=1.0,<2", ["1.0", "1.0.2", "1.1", "1.2.1"]),
        (">=1.0,!=1.2.1", ["1.0", "1.0.2", "1.1", "1.2", "2.0"]),
        (">=0.9", ["0.9", "1.0", "1.0.2", "1.1", "1.2.1", "2.0"]),
    ],
)
def test_versions_bound_the_releases(versions: str, releases: list[str]) -> None:
    assert releases_of(plan_of(MANY, versions=SpecifierSet(versions))) == releases


def test_a_lower_bound_above_the_floor_hides_no_promised_release() -> None:
    plan = plan_of(MANY, versions=SpecifierSet(">=1.2"))
    assert releases_of(plan) == ["1.0", "1.0.2", "1.1", "1.2.1", "2.0"]


def builds(release: str, *pythons: str, platform: str = "linux_x86_64") -> list[Wheel]:
    return [make_wheel(release, f"{python}-{python}-{platform}") for python in pythons]


@pytest.mark.parametrize(
    ("wheels", "python"),
    [
        (builds("1.0", "cp310", "cp311"), "3.11"),  # as many either way: the newest
        (builds("1.0", "cp310") + builds("1.1", "cp310", "cp312"), "3.10"),  # most cells
        (
            [
                *(wheel for old in ("0.8", "0.9") for wheel in builds(old, "cp310")),
                *builds("1.0", "cp311"),
                *builds("1.1", "cp310", "cp311"),
            ],
            "3.11",  # promised cells count first
        ),
    ],
)
def test_auto_picks_the_python_that_covers_most(wheels: list[Wheel], python: str) -> None:
    history = tuple(str(wheel.release) for wheel in wheels if wheel.release < Version("1.0"))
    plan = plan_of(wheels, history=history)
    assert plan.cells[-1].python == python


def test_auto_falls_back_to_the_newest_python_that_a_wheel_supports() -> None:
    wheels = [
        *builds("0.9", "cp310"),
        *builds("1.0", "cp311", "cp312"),
        *builds("1.1", "cp311"),
        *builds("1.2", "cp310", "cp312"),
    ]
    plan = plan_of(wheels, history=("0.9",))
    assert {cell.release: cell.python for cell in plan.cells} == {
        "0.9": "3.10",
        "1.0": "3.12",
        "1.1": "3.11",
        "1.2": "3.12",
    }


@pytest.mark.parametrize(
    ("wheels", "host", "python", "status", "reason"),
    [
        (
            builds("1.0", "cp39"),
            HOST,
            "auto",
            "not-run",
            "no Python 3.9 on this machine; install one",
        ),
        (
            builds("1.0", "cp39", "cp313"),
            HOST,
            "auto",
            "not-run",
            "no Python 3.13 or 3.9 on this machine; install one",
        ),
        (
            builds("1.0", "cp37"),
            HOST,
            "auto",
            "not-run",
            "needs Python 3.7, and cells need 3.9 or newer",
        ),
        (
            builds("1.0", "cp311", platform="win_amd64"),
            HOST,
            "auto",
            "unavailable",
            "no wheel for this platform",
        ),
        (builds("1.0", "cp310"), HOST, "3.11", "unavailable", "no wheel for Python 3.11"),
        (
            [make_wheel("1.0", requires_python=">=3.99")],
            HOST,
            "auto",
            "not-run",
            "no Python >=3.99 on this machine; install one",
        ),
        (
            [make_wheel("1.0", requires_python="<3.11")],
            HOST,
            "3.11",
            "unavailable",
            "no wheel for Python 3.11: it needs <3.11",
        ),
        (
            [make_wheel("1.0", "cp311-cp311-win_amd64", requires_python=">=3.9")],
            HOST,
            "auto",
            "unavailable",
            "no wheel for this platform",
        ),
        (
            builds("1.0", "cp313"),
            HOST,
            "3.13",
            "not-run",
            "no Python 3.13 on this machine; install one",
        ),
        (
            make_wheels("1.0"),
            HOST,
            "3.13",
            "not-run",
            "no Python 3.13 on this machine; install one",
        ),
        (
            make_wheels("1.0", tags="cp39-abi3-linux_x86_64"),
            HOST,
            "3.13",
            "not-run",
            "no Python 3.13 on this machine; install one",
        ),
        (
            make_wheels("1.0"),
            Host(pythons=(), platforms=HOST.platforms),
            "auto",
            "not-run",
            "no Python 3.11 on this machine; install one",
        ),
    ],
)
def test_what_cannot_run_here_says_why(
    wheels: list[Wheel], host: Host, python: str, status: str, reason: str
) -> None:
    cell = only_cell(plan_of(wheels, host, python=python))
    assert (cell.status, cell.reason, cell.wheel) == (status, reason, None)


@pytest.mark.parametrize("tags", ["py3-none-any", "cp39-abi3-linux_x86_64", "cp310-none-any"])
def test_wheels_for_more_than_one_python_run_on_the_main_one(tags: str) -> None:
    cell = only_cell(plan_of(make_wheels("1.0", tags=tags)))
    assert (cell.status, cell.python) == (
        "planned",
        "3.10" if tags.startswith("cp310") else "3.12",
    )


def test_an_explicit_python_is_the_python_of_every_cell() -> None:
    plan = plan_of(make_wheels("1.0", "1.1"), python="3.10")
    assert {cell.python for cell in plan.cells} == {"3.10"}
    assert [cell.id for cell in plan.cells] == ["dep1.0-cpu-py310", "dep1.1-cpu-py310"]


def test_the_best_platform_wins_then_the_highest_build_tag() -> None:
    wheels = [
        make_wheel("1.0", "cp312-cp312-linux_x86_64"),
        make_wheel("1.0", "1-cp312-cp312-manylinux_2_28_x86_64"),
        make_wheel("1.0", "10-cp312-cp312-manylinux_2_28_x86_64"),
        make_wheel("1.0", "9-cp312-cp312-manylinux_2_28_x86_64"),
        make_wheel("1.0", "99-py3-none-any"),
    ]
    cell = only_cell(plan_of(wheels))
    assert cell.wheel == wheels[2]


def test_a_flavour_whose_device_is_absent_is_not_run_but_keeps_its_wheel() -> None:
    flavours = {"cpu": Flavour(indexes=("main",)), "cuda": Flavour(("main",), needs="cuda")}
    plan = plan_of(make_wheels("1.0"), flavours=flavours)
    cuda = plan.cell("dep1.0-cuda-py312")
    assert cuda is not None
    assert (cuda.status, cuda.device) == ("not-run", "cuda")
    assert cuda.reason == "no CUDA device on this machine"
    assert cuda.wheel is not None


def test_a_flavour_runs_where_its_device_is() -> None:
    host = msgspec.structs.replace(HOST, devices=frozenset({"cuda"}))
    plan = plan_of(make_wheels("1.0"), host, flavours={"cuda": Flavour(("main",), needs="cuda")})
    assert only_cell(plan).status == "planned"


def test_a_release_that_only_one_flavour_has_is_unavailable_in_the_other() -> None:
    flavours = {"cpu": Flavour(indexes=("main",)), "other": Flavour(indexes=("few",))}
    index = FakeIndex({"main": make_wheels("1.0", "1.1"), "few": make_wheels("1.1")})
    plan = make_plan(make_matrix(flavours=flavours), HOST, index)
    assert [(c.release, c.flavour, c.status) for c in plan.cells] == [
        ("1.0", "cpu", "planned"),
        ("1.0", "other", "unavailable"),
        ("1.1", "cpu", "planned"),
        ("1.1", "other", "planned"),
    ]


def test_a_cell_carries_the_companions_of_its_release() -> None:
    companions = (Companion(install=("a",), when="<1.1"), Companion(install=("b",)))
    plan = plan_of(make_wheels("1.0", "1.1"), companions=companions)
    assert [cell.companions for cell in plan.cells] == [("a", "b"), ("b",)]


def test_no_cell_is_found_by_another_name() -> None:
    plan = plan_of(make_wheels("1.0"))
    assert plan.cell("dep1.0-cpu-py39") is None


def test_a_plan_survives_being_written_down() -> None:
    plan = plan_of(MANY, history=("0.9",))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
