"""Valid documents, damaged: a node dropped, moved or replaced, or some bytes."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["damaged_bytes", "damaged_json", "damaged_tree"]

Steps = tuple[str | int, ...]

ODD_TEXTS = (
    *("", " ", "\n", "\0", "\x1b[31m", "\udcff", "\u202e", "é", "default", "auto", "1.0", "2.10"),
    *("../../etc/passwd", "/etc/passwd", ".", "~", "1.0; rm -rf", "$(id)", "-r x", "a b", "0!0"),
    *("9" * 5000, "1." * 200 + "1", "x" * 300, "1e999", "nan", "2026-13-01", "<b>|`*[", "é" * 90),
    *("file:///etc", "http://[", "http://u:p@h:x/", "dep-1.0-py3-none-any.whl", "dep-1-x-y-z.whl"),
    *("dep-1!1.0-py3-none-any.whl", "dep-1.0-1-py3-none-any.whl", "dep--py3-none-any.whl"),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2, 2**31, 2**63, 2**64, 10**400, 0.0, -0.0, 2.1, 1e308, 5e-324),
    *(float("nan"), float("inf"), [], {}, [[]], [None], {"": None}, {"a": {"a": {}}}),
)
leaves = (
    st.sampled_from(ODD) | st.sampled_from(ODD_TEXTS) | st.text(max_size=12) | st.integers(-9, 9)
)


@st.composite
def damaged_tree(draw: st.DrawFn, document: Any) -> Any:  # noqa: ANN401 - any JSON or YAML value
    """Damage a tree of dictionaries and lists in one to three places."""
    tree = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            return tree
        *way, last = draw(st.sampled_from(places))
        parent = _follow(tree, way)
        kind = draw(st.sampled_from(("drop", "replace", "replace", "move", "wrap", "repeat")))
        if kind == "drop":
            del parent[last]
        elif kind == "replace":
            parent[last] = copy.deepcopy(draw(leaves))
        elif kind == "move":
            parent[last] = copy.deepcopy(_follow(tree, draw(st.sampled_from(places))))
        elif kind == "wrap":
            parent[last] = [parent[last]]
        elif isinstance(parent, list):
            parent += copy.deepcopy(parent) * draw(st.integers(1, 3))
        else:
            parent[draw(st.sampled_from(ODD_TEXTS))] = parent[last]
    return tree


def _places(tree: Any, before: Steps = ()) -> Iterator[Steps]:  # noqa: ANN401
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for step, value in entries:
        yield (*before, step)
        if isinstance(value, dict | list):
            yield from _places(value, (*before, step))


def _follow(tree: Any, way: Any) -> Any:  # noqa: ANN401
    for step in way:
        tree = tree[step]
    return tree


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes, odd: tuple[bytes, ...] = ()) -> bytes:
    """Cut a text short, or replace some of its bytes by others or by odd ones."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 1, 5, len(content))))
        inserted = draw(st.binary(max_size=4) | st.sampled_from((b"\xff", b"\0", b"\n", *odd)))
        content = content[:start] + inserted + content[start + length :]
    return content


def damaged_json(document: Any) -> st.SearchStrategy[bytes]:  # noqa: ANN401
    """Damage a JSON document as a tree or as bytes, or give bytes of any kind."""
    odd = (b'"', b"}", b'"a":1,', b"1e999", b"NaN", b"[" * 100_000)
    return (
        damaged_tree(document).map(as_json)
        | damaged_bytes(as_json(document), odd)
        | st.binary(max_size=300)
    )


def as_json(document: Any) -> bytes:  # noqa: ANN401
    """Write a document as a record or a plan is written, one value a line."""
    return json.dumps(document, indent=1).encode()
