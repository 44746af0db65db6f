"""What a name is in one release, on the way to a sighting."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torchfloor.timeline.signature import read_signature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.timeline.model import Kind, Signature
    from torchfloor.timeline.source import Source
    from torchfloor.timeline.syntax import Function

__all__ = ["Answer", "Class", "Module", "decorated", "signatures_of"]

_KEEP_SIGNATURES = frozenset(
    {"abstractmethod", "classmethod", "deprecated", "final", "overload", "override", "staticmethod"}
)


@dataclass(frozen=True)
class Answer:
    """What a dotted name is, as far as files tell.

    Attributes:
        status: As in a sighting; `unread` never.
        kind: What it is, if present.
        signatures: As written.
        why: The reason, where it is not present or not fully known.
        file: Where it is defined, or where reading ended.
        thing: What its attributes are looked up in.
    """

    status: Literal["present", "absent", "undecided", "no-stub"]
    kind: Kind | None = None
    signatures: tuple[Signature, ...] = ()
    why: str = ""
    file: str = ""
    thing: Module | Class | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Module:
    """A module of the wheel, by its absolute name."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class, with the file and module it stands in."""

    node: ast.ClassDef
    source: Source


def signatures_of(nodes: Iterable[Function], *, drop_first: bool = False) -> tuple[Signature, ...]:
    """Read the signatures of an overloaded function, each once."""
    return tuple(dict.fromkeys(read_signature(node, drop_first=drop_first) for node in nodes))


def decorated(nodes: Iterable[Function]) -> str:
    """Say which decorators may give a function another signature than the one that is written."""
    names = {ast.unparse(d).partition("(")[0] for node in nodes for d in node.decorator_list}
    others = sorted(n for n in names if n.rpartition(".")[2] not in _KEEP_SIGNATURES)
    return f"decorated with {', '.join(others)}" if others else ""
