"""One Python file or stub: its statements, and what they say at a glance."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torchfloor.timeline.exports import Exports, read_exports
from torchfloor.timeline.parse import (
    UNPARSED,
    SourceError,
    SpellOut,
    decode,
    find_aliases,
    parse,
    split,
    unparsed,
)
from torchfloor.timeline.syntax import (
    ANY,
    LITERALS,
    Function,
    called,
    dotted,
    executed,
    is_loaded,
    is_stored,
    may_bind,
    writes_globals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Source", "SourceError"]

_SHOWN = 80
_WRITING = re.compile(r"globals|vars|locals|sys\.modules|exec|setattr")


@dataclass(eq=False)
class Source:
    """A file, parsed as far as it was needed.

    Attributes:
        file: The wheel's member.
        module: Absolute name of the module.
        is_package: Whether it is an `__init__`.
        is_stub: Whether it is a `.pyi`.
        statements: Its top-level statements, other than those in `definitions`.
        definitions: Functions and classes by name, each with the line it starts at: parsing the
            thousand operators of a stub for the sake of one takes a tenth of a second.
        aliases: Names that the file gives to its own namespace; they are spelled out in the rest.
    """

    file: str
    module: str
    is_package: bool
    is_stub: bool
    statements: list[ast.stmt] = field(repr=False)
    definitions: dict[str, list[tuple[int, str]]] = field(default_factory=dict, repr=False)
    aliases: dict[str, ast.expr] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, file: str, module: str, content: bytes) -> Source:
        """Parse a file.

        Raises:
            SourceError: If this Python cannot.
        """
        stem = file.rpartition("/")[2].partition(".")[0]
        is_stub = file.endswith(".pyi")
        try:
            text = decode(content)
            rest, definitions = split(text)
            statements = parse(rest)
        except UNPARSED:
            try:
                rest = decode(content)
                statements, definitions = parse(content), {}
            except UNPARSED as error:
                raise unparsed(file, error) from None
        aliases = find_aliases(rest)
        statements = _spelled_out(statements, aliases)
        return cls(file, module, stem == "__init__", is_stub, statements, definitions, aliases)

    def names(self) -> set[str]:
        """List the names that the file spells out at its top level."""
        return {*self.index, *self.definitions, *(self.exports.names or ())} - {ANY}

    def condition_of(self, inner: ast.stmt) -> str:
        """Return the test that a statement stands under, in the file's own words."""
        for outer in self.statements:
            if isinstance(outer, ast.If) and any(node is inner for node in ast.walk(outer)):
                return f"`if {ast.unparse(outer.test)[:_SHOWN]}`"
            if isinstance(outer, ast.Try) and any(node is inner for node in ast.walk(outer)):
                return "a `try` that may fail"
        return "a condition"

    def declares(self, name: str) -> bool:
        """Tell whether the file gives a name to type checkers only."""
        for outer in self.statements:
            if isinstance(outer, ast.If) and (dotted(outer.test) or [""])[-1] == "TYPE_CHECKING":
                stored = {n.id for n in ast.walk(outer) if isinstance(n, ast.Name) and is_stored(n)}
                if name in stored:
                    return True
        return False

    def class_attributes(self, name: str) -> Iterator[tuple[str, ast.stmt]]:
        """Yield what the file sets on a class of its own after its definition."""
        for statement in self.statements:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if (
                        isinstance(target, ast.Attribute)
                        and isinstance(target.value, ast.Name)
                        and target.value.id == name
                    ):
                        yield target.attr, statement

    def sets_on(self, name: str) -> bool:
        """Tell whether the file calls `setattr` on a class at its top level."""
        for statement in self.statements:
            for node in executed(statement):
                if called(node) == "setattr" and isinstance(node, ast.Call) and node.args:
                    target = node.args[0]
                    if isinstance(target, ast.Name) and target.id == name:
                        return True
        return False

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the absolute name of the module that an import is from."""
        if not node.level:
            return node.module or ""
        parts = self.module.split(".")
        keep = len(parts) - node.level + self.is_package
        return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])

    @cached_property
    def exports(self) -> Exports:
        """What `__all__` says."""
        return read_exports(self)

    @cached_property
    def literals(self) -> dict[str, ast.expr]:
        """What top-level names are assigned, where it is text, a list, a set or a dictionary."""
        found: dict[str, ast.expr] = {}
        for statement in self.statements:
            for node in executed(statement):
                if isinstance(node, ast.Assign) and len(node.targets) == 1:
                    target, value = node.targets[0], node.value
                elif isinstance(node, ast.AnnAssign) and node.value is not None:
                    target, value = node.target, node.value
                else:
                    continue
                if isinstance(target, ast.Name) and isinstance(value, LITERALS):
                    found[target.id] = value
        return found

    def constant(self, name: str) -> bool | None:
        """Tell what a private name comes to in a test, where the file gives it one such value."""
        if not name.startswith("_") or name in self.definitions:
            return None  # a public one may come from elsewhere, with a star
        nodes = [n for s in self.index.get(name, ()) for n in executed(s, definitions=True)]
        stores = sum(isinstance(n, ast.Name) and n.id == name and not is_loaded(n) for n in nodes)
        values = [
            bool(node.value.value)
            for node in nodes
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and [dotted(target) for target in node.targets] == [[name]]
        ]
        return values[0] if len(set(values)) == 1 and len(values) == stores else None

    @cached_property
    def writers(self) -> frozenset[str]:
        """Functions of this file that write into its globals when they are called."""
        suspects = [
            node
            for name, found in self.definitions.items()
            if any(_WRITING.search(text) for _, text in found)
            for node in self.defined(name)
        ]
        return frozenset(
            node.name
            for node in (*suspects, *self.statements)
            if isinstance(node, Function) and any(map(writes_globals, ast.walk(node)))
        )

    @cached_property
    def index(self) -> dict[str, list[ast.stmt]]:
        """The statements that may bind each name; those that may bind any stand under `ANY`."""
        index: dict[str, list[ast.stmt]] = {}
        for statement in self.statements:
            for name in self.bound_by(statement):
                index.setdefault(name, []).append(statement)
        return index

    def bound_by(self, statement: ast.stmt) -> frozenset[str]:
        """Return the names that a statement of this file may bind; `*` if it may bind any."""
        key = id(statement)
        if key not in self._bound_by:
            self._bound_by[key] = may_bind(statement, self.writers)
        return self._bound_by[key]

    @cached_property
    def keys(self) -> dict[int, re.Pattern[str] | None]:
        """What was found out about the names that parts of this file write into its globals."""
        return {}

    @cached_property
    def _bound_by(self) -> dict[int, frozenset[str]]:
        return {}

    def defined(self, name: str) -> list[ast.stmt]:
        """Parse the definitions of a name.

        Raises:
            SourceError: If this Python cannot.
        """
        if name not in self._parsed:
            self._parsed[name] = nodes = []
            for line, text in self.definitions.get(name, ()):
                try:
                    (node,) = parse("\n" * (line - 1) + text)
                except UNPARSED as error:
                    raise unparsed(self.file, error) from None
                nodes += _spelled_out([node], self.aliases)
        return self._parsed[name]

    @cached_property
    def _parsed(self) -> dict[str, list[ast.stmt]]:
        return {}


def _spelled_out(statements: list[ast.stmt], aliases: dict[str, ast.expr]) -> list[ast.stmt]:
    return [SpellOut(aliases).visit(node) for node in statements] if aliases else statements
