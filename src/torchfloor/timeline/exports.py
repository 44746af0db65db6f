"""A file's `__all__`: the names that stand there in writing, and what code may add."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchfloor.timeline.syntax import dotted, is_stored, names_in

if TYPE_CHECKING:
    from torchfloor.timeline.source import Source

__all__ = ["Exports", "read_exports"]


@dataclass(frozen=True)
class Exports:
    """What a file's `__all__` says.

    Attributes:
        names: The names that stand there in writing; None without `__all__`.
        possible: Those that are added under a condition.
        modules: Dotted names of modules, as the file calls them, whose `__all__` is added.
        complete: Whether no others are put there by code.
    """

    names: frozenset[str] | None
    possible: frozenset[str]
    modules: tuple[tuple[str, ...], ...]
    complete: bool


def read_exports(source: Source) -> Exports:
    """Read the `__all__` of a file."""
    return _Reader(source).read()


def _binds_all(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == "__all__" for t in statement.targets)
    if isinstance(statement, ast.AugAssign | ast.AnnAssign):
        return isinstance(statement.target, ast.Name) and statement.target.id == "__all__"
    return False


class _Reader:
    """Reads `__all__`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names: set[str] = set()
        self.possible: set[str] = set()
        self.modules: list[tuple[str, ...]] = []
        self.seen = False
        self.complete = True

    def read(self) -> Exports:
        texts = (text for found in self.source.definitions.values() for _, text in found)
        self.complete = not any("__all__" in text for text in texts)
        for statement in self.source.statements:
            self._follow(statement, self.names)
        return Exports(
            frozenset(self.names) if self.seen else None,
            frozenset(self.possible),
            tuple(self.modules),
            self.complete,
        )

    def _follow(self, statement: ast.stmt, into: set[str]) -> None:
        if _binds_all(statement):
            self.seen = True
            value = getattr(statement, "value", None)
            if value is not None:
                self._add(value, into)
        elif self._extends(statement, into) or "__all__" not in names_in(statement):
            return
        elif isinstance(statement, ast.If | ast.Try):
            blocks = [statement.body, statement.orelse]
            if isinstance(statement, ast.Try):
                blocks += [statement.finalbody, *(h.body for h in statement.handlers)]
            for inner in (node for block in blocks for node in block):
                self._follow(inner, self.possible)
        else:
            self.complete = False
            self.seen = self.seen or any(map(_stores_all, ast.walk(statement)))

    def _extends(self, statement: ast.stmt, into: set[str]) -> bool:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return False
        if dotted(call.func.value) != ["__all__"] or len(call.args) != 1:
            return False
        if call.func.attr == "extend":
            self._add(call.args[0], into)
        elif call.func.attr == "append":
            self._add(ast.List(elts=[call.args[0]], ctx=ast.Load()), into)
        else:
            return False
        return True

    def _add(self, value: ast.expr, into: set[str]) -> None:
        if isinstance(value, ast.List | ast.Tuple | ast.Set):
            for element in value.elts:
                if isinstance(element, ast.Constant) and isinstance(element.value, str):
                    into.add(element.value)
                else:
                    self.complete = False
        elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            self._add(value.left, into)
            self._add(value.right, into)
        elif isinstance(value, ast.Name) and value.id == "__all__":
            return
        elif (parts := dotted(value)) and parts[-1] == "__all__" and into is self.names:
            self.modules.append(tuple(parts[:-1]))
        elif isinstance(value, ast.Name) and value.id in self.source.literals:
            self._add(self.source.literals[value.id], into)
        else:
            self.complete = False


def _stores_all(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "__all__" and is_stored(node)
