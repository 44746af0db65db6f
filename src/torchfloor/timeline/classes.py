"""Names in classes: their own, their bases' and their metaclasses'."""

from __future__ import annotations

import ast
import builtins
from abc import ABC
from dataclasses import dataclass, replace
from enum import Enum, Flag, IntEnum, IntFlag
from typing import TYPE_CHECKING, Generic, Protocol

from torchfloor.timeline.answer import Answer, Class, decorated, signatures_of
from torchfloor.timeline.flow import UNBOUND, Bound, follow, nothing_exported
from torchfloor.timeline.source import Source, SourceError
from torchfloor.timeline.syntax import Function, dotted

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchfloor.timeline.knowledge import Knowledge
    from torchfloor.timeline.model import Kind, Signature

__all__ = ["Classes"]

_MOST_BASES = 60
"""A class with more is not looked at to the end."""
_STANDARD_BASES: dict[str, type] = {
    base.__name__: base for base in (ABC, Enum, Flag, Generic, IntEnum, IntFlag, Protocol)
}
_PLAIN_METACLASSES = frozenset({"ABCMeta", "type"})


class Classes:
    """Looks names up in the classes of one release, as `hasattr` of the class would.

    Args:
        named: Says what an expression such as `a.b` names in a file.
        knowledge: Tells which stubs are complete.
    """

    def __init__(
        self, named: Callable[[Source, list[str]], Answer | None], knowledge: Knowledge
    ) -> None:
        self._named = named
        self._knowledge = knowledge
        self._bodies: dict[int, Source] = {}
        self._later: dict[int, _Later] = {}

    def member(self, owner: Class, name: str) -> Answer:
        """Say what a name is in a class."""
        unknown: list[str] = []
        classes, complete = self._ancestry(owner, unknown)
        for one in classes:
            if isinstance(one, type):
                if hasattr(one, name):
                    return Answer("present", "method", file=owner.source.file)
                if issubclass(one, Enum) and name.startswith("_"):
                    unknown.append(f"it depends on the Python whether {one.__name__} has it")
                continue
            found = self._in_class(one, name)
            full = f"{one.source.module}.{one.node.name}"
            if found is not None and one.source.is_stub and self._knowledge.is_doubtful(full, name):
                why = f"{one.source.file} lists it, also where it is gone"
                return Answer("undecided", why=why, file=one.source.file)
            if found is not None:
                return found
            if one.source.is_stub and not self._knowledge.is_complete(full, name):
                unknown.append(
                    f"{one.source.file} does not list it in {one.node.name}, and may be incomplete"
                )
            unknown.extend(self._given_later(one, name))
            unknown.extend(self._given_by_metaclass(one, name))
        if not complete or unknown:
            why = unknown[0] if unknown else "its base classes are not known"
            return Answer("undecided", why=why, file=owner.source.file)
        why = f"{owner.source.file}: neither {owner.node.name} nor a base class defines it"
        return Answer("absent", why=why, file=owner.source.file)

    def _given_later(self, owner: Class, name: str) -> list[str]:
        """Say why instances, or a run, may have what the class body does not define."""
        key = id(owner.node)
        if key not in self._later:
            self._later[key] = _read_later(owner.node)
        later, file, title = self._later[key], owner.source.file, owner.node.name
        reasons = []
        if name in later.assigned:
            line = later.assigned[name]
            reasons.append(f"{file}, line {line}: only instances of {title} get it")
        if name in later.declared:
            line = later.declared[name]
            reasons.append(f"{file}, line {line}: {title} only declares it for instances")
        if owner.source.sets_on(title):
            reasons.append(f"{file} sets attributes on {title} when it runs")
        return reasons

    def _given_by_metaclass(self, owner: Class, name: str) -> list[str]:
        for keyword in owner.node.keywords:
            if (
                keyword.arg != "metaclass"
                or (dotted(keyword.value) or [""])[-1] in _PLAIN_METACLASSES
            ):
                continue
            meta = self._base(owner.source, keyword.value)
            if isinstance(meta, Class) and self.member(meta, name).status == "absent":
                continue
            return [f"{owner.source.file}: the metaclass of {owner.node.name} may give it"]
        return []

    def _body(self, owner: Class) -> Source:
        """Treat the body of a class as a file of its own."""
        key = id(owner.node)
        if key not in self._bodies:
            self._bodies[key] = replace(owner.source, statements=owner.node.body, definitions={})
        return self._bodies[key]

    def _in_class(self, owner: Class, name: str) -> Answer | None:
        written = name.removeprefix(f"_{owner.node.name.lstrip('_')}")
        written = written if written.startswith("__") else name  # a name that Python mangles
        outcomes = follow(self._body(owner), written, nothing_exported)
        bound = [outcome for outcome in outcomes if isinstance(outcome, Bound)]
        for attribute, node in owner.source.class_attributes(owner.node.name):
            if attribute == name:
                bound = [Bound(node)]
        if not bound:
            return None
        if UNBOUND in outcomes and len(outcomes) > 1:
            why = f"{owner.source.file}, line {bound[0].node.lineno} defines it under a condition"
            return Answer("undecided", why=why, file=owner.source.file)
        node = bound[0].node
        if isinstance(node, Function):
            of_class = any(dotted(d) == ["classmethod"] for d in node.decorator_list)
            signatures = (
                () if _is_property(node) else signatures_of(bound[0].overloads, drop_first=of_class)
            )
            kind: Kind = "attribute" if _is_property(node) else "method"
            return Answer(
                "present", kind, signatures, decorated(bound[0].overloads), owner.source.file
            )
        if isinstance(node, ast.ClassDef):
            return Answer(
                "present", "class", file=owner.source.file, thing=Class(node, owner.source)
            )
        answer = self._alias_in_class(owner, node, name)
        return answer or Answer("present", "attribute", file=owner.source.file)

    def _alias_in_class(self, owner: Class, node: ast.stmt, name: str) -> Answer | None:
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Name) and value.id != name:
            return self._in_class(owner, value.id)
        return None

    def _ancestry(self, owner: Class, unknown: list[str]) -> tuple[list[Class | type], bool]:
        """List a class and its bases in the order of lookup, and tell whether all are known."""
        order: list[Class | type] = []
        complete = True
        pending: list[Class | type] = [owner]
        for _ in range(_MOST_BASES):
            if not pending:
                break
            one = pending.pop(0)
            if isinstance(one, type):
                order.append(one)
                continue
            # A base that two classes share comes after both of them.
            order = [o for o in order if isinstance(o, type) or o.node is not one.node]
            order.append(one)
            bases = []
            for base in one.node.bases:
                found = self._base(one.source, base)
                if found is None:
                    complete = False
                    unknown.append(
                        f"{ast.unparse(base)[:80]}, a base of {one.node.name}, is not in the wheel"
                    )
                else:
                    bases.append(found)
            if any((dotted(k.value) or [""])[-1] == "ABCMeta" for k in one.node.keywords):
                bases.append(ABC)
            pending[:0] = bases
        return [*order, object], complete and not pending

    def _base(self, source: Source, node: ast.expr) -> Class | type | None:
        if isinstance(node, ast.Subscript):
            node = node.value
        parts = dotted(node)
        if parts is None:
            return None
        try:
            answer = self._named(source, parts)
        except SourceError:
            return None
        if answer is not None and isinstance(answer.thing, Class):
            return answer.thing
        if parts[-1] in _STANDARD_BASES:
            return _STANDARD_BASES[parts[-1]]
        known = getattr(builtins, parts[0], None) if len(parts) == 1 else None
        unbound = answer is None or answer.status == "absent"
        return known if isinstance(known, type) and unbound else None

    def constructor(self, owner: Class) -> tuple[Signature, ...]:
        """Return the signatures of `__init__` as a caller of the class sees them."""
        if owner.node.decorator_list or owner.node.keywords:
            return ()
        classes, complete = self._ancestry(owner, [])
        for one in classes if complete else classes[:1]:
            if isinstance(one, type):
                return ()
            inner = self._body(one)
            for name in ("__new__", "__init__"):
                for outcome in follow(inner, name, nothing_exported):
                    if isinstance(outcome, Bound) and outcome.overloads:
                        if name == "__new__":
                            return ()
                        return signatures_of(outcome.overloads, drop_first=True)
        return ()


@dataclass(frozen=True)
class _Later:
    """What a class gets after its body has run, by name and line."""

    assigned: dict[str, int]
    declared: dict[str, int]


def _read_later(node: ast.ClassDef) -> _Later:
    assigned: dict[str, int] = {}
    declared: dict[str, int] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            assigned.setdefault(inner.attr, inner.lineno)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            declared.setdefault(inner.target.id, inner.lineno)
    return _Later(assigned, declared)


def _is_property(node: Function) -> bool:
    names = [dotted(decorator) for decorator in node.decorator_list]
    return any(
        name and (name[-1].endswith("property") or name[-1] in {"setter", "getter", "deleter"})
        for name in names
    )
