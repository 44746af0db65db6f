"""A module's own `__getattr__`: the names that it may answer for."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from torchfloor.timeline.syntax import executed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.timeline.source import Source

__all__ = ["answers_for"]


def answers_for(source: Source, name: str) -> bool:
    """Tell whether the module's `__getattr__` may answer for a name.

    It may not where each of its returns stands under a test that compares the name with
    texts written out in this file, and this name is not among them.
    """
    getter = _getter(source)
    if getter is None:
        return False
    if not getter.args.args or not isinstance(getter.body[-1], ast.Raise | ast.Return | ast.If):
        return True
    texts: set[str] = set()
    return not _closed(getter.body, source, getter, (), texts) or name in texts


def _getter(source: Source) -> ast.FunctionDef | None:
    """Return the function, wherever it stands."""
    nested = (n for s in source.statements for n in executed(s, definitions=True))
    for node in (*source.defined("__getattr__"), *nested):
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            return node
    return None


def _closed(
    body: Sequence[ast.stmt],
    source: Source,
    getter: ast.FunctionDef,
    tests: tuple[ast.expr, ...],
    texts: set[str],
) -> bool:
    """Collect the texts under whose tests a block returns; False where it returns otherwise."""
    for statement in body:
        if isinstance(statement, ast.Return):
            if not tests or not all(
                _collect(test, source, getter, texts, 0) for test in tests[-1:]
            ):
                return False
        elif isinstance(statement, ast.If):
            inner = (*tests, statement.test)
            if not _closed(statement.body, source, getter, inner, texts):
                return False
            if not _closed(statement.orelse, source, getter, tests, texts):
                return False
        elif any(isinstance(part, ast.Return) for part in executed(statement)):
            return False
    return True


def _collect(
    test: ast.expr, source: Source, getter: ast.FunctionDef, texts: set[str], depth: int
) -> bool:
    """Collect the texts that a test compares with; False where they are not written out."""
    if depth > 5:  # noqa: PLR2004 - nobody writes that
        return False
    if isinstance(test, ast.Dict):
        keys = [key.value for key in test.keys if isinstance(key, ast.Constant)]
        texts.update(map(str, keys))
        return len(keys) == len(test.keys)
    asked = getter.args.args[0].arg
    local = {
        node.targets[0].id: node.value
        for node in ast.walk(getter)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for part in ast.walk(test):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            texts.add(part.value)
        elif isinstance(part, ast.Name) and part.id != asked:
            value = local.get(part.id, source.literals.get(part.id))
            if value is None or not _collect(value, source, getter, texts, depth + 1):
                return False
        elif not _is_plain(part):
            return False
    return True


def _is_plain(part: ast.AST) -> bool:
    """Tell whether a part of a test only compares, or looks something up."""
    if isinstance(part, ast.Compare):
        return all(isinstance(op, ast.Eq | ast.In | ast.Is | ast.IsNot) for op in part.ops)
    return not isinstance(part, ast.Call) or _is_get(part)


def _is_get(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in {"get", "keys"}
