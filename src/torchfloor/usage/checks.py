"""Conditions -> whether they are met in a release."""

from __future__ import annotations

import ast
from enum import Enum
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torchfloor.usage.flow import Attempt, Given, Holds, handled_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchfloor.usage.flow import Condition
    from torchfloor.usage.project import Project
    from torchfloor.usage.scopes import Binding, Scope

__all__ = ["Relevance", "Sight", "World", "is_certain", "is_possible", "outcome"]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.TryStar, ast.Match, ast.IfExp, ast.BoolOp)
_ALL_ERRORS = len(handled_errors(None))


_NEEDS: WeakKeyDictionary[ast.Try | ast.TryStar, _Needs] = WeakKeyDictionary()


class Sight(Enum):
    """What a release has under a name."""

    ABSENT = "nothing"
    SOLID = "a module, class or function, so neither None nor false"
    PRESENT = "something"
    UNKNOWN = "cannot be told"


class World:
    """A release as the code that asks about it finds it.

    A subclass knows its release; here, every name is found as `sight` says.

    Args:
        project: The code base that asks.
        package: The distribution's name.
        sight: What is found under any name.
        lenient: Whether a name that is used without a question is there all the same.
        version: What `__version__` says; None if that is not settled.

    Attributes:
        asked: The names that were asked about.
        values: What bindings were found to be, by binding and version.
        truths: How tests came out.
        results: What helper functions returned, by their arguments.
        steps: Steps left for the test that is being looked at; None if none is.
    """

    def __init__(
        self,
        project: Project,
        package: str,
        sight: Sight = Sight.UNKNOWN,
        version: str | None = None,
        *,
        lenient: bool = False,
    ) -> None:
        self.project = project
        self.package = package
        self._sight = sight
        self._version = version
        self.lenient = lenient
        self.asked: set[str] = set()
        self.values: dict[tuple[Binding, str | None], object] = {}
        self.truths: dict[ast.expr, bool | None] = {}
        self.results: dict[object, object] = {}
        self.steps: int | None = None

    def look(self, name: str) -> Sight:
        """Tell what the release has under a name; the dependency itself is always there."""
        if name == self.project.root:
            return Sight.SOLID
        self.asked.add(name)
        return self._sight

    def versions(self) -> tuple[str, ...]:
        """Return what `__version__` may be in this release: none if that is not settled."""
        return () if self._version is None else (self._version,)


class Relevance:
    """Tells which conditions have to do with the dependency.

    Worlds that differ in all that the dependency can differ in: a condition matters if it fails in
    one of the extremes, though nothing settles it beforehand.
    """

    def __init__(self, project: Project, package: str) -> None:
        self._unsettled = World(project, package)
        self._extremes = (
            World(project, package, Sight.ABSENT, "0"),
            World(project, package, Sight.ABSENT, "0", lenient=True),
            World(project, package, Sight.SOLID, "99999"),
        )

    def asked_names(self, condition: Condition) -> set[str] | None:
        """List the names that decide whether a condition is met.

        Returns:
            The names, which may be none (a version check asks for none); or None if no release can
            be seen to miss the condition, so that it guards nothing.
        """
        if all(outcome(condition, world) is not False for world in self._extremes):
            return None
        if outcome(condition, self._unsettled) is False:
            return None
        world = World(self._unsettled.project, self._unsettled.package)
        outcome(condition, world)
        return world.asked


def is_possible(conditions: Sequence[Condition], world: World) -> bool:
    """Tell whether code under these conditions may run in a release; unknown counts as may."""
    return all(outcome(condition, world) is not False for condition in conditions)


def is_certain(conditions: Sequence[Condition], world: World) -> bool:
    """Tell whether code under these conditions surely runs in a release, once its file does.

    That an attempt succeeds can never be known, but where a name is missing, and so is taken for
    granted otherwise.
    """
    outcomes = [(outcome(condition, world), condition) for condition in conditions]
    return all(met or (met is None and not isinstance(c, Holds)) for met, c in outcomes)


def outcome(condition: Condition, world: World) -> bool | None:
    """Tell whether a condition is met in a release, or None if that cannot be known."""
    from torchfloor.usage.interpret import truth_of  # noqa: PLC0415 - the two need each other

    if isinstance(condition, Given):
        return False if world.look(condition.name) is Sight.ABSENT else None
    if isinstance(condition, Attempt):
        return _attempt(condition, world)
    truth = truth_of(condition.test, condition.scope, world)
    return None if truth is None else truth is condition.wanted


def _attempt(condition: Attempt, world: World) -> bool | None:
    """Tell how a `try` body ends, as far as what the dependency has decides it."""
    needs = _needs_of(condition.statement, condition.scope, world.project)
    sights = [world.look(name) for name in needs.names]
    if Sight.ABSENT in sights:
        return not condition.succeeded
    if condition.succeeded or needs.others or Sight.UNKNOWN in sights or not sights:
        return None
    return False  # it runs to its end, so no handler does


def _needs_of(statement: ast.Try | ast.TryStar, scope: Scope, project: Project) -> _Needs:
    """Return what a body needs, which is the same in every world."""
    needs = _NEEDS.get(statement)
    if needs is None:
        needs = _NEEDS[statement] = _Needs(statement, scope, project)
    return needs


class _Needs:
    """What the body of a `try` needs.

    Attributes:
        names: Names of the dependency without which it surely fails.
        others: Whether it may fail, and be handled, for another reason.
    """

    def __init__(self, statement: ast.Try | ast.TryStar, scope: Scope, project: Project) -> None:
        self._scope = scope
        self._project = project
        self._broad = any(
            len(handled_errors(handler.type)) == _ALL_ERRORS for handler in statement.handlers
        )
        self.names: list[str] = []
        self.others = False
        waiting: list[ast.AST] = list(statement.body)
        while waiting:
            waiting.extend(self._take(waiting.pop()))

    def _take(self, node: ast.AST) -> Iterator[ast.AST]:
        """Note what one node needs, and return the nodes within that are left to take."""
        if isinstance(node, _SCOPES):
            return iter(())  # defined here, run elsewhere
        if isinstance(node, _BRANCHES):
            self.others = True
            return iter(())  # only a part of it runs
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._take_import(node)
            return iter(())
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            target = self._project.resolve(node, self._scope)
            if target and self._project.is_dependency(target.path):
                if target.doubt or target.given:
                    self.others = True
                else:
                    self.names.append(target.path)
                return iter(())
        if isinstance(node, ast.Raise) or (self._broad and isinstance(node, ast.Call)):
            self.others = True
        return ast.iter_child_nodes(node)

    def _take_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        else:
            origin = self._scope.module.absolute(node)
            paths = [f"{origin}.{a.name}" if a.name != "*" else origin for a in node.names]
        ours = [path for path in paths if self._project.is_dependency(path)]
        self.names += ours
        self.others = self.others or len(ours) < len(paths)
