"""What binds a name in a file when the whole of it has run, without running it.

Every top-level statement is looked at in order, the way Python would run it; where a statement may
or may not run, or binds names that only a run can tell, what may be is kept beside what is.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torchfloor.timeline.keys import copied_module, keys_of, spelled
from torchfloor.timeline.syntax import (
    ANY,
    Function,
    called,
    dotted,
    executed,
    is_own_name,
    names_in,
    writes_globals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.timeline.source import Source

__all__ = ["UNBOUND", "Bound", "Copied", "Maybe", "Outcome", "follow", "nothing_exported"]


@dataclass(frozen=True)
class Bound:
    """A statement binds the name.

    Attributes:
        node: A definition, import or assignment; for an import, `alias` names what is imported.
        alias: The imported name.
        overloads: All definitions of an overloaded function.
    """

    node: ast.stmt
    alias: ast.alias | None = None
    overloads: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...] = ()


@dataclass(frozen=True)
class Copied:
    """The name comes with all names of another module: `from module import *` and its like.

    Attributes:
        module: Its absolute name.
        node: The statement that copies them.
    """

    module: str
    node: ast.stmt


@dataclass(frozen=True)
class Maybe:
    """Only a run can tell.

    Attributes:
        why: The reason, for the reader.
    """

    why: str


@dataclass(frozen=True)
class Unbound:
    """Nothing binds the name."""


UNBOUND = Unbound()
_TYPE_VARIABLES = frozenset({"ParamSpec", "TypeVar", "TypeVarTuple"})
Outcome = Bound | Copied | Maybe | Unbound
_State = tuple[Outcome, ...]


class Exported(Protocol):
    """Tells what `from module import *` gives, and what a loop over all names of a module does."""

    def __call__(self, module: str, name: str, *, star: bool) -> bool | Maybe:
        """Tell whether the name is given."""


def nothing_exported(module: str, name: str, *, star: bool) -> bool | Maybe:  # noqa: ARG001 - as `Exported`
    """Stand for a place where no names are copied, such as the body of a class."""
    return False


def follow(
    source: Source,
    name: str,
    exported: Exported,
    has: Callable[[list[str], str], bool | None] = lambda _place, _name: None,
) -> tuple[Outcome, ...]:
    """Find what binds a name when a whole file has run.

    Args:
        source: The file.
        name: A name at the file's top level.
        exported: Tells whether the names that a module gives away have one among them.
        has: Tells what `hasattr(a.b, "name")` comes to, if that is known.

    Returns:
        Every outcome that is possible; `UNBOUND` is among them where nothing may bind it.

    Raises:
        SourceError: If this Python cannot parse the name's definition.
    """
    relevant = [*source.index.get(name, ()), *source.index.get(ANY, ()), *source.defined(name)]
    relevant.sort(key=lambda node: node.lineno)
    return _Run(source, name, exported, has).block(relevant, (UNBOUND,)) or (UNBOUND,)


class _Run:
    """Follows a block of statements for one name."""

    def __init__(
        self,
        source: Source,
        name: str,
        exported: Exported,
        has: Callable[[list[str], str], bool | None],
    ) -> None:
        self.source = source
        self.name = name
        self.exported = exported
        self.has = has

    def block(self, statements: Sequence[ast.stmt], state: _State) -> _State | None:
        """Return what may be after a block; None if it never ends, since it raises."""
        touching = [s for s in statements if isinstance(s, ast.Raise) or self._touches(s)]
        # What comes before a statement that surely binds the name no longer matters.
        last = max((n for n, s in enumerate(touching) if self._settles(s)), default=0)
        for statement in touching[last:]:
            after = self.statement(statement, state)
            if after is None:
                return None
            state = after
        return state

    def _touches(self, statement: ast.stmt) -> bool:
        names = self.source.bound_by(statement)
        return self.name in names or ANY in names

    def _settles(self, statement: ast.stmt) -> bool:
        if isinstance(statement, Function):
            return not self.source.is_stub  # where earlier definitions may be overloads
        if isinstance(statement, ast.Import | ast.ImportFrom):
            stars = any(alias.name == "*" for alias in statement.names)
            return not stars and not self.source.is_stub
        return isinstance(statement, ast.ClassDef) or (
            isinstance(statement, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == self.name for t in statement.targets)
        )

    def statement(self, node: ast.stmt, state: _State) -> _State | None:  # noqa: C901, PLR0911 - a line for each kind
        """Return what may be after a statement; None if it raises."""
        if isinstance(node, ast.Raise):
            return None
        if isinstance(node, Function):
            return self._function(node, state)
        if isinstance(node, ast.ClassDef):
            return (Bound(node),) if node.name == self.name else state
        if isinstance(node, ast.Import | ast.ImportFrom):
            return self._import(node, state)
        if isinstance(node, ast.If):
            return self._if(node, state)
        if isinstance(node, ast.Try | ast.TryStar):
            return self._try(node, state)
        if isinstance(node, ast.With | ast.AsyncWith):
            return self.block(node.body, self._assign(node, state))
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            return self._loop(node, state)
        if isinstance(node, ast.Match):
            branches = [self.block(case.body, state) for case in node.cases]
            return _merge(*branches, state)
        if isinstance(node, ast.Delete):
            gone = any(isinstance(t, ast.Name) and t.id == self.name for t in node.targets)
            return (UNBOUND,) if gone else state
        return self._assign(node, state)

    def _function(self, node: Function, state: _State) -> _State:
        if node.name != self.name:
            return state
        earlier = state[0] if len(state) == 1 else None
        if isinstance(earlier, Bound) and earlier.overloads and _is_overload(earlier.overloads[-1]):
            if _is_overload(node):
                return (Bound(node, overloads=(*earlier.overloads, node)),)
            if self.source.is_stub:
                return (Bound(node, overloads=(*earlier.overloads, node)),)
        return (Bound(node, overloads=(node,)),)

    def _import(self, node: ast.Import | ast.ImportFrom, state: _State) -> _State:
        for alias in node.names:
            if alias.name == "*":
                assert isinstance(node, ast.ImportFrom)  # noqa: S101 - the grammar says so
                state = self._copy(self.source.absolute(node), node, state, star=True)
            elif (alias.asname or alias.name.partition(".")[0]) == self.name:
                # A stub's imports are its own business unless it says `as` (PEP 484).
                if self.source.is_stub and alias.asname != alias.name and not self._promised():
                    continue
                state = (Bound(node, alias),)
        return state

    def _promised(self) -> bool:
        return self.name in (self.source.exports.names or ())

    def _copy(self, module: str, node: ast.stmt, state: _State, *, star: bool) -> _State:
        given = self.exported(module, self.name, star=star)
        if isinstance(given, Maybe):
            return _merge(state, (given,)) or state
        return (Copied(module, node),) if given else state

    def _if(self, node: ast.If, state: _State) -> _State | None:
        known = self._truth(node.test)
        if known is not None:
            return self.block(node.body if known else node.orelse, state)
        return _merge(self.block(node.body, state), self.block(node.orelse, state))

    def _truth(self, test: ast.expr) -> bool | None:  # noqa: PLR0911 - a line for each kind
        """Tell what a test comes to, where files tell."""
        if isinstance(test, ast.Constant):
            return bool(test.value)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            known = self._truth(test.operand)
            return None if known is None else not known
        if isinstance(test, ast.BoolOp):
            parts = [self._truth(part) for part in test.values]
            decisive = isinstance(test.op, ast.Or)
            if decisive in parts:
                return decisive
            return None if None in parts else not decisive
        if isinstance(test, ast.Compare) and is_own_name(test.left):
            against = test.comparators[0]
            if isinstance(against, ast.Constant) and against.value == "__main__":
                return isinstance(test.ops[0], ast.NotEq)
        if isinstance(test, ast.Call):
            return self._truth_of_call(test)
        name = dotted(test)
        if name and name[-1] == "TYPE_CHECKING":
            return self.source.is_stub
        return self.source.constant(name[0]) if name and len(name) == 1 else None

    def _truth_of_call(self, call: ast.Call) -> bool | None:
        """Follow `hasattr`, and a function of this file that does nothing but return a test."""
        if called(call) == "hasattr" and len(call.args) == 2:  # noqa: PLR2004 - object and name
            place, name = dotted(call.args[0]), call.args[1]
            if place and isinstance(name, ast.Constant) and isinstance(name.value, str):
                return self.has(place, name.value)
            return None
        found = self.source.defined(called(call)) if not call.args else []
        if len(found) != 1 or not isinstance(found[0], ast.FunctionDef):
            return None
        body = [node for node in found[0].body if not _is_text(node)]
        last = body[0] if len(body) == 1 else None
        if isinstance(last, ast.Return) and last.value is not None and last.value is not call:
            return self._truth(last.value)
        return None

    def _try(self, node: ast.Try | ast.TryStar, state: _State) -> _State | None:
        whole = self.block(node.body, state)
        ended = None if whole is None else self.block(node.orelse, whole)
        handled = [self.block(handler.body, state) for handler in node.handlers]
        after = _merge(ended, *handled)
        return None if after is None else self.block(node.finalbody, after)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, state: _State) -> _State | None:
        started = self._target(node, state)
        copied = copied_module(node, self.source)
        if copied is not None and started == state:
            if self.name in spelled(node, self.source):
                why = f"{self.source.file} treats it apart in the loop that copies {copied}"
                return (*state, Maybe(why))
            return (
                state if self.name.startswith("__") else self._copy(copied, node, state, star=False)
            )
        once = self.block([*node.body, *node.orelse], started)
        return _merge(state, once, started) if once is not None else _merge(state, started)

    def _target(self, node: ast.For | ast.AsyncFor | ast.While, state: _State) -> _State:
        if isinstance(node, ast.While) or self.name not in set(names_in(node.target)):
            return state
        return (Maybe(f"{self.source.file} binds it in a loop"),)

    def _assign(self, node: ast.stmt, state: _State) -> _State:
        """Follow any other statement: assignments, and calls that write into the globals."""
        if self.source.is_stub and called(getattr(node, "value", node)) in _TYPE_VARIABLES:
            return state  # for the stub's own use
        if isinstance(node, ast.AnnAssign) and node.value is None:
            is_own = isinstance(node.target, ast.Name) and node.target.id == self.name
            return (Bound(node),) if is_own and self.source.is_stub else state
        for part in executed(node):
            if (
                isinstance(part, ast.Name)
                and part.id == self.name
                and isinstance(part.ctx, ast.Store)
            ):
                return (Bound(node),)
        for part in executed(node):
            if writes_globals(part) or called(part) in self.source.writers:
                state = self._write(part, node, state)
        return state

    def _write(self, part: ast.AST, node: ast.stmt, state: _State) -> _State:
        keys = keys_of(part, self.source)
        if called(part) == "delattr":
            # Which of many it takes away stands in a test beside it.
            taken = keys.fullmatch(self.name) if keys else self.name in spelled(node, self.source)
            return (*state, UNBOUND) if taken else state
        replaces = isinstance(part, ast.Subscript) and called(part.value) == ""
        if keys is None and UNBOUND not in state and not replaces:
            return state  # what is bound stays so, whatever it is now bound to
        if keys is None:
            where = f"{self.source.file}, line {getattr(node, 'lineno', 0)}"
            return (*state, Maybe(f"{where} binds names that only a run can tell"))
        if not keys.fullmatch(self.name):
            return state
        return (Bound(node),)


def _merge(*states: _State | None) -> _State | None:
    """Bring the ends of branches together; a branch that raises has none."""
    ended = [state for state in states if state is not None]
    return tuple(dict.fromkeys(o for state in ended for o in state)) if ended else None


def _is_overload(node: Function) -> bool:
    names = (dotted(decorator) for decorator in node.decorator_list)
    return any(name and name[-1].endswith("overload") for name in names)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
