"""The declared floor: the lower bound a pyproject.toml promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from torchfloor.errors import ConfigError
from torchfloor.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["declared_floor"]

_MAX_BYTES = 2**20
_LOWER_BOUNDS = {">=", "==", "~=", "==="}


class _Project(msgspec.Struct, rename="kebab"):
    dependencies: tuple[str, ...] = ()
    optional_dependencies: dict[str, tuple[str, ...]] = {}


class _Pyproject(msgspec.Struct):
    project: _Project = msgspec.field(default_factory=_Project)


def declared_floor(pyproject: Path, package: str) -> Version:
    """Read the declared floor of a package.

    Args:
        pyproject: A pyproject.toml.
        package: The distribution whose lower bound counts.

    Returns:
        The lowest version its requirement allows, as written (`torch>=2.0` gives 2.0).

    Raises:
        ConfigError: If the file is unreadable, names no lower bound for the package, or several
            that differ.
    """
    try:
        content = msgspec.toml.decode(read_bounded(pyproject, _MAX_BYTES), type=_Pyproject)
    except OSError as error:
        raise ConfigError(pyproject.name, [f"cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(pyproject.name, [f"cannot be read: {error}"]) from None
    found = {
        place: bound
        for place, text in _requirements(content.project)
        if (bound := _lower_bound(text, package)) is not None
    }
    if not found:
        hint = f"declare one, such as '{package}>=2.0', in project.dependencies or an extra"
        raise ConfigError(pyproject.name, [f"no lower bound for {package}; {hint}"])
    if len(set(found.values())) > 1:
        said = ", ".join(f"{place} says {bound}" for place, bound in found.items())
        raise ConfigError(pyproject.name, [f"differing floors for {package}: {said}; keep one"])
    return next(iter(found.values()))


def _requirements(project: _Project) -> Iterator[tuple[str, str]]:
    """Yield every requirement the file holds, with its place."""
    groups = {"project.dependencies": project.dependencies}
    for extra, texts in project.optional_dependencies.items():
        groups[f"project.optional-dependencies.{extra}"] = texts
    for place, texts in groups.items():
        for text in texts:
            yield place, text


def _lower_bound(text: str, package: str) -> Version | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None  # the build backend complains about it in its own words
    if canonicalize_name(requirement.name) != canonicalize_name(package):
        return None
    try:
        bounds = [
            Version(specifier.version.removesuffix(".*"))
            for specifier in requirement.specifier
            if specifier.operator in _LOWER_BOUNDS
        ]
    except ValueError:
        return None  # `===` compares any text, and promises no version
    return max(bounds, default=None)
