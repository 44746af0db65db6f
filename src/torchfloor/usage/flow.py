"""What holds where a statement runs: tests passed, attempts that went well or failed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchfloor.usage.scopes import Scope

__all__ = [
    "Attempt",
    "Condition",
    "Given",
    "Holds",
    "after",
    "always_raises",
    "caught_errors",
    "leaves",
    "starts_typing",
    "suppressed_errors",
]


class Holds(NamedTuple):
    """A test came out as wanted."""

    test: ast.expr
    scope: Scope
    wanted: bool

    def __str__(self) -> str:
        return f"{'if' if self.wanted else 'unless'} {_shorten(ast.unparse(self.test))}"


class Attempt(NamedTuple):
    """The body of a `try` ran to its end, or did not."""

    statement: ast.Try | ast.TryStar
    scope: Scope
    succeeded: bool

    def __str__(self) -> str:
        ended = "ran" if self.succeeded else "failed"
        return f"where the try of line {self.statement.lineno} {ended}"


class Given(NamedTuple):
    """A name of the dependency exists, because a variable holds it (else it holds None)."""

    name: str

    def __str__(self) -> str:
        return f"where {self.name} was found"


Condition = Holds | Attempt | Given

_LONGEST = 60
_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_EXITS = {"exit", "quit", "sys.exit", "os._exit"}
_SKIPS = {"pytest.skip", "pytest.xfail", "pytest.fail", "self.skipTest", "self.fail"}
_CATCHES = {
    "AttributeError": {"AttributeError"},
    "ImportError": {"ImportError", "ModuleNotFoundError"},
    "ModuleNotFoundError": {"ModuleNotFoundError"},
}
_EVERYTHING = {"AttributeError", "ImportError", "ModuleNotFoundError"}


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Tell whether what follows a block is never reached through it."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, _LEAVING):
        return True
    if isinstance(last, ast.If):
        return leaves(last.body) and leaves(last.orelse)
    return is_exit(last) or _calls(last, _SKIPS)


def always_raises(body: Sequence[ast.stmt]) -> bool:
    """Tell whether a block ends in an error or in the end of the process, so that it saves none."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.If):
        return always_raises(last.body) and always_raises(last.orelse)
    return isinstance(last, ast.Raise) or is_exit(last)


def is_exit(statement: ast.stmt) -> bool:
    """Tell whether a statement ends the process."""
    return _calls(statement, _EXITS)


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and _dotted(statement.value.func) in names
    )


def _dotted(node: ast.expr) -> str:
    """Spell a name or a chain of attributes as it is written; empty for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def caught_errors(statement: ast.Try | ast.TryStar) -> dict[str, str]:
    """Find which failures to look up or import a name a `try` survives.

    Returns:
        The errors' names, each with the words of the `except` that takes it. A handler that always
        raises saves nothing.
    """
    caught: dict[str, str] = {}
    taken: set[str] = set()
    for handler in statement.handlers:
        errors = handled_errors(handler.type) - taken
        taken |= errors
        if not always_raises(handler.body):
            words = ast.unparse(handler.type) if handler.type else ""
            caught |= dict.fromkeys(errors, f"try … except {words}".rstrip())
    return caught


def handled_errors(kind: ast.expr | None) -> set[str]:
    """Name the failures to find something that an `except` clause, or a `suppress`, takes."""
    if kind is None:
        return set(_EVERYTHING)
    if isinstance(kind, ast.Tuple):
        return set().union(*map(handled_errors, kind.elts))
    name = _dotted(kind).rpartition(".")[2]
    if name in {"Exception", "BaseException"}:
        return set(_EVERYTHING)
    return set(_CATCHES.get(name, ()))


def suppressed_errors(statement: ast.With | ast.AsyncWith) -> dict[str, str]:
    """Find which failures to find something a `with contextlib.suppress(…)` survives."""
    caught: dict[str, str] = {}
    for item in statement.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and _dotted(call.func).rpartition(".")[2] == "suppress":
            errors = set().union(*map(handled_errors, call.args))
            caught |= dict.fromkeys(errors, f"with {_shorten(ast.unparse(call))}")
    return caught


def starts_typing(test: ast.expr) -> bool:
    """Tell whether a test is true for type checkers only."""
    return _dotted(test).rpartition(".")[2] == "TYPE_CHECKING"


def after(statement: ast.stmt, scope: Scope) -> Iterator[Condition]:
    """Yield what holds in the rest of a block once a statement has been passed."""
    if isinstance(statement, ast.If):
        if leaves(statement.body):
            yield Holds(statement.test, scope, wanted=False)
        elif leaves(statement.orelse):
            yield Holds(statement.test, scope, wanted=True)
    elif isinstance(statement, ast.Assert):
        yield Holds(statement.test, scope, wanted=True)
    elif isinstance(statement, (ast.Try, ast.TryStar)) and all(
        leaves(h.body) for h in statement.handlers
    ):
        yield Attempt(statement, scope, succeeded=True)
