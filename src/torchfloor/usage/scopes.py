"""A syntax tree -> the names each scope binds, and what to.

The standard library's symtable tells whose a name is, but neither what it is bound to nor where;
following an alias needs both.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torchfloor.usage.flow import (
    Attempt,
    Holds,
    after,
    caught_errors,
    starts_typing,
    suppressed_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torchfloor.usage.flow import Condition
    from torchfloor.usage.project import Module, Target

__all__ = [
    "Binding",
    "Function",
    "Scope",
    "class_scope",
    "comprehension_scope",
    "function_scope",
    "module_scope",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_TRIES = (ast.Try, ast.TryStar)


@dataclass(slots=True, eq=False)
class Binding:
    """One place that binds a name; to something unknown, if it says nothing else.

    Attributes:
        path: The absolute dotted name that an import binds.
        value: The expression that an assignment binds.
        function: The function that a `def` binds.
        conditions: What holds where the binding happens.
        optional: Whether the module goes on where the binding fails.
        typing: Whether it happens for type checkers only.
        followed: Whether `target` is known.
        target: What it stands for.
    """

    path: str = ""
    value: ast.expr | None = None
    function: Function | None = None
    conditions: tuple[Condition, ...] = ()
    optional: bool = False
    typing: bool = False
    followed: bool = False
    target: Target | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function or comprehension.

    Attributes:
        module: The module it belongs to.
        parent: The scope around it; None for a module.
        is_class: Whether its names are hidden from the functions within.
        names: The bindings of each name, in the order of the text.
        elsewhere: Names declared `global` (True) or `nonlocal` (False) here.
        stars: The modules of this scope's `from … import *`.
    """

    module: Module
    parent: Scope | None = None
    is_class: bool = False
    names: dict[str, list[Binding]] = field(default_factory=dict)
    elsewhere: dict[str, bool] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def lookup(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """Find the scope that a name belongs to here, and the name's bindings there."""
        scope: Scope | None = self
        while scope is not None:
            is_global = scope.elsewhere.get(name) if scope.parent else None
            visible = scope is self or not scope.is_class
            if is_global:
                scope = self.module.scope
            elif is_global is None and visible and name in scope.names:
                return scope, scope.names[name]
            else:
                scope = scope.parent
        return None

    def bind(self, name: str, binding: Binding) -> None:
        """Add a binding of a name."""
        self.names.setdefault(name, []).append(binding)


def module_scope(module: Module, tree: ast.Module, text: bytes) -> Scope:
    """Collect what a module binds, in functions that say `global` too.

    Args:
        module: The module, whose scope this becomes.
        tree: Its syntax tree.
        text: Its source, to pass over what it cannot contain.
    """
    module.scope = scope = Scope(module)
    module.walrus = b":=" in text
    _Binder(scope).block(tree.body, ())
    if b"global" in text or b"nonlocal" in text:
        for node in ast.walk(tree):
            if isinstance(node, Function):
                _rebind(scope, node)
    return scope


def _rebind(module: Scope, function: Function) -> None:
    """Let a function's `global` bind in the module; what `nonlocal` names becomes unknown."""
    inner = Scope(module.module, module)
    _Binder(inner).block(function.body, ())
    for name, is_global in inner.elsewhere.items():
        if is_global:
            for binding in inner.names.get(name, ()):
                module.bind(name, binding)
        else:
            module.module.rebound.add(name)


def function_scope(parent: Scope, node: Function | ast.Lambda) -> Scope:
    """Collect what a function binds: its parameters, and its body's names."""
    scope = Scope(parent.module, parent)
    arguments = node.args
    for argument in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        *filter(None, (arguments.vararg, arguments.kwarg)),
    ):
        scope.bind(argument.arg, Binding())
    if not isinstance(node, ast.Lambda):
        _bind_type_parameters(scope, node)
        _Binder(scope).block(node.body, ())
    for name in parent.module.rebound & scope.names.keys():
        scope.bind(name, Binding())
    return scope


def class_scope(parent: Scope, node: ast.ClassDef) -> Scope:
    """Collect what a class body binds."""
    scope = Scope(parent.module, parent, is_class=True)
    _bind_type_parameters(scope, node)
    _Binder(scope).block(node.body, ())
    return scope


def _bind_type_parameters(scope: Scope, node: ast.AST) -> None:
    for parameter in getattr(node, "type_params", ()):  # Python 3.12
        scope.bind(parameter.name, Binding())


def comprehension_scope(parent: Scope, node: _Comprehension) -> Scope:
    """Collect the loop variables of a comprehension."""
    scope = Scope(parent.module, parent)
    for generator in node.generators:
        for name in _stored_names(generator.target):
            scope.bind(name, Binding())
    return scope


def _stored_names(*targets: ast.AST | None) -> Iterator[str]:
    for target in targets:
        if isinstance(target, ast.Name):  # most are
            yield target.id
        elif target is not None:
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


class _Binder:
    """Walks the statements of one scope, without entering the scopes within."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._walrus = scope.module.walrus
        self._optional = False
        self._typing = False

    def block(self, body: Sequence[ast.stmt], conditions: tuple[Condition, ...]) -> None:
        """Bind what the statements of a block bind."""
        for statement in body:
            self._statement(statement, conditions)
            if self._walrus:
                self._bind_walrus(statement)
            conditions = (*conditions, *after(statement, self._scope))

    def _statement(self, node: ast.stmt, conditions: tuple[Condition, ...]) -> None:  # noqa: C901, PLR0912 - one row a kind
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, conditions)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name if alias.asname else alias.name.partition(".")[0]
                self._bind([alias.asname or path], conditions, path=path)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node, conditions)
        elif isinstance(node, Function):
            self._bind([node.name], conditions, function=node)
        elif isinstance(node, ast.ClassDef):
            self._bind([node.name], conditions)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, node.value, conditions)
        elif isinstance(node, ast.AugAssign):
            self._bind(_stored_names(node.target), conditions)
        elif isinstance(node, ast.If):
            self._if(node, conditions)
        elif isinstance(node, _TRIES):
            self._try(node, conditions)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._bind(_stored_names(node.target), conditions)
            self.block([*node.body, *node.orelse], conditions)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            self._bind(_stored_names(*(i.optional_vars for i in node.items)), conditions)
            before = self._optional
            self._optional = before or bool(suppressed_errors(node))
            self.block(node.body, conditions)
            self._optional = before
        elif isinstance(node, ast.While):
            self.block([*node.body, *node.orelse], conditions)
        elif isinstance(node, ast.Match):
            self._match(node, conditions)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            is_global = isinstance(node, ast.Global)
            self._scope.elsewhere |= dict.fromkeys(node.names, is_global)
        else:  # of the rest, only `type X = …` (Python 3.12) binds a name
            self._bind(_stored_names(getattr(node, "name", None)), conditions)

    def _bind(
        self,
        names: Iterable[str],
        conditions: tuple[Condition, ...],
        *,
        path: str = "",
        value: ast.expr | None = None,
        function: Function | None = None,
    ) -> None:
        for name in names:
            binding = Binding(path, value, function, conditions, self._optional, self._typing)
            self._scope.bind(name, binding)

    def _assign(self, target: ast.expr, value: ast.expr, conditions: tuple[Condition, ...]) -> None:
        if isinstance(target, ast.Name):
            self._bind([target.id], conditions, value=value)
        elif _match_up(target, value):
            for one, its in zip(target.elts, value.elts, strict=True):  # type: ignore[attr-defined]
                self._assign(one, its, conditions)
        else:
            self._bind(_stored_names(target), conditions)

    def _import_from(self, node: ast.ImportFrom, conditions: tuple[Condition, ...]) -> None:
        origin = self._scope.module.absolute(node)
        for alias in node.names:
            if alias.name == "*":
                self._scope.stars.append(origin)
            else:
                path = f"{origin}.{alias.name}"
                self._bind([alias.asname or alias.name], conditions, path=path)

    def _if(self, node: ast.If, conditions: tuple[Condition, ...]) -> None:
        before = self._typing
        self._typing = before or starts_typing(node.test)
        self.block(node.body, (*conditions, Holds(node.test, self._scope, wanted=True)))
        self._typing = before
        self.block(node.orelse, (*conditions, Holds(node.test, self._scope, wanted=False)))

    def _try(self, node: ast.Try | ast.TryStar, conditions: tuple[Condition, ...]) -> None:
        before = self._optional
        went_well = (*conditions, Attempt(node, self._scope, succeeded=True))
        self._optional = before or bool(caught_errors(node))
        self.block([*node.body, *node.orelse], went_well)
        self._optional = before
        for handler in node.handlers:
            if handler.name:
                self._bind([handler.name], conditions)
            self.block(handler.body, (*conditions, Attempt(node, self._scope, succeeded=False)))
        self.block(node.finalbody, conditions)

    def _match(self, node: ast.Match, conditions: tuple[Condition, ...]) -> None:
        for case in node.cases:
            for part in ast.walk(case.pattern):
                names = [getattr(part, key, None) for key in ("name", "rest")]
                self._bind([name for name in names if isinstance(name, str)], conditions)
            self.block(case.body, conditions)

    def _bind_walrus(self, statement: ast.stmt) -> None:
        """Bind `name := value`, in a statement's own expressions, comprehensions included."""
        waiting: list[ast.AST] = [
            child
            for child in ast.iter_child_nodes(statement)
            if isinstance(child, (ast.expr, ast.withitem))
        ]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.NamedExpr):
                self._bind([node.target.id], (), value=node.value)
            if not isinstance(node, _NESTED):
                waiting.extend(ast.iter_child_nodes(node))


def _match_up(target: ast.expr, value: ast.expr) -> bool:
    """Tell whether `a, b = x, y` can be read as two assignments."""
    sequences = (ast.Tuple, ast.List)
    return (
        isinstance(target, sequences)
        and isinstance(value, sequences)
        and len(target.elts) == len(value.elts)
        and not any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts))
    )
