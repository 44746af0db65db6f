"""The static floor: what forces it, what bounds it, and what is told apart."""

from __future__ import annotations

import json
import os
import textwrap
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version
from rich.console import Console
from tests.e2e.project import GOOD, make_project

from torchfloor.cli import main
from torchfloor.errors import NoEvidenceError
from torchfloor.report.requirements import print_requirements, sentence, shortfalls
from torchfloor.requires import Requirements, names_to_read, requirements
from torchfloor.timeline import Reading, Sighting, Timeline
from torchfloor.usage import read_usage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.project import Project

RELEASES = ("1.0", "1.1", "2.0", "2.1")
STATUS = {"+": "present", "-": "absent", "?": "undecided", "!": "unread"}
HISTORY = {
    "dep.always": "++++",
    "dep.always._inner": "++++",
    "dep.late": "--++",
    "dep.newest": "---+",
    "dep._private": "-+++",
    "dep.gone": "++--",
    "dep.gap": "+-++",
    "dep.murky": "??++",
    "dep.dark": "????",
    "dep.late.dark": "????",
    "dep.late.dim": "????",
    "dep.late.dim.dark": "????",
    "dep.dusk": "--??",
    "dep.offline": "-+!+",
    "dep.nowhere.to.read": "!!!!",
    "dep.dusk.deep": "????",
}
"""For each release, whether it has the name; a name that is not here is absent everywhere."""


def find(tmp_path: Path, code: str) -> Requirements:
    """Find what a module requires, by the history above."""
    (tmp_path / "code.py").write_text(f"import dep\n{textwrap.dedent(code)}", "utf-8")
    usage = read_usage([tmp_path], "dep", "dep")
    timelines = tuple(
        Timeline(
            name,
            tuple(
                Sighting(
                    release,
                    STATUS[mark],  # type: ignore[arg-type]
                    kind="function" if mark == "+" else None,
                    why="" if mark in "+-" else "computed",
                )
                for release, mark in zip(RELEASES, HISTORY.get(name, "----"), strict=True)
            ),
        )
        for name in names_to_read(usage)
    )
    return requirements(usage, Reading("dep", "wheels", RELEASES, timelines))


FLOORS = {
    "nothing but what is always there": ("dep.always", "1.0", None, ()),
    "the newest of two": ("dep.late\ndep.newest", "2.1", None, ("dep.newest",)),
    "guarded by an attempt": ("try: dep.late\nexcept AttributeError: pass", "1.0", None, ()),
    "guarded by a test": ("if hasattr(dep, 'late'): dep.late", "1.0", None, ()),
    "a test that promises too little": (
        "if hasattr(dep, 'late'): dep.newest",
        "2.1",
        None,
        ("dep.newest",),
    ),
    "a test that promises more": ("if hasattr(dep, 'newest'): dep.late", "1.0", None, ()),
    "a version check that promises too little": (
        "from packaging.version import Version as V\nif V(dep.__version__) >= V('1.1'): dep.late",
        "2.0",
        None,
        ("dep.late",),
    ),
    "a version check": (
        "from packaging.version import Version as V\nif V(dep.__version__) >= V('2.0'): dep.late",
        "1.0",
        None,
        (),
    ),
    "only annotations": (
        "from __future__ import annotations\ndef f(x: dep.late): dep._private",
        "1.1",
        None,
        ("dep._private",),
    ),
    "gone": ("dep.gone", "1.0", "1.1", ()),
    "gone, and another that came before": (
        "dep.gone\ndep._private",
        "1.1",
        "1.1",
        ("dep._private",),
    ),
    "gone before the other came": ("dep.gone\ndep.late", "2.0", "1.1", ("dep.late",)),
    "gone, with the fallback that follows": (
        "try: from dep import late as x\nexcept ImportError: from dep import gone as x",
        "1.0",
        None,
        (),
    ),
    "missing for a while": ("dep.gap", "2.0", None, ("dep.gap",)),
    "in no release": ("dep.nonesuch\ndep.late", "2.0", None, ("dep.late",)),
    "not known of old releases": ("dep.murky", "2.0", None, ("dep.murky",)),
    "known of none": ("dep.dark\ndep.late", "2.0", None, ("dep.late",)),
    "absent, then not known": ("dep.dusk", "1.0", None, ()),
    "in what is absent, then not known": ("dep.dusk.deep", "1.0", None, ()),
    "known of none, but what it lies in is": ("dep.late.dark", "2.0", None, ("dep.late.dark",)),
    "known of none, but what that lies in is": (
        "dep.late.dim.dark",
        "2.0",
        None,
        ("dep.late.dim.dark",),
    ),
    "a version that some builds have": (
        "from packaging.version import Version as V\nif V(dep.__version__) == V('1.1'): dep.late",
        "2.0",
        None,
        ("dep.late",),
    ),
    "refused somewhere": (
        "import packaging.version as v\nif x:\n  if v.parse(dep.__version__).major < 2: raise E",
        "1.0",
        None,
        (),
    ),
    "refused": (
        (
            "from packaging.version import Version as V\n"
            "if V(dep.__version__) < V('2.0'):\n  raise ImportError('too old')"
        ),
        "2.0",
        None,
        ("code.py:4",),
    ),
    "refused for another reason": (
        (
            "from packaging.version import Version as V\n"
            "if x and V(dep.__version__) < V('2.0'):\n  raise ImportError('too old')"
        ),
        "1.0",
        None,
        (),
    ),
}


@pytest.mark.parametrize(("code", "floor", "ceiling", "forced"), FLOORS.values(), ids=FLOORS)
def test_the_floor_is_where_every_needed_name_is(
    tmp_path: Path,
    code: str,
    floor: str | None,
    ceiling: str | None,
    forced: tuple[str, ...],
) -> None:
    found = find(tmp_path, code)
    names = tuple(name.removeprefix(f"{tmp_path}{os.sep}") for name in found.forced_by)
    assert (found.floor, found.ceiling, names) == (floor, ceiling, forced)


STANDINGS = {
    "dep.always": ("needed", "1.0", None),
    "dep.late": ("needed", "2.0", None),
    "dep.gone": ("gone", "1.0", "1.1"),
    "dep.nonesuch": ("nowhere", None, None),
    "dep.dark": ("undecided", None, None),
    "dep.murky": ("needed", "2.0", None),
    "getattr(dep, 'newest', None)": ("guarded", "2.1", None),
    "dep.late = 1": ("written", "2.0", None),
    "def f(x: 'dep.late'): pass": ("annotation", "2.0", None),
    "getattr(dep, x())": ("undecided", None, None),
    "x = dep.always\nx = y\nx._inner": ("undecided", "1.0", None),
}


@pytest.mark.parametrize(("code", "facts"), STANDINGS.items(), ids=STANDINGS)
def test_each_name_is_told_with_its_releases(
    tmp_path: Path, code: str, facts: tuple[str, str | None, str | None]
) -> None:
    names = [n for n in find(tmp_path, code).names if n.name not in {"dep", "dep.always"}]
    name = names[0] if names else find(tmp_path, code).names[0]
    assert (name.standing, name.since, name.until) == facts


def test_a_name_is_private_if_any_part_of_it_is(tmp_path: Path) -> None:
    found = find(tmp_path, "dep.always._inner\ndep._private\ndep.always\ndep.__dunder__")
    private = {name.name for name in found.names if name.private}
    assert private == {"dep.always._inner", "dep._private"}


AT_LEAST = [
    ("dep.late", "2.0", []),
    ("dep.late", "1.1", ["dep.late, first in 2.0", "1.1 lack it"]),
    ("dep.gone", "1.0", ["dep.gone, last in 1.1", "2.0 to 2.1 lack it"]),
    ("dep.murky", "1.0", ["dep.murky, first known in 2.0", "1.0 to 1.1 may lack it"]),
    ("dep.nonesuch", "1.0", ["dep.nonesuch, in no release"]),
    ("dep.dark", "1.0", []),
    ("dep.offline", "2.1", []),
    ("dep.offline", "1.1", ["dep 2.0 could not be read: computed"]),
    ("assert hasattr(dep, 'late')", "1.1", ["code.py:2 raises in 1.1"]),
    ("if hasattr(dep, 'late'): dep.late", "1.0", []),
    ("def f(:", "1.0", ["not read"]),
]


@pytest.mark.parametrize(("code", "version", "words"), AT_LEAST)
def test_a_release_is_enough_unless_something_needs_more(
    tmp_path: Path, code: str, version: str, words: list[str]
) -> None:
    lines = shortfalls(find(tmp_path, code), Version(version))
    assert len(lines) == min(len(words), 1)
    assert all(word in lines[0] for word in words)


def test_a_file_that_could_not_be_read_may_need_more_beside_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "damaged.py").write_text("import dep, (", "utf-8")
    lines = shortfalls(find(tmp_path, "dep.late"), Version("1.0"))
    assert [line.partition(":")[2] for line in lines if "damaged.py" in line] == [
        " line 1: invalid syntax: not read, so it may need more."
    ]
    assert len(lines) == 2


def test_no_release_that_could_be_read_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(NoEvidenceError, match="computed"):
        find(tmp_path, "dep.nowhere.to.read")


LETS_THROUGH = [
    ("if hasattr(dep, 'late'): dep.newest", ("2.0",)),
    ("if hasattr(dep, '_private'): dep.late", ("1.1",)),
    ("if hasattr(dep, 'newest'): dep.late", ()),
    ("if hasattr(dep, 'late'): dep.late", ()),
    ("if not hasattr(dep, 'late'): dep._private", ()),  # meant for old releases; these are older
    ("if x and hasattr(dep, 'late'): dep.newest", ()),  # who knows what x lets through
]


@pytest.mark.parametrize(("code", "releases"), LETS_THROUGH)
def test_a_guard_that_promises_too_little_is_told(
    tmp_path: Path, code: str, releases: tuple[str, ...]
) -> None:
    assert [n.let_through for n in find(tmp_path, code).names if n.let_through] == (
        [releases] if releases else []
    )


WORDS = {
    "dep.late": ["dep 2.0 or later: dep.late, first in 2.0 (", "code.py:2)"],
    "dep.always": ["dep 1.0 or later: no name rules out the oldest release."],
    "dep.gone": ["dep 1.0 to 1.1: no name rules out the oldest", "Gone: dep.gone, last in 1.1"],
    "dep.nonesuch": ["In no release: dep.nonesuch"],
    "dep.gone\ndep.late": [
        "No release of dep from 1.0 to 2.1 has every name: 2.0 or later",
        "1.1 or earlier",
    ],
    "if hasattr(dep, 'late'): dep.newest": [
        "in 2.0, which lacks it",
        "Guard too weak: ",
        "code.py:2 reaches dep.newest",
        "if hasattr(dep, 'late')",
        "2.0",
    ],
    "assert hasattr(dep, 'late')": ["Refused:", "code.py:2 raises in 1.0 to 1.1"],
    "dep.offline": ["Not compared: dep 2.0: computed", "dep 1.1 or later"],
    "dep.dark": ["1 needed name undecided, which may need more", "computed"],
}


@pytest.mark.parametrize(("code", "words"), WORDS.items(), ids=WORDS)
def test_the_reader_is_told_the_floor_first(tmp_path: Path, code: str, words: list[str]) -> None:
    found = find(tmp_path, code)
    stream = StringIO()
    print_requirements(found, Console(width=80, color_system=None, file=stream))
    shown = stream.getvalue()
    assert shown.startswith(sentence(found))
    assert all(word in shown for word in words)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make a project beside wheels of which only the newest has `doubled`."""
    more = f"{GOOD}\ndef doubled(number):\n    return 2 * number\n"
    releases = {"1.0": GOOD, "1.1": GOOD, "1.2": more}
    return make_project(tmp_path_factory.mktemp("requires"), releases)


CALLS = [
    ("double()", (), 0, "tinydep 1.0 or later"),
    ("doubled()", (), 0, "tinydep 1.2 or later: tinydep.doubled, first in 1.2 (code.py:2)."),
    ("doubled()", ("--at-least", "1.2"), 0, "tinydep 1.2 or later"),
    ("doubled()", ("--at-least", "1.0"), 1, "code.py:2): 1.0 to 1.1 lack it."),
    ("doubled()", ("--at-least", "1.3"), 2, "no release of tinydep is at or above 1.3"),
    ("doubled()", ("--at-least", "new"), 2, "'new' is no version"),
    ("double()", ("nowhere",), 2, "nowhere: does not exist; check its spelling"),
]


@pytest.mark.parametrize("case", CALLS)
def test_the_command_reads_real_wheels(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, tuple[str, ...], int, str],
) -> None:
    call, options, status, words = case
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(project.root / "cache"))
    (project.root / "code.py").write_text(f"import tinydep\ntinydep.{call}\n", "utf-8")
    common = ("requires", "--package", "tinydep", "--index", "wheels", "code.py")
    ended: object
    try:
        ended = main([*common, *options])
    except SystemExit as error:  # argparse's own
        ended = error.code
    shown = capsys.readouterr()
    assert ended == status
    assert words in shown.out + shown.err


def test_the_command_prints_json_for_scripts(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("TORCHFLOOR_CACHE", str(project.root / "cache"))
    (project.root / "code.py").write_text("import tinydep as t\nt.doubled()\n", "utf-8")
    main(["requires", "code.py", "--package", "tinydep", "--index", "wheels", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["floor"], found["forced_by"]) == ("1.2", ["tinydep.doubled"])
    name = found["names"][0]
    assert (name["name"], name["since"], name["lacking"]) == (
        "tinydep.doubled",
        "1.2",
        ["1.0", "1.1"],
    )
    assert name["places"][0] | {"file": "code.py", "line": 2, "column": 1} == name["places"][0]
