"""A definition in a syntax tree -> its signature, in few words."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from torchfloor.timeline.model import Parameter, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_documented", "read_signature", "write_signature"]

_MAX_TEXT = 400
"""Characters of a default or annotation; a longer one is cut, so that no file can flood a line."""


def read_signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, *, drop_first: bool = False
) -> Signature:
    """Read the signature of a function.

    Args:
        node: Its definition.
        drop_first: Leave out the first parameter, which Python fills in.
    """
    parameters = tuple(_parameters(node.args))
    returns = None if node.name == "__init__" else _text(node.returns)
    return Signature(parameters[1:] if drop_first else parameters, returns)


def read_documented(text: str, name: str) -> Signature | None:
    """Read a signature off the first line of a docstring, such as `norm(x, ord=2) -> Tensor`.

    Args:
        text: The docstring.
        name: The function's name; the line must be about it.
    """
    line = text.strip().partition("\n")[0].strip().rstrip("\\").strip()
    called, bracket, rest = line.partition("(")
    if not bracket or called.rpartition(".")[2] != name:
        return None
    try:
        tree = ast.parse(f"def documented({rest}: ...")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    node = tree.body[0]
    return read_signature(node) if isinstance(node, ast.FunctionDef) else None


def write_signature(signature: Signature, *, annotations: bool = True) -> str:
    """Write a signature the way Python does: `(self, dim=None, *, dtype=None) -> Tensor`."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in signature.parameters]
    for position, parameter in enumerate(signature.parameters):
        if parameter.kind == "keyword-only" and not {"variadic", "keyword-only"} & set(
            kinds[:position]
        ):
            parts.append("*")
        parts.append(_write_parameter(parameter, annotations=annotations))
        is_last = kinds[position + 1 : position + 2] != ["positional-only"]
        if parameter.kind == "positional-only" and is_last:
            parts.append("/")
    returns = f" -> {signature.returns}" if annotations and signature.returns else ""
    return f"({', '.join(parts)}){returns}"


def _write_parameter(parameter: Parameter, *, annotations: bool) -> str:
    stars = {"variadic": "*", "keywords": "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    noted = annotations and parameter.annotation is not None
    if noted:
        text += f": {parameter.annotation}"
    if parameter.default is not None:
        text += f" = {parameter.default}" if noted else f"={parameter.default}"
    return text


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for position, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        only = position < len(arguments.posonlyargs)
        kind = "positional-only" if only else "positional"
        yield Parameter(argument.arg, kind, _text(argument.annotation), _text(default))  # type: ignore[arg-type]
    if arguments.vararg:
        yield Parameter(arguments.vararg.arg, "variadic", _text(arguments.vararg.annotation))
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(argument.arg, "keyword-only", _text(argument.annotation), _text(value))
    if arguments.kwarg:
        yield Parameter(arguments.kwarg.arg, "keywords", _text(arguments.kwarg.annotation))


def _text(node: ast.expr | None) -> str | None:
    if node is None:
        return None
    try:
        text = ast.unparse(node)
    except RecursionError:
        return "…"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
