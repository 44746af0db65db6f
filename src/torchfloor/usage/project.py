"""The code base as modules, and what a dotted name or an expression in it stands for."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torchfloor.usage.scopes import Scope, module_scope
from torchfloor.usage.sources import UnreadableError, parse_source, read_source

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchfloor.usage.scopes import Binding

__all__ = ["Module", "Project", "Target"]

_DEEPEST = 12
"""Aliases of aliases that are followed; beyond that a loop is likelier than a name."""


@dataclass(slots=True, eq=False)
class Module:
    """One Python file.

    Attributes:
        path: The file, as the user named it.
        package: The dotted name its relative imports start from.
        home: The folder that its absolute imports of the code base start from.
        tree: Its syntax tree; None once its uses have been read, to save memory.
        scope: The names it binds.
        rebound: Names that some function rebinds through `nonlocal`.
        walrus: Whether it may say `name := value`.
        future: Whether its annotations are not evaluated.
    """

    path: Path
    package: str
    home: Path
    tree: ast.Module | None = None
    scope: Scope = field(init=False)
    rebound: set[str] = field(default_factory=set)
    walrus: bool = True
    future: bool = False

    def absolute(self, node: ast.ImportFrom) -> str:
        """Spell the module of a `from … import` in full."""
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *filter(None, [node.module])]) or "."


@dataclass(frozen=True, slots=True)
class Target:
    """What an expression stands for.

    Attributes:
        path: An absolute dotted name.
        given: Names of which one or more may be missing, where the expression gives None instead.
        doubt: Why it may be something else; empty if it cannot.
        typing: Whether it is bound for type checkers only.
    """

    path: str
    given: tuple[str, ...] = ()
    doubt: str = ""
    typing: bool = False

    def attribute(self, name: str) -> Target:
        """Return the target of an attribute of this one."""
        return Target(f"{self.path}.{name}", self.given, self.doubt, self.typing)


class Project:
    """The modules of a code base, each read when it is first needed.

    Args:
        root: The name under which the dependency is imported.
        files: The code base's files.
    """

    def __init__(self, root: str, files: Iterable[Path]) -> None:
        self.root = root
        self.unread: dict[Path, str] = {}
        self._modules: dict[Path, Module | None] = {}
        self._shown = {file.absolute(): file for file in files}
        self._located: dict[tuple[Path, str], tuple[Module | None, list[str]]] = {}
        self._homes: dict[str, set[Path]] = {}  # top-level name -> the folders it lies in
        for file in self._shown:
            home, name = _place(file)
            self._homes.setdefault(name.partition(".")[0], set()).add(home)

    def is_dependency(self, path: str) -> bool:
        """Tell whether a dotted name lies in the dependency."""
        return path == self.root or path.startswith(f"{self.root}.")

    def module(self, file: Path) -> Module | None:
        """Return a file's module, or None if it cannot be read (`unread` says why)."""
        place = file.absolute()
        if place not in self._modules:
            self._modules[place] = None  # while it is being read
            try:
                self._modules[place] = self._read(place)
            except UnreadableError as error:
                self.unread[self._shown.get(place, place)] = str(error)
        return self._modules[place]

    def _read(self, file: Path) -> Module:
        text = read_source(file)
        home, name = _place(file)
        package = name if file.stem == "__init__" else name.rpartition(".")[0]
        module = Module(self._shown.get(file, file), package, home)
        module.tree = parse_source(text)
        module.future = b"annotations" in text and _defers_annotations(module.tree)
        try:
            module_scope(module, module.tree, text)
        except RecursionError:
            reason = "nested too deeply"
            raise UnreadableError(reason) from None
        return module

    def resolve(self, node: ast.expr, scope: Scope, depth: int = 0) -> Target | None:
        """Find what an expression stands for: a dotted name, or None if it cannot be followed."""
        if isinstance(node, ast.Name):
            return self._resolve_name(node.id, scope, depth)
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value, scope, depth)
            if base is None:
                return None
            if isinstance(node.value, ast.Call) and base.given:
                base = Target(base.path, (), base.doubt, base.typing)  # None has no attributes
            return self._follow(base.attribute(node.attr), scope.module, depth)
        if isinstance(node, ast.Call) and depth <= _DEEPEST:
            return self._resolve_call(node, scope, depth)
        return None

    def is_builtin(self, node: ast.expr, name: str, scope: Scope) -> bool:
        """Tell whether an expression is the builtin of this name."""
        return isinstance(node, ast.Name) and node.id == name and scope.lookup(name) is None

    def constant(self, node: ast.expr, scope: Scope, depth: int = 0) -> str | None:
        """Return the text that an expression is: a literal, or a name bound once to one."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name) and depth <= _DEEPEST:
            found = scope.lookup(node.id)
            if found and len(found[1]) == 1 and (value := found[1][0].value) is not None:
                return self.constant(value, found[0], depth + 1)
        return None

    def _resolve_call(self, node: ast.Call, scope: Scope, depth: int) -> Target | None:
        arguments = node.args
        if self.is_builtin(node.func, "getattr", scope) and len(arguments) in {2, 3}:
            base = self.resolve(arguments[0], scope, depth)
            name = self.constant(arguments[1], scope)
            if base is None or name is None:
                return None
            if len(arguments) == 2:  # noqa: PLR2004 - no default
                inline = isinstance(arguments[0], ast.Call)
                given = () if inline else base.given
                return Target(f"{base.path}.{name}", given, base.doubt, base.typing)
            path = f"{base.path}.{name}"
            default = arguments[2]
            is_none = isinstance(default, ast.Constant) and default.value is None
            doubt = "" if is_none else "getattr may give its default instead"
            return Target(path, (*base.given, path), base.doubt or doubt, base.typing)
        if (imported := self.imported_by_call(node, scope, depth)) is not None:
            return Target(imported)
        return None

    def imported_by_call(self, node: ast.Call, scope: Scope, depth: int = 0) -> str | None:
        """Return the module that `import_module("…")` and its like import."""
        if not node.args or (name := self.constant(node.args[0], scope)) is None:
            return None
        if self.is_builtin(node.func, "__import__", scope):
            return name.partition(".")[0]
        called = self.resolve(node.func, scope, depth + 1)
        known = {"importlib.import_module", "pytest.importorskip"}
        return name if called is not None and called.path in known else None

    def _resolve_name(self, name: str, scope: Scope, depth: int) -> Target | None:
        if depth > _DEEPEST:
            return None
        found = scope.lookup(name)
        if found is None:
            return self._resolve_starred(name, scope, depth)
        owner, bindings = found
        if len(bindings) > 1:
            bindings = [b for b in bindings if not b.typing] or bindings
        targets = [self._resolve_binding(b, owner, depth + 1) for b in bindings]
        return _merge(name, bindings, targets, self)

    def _resolve_binding(self, binding: Binding, scope: Scope, depth: int) -> Target | None:
        if not binding.followed:
            binding.followed = True  # so that an alias of itself leads nowhere
            binding.target = self._target(binding, scope, depth)
        return binding.target

    def _target(self, binding: Binding, scope: Scope, depth: int) -> Target | None:
        target: Target | None
        if binding.path:
            target = self._follow(Target(binding.path, typing=binding.typing), scope.module, depth)
        elif binding.value is not None:
            target = self.resolve(binding.value, scope, depth)
        else:
            return None
        if target is None or not binding.optional or not self.is_dependency(target.path):
            return target
        return Target(target.path, (*target.given, target.path), target.doubt, target.typing)

    def _resolve_starred(self, name: str, scope: Scope, depth: int) -> Target | None:
        """Look for a name that nothing here binds in what `from … import *` brings."""
        stars = scope.module.scope.stars
        for star in stars:
            if self.is_dependency(star):
                doubt = f"`from {star} import *` may bring it"
                return None if name in _BUILTINS else Target(f"{star}.{name}", doubt=doubt)
            module, rest = self.locate(star, scope.module)
            if module is not None and not rest and name in module.scope.names:
                return self._resolve_name(name, module.scope, depth + 1)
        return None

    def _follow(self, target: Target, near: Module, depth: int) -> Target:
        """Follow a dotted name of the code base itself to what it stands for."""
        if depth > _DEEPEST or self.is_dependency(target.path):
            return target
        module, rest = self.locate(target.path, near)
        if module is None or not rest:
            return target
        held = self._resolve_name(rest[0], module.scope, depth + 1)
        if held is None:
            return target
        for name in rest[1:]:
            held = held.attribute(name)
        return held

    def locate(self, path: str, near: Module) -> tuple[Module | None, list[str]]:
        """Find the code base's module that a dotted name lies in.

        Args:
            path: The dotted name.
            near: The module that says it: where folders share a name, its own comes first.

        Returns:
            The module, and the names that lead on from there; None if it is not of this code base.
        """
        parts = path.split(".")
        homes = self._homes.get(parts[0], set())
        if near.home not in homes and len(homes) != 1:
            return None, []
        home = near.home if near.home in homes else next(iter(homes))
        if (home, path) not in self._located:
            self._located[home, path] = self._locate(home, parts)
        return self._located[home, path]

    def _locate(self, folder: Path, parts: list[str]) -> tuple[Module | None, list[str]]:
        found: Module | None = None
        rest = parts
        for position, part in enumerate(parts, start=1):
            file = folder / f"{part}.py"
            folder /= part
            if (init := folder / "__init__.py").is_file():
                file = init
            elif not file.is_file():
                break
            module = self.module(file)
            if module is None:
                break
            found, rest = module, parts[position:]
        return found, rest


def _merge(
    name: str, bindings: list[Binding], targets: list[Target | None], project: Project
) -> Target | None:
    """Sum up what a name's bindings stand for."""
    known = [target for target in targets if target is not None]
    if not known:
        return None
    nothing = sum(_is_nothing(binding) for binding in bindings)
    paths = {target.path for target in known}
    first = known[0]
    if len(paths) == 1 and len(known) + nothing == len(targets):
        optional = all(target.given for target in known)
        given = first.given if optional else ()
        return Target(first.path, given, first.doubt, first.typing)
    ours = [target for target in known if project.is_dependency(target.path)]
    if not ours:
        return None
    return Target(ours[0].path, ours[0].given, f"`{name}` is bound in several ways")


def _is_nothing(binding: Binding) -> bool:
    value = binding.value
    return isinstance(value, ast.Constant) and (value.value is None or value.value is False)


_BUILTINS = frozenset(dir(builtins))


def _place(file: Path) -> tuple[Path, str]:
    """Find the folder a file's imports start from, and its dotted name from there."""
    file = file.absolute()
    folder = file.parent
    parts = [] if file.stem == "__init__" else [file.stem]
    while (folder / "__init__.py").is_file() and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts) or file.parent.name


def _defers_annotations(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
