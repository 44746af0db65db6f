"""A timeline -> the releases where something changes, in words."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from torchfloor.timeline.model import Change, Signature
from torchfloor.timeline.signature import write_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torchfloor.timeline.model import Parameter, Sighting, Timeline

__all__ = ["change_points"]

_DECIDED = ("present", "absent")
_What = Literal["status", "kind", "signature", "annotation"]
_Told = tuple[_What, str]


def change_points(timeline: Timeline) -> tuple[Change, ...]:
    """Find where a name changes.

    Args:
        timeline: What each release says of the name.

    Returns:
        The changes, oldest first; several of one release follow each other. Releases that are
        unread, undecided or without a stub prove nothing: neighbours are compared across them,
        and the change's words then say that it may be as old as the first of them.
    """
    changes: list[Change] = []
    known: Sighting | None = None
    written: tuple[Signature, ...] = ()
    open_since: str | None = None
    for seen in timeline.sightings:
        if seen.status not in _DECIDED:
            open_since = open_since or seen.release
            continue
        doubt = f", or as early as {open_since}" if open_since else ""
        before = known.release if known else None
        for kind, text in _status(known, seen, timeline, changes):
            changes.append(Change(seen.release, before, kind, text + doubt))
        if seen.signatures:
            told = _signatures(written, seen.signatures) if written else ()
            changes += [Change(seen.release, before, kind, text + doubt) for kind, text in told]
            written = seen.signatures
        known, open_since = seen, None
    return tuple(changes)


def _status(
    known: Sighting | None, seen: Sighting, timeline: Timeline, changes: Sequence[Change]
) -> Iterator[_Told]:
    if known is None:
        if seen.status == "present" and seen is timeline.sightings[0]:
            yield "status", f"there already in {seen.release}, the oldest that was read"
        elif seen.status == "present":
            yield "status", f"first seen in {seen.release}"
    elif known.status == "present" and seen.status == "absent":
        yield "status", f"gone in {seen.release}"
    elif known.status == "absent" and seen.status == "present":
        again = any(change.kind == "status" for change in changes)
        yield "status", f"{'back' if again else 'first'} in {seen.release}"
    elif known.kind != seen.kind and _told(known) and _told(seen):
        yield "kind", f"a {seen.kind} instead of a {known.kind}"


def _told(sighting: Sighting) -> bool:
    """Tell whether a kind is more than that the name is bound to something."""
    return sighting.kind not in {None, "attribute"}


def _signatures(old: tuple[Signature, ...], new: tuple[Signature, ...]) -> Iterator[_Told]:
    """Describe how signatures differ; overloads are compared as sets."""
    gone, come = _differing(old, new)
    if len(gone) == len(come) == 1:
        where = "" if len(old) == len(new) == 1 else f" in the overload {_brief(come[0])}"
        for kind, text in _differences(gone[0], come[0]):
            yield kind, text + where
        return
    plain_gone, plain_come = {_brief(s) for s in gone}, {_brief(s) for s in come}
    for text in sorted(plain_come - plain_gone):
        yield "signature", f"overload {text} added"
    for text in sorted(plain_gone - plain_come):
        yield "signature", f"overload {text} removed"
    if plain_gone == plain_come and gone:
        yield "annotation", "types of the overloads changed"


def _differing(
    old: Iterable[Signature], new: Iterable[Signature]
) -> tuple[list[Signature], list[Signature]]:
    before, after = [_plain(s) for s in old], [_plain(s) for s in new]
    return [s for s in before if s not in after], [s for s in after if s not in before]


def _brief(signature: Signature) -> str:
    return write_signature(signature, annotations=False)


def _differences(old: Signature, new: Signature) -> Iterator[_Told]:
    renamed = dict(_renamed(old.parameters, new.parameters))
    before = {renamed.get(p.name, p.name): p for p in old.parameters}
    after = {p.name: p for p in new.parameters}
    for one, other in renamed.items():
        yield "signature", f"parameter {one} renamed to {other}"
    for name, parameter in before.items():
        if name not in after:
            yield "signature", f"{parameter.name} removed"
    for name, parameter in after.items():
        if name not in before:
            yield "signature", f"{name} added{_manner(parameter)}"
        else:
            yield from _parameter(before[name], parameter)
    common = [name for name in after if name in before]
    if common != [name for name in before if name in after]:
        yield "signature", f"order of parameters is now {', '.join(common)}"
    yield from _returns(old.returns, new.returns)


def _renamed(old: Sequence[Parameter], new: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    """Pair parameters that only one side has, but which stand in the same place there."""
    names = [p.name for p in old], [p.name for p in new]
    for one, other in zip(old, new, strict=False):
        same_place = one.kind == other.kind and (one.default is None) == (other.default is None)
        if one.name not in names[1] and other.name not in names[0] and same_place:
            yield one.name, other.name


def _manner(parameter: Parameter) -> str:
    manners = {"keyword-only": "keyword-only", "positional-only": "positional-only"}
    said = [manners[parameter.kind]] if parameter.kind in manners else []
    if parameter.default is not None:
        said.append(f"default {parameter.default}")
    elif parameter.kind not in {"variadic", "keywords"}:
        said.append("required")
    return f" ({', '.join(said)})" if said else ""


def _parameter(old: Parameter, new: Parameter) -> Iterator[_Told]:
    if old.kind != new.kind:
        yield "signature", f"{new.name} is now {new.kind}, was {old.kind}"
    if old.default != new.default:
        if new.default is None:
            yield "signature", f"{new.name} has no default any more"
        elif old.default is None:
            yield "signature", f"{new.name} has the default {new.default}"
        else:
            yield "signature", f"default of {new.name} is {new.default} instead of {old.default}"
    if old.annotation != new.annotation and old.annotation and new.annotation:
        yield "annotation", f"type of {new.name} is {new.annotation} instead of {old.annotation}"


def _returns(old: str | None, new: str | None) -> Iterator[_Told]:
    if old is None or new is None or old == new:
        return
    heads = old.partition("[")[0], new.partition("[")[0]
    kind: _What = "signature" if heads[0] != heads[1] else "annotation"
    short = heads if heads[0] != heads[1] and "|" not in old + new else (old, new)
    yield kind, f"returns {short[1]} instead of {short[0]}"


def _plain(signature: Signature) -> Signature:
    """Write types in one way, so that only what they say is compared."""
    parameters = tuple(replace(p, annotation=_type(p.annotation)) for p in signature.parameters)
    return Signature(parameters, _type(signature.returns))


@lru_cache(maxsize=4096)
def _type(text: str | None) -> str | None:
    """Write `Optional[List[X]]` as `list[X] | None`, and the like."""
    if text is None:
        return None
    try:
        tree = ast.parse(text.strip("'\""), mode="eval").body
        return ast.unparse(_Modern().visit(tree))
    except (SyntaxError, ValueError, RecursionError):
        return text


class _Modern(ast.NodeTransformer):
    """Rewrites the types of `typing` as the language writes them today."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Leave out the module a type comes from."""
        return self.visit_Name(ast.Name(node.attr, ast.Load()))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Write containers small."""
        small = {"List", "Tuple", "Dict", "Set", "Type", "FrozenSet"}
        return ast.Name(node.id.lower() if node.id in small else node.id, ast.Load())

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Sort the members of a union."""
        return _union([self.visit(node.left), self.visit(node.right)])

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Write unions and optional types with bars."""
        head = self.visit(node.value)
        inner = self.visit(node.slice)
        name = head.id if isinstance(head, ast.Name) else ""
        members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Union":
            return _union(members)
        if name == "Optional":
            return _union([*members, ast.Constant(None)])
        return ast.Subscript(head, inner, ast.Load())


def _union(members: Iterable[ast.expr]) -> ast.expr:
    flat: dict[str, ast.expr] = {}
    for member in members:
        for part in _parts(member):
            flat.setdefault(ast.unparse(part), part)
    first, *rest = [flat[key] for key in sorted(flat, key=lambda key: (key == "None", key))]
    for part in rest:
        first = ast.BinOp(first, ast.BitOr(), part)
    return first


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield node
