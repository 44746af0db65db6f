"""Change points: what is said where neighbours differ, and what is not."""

from __future__ import annotations

import ast

import pytest

from torchfloor.timeline.changes import change_points
from torchfloor.timeline.model import Sighting, Signature, Status, Timeline
from torchfloor.timeline.signature import read_documented, read_signature, write_signature


def signature(text: str) -> Signature:
    node = ast.parse(f"def f{text}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    return read_signature(node)


def timeline(*seen: Status | str | tuple[str, ...]) -> Timeline:
    """Make a timeline of releases 1.0, 2.0 …; what is no status is a signature, or several."""
    sightings = []
    for number, one in enumerate(seen, start=1):
        release = f"{number}.0"
        if one in {"absent", "undecided", "no-stub", "unread"}:
            sightings.append(Sighting(release, one))  # type: ignore[arg-type]
        else:
            texts = (one,) if isinstance(one, str) else one
            signatures = tuple(signature(text) for text in texts if text)
            sightings.append(Sighting(release, "present", "function", signatures))
    return Timeline("dep.f", tuple(sightings))


def told(*seen: Status | str | tuple[str, ...]) -> list[str]:
    return [f"{change.release} {change.text}" for change in change_points(timeline(*seen))]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (["absent", "()", "()"], ["2.0 first in 2.0"]),
        (["()", "()"], ["1.0 there already in 1.0, the oldest that was read"]),
        (
            ["absent", "()", "absent", "()"],
            ["2.0 first in 2.0", "3.0 gone in 3.0", "4.0 back in 4.0"],
        ),
        (["no-stub", "()"], ["2.0 first seen in 2.0, or as early as 1.0"]),
        (["absent", "unread", "unread", "()"], ["4.0 first in 4.0, or as early as 2.0"]),
        (["absent", "undecided", "absent"], []),
        (["absent", "", ""], ["2.0 first in 2.0"]),
    ],
)
def test_where_a_name_comes_and_goes(seen: list[str], words: list[str]) -> None:
    assert told(*seen) == words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(tensors)", "(self)", ["parameter tensors renamed to self"]),
        ("(a)", "(a, dtype=None)", ["dtype added (default None)"]),
        ("(a)", "(a, *, b)", ["b added (keyword-only, required)"]),
        ("(a, b)", "(a)", ["b removed"]),
        ("(a, b)", "(b, a)", ["order of parameters is now b, a"]),
        ("(a=1)", "(a=2)", ["default of a is 2 instead of 1"]),
        ("(a)", "(a=2)", ["a has the default 2"]),
        ("(a=2)", "(a)", ["a has no default any more"]),
        ("(a)", "(*, a)", ["a is now keyword-only, was positional"]),
        ("(a: int)", "(a: str)", ["type of a is str instead of int"]),
        ("() -> List[T]", "() -> Tuple[T, ...]", ["returns tuple instead of list"]),
        ("() -> int", "() -> int", []),
        ("(a: Optional[List[T]])", "(a: list[T] | None)", []),
        ("(a: Union[A, None, B])", "(a: typing.Optional[B | A])", []),
        ("(a: 'X')", "(a: X)", []),
        ("(a)", ("(a)", "(a, b)"), ["overload (a, b) added"]),
        (("(a)", "(a, b)"), "(a)", ["overload (a, b) removed"]),
        (("(a)", "(b, c)"), ("(a)", "(b, d)"), ["parameter c renamed to d in the overload (b, d)"]),
    ],
)
def test_how_a_signature_changes(
    old: str | tuple[str, ...], new: str | tuple[str, ...], words: list[str]
) -> None:
    assert told("absent", old, new)[1:] == [f"3.0 {text}" for text in words]


def test_only_the_types_changing_is_a_change_of_its_own_kind() -> None:
    kinds = [c.kind for c in change_points(timeline("(a: int)", "(a: str)", "(b: str)"))]
    assert kinds == ["status", "annotation", "signature"]


def test_signatures_are_compared_across_releases_that_say_nothing() -> None:
    assert told("(a)", "unread", "", "(b)")[1:] == ["4.0 parameter a renamed to b"]
    assert told("(a)", "unread", "(b)")[1:] == ["3.0 parameter a renamed to b, or as early as 2.0"]


def test_a_function_that_becomes_a_class_is_told() -> None:
    seen = Sighting("1.0", "present", "function"), Sighting("2.0", "present", "class")
    assert change_points(Timeline("dep.f", seen))[1].text == "a class instead of a function"


@pytest.mark.parametrize(
    "text",
    ["()", "(a, /, b, *c, d, **e)", "(*, a: int = 1) -> list[int]", "(a, b=None, /)", "(a, *b)"],
)
def test_a_signature_is_written_as_it_was_read(text: str) -> None:
    assert write_signature(signature(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("norm(x, ord=2) -> Tensor\n\nComputes.", "(x, ord=2) -> Tensor"),
        ("\nlinalg.norm(x, *, out=None)\n", "(x, *, out=None)"),
        ("other(x)", None),
        ("norm of x", None),
        ("norm(x, [y]) -> z", None),
        ("norm(x): ...\ndef evil(", None),
    ],
)
def test_the_first_line_of_a_docstring_may_tell_a_signature(text: str, written: str | None) -> None:
    found = read_documented(text, "norm")
    assert (write_signature(found) if found else None) == written


def test_a_timeline_knows_its_first_and_last_release() -> None:
    line = timeline("absent", "()", "()", "absent")
    assert (line.first, line.last) == ("2.0", "3.0")
    assert line.at("4.0") == Sighting("4.0", "absent")
    assert line.at("9.0") is None
    assert (timeline("absent").first, timeline("absent").last) == (None, None)
