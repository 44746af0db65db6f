"""Functions of Python and of other packages that say something about the dependency."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from torchfloor.usage.checks import Sight
from torchfloor.usage.values import (
    UNKNOWN,
    Names,
    Ref,
    Value,
    as_version,
    attempted,
    is_odd,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchfloor.usage.checks import World

__all__ = ["Known"]

_OPERATORS = {"ge", "gt", "le", "lt", "eq", "ne"}
_VERSION_CLASSES = {
    "packaging.version.Version",
    "packaging.version.parse",
    "pkg_resources.parse_version",
    "pkg_resources.packaging.version.Version",
    "pkg_resources.packaging.version.parse",
    "distutils.version.LooseVersion",
    "distutils.version.StrictVersion",
    "looseversion.LooseVersion",
}
_VERSION_LOOKUPS = {"importlib.metadata.version", "importlib_metadata.version"}
_FIND_SPEC = {"importlib.util.find_spec", "importlib.find_loader", "pkgutil.find_loader"}
_PURE: dict[str, Callable[..., Value]] = {
    f.__name__: f for f in (all, any, bool, float, int, len, list, max, min, str, tuple)
}
_TYPES: dict[str, type] = {t.__name__: t for t in (bool, float, int, list, str, tuple)}


class Known:
    """Answers for known functions in one build of one release.

    Args:
        world: The release.
        version: Its version as installed; None if that is not settled.
    """

    def __init__(self, world: World, version: str | None) -> None:
        self._world = world
        self._project = world.project
        self._version = version

    def call(self, path: str, arguments: list[Value], named: dict[str, Value]) -> Value:  # noqa: C901, PLR0911 - one row a function
        """Return what a call of the function with this dotted name gives."""
        if path == "hasattr" and len(arguments) == 2:  # noqa: PLR2004
            return self.has(*arguments)
        if path == "dir" and len(arguments) == 1 and isinstance(arguments[0], Ref):
            return Names(arguments[0].path)
        if path == "callable" and len(arguments) == 1:
            return False if arguments[0] is None else UNKNOWN
        if path in _FIND_SPEC and arguments:
            return self._find_spec(arguments[0])
        if path in _VERSION_LOOKUPS and arguments:
            return self._version_of(arguments[0])
        if path.endswith((".compare_version", ".RequirementCache")):
            return self._lightning(path, arguments, named)
        if path == "isinstance" and len(arguments) == 2:  # noqa: PLR2004
            return self._isinstance(*arguments)
        if any(map(is_odd, [*arguments, *named.values()])):
            return UNKNOWN
        if path in _VERSION_CLASSES or path.endswith(".TorchVersion"):
            return attempted(as_version, *arguments)
        operation, _, name = path.rpartition(".")
        if operation in {"operator", "_operator"} and name in _OPERATORS:
            return attempted(getattr(operator, name), *arguments)
        if path in _PURE:
            return attempted(_PURE[path], *arguments)
        return UNKNOWN

    def _isinstance(self, value: Value, kind: Value) -> Value:
        known = _TYPES.get(kind.path) if isinstance(kind, Ref) else None
        return UNKNOWN if known is None or is_odd(value) else isinstance(value, known)

    def has(self, value: Value, name: Value) -> Value:
        """Return what `hasattr` gives."""
        if value is None and isinstance(name, str):
            return hasattr(None, name)
        if not isinstance(value, Ref) or not isinstance(name, str):
            return UNKNOWN
        if not self._project.is_dependency(value.path):
            return UNKNOWN
        sight = self._world.look(f"{value.path}.{name}")
        return UNKNOWN if sight is Sight.UNKNOWN else sight is not Sight.ABSENT

    def _find_spec(self, name: Value) -> Value:
        if not isinstance(name, str) or not self._project.is_dependency(name):
            return UNKNOWN
        if name == self._project.root:
            return True  # a spec: neither None nor false
        sight = self._world.look(name)
        if sight is Sight.ABSENT:
            return None
        return True if sight is Sight.SOLID else UNKNOWN

    def _version_of(self, package: Value) -> Value:
        if not isinstance(package, str):
            return UNKNOWN
        if canonicalize_name(package) != canonicalize_name(self._world.package):
            return UNKNOWN
        return UNKNOWN if self._version is None else self._version

    def _lightning(self, path: str, arguments: list[Value], named: dict[str, Value]) -> Value:
        """Answer for `compare_version` and `RequirementCache` of lightning_utilities."""
        if path == "lightning_utilities.core.imports.compare_version" and len(arguments) > 2:  # noqa: PLR2004
            package, operation, version = arguments[:3]
            installed = self._version_of(package)
            if isinstance(operation, Ref) and isinstance(installed, str):
                if named.get("use_base_version"):
                    installed = Version(installed).base_version
                pair = [as_version(installed), attempted(as_version, version)]
                return self.call(operation.path, pair, {})
        if path == "lightning_utilities.core.imports.RequirementCache" and arguments:
            return self._meets(arguments[0])
        return UNKNOWN

    def _meets(self, text: Value) -> Value:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, TypeError):
            return UNKNOWN
        installed = self._version_of(requirement.name)
        if not isinstance(installed, str):
            return UNKNOWN
        return requirement.specifier.contains(installed, prereleases=True)
