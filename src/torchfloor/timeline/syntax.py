"""Small questions about syntax trees that several rooms ask."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "ANY",
    "DEFINITIONS",
    "LITERALS",
    "Function",
    "called",
    "dotted",
    "executed",
    "is_loaded",
    "is_namespace",
    "is_own_name",
    "is_stored",
    "may_bind",
    "names_in",
    "writes_globals",
]

ANY = "*"
"""Stands for every name."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict)


def dotted(node: ast.expr) -> list[str] | None:
    """Return the parts of `a.b.c`, or None for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return [node.id, *reversed(parts)]


def executed(statement: ast.AST, *, definitions: bool = False) -> Iterator[ast.AST]:
    """Walk what runs when a statement runs: not into the bodies of functions and classes."""
    pending = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, (*DEFINITIONS, ast.Lambda)):
            if definitions:
                yield node
            continue
        yield node
        if isinstance(node, ast.comprehension):  # its variable is its own
            pending.extend((node.iter, *node.ifs))
        else:
            pending.extend(ast.iter_child_nodes(node))


def called(node: ast.AST) -> str:
    """Return the name of the function that a call is of; nothing for anything else."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def is_namespace(node: ast.expr) -> bool:
    """Tell whether an expression is the module's own dictionary, or the module itself."""
    if isinstance(node, ast.Call):
        return called(node) in {"globals", "locals", "vars"} and not node.args
    return isinstance(node, ast.Subscript) and dotted(node.value) in (
        ["sys", "modules"],
        ["_sys", "modules"],
    )


def writes_globals(node: ast.AST) -> bool:
    """Tell whether a part binds names of its module other than by a statement for that."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        return is_namespace(node.value) or (is_namespace(node) and is_own_name(node.slice))
    if not isinstance(node, ast.Call):
        return False
    if called(node) == "exec":
        return True
    if called(node) in {"setattr", "delattr"}:
        return bool(node.args) and is_namespace(node.args[0])
    if any(map(_is_own_namespace, node.args)) and called(node) not in _READERS:
        return True  # whoever is handed a module can write into it
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in {"update", "setdefault", "__setitem__"}
        and is_namespace(node.func.value)
        and called(node.func.value) != ""
    )


def _is_own_namespace(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        return is_namespace(node) and is_own_name(node.slice)
    return is_namespace(node)


_READERS = frozenset(
    {"dir", "eval", "getattr", "hasattr", "isinstance", "len", "list", "sorted", "type"}
)


def is_own_name(node: ast.expr) -> bool:
    """Tell whether an expression is `__name__`."""
    return isinstance(node, ast.Name) and node.id == "__name__"


def may_bind(statement: ast.stmt, writers: frozenset[str]) -> frozenset[str]:
    """Return the names that a statement may bind; `*` alone if it may bind any.

    Args:
        statement: At the top level of a file or class.
        writers: Functions of the file that bind names of the module when they are called.
    """
    if isinstance(statement, DEFINITIONS):
        return frozenset({statement.name})
    names: set[str] = set()
    for node in executed(statement, definitions=True):
        if isinstance(node, DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            if node.name == "*":
                return frozenset({ANY})
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif writes_globals(node) or (called(node) in writers):
            return frozenset({ANY})
    return frozenset(names)


def names_in(node: ast.AST) -> Iterable[str]:
    """Yield the names that a part mentions."""
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def is_stored(node: ast.Name) -> bool:
    """Tell whether a name is given a value here."""
    return isinstance(node.ctx, ast.Store)


def is_loaded(node: ast.Name) -> bool:
    """Tell whether a name's value is used here."""
    return isinstance(node.ctx, ast.Load)
