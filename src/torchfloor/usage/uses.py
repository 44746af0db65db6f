"""A module -> every name of the dependency it uses, where, and how it is guarded."""

from __future__ import annotations

import ast
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torchfloor.usage.flow import (
    Attempt,
    Given,
    Holds,
    after,
    caught_errors,
    is_exit,
    starts_typing,
    suppressed_errors,
)
from torchfloor.usage.project import Target
from torchfloor.usage.scopes import class_scope, comprehension_scope, function_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchfloor.usage.checks import Relevance
    from torchfloor.usage.flow import Condition
    from torchfloor.usage.project import Module, Project
    from torchfloor.usage.scopes import Function, Scope

__all__ = ["Kind", "Use", "read_uses"]

Kind = Literal["attribute", "import", "asked", "written", "refusal"]
"""How a name is used: `asked` is `hasattr` and its like, `written` an assignment to it, and
`refusal` no name at all, but code that refuses the releases which meet its conditions."""

_OF_EVERY_OBJECT = frozenset(dir(type)) | frozenset(
    {"__all__", "__builtins__", "__file__", "__loader__", "__package__", "__path__", "__spec__"}
    | {"__code__", "__defaults__", "__globals__", "__version__", "__wrapped__"}
)
_ERRORS = {"attribute": "AttributeError", "import": "ImportError"}


@dataclass(frozen=True, slots=True)
class Use:
    """One place that uses a name of the dependency.

    Attributes:
        name: The dotted name, in full.
        file: The file, as the user named it.
        line: Counted from 1.
        column: Counted from 1, in characters of UTF-8 bytes as the compiler counts them.
        kind: How it is used.
        caught: What survives the name's absence here; empty if nothing does.
        typing: Whether only type checkers read it, and no release runs it.
        doubt: Why it may not be this name; empty if it is.
        conditions: What holds where it runs, as far as it has to do with the dependency.
    """

    name: str
    file: Path
    line: int
    column: int
    kind: Kind
    caught: str = ""
    typing: bool = False
    doubt: str = ""
    conditions: tuple[Condition, ...] = ()

    @property
    def guards(self) -> tuple[str, ...]:
        """The words of everything that guards it."""
        return (*filter(None, [self.caught]), *map(str, self.conditions))


def read_uses(module: Module, project: Project, relevance: Relevance) -> tuple[list[Use], set[str]]:
    """Find what a module uses.

    Args:
        module: The module; its tree must still be there.
        project: The code base it belongs to.
        relevance: Tells which conditions matter.

    Returns:
        The uses, and the names that the conditions of some ask about.

    Raises:
        RecursionError: If the code is nested too deeply.
    """
    assert module.tree is not None  # noqa: S101 - the caller's duty
    reader = _Reader(module, project, relevance)
    reader.block(module.tree.body)
    return reader.uses, reader.asked


class _Reader(ast.NodeVisitor):
    """Walks a module in the order it runs, and knows at each place what holds there."""

    def __init__(self, module: Module, project: Project, relevance: Relevance) -> None:
        self._module = module
        self._project = project
        self._relevance = relevance
        self._scope = module.scope
        self._conditions: tuple[Condition, ...] = ()
        self._caught: dict[str, str] = {}
        self._typing = module.path.suffix == ".pyi"
        self._certain = True  # whether the conditions are all there are
        self._deferred = False  # within a function: run later, or never
        self._stars = bool(module.scope.stars)
        self.uses: list[Use] = []
        self.asked: set[str] = set()

    # places

    @contextmanager
    def _under(self, *conditions: Condition | None) -> Iterator[None]:
        before = self._conditions, self._certain
        self._conditions = (*self._conditions, *(c for c in conditions if c is not None))
        self._certain = self._certain and None not in conditions
        yield
        self._conditions, self._certain = before

    @contextmanager
    def _typed(self, *, typing: bool) -> Iterator[None]:
        before = self._typing
        self._typing = before or typing
        yield
        self._typing = before

    @contextmanager
    def _catching(self, caught: dict[str, str]) -> Iterator[None]:
        before = self._caught
        self._caught = {**before, **caught}
        yield
        self._caught = before

    @contextmanager
    def _within(self, scope: Scope, *, deferred: bool) -> Iterator[None]:
        """Enter a scope; a function's body does not run inside the `try` that it is defined in."""
        before = self._scope, self._caught, self._deferred
        self._scope = scope
        if deferred:
            self._caught, self._deferred = {}, True
        yield
        self._scope, self._caught, self._deferred = before

    def _relevant(self, condition: Condition) -> Condition | None:
        """Keep a condition if some release can be seen to miss it."""
        asked = self._relevance.asked_names(condition)
        self.asked |= asked or set()
        return None if asked is None else condition

    def _test(self, test: ast.expr, *, wanted: bool) -> Condition | None:
        return self._relevant(Holds(test, self._scope, wanted))

    # statements

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Read the statements of a block."""
        before = self._conditions
        for statement in body:
            self.visit(statement)
            for condition in after(statement, self._scope):
                if (relevant := self._relevant(condition)) is not None:
                    self._conditions = (*self._conditions, relevant)
        self._conditions = before

    def generic_visit(self, node: ast.AST) -> None:
        """Visit the parts of a node; statements as blocks."""
        for name in node._fields:
            part = getattr(node, name, None)
            if isinstance(part, list):
                if part and isinstance(part[0], ast.stmt):
                    self.block(part)
                else:
                    self._visit_all(part)
            elif isinstance(part, ast.AST):
                self.visit(part)

    def _visit_all(self, nodes: Sequence[object]) -> None:
        for node in nodes:
            if isinstance(node, ast.AST):
                self.visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        with (
            self._under(self._test(node.test, wanted=True)),
            self._typed(typing=starts_typing(node.test)),
        ):
            self.block(node.body)
        with self._under(self._test(node.test, wanted=False)):
            self.block(node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        with self._under(self._test(node.test, wanted=True)):
            self.block(node.body)
        self.block(node.orelse)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        with self._catching(caught_errors(node)):
            self.block(node.body)
        with self._under(self._relevant(Attempt(node, self._scope, succeeded=False))):
            for handler in node.handlers:
                self.visit(handler)
        with self._under(self._relevant(Attempt(node, self._scope, succeeded=True))):
            self.block(node.orelse)
        self.block(node.finalbody)

    visit_TryStar = visit_Try  # noqa: N815 - ast's names

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        self._visit_all(node.items)
        with self._catching(suppressed_errors(node)):
            self.block(node.body)

    visit_AsyncWith = visit_With  # noqa: N815 - ast's names

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)
        with self._under(self._test(node.test, wanted=False)):
            self._refuse(node)
            if node.msg is not None:
                self.visit(node.msg)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.generic_visit(node)
        self._refuse(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.visit(node.value)
        if is_exit(node):
            self._refuse(node)

    def _refuse(self, node: ast.stmt) -> None:
        """Note that a module cannot be imported where its conditions hold."""
        if self._certain and not self._deferred and not self._caught and self._conditions:
            self._add(self._project.root, node, "refusal")

    def visit_match_case(self, node: ast.match_case) -> None:
        self.visit(node.pattern)
        if node.guard is not None:
            self.visit(node.guard)
            with self._under(self._test(node.guard, wanted=True)):
                self.block(node.body)
        else:
            self.block(node.body)

    # definitions

    def visit_FunctionDef(self, node: Function) -> None:
        self._visit_all(node.decorator_list)
        self._defaults(node.args)
        self._annotations(node)
        skips = [self._relevant(c) for c in _skips(node.decorator_list, self._scope)]
        with self._within(function_scope(self._scope, node), deferred=True), self._under(*skips):
            self.block(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's names

    def _defaults(self, arguments: ast.arguments) -> None:
        self._visit_all([*arguments.defaults, *filter(None, arguments.kw_defaults)])

    def _annotations(self, node: Function) -> None:
        arguments = node.args
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *filter(None, (arguments.vararg, arguments.kwarg)),
        ):
            self._annotation(argument.annotation)
        self._annotation(node.returns)
        self._type_parameters(node)

    def _type_parameters(self, node: ast.AST) -> None:
        with self._typed(typing=True):  # bounds are evaluated when asked for
            self._visit_all(getattr(node, "type_params", ()))

    def _annotation(self, node: ast.expr | None, *, evaluated: bool = True) -> None:
        if node is not None:
            with self._typed(typing=self._module.future or not evaluated):
                self.visit(node)
            self._quoted(node)

    def _quoted(self, annotation: ast.expr) -> None:
        """Read the texts in an annotation as what they quote."""
        for node in ast.walk(annotation):
            if isinstance(node, ast.Subscript) and _is_literal(node.value):
                return
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if self._project.root not in node.value and "." not in node.value:
                    continue
                try:
                    quoted = ast.parse(node.value.strip(), mode="eval").body
                except (SyntaxError, ValueError):
                    continue  # a text, not a type
                for part in ast.walk(quoted):
                    ast.copy_location(part, node)
                with self._typed(typing=True):
                    self.visit(quoted)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        simple = isinstance(node.target, ast.Name)
        self._annotation(node.annotation, evaluated=not (self._deferred and simple))
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_TypeAlias(self, node: ast.AST) -> None:
        with self._typed(typing=True):
            self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._type_parameters(node)
        skips = [self._relevant(c) for c in _skips(node.decorator_list, self._scope)]
        with self._within(class_scope(self._scope, node), deferred=False), self._under(*skips):
            self.block(node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        with self._within(function_scope(self._scope, node), deferred=True):
            self.visit(node.body)

    def visit_ListComp(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self.visit(node.generators[0].iter)
        with self._within(comprehension_scope(self._scope, node), deferred=False):
            tests = []
            for position, loop in enumerate(node.generators):
                if position:
                    self.visit(loop.iter)
                for test in loop.ifs:
                    self.visit(test)
                    tests.append(self._test(test, wanted=True))
            with self._under(*tests):
                if isinstance(node, ast.DictComp):
                    self.visit(node.key)
                    self.visit(node.value)
                else:
                    self.visit(node.elt)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815 - ast's names

    # expressions

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        wanted = isinstance(node.op, ast.And)
        before = self._conditions
        for operand in node.values:
            self.visit(operand)
            relevant = self._test(operand, wanted=wanted)
            if relevant is not None:
                self._conditions = (*self._conditions, relevant)
        self._conditions = before

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        with self._under(self._test(node.test, wanted=True)):
            self.visit(node.body)
        with self._under(self._test(node.test, wanted=False)):
            self.visit(node.orelse)

    def visit_Name(self, node: ast.Name) -> None:
        if self._stars and isinstance(node.ctx, ast.Load) and not self._scope.lookup(node.id):
            target = self._project.resolve(node, self._scope)
            if target is not None and target.doubt and self._is_ours(target):
                self._use(target, node, "attribute")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        target = self._project.resolve(node, self._scope)
        if target is None or not self._is_ours(target):
            self.visit(node.value)
            return
        if isinstance(node.ctx, ast.Store):
            self._use(target, node, "written")
            self.visit(node.value)
            return
        self._use(target, node, "attribute")
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            base = base.value
        if not isinstance(base, ast.Name):
            self.visit(base)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Attribute):
            target = self._project.resolve(node.target, self._scope)
            if target is not None and self._is_ours(target):
                self._use(target, node.target, "attribute")  # it is read first
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        for name, needed in (("getattr", 2), ("hasattr", 2), ("setattr", 3), ("delattr", 2)):
            if self._project.is_builtin(node.func, name, self._scope):
                if len(node.args) >= needed:
                    self._named_call(name, node)
                break
        else:
            imported = self._project.imported_by_call(node, self._scope)
            if imported is not None and self._project.is_dependency(imported):
                with self._catching(self._skipped_import(node)):
                    self._use(Target(imported), node, "import")
        self.generic_visit(node)

    def _skipped_import(self, node: ast.Call) -> dict[str, str]:
        called = self._project.resolve(node.func, self._scope)
        if called is not None and called.path == "pytest.importorskip":
            return {"ImportError": "pytest.importorskip"}
        return {}

    def _named_call(self, called: str, node: ast.Call) -> None:
        """Read `getattr(torch, "name")` and its relatives."""
        base = self._project.resolve(node.args[0], self._scope)
        if base is None or not self._is_ours(base):
            return
        has_default = called == "getattr" and len(node.args) > 2  # noqa: PLR2004
        name = self._project.constant(node.args[1], self._scope)
        if name is None:
            if called in {"getattr", "delattr"} and not has_default:
                doubt = f"{called} with a name that is computed"
                self._use(Target(f"{base.path}.…", base.given, doubt, base.typing), node, "asked")
            return
        target = self._project.resolve(node, self._scope) or base.attribute(name)
        target = Target(target.path, base.given, base.doubt, base.typing)
        if called == "setattr":
            self._use(target, node, "written")
        elif called == "hasattr" or has_default:
            words = "hasattr" if called == "hasattr" else "getattr with a default"
            with self._catching({"AttributeError": words}):
                self._use(target, node, "asked" if called == "hasattr" else "attribute")
        else:
            self._use(target, node, "attribute")

    # what imports name

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if self._project.is_dependency(alias.name):
                self._use(Target(alias.name), node, "import")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = self._module.absolute(node)
        if node.level or not self._project.is_dependency(origin):
            return
        for alias in node.names:
            path = origin if alias.name == "*" else f"{origin}.{alias.name}"
            self._use(Target(path), alias, "import")

    # the findings

    def _is_ours(self, target: Target) -> bool:
        return self._project.is_dependency(target.path)

    def _use(self, target: Target, node: ast.expr | ast.stmt | ast.alias, kind: Kind) -> None:
        parts = target.path.split(".")
        for position, part in enumerate(parts):
            if part in _OF_EVERY_OBJECT:
                parts = parts[:position]
                break
        name = ".".join(parts)
        given = [Given(g) for g in dict.fromkeys(target.given) if g != self._project.root]
        self.asked.update(g.name for g in given)
        if "." in name or kind == "import":
            with self._under(*given), self._typed(typing=target.typing):
                self._add(name, node, kind, target.doubt)

    def _add(
        self, name: str, node: ast.expr | ast.stmt | ast.alias, kind: Kind, doubt: str = ""
    ) -> None:
        caught = self._caught.get(_ERRORS.get(kind, "AttributeError"), "")
        self.uses.append(
            Use(
                name,
                self._module.path,
                node.lineno,
                node.col_offset + 1,
                kind,
                caught,
                self._typing,
                doubt,
                self._conditions,
            )
        )


def _skips(decorators: Sequence[ast.expr], scope: Scope) -> Iterator[Condition]:
    """Yield what `skipif` and its like promise to the function they decorate."""
    for call in decorators:
        if isinstance(call, ast.Call) and call.args and isinstance(call.func, ast.Attribute):
            if call.func.attr in {"skipif", "skipIf"}:
                yield Holds(call.args[0], scope, wanted=False)
            elif call.func.attr == "skipUnless":
                yield Holds(call.args[0], scope, wanted=True)


def _is_literal(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in {"Literal", "Annotated"}
