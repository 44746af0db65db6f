"""Code that writes names into a module's globals -> what these names look like."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from torchfloor.timeline.syntax import (
    called,
    dotted,
    executed,
    is_namespace,
    names_in,
    writes_globals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchfloor.timeline.source import Source

__all__ = ["copied_module", "copied_modules", "keys_of", "spelled"]


def copied_module(node: ast.stmt, source: Source) -> str | None:
    """Recognise `for name in dir(module): globals()[name] = getattr(module, name)`."""
    if not isinstance(node, ast.For) or not isinstance(node.target, ast.Name):
        return None
    if called(node.iter) != "dir" or not isinstance(node.iter, ast.Call) or not node.iter.args:
        return None
    name = dotted(node.iter.args[0])
    stores = [p for s in node.body for p in executed(s) if writes_globals(p)]
    plain = any(
        isinstance(p, ast.Subscript)
        and isinstance(p.slice, ast.Name)
        and p.slice.id == node.target.id
        for p in stores
    )
    if name is None or not plain:
        return None
    return ".".join(name) if name[0] == source.module else f"{source.module}.{'.'.join(name)}"


def spelled(loop: ast.stmt, source: Source) -> set[str]:
    """Return the texts in a loop, and in the written-out values that it names."""
    named = set(names_in(loop)) & (source.literals.keys() - {"__all__"})
    values = [source.literals[name] for name in named]
    nodes = (node for part in (loop, *values) for node in ast.walk(part))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def copied_modules(source: Source) -> Iterator[str]:
    """Yield the modules whose names a file copies."""
    for statement in source.statements:
        for node in executed(statement):
            if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
                yield source.absolute(node)
            elif isinstance(node, ast.stmt) and (module := copied_module(node, source)):
                yield module


def keys_of(part: ast.AST, source: Source) -> re.Pattern[str] | None:
    """Return what the names look like that a part writes into the globals, if that is known."""
    key = id(part)
    if key not in source.keys:
        source.keys[key] = _read_keys(part, source)
    return source.keys[key]


def _read_keys(part: ast.AST, source: Source) -> re.Pattern[str] | None:
    """Return what the names look like that a part writes, if that is known."""
    if isinstance(part, ast.Subscript):
        key: ast.expr | None = None if not is_namespace(part.value) else part.slice
        if called(part.value) == "" and key is not None:
            return None  # sys.modules[...][...] is no dictionary of names
    elif called(part) in {"setattr", "delattr"} and isinstance(part, ast.Call):
        key = part.args[1] if len(part.args) > 1 else None
    else:
        key = None
    pattern = None if key is None else _pattern(key, source, 0)
    if pattern is None or not pattern.replace(".*", ""):
        return None
    return re.compile(pattern)


def _pattern(  # noqa: PLR0911 - a line for each kind of expression
    node: ast.expr, source: Source, depth: int
) -> str | None:
    """Return a regular expression of the texts that an expression can be."""
    if depth > 5:  # noqa: PLR2004 - nobody writes that
        return ".*"
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(v, source, depth + 1) or ".*" for v in node.values)
    if isinstance(node, ast.FormattedValue):
        return _pattern(node.value, source, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = (_pattern(side, source, depth + 1) or ".*" for side in (node.left, node.right))
        return "".join(sides)
    if isinstance(node, ast.Name):
        return _pattern_of_name(node.id, source, depth)
    return ".*"


def _pattern_of_name(name: str, source: Source, depth: int) -> str:
    found: set[str] = set()
    for statement in source.statements:
        for node in executed(statement):
            if isinstance(node, ast.For) and name in names_in(node.target):
                found |= _elements(node, source)
            elif isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                    plain = isinstance(node, ast.Assign)
                    found.add((_pattern(node.value, source, depth + 1) or ".*") if plain else ".*")
    return f"(?:{'|'.join(sorted(found))})" if found and ".*" not in found else ".*"


def _elements(loop: ast.For, source: Source) -> set[str]:
    values: ast.expr | None = loop.iter
    if isinstance(values, ast.Name):
        values = source.literals.get(values.id)
    if isinstance(loop.target, ast.Name) and isinstance(values, ast.List | ast.Tuple | ast.Set):
        texts = [v.value for v in values.elts if isinstance(v, ast.Constant)]
        if len(texts) == len(values.elts):
            return {re.escape(str(text)) for text in texts}
    return {".*"}
