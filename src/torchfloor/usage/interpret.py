"""A test in the code -> true, false or unknown in one release, by a small safe interpreter.

It knows constants, comparisons, version objects, `hasattr` and the like, flags, and the helper
functions of the code base. Whatever else there is gives UNKNOWN, and so does all that follows.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from torchfloor.usage.checks import Sight, is_possible
from torchfloor.usage.flow import handled_errors
from torchfloor.usage.known import Known
from torchfloor.usage.values import (
    RAISED,
    UNKNOWN,
    Closure,
    LostError,
    MissingError,
    Names,
    Ref,
    Value,
    VersionText,
    are_numbers,
    attempted,
    is_odd,
    is_small,
    same,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.usage.checks import World
    from torchfloor.usage.scopes import Binding, Scope

__all__ = ["truth_of"]

Locals = dict[str, Value]

_MOST_STEPS = 2000
_DEEPEST = 60


_COMPARES_AS_VERSION = {"torch"}
_COMPARE: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_TEXT_METHODS = frozenset(
    {"endswith", "find", "isdigit", "lower", "lstrip", "partition", "removeprefix"}
    | {"removesuffix", "replace", "rpartition", "rsplit", "rstrip", "split", "startswith"}
    | {"strip", "upper"}
)
_VERSION_PARTS = frozenset(
    {"base_version", "dev", "is_devrelease", "is_postrelease", "is_prerelease", "local", "major"}
    | {"micro", "minor", "post", "pre", "public", "release"}
)
_TRANSPARENT = {"cache", "lru_cache"}


def truth_of(test: ast.expr, scope: Scope, world: World) -> bool | None:
    """Tell whether a test is true in a release, or None if that cannot be known.

    Args:
        test: The expression.
        scope: Where it stands.
        world: The release. A release has several `__version__`s (`2.1.0`, `2.1.0+cpu`): the test
            is known only if all of them give the same.
    """
    if test in world.truths:
        return world.truths[test]
    world.truths[test] = None  # while it is looked at: a test may lead back to itself
    answers = set()
    outermost = world.steps is None
    for version in world.versions() or (None,):
        if outermost:
            world.steps = _MOST_STEPS
        try:
            answers.add(truth(_Interpreter(world, version).value(test, scope, {})))
        except (MissingError, LostError, RecursionError):
            answers.add(None)
    if outermost:
        world.steps = None
    world.truths[test] = answers.pop() if len(answers) == 1 else None
    return world.truths[test]


class _Interpreter:
    """Evaluates expressions and helper functions as one build of one release would."""

    def __init__(self, world: World, version: str | None) -> None:
        self._world = world
        self._project = world.project
        self._version = version
        self._known = Known(world, version)
        self._depth = 0

    def value(self, node: ast.expr, scope: Scope, local: Locals) -> Value:
        """Return what an expression gives.

        Raises:
            MissingError: If it fails for want of a name.
            LostError: If following it takes too long.
        """
        self._step()
        if self._depth > _DEEPEST:
            raise LostError
        if isinstance(node, ast.Constant):
            return node.value
        kind = _KINDS.get(type(node))
        if kind is None:
            return UNKNOWN
        self._depth += 1
        try:
            return kind(self, node, scope, local)
        finally:
            self._depth -= 1

    def _step(self) -> None:
        left = self._world.steps or 0
        if left <= 0:
            raise LostError
        self._world.steps = left - 1

    # names

    def name(self, node: ast.Name, scope: Scope, local: Locals) -> Value:
        if node.id in local:
            return local[node.id]
        found = scope.lookup(node.id)
        if found is None:
            return self._unbound(node, scope)
        return self._merge(self._binding(b, found[0]) for b in self._effective(found[1]))

    def _unbound(self, node: ast.Name, scope: Scope) -> Value:
        target = self._project.resolve(node, scope)  # through `from … import *`
        if target is not None:
            return UNKNOWN if target.doubt else self._ref(target.path, scope)
        return Ref(node.id)

    def _effective(self, bindings: Sequence[Binding]) -> list[Binding]:
        """Leave out what this release never binds."""
        if len(bindings) == 1 or any(map(_is_opaque, bindings)):
            return list(bindings)
        return [b for b in bindings if not b.typing and is_possible(b.conditions, self._world)]

    def _binding(self, binding: Binding, scope: Scope) -> Value:
        if binding.function is not None:
            return Closure(binding.function, scope)
        if binding.path:
            return self._ref(binding.path, scope)
        if binding.value is None:
            return UNKNOWN
        values, key = self._world.values, (binding, self._version)
        if key not in values:
            values[key] = UNKNOWN  # while it is looked for: a binding may lead back to itself
            try:
                values[key] = _unless_mutable(self.value(binding.value, scope, {}), scope)
            except BaseException:
                del values[key]
                raise
        return values[key]

    def _merge(self, values: Any) -> Value:  # noqa: ANN401 - any iterable of values
        merged: list[Value] = []
        for value in values:
            if value is not RAISED and not any(same(value, other) for other in merged):
                merged.append(value)
        return merged[0] if len(merged) == 1 else UNKNOWN

    def _ref(self, path: str, scope: Scope) -> Value:
        """Return what has a dotted name: of the dependency, the code base, or anything else."""
        if self._project.is_dependency(path):
            return self._dependency(path)
        module, rest = self._project.locate(path, scope.module)
        if module is None or not rest:
            return Ref(path)
        value = self.name(ast.Name(rest[0], ast.Load()), module.scope, {})
        for name in rest[1:]:
            value = self._part(value, name, module.scope)
        return value

    def _dependency(self, path: str) -> Value:
        root, _, rest = path.partition(".")
        if rest in {"__version__", "version.__version__", "torch_version.__version__"}:
            return self._version_text()
        if not rest:
            return Ref(root)
        if self._world.look(path) is Sight.ABSENT and not self._world.lenient:
            error = "AttributeError"
            raise MissingError(error)
        return Ref(path)

    def _version_text(self) -> Value:
        if self._version is None:
            return UNKNOWN
        if self._project.root in _COMPARES_AS_VERSION:
            return VersionText(self._version)
        return self._version

    def attribute(self, node: ast.Attribute, scope: Scope, local: Locals) -> Value:
        return self._part(self.value(node.value, scope, local), node.attr, scope)

    def _part(self, value: Value, name: str, scope: Scope) -> Value:
        if isinstance(value, Ref):
            return self._ref(f"{value.path}.{name}", scope)
        if isinstance(value, Version) and name in _VERSION_PARTS:
            return getattr(value, name)
        if isinstance(value, str) and name in _TEXT_METHODS:
            return getattr(str(value), name) if is_small(value) else UNKNOWN
        return UNKNOWN

    def named(self, node: ast.NamedExpr, scope: Scope, local: Locals) -> Value:
        return self.value(node.value, scope, local)

    # operators

    def bool_op(self, node: ast.BoolOp, scope: Scope, local: Locals) -> Value:
        stops = isinstance(node.op, ast.Or)
        unknown = False
        value: Value = UNKNOWN
        for operand in node.values:
            try:
                value = self.value(operand, scope, local)
            except MissingError:
                if not unknown:
                    raise
                value = UNKNOWN
            came_out = truth(value)
            if came_out is stops:
                return stops if unknown else value
            unknown = unknown or came_out is None
        return UNKNOWN if unknown else value

    def unary(self, node: ast.UnaryOp, scope: Scope, local: Locals) -> Value:
        value = self.value(node.operand, scope, local)
        if isinstance(node.op, ast.Not):
            came_out = truth(value)
            return UNKNOWN if came_out is None else not came_out
        is_negative = isinstance(node.op, ast.USub) and isinstance(value, (int, float))
        return -value if is_negative else UNKNOWN

    def compare(self, node: ast.Compare, scope: Scope, local: Locals) -> Value:
        left = self.value(node.left, scope, local)
        results = []
        for kind, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node, scope, local)
            results.append(self._compare_two(kind, left, right))
            left = right
        if False in results:
            return False
        return UNKNOWN if UNKNOWN in results else True

    def _compare_two(self, kind: ast.cmpop, left: Value, right: Value) -> Value:
        if isinstance(kind, (ast.Is, ast.IsNot)):
            same = self._identical(left, right)
            return same if same is UNKNOWN else same is isinstance(kind, ast.Is)
        if isinstance(kind, (ast.In, ast.NotIn)):
            contained = self._contains(right, left)
            return contained if contained is UNKNOWN else contained is isinstance(kind, ast.In)
        if is_odd(left) or is_odd(right):
            return UNKNOWN
        return attempted(_COMPARE[type(kind)], left, right)

    def _identical(self, left: Value, right: Value) -> Value:
        if isinstance(right, Ref):
            left, right = right, left
        if isinstance(left, Ref) and right is None:
            solid = self._project.is_dependency(left.path) and (
                self._world.look(left.path) is Sight.SOLID or left.path == self._project.root
            )
            return False if solid else UNKNOWN
        if is_odd(left) or is_odd(right) or not (right is None or isinstance(right, bool)):
            return UNKNOWN
        return left is right

    def _contains(self, group: Value, item: Value) -> Value:
        if isinstance(group, Names) and isinstance(item, str):
            return self._known.has(Ref(group.path), item)
        if is_odd(group) or is_odd(item):
            return UNKNOWN
        return attempted(operator.contains, group, item)

    def binary(self, node: ast.BinOp, scope: Scope, local: Locals) -> Value:
        left = self.value(node.left, scope, local)
        right = self.value(node.right, scope, local)
        operate = _ARITHMETIC.get(type(node.op))
        if operate is None or not (is_small(left) and is_small(right)):
            return UNKNOWN
        if isinstance(node.op, ast.Mult) and not are_numbers(left, right):
            return UNKNOWN
        return attempted(operate, left, right)

    def if_else(self, node: ast.IfExp, scope: Scope, local: Locals) -> Value:
        came_out = truth(self.value(node.test, scope, local))
        if came_out is not None:
            return self.value(node.body if came_out else node.orelse, scope, local)
        return self._merge(self.value(one, scope, local) for one in (node.body, node.orelse))

    # containers

    def items(self, node: ast.Tuple | ast.List, scope: Scope, local: Locals) -> Value:
        items = [self.value(item, scope, local) for item in node.elts]
        if any(item is UNKNOWN for item in items):
            return UNKNOWN
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def dict(self, node: ast.Dict, scope: Scope, local: Locals) -> Value:
        keys = [UNKNOWN if key is None else self.value(key, scope, local) for key in node.keys]
        values = [self.value(value, scope, local) for value in node.values]
        if not all(isinstance(key, (str, int, bool)) for key in keys):
            return UNKNOWN
        return dict(zip(keys, values, strict=True))

    def subscript(self, node: ast.Subscript, scope: Scope, local: Locals) -> Value:
        value = self.value(node.value, scope, local)
        if isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            bounds = [None if end is None else self.value(end, scope, local) for end in ends]
            index: Value = UNKNOWN if any(map(is_odd, bounds)) else slice(*bounds)
        else:
            index = self.value(node.slice, scope, local)
        if not isinstance(value, (str, tuple, list, dict)) or is_odd(index):
            return UNKNOWN
        return attempted(operator.getitem, value, index)

    def comprehension(
        self, node: ast.GeneratorExp | ast.ListComp, scope: Scope, local: Locals
    ) -> Value:
        loop, *more = node.generators
        group = self.value(loop.iter, scope, local)
        if more or not isinstance(loop.target, ast.Name) or not isinstance(group, (list, tuple)):
            return UNKNOWN
        items = []
        for item in group:
            inner = local | {loop.target.id: item}
            kept = [truth(self.value(test, scope, inner)) for test in loop.ifs]
            value = self.value(node.elt, scope, inner)
            if None in kept or value is UNKNOWN:
                return UNKNOWN
            if all(kept):
                items.append(value)
        return items

    # calls

    def call(self, node: ast.Call, scope: Scope, local: Locals) -> Value:
        called = self.value(node.func, scope, local)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            return UNKNOWN
        if isinstance(called, Ref) and called.path == "getattr":
            return self._getattr(node, scope, local)
        arguments = [self.value(a, scope, local) for a in node.args]
        named = {k.arg or "": self.value(k.value, scope, local) for k in node.keywords}
        if isinstance(called, Closure):
            return self._run_closure(called, arguments, named)
        if isinstance(called, Ref):
            return self._known.call(called.path, arguments, named)
        if callable(called) and not is_odd(called) and all(map(is_small, arguments)):
            return attempted(called, *arguments)  # a method of a text
        return UNKNOWN

    def _getattr(self, node: ast.Call, scope: Scope, local: Locals) -> Value:
        values = [self.value(a, scope, local) for a in node.args]
        if len(values) < 2 or not isinstance(values[1], str):  # noqa: PLR2004
            return UNKNOWN
        base, name, *default = values
        if default and (base is None or self._known.has(base, name) is False):
            return default[0]
        try:
            return self._part(base, name, scope)
        except MissingError:
            if not default:
                raise
            return default[0]

    # functions of the code base

    def _run_closure(self, called: Closure, arguments: list[Value], named: Locals) -> Value:
        node = called.node
        wrapped = [_last_name(decorator) for decorator in node.decorator_list]
        if isinstance(node, ast.AsyncFunctionDef) or not _TRANSPARENT.issuperset(wrapped):
            return UNKNOWN
        local = self._bind(called, arguments, named)
        if local is None:
            return UNKNOWN
        results, key = self._world.results, (node, self._version, repr(local))
        if key not in results:
            results[key] = UNKNOWN  # while it runs: it may call itself
            try:
                value = self._block(node.body, called.scope, local)
            except BaseException:
                del results[key]
                raise
            results[key] = UNKNOWN if value is RAISED else value
        return results[key]

    def _bind(self, called: Closure, arguments: list[Value], named: Locals) -> Locals | None:
        """Match arguments with parameters; None if they do not, or are of an uncommon kind."""
        spec = called.node.args
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        if spec.vararg or spec.kwarg or len(arguments) > len(names):
            return None
        local: Locals = dict(zip(names, arguments, strict=False)) | named
        defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
        for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            names.append(argument.arg)
            if default is not None:
                defaults[argument.arg] = default
        for name in names:
            if name not in local:
                if name not in defaults:
                    return None
                local[name] = self.value(defaults[name], called.scope, {})
        return local if local.keys() == set(names) else None

    def _block(self, body: Sequence[ast.stmt], scope: Scope, local: Locals) -> Value:
        """Run statements till one returns; both ways where a test is unknown."""
        for position, node in enumerate(body):
            self._step()
            rest = body[position + 1 :]
            if isinstance(node, ast.Return):
                return None if node.value is None else self.value(node.value, scope, local)
            if isinstance(node, ast.Raise):
                return RAISED
            if isinstance(node, ast.If):
                return self._branch(node, rest, scope, local)
            if isinstance(node, ast.Try):
                return self._try(node, rest, scope, local)
            if not self._simple(node, scope, local):
                return UNKNOWN
        return None

    def _branch(self, node: ast.If, rest: Sequence[ast.stmt], scope: Scope, local: Locals) -> Value:
        came_out = truth(self.value(node.test, scope, local))
        if came_out is not None:
            return self._block([*(node.body if came_out else node.orelse), *rest], scope, local)
        ways = ([*node.body, *rest], [*node.orelse, *rest])
        return self._merge(self._block(way, scope, dict(local)) for way in ways)

    def _try(self, node: ast.Try, rest: Sequence[ast.stmt], scope: Scope, local: Locals) -> Value:
        """Run a `try`; it may fail where nothing says so, too, unless it fails for sure."""
        after = [*node.finalbody, *rest]
        before = dict(local)
        try:
            value = self._block([*node.body, *node.orelse, *after], scope, local)
        except MissingError as error:
            for handler in node.handlers:
                if error.error in handled_errors(handler.type):
                    return self._block([*handler.body, *after], scope, before)
            raise
        others = [
            self._block([*handler.body, *after], scope, dict(before)) for handler in node.handlers
        ]
        return self._merge([value, *others])

    def _simple(self, node: ast.stmt, scope: Scope, local: Locals) -> bool:
        """Run a statement without branches; False if it is of an unknown kind."""
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = self.value(node.value, scope, local)
            value = UNKNOWN if _is_empty(value) else value
            local |= {target.id: value for target in targets if isinstance(target, ast.Name)}
            return all(isinstance(target, ast.Name) for target in targets)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, scope, local)
        elif isinstance(node, ast.Expr):
            called = node.value.func if isinstance(node.value, ast.Call) else node.value
            if isinstance(called, ast.Attribute):  # it may change a list or a dict
                return not isinstance(self.value(called.value, scope, local), (list, dict))
        else:
            return isinstance(node, (ast.Assert, ast.Pass))
        return True

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope, local: Locals) -> None:
        origin = scope.module.absolute(node) if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            path = f"{origin}.{alias.name}" if origin else alias.name
            top = path.partition(".")[0]
            if self._project.is_dependency(path) and self._world.look(path) is Sight.ABSENT:
                error = "ImportError" if origin else "ModuleNotFoundError"
                raise MissingError(error)
            bound = path if origin or alias.asname else top
            local[alias.asname or bound.rpartition(".")[2]] = (
                self._ref(bound, scope) if origin or alias.asname else Ref(bound)
            )


_KINDS: dict[type[ast.expr], Callable[[_Interpreter, Any, Scope, Locals], Value]] = {
    ast.Name: _Interpreter.name,
    ast.Attribute: _Interpreter.attribute,
    ast.BoolOp: _Interpreter.bool_op,
    ast.UnaryOp: _Interpreter.unary,
    ast.Compare: _Interpreter.compare,
    ast.Call: _Interpreter.call,
    ast.NamedExpr: _Interpreter.named,
    ast.IfExp: _Interpreter.if_else,
    ast.Tuple: _Interpreter.items,
    ast.List: _Interpreter.items,
    ast.Dict: _Interpreter.dict,
    ast.Subscript: _Interpreter.subscript,
    ast.BinOp: _Interpreter.binary,
    ast.GeneratorExp: _Interpreter.comprehension,
    ast.ListComp: _Interpreter.comprehension,
}


def _unless_mutable(value: Value, scope: Scope) -> Value:
    """Trust a list or dict only if it is a module's table: others are there to be filled."""
    if isinstance(value, (list, dict)) and (scope.parent is not None or _is_empty(value)):
        return UNKNOWN
    return value


def _is_empty(value: Value) -> bool:
    """Tell whether a value is a list or dict that is there to be filled."""
    return isinstance(value, (list, dict)) and not value


def _is_opaque(binding: Binding) -> bool:
    return not binding.path and binding.value is None and binding.function is None


def _last_name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    if isinstance(decorator, ast.Attribute):
        return decorator.attr
    return decorator.id if isinstance(decorator, ast.Name) else ""
