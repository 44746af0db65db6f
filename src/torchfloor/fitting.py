"""Wheels × interpreters -> which wheel fits which."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from packaging import tags
from packaging.specifiers import InvalidSpecifier, SpecifierSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.wheels import Wheel

__all__ = ["best_wheel", "parts", "pythons_of", "required_python"]

_PATCHES = 50
"""More than any minor of Python has had."""


def best_wheel(wheels: Iterable[Wheel], python: str, platforms: tuple[str, ...]) -> Wheel | None:
    """Choose the wheel that an installer would: by its tags, then by its build; None fits none."""
    ranks = _tag_ranks(python, platforms)
    ranked = []
    for wheel in wheels:
        fitting = [ranks[tag] for tag in wheel.tags if tag in ranks]
        if fitting and not wheel.withheld and _accepts(wheel.requires_python, python):
            ranked.append((-min(fitting), wheel.build, wheel))
    return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


@cache
def _tag_ranks(python: str, platforms: tuple[str, ...]) -> dict[tags.Tag, int]:
    """Rank the tags an interpreter accepts, best first."""
    version, name = parts(python), "cp" + python.replace(".", "")
    accepted = [
        *tags.cpython_tags(version, abis=[name], platforms=platforms),
        *tags.compatible_tags(version, interpreter=name, platforms=platforms),
    ]
    return {tag: rank for rank, tag in enumerate(accepted)}


def pythons_of(wheels: Iterable[Wheel], platforms: tuple[str, ...]) -> list[str]:
    """List the CPython versions these wheels are built for on this platform, newest first."""
    names = {
        tag.interpreter
        for wheel in wheels
        if not wheel.withheld
        for tag in wheel.tags
        if tag.platform in platforms and tag.interpreter.startswith("cp3")
        if _accepts(wheel.requires_python, f"3.{tag.interpreter[3:]}")
    }
    return sorted((f"3.{name[3:]}" for name in names), key=parts, reverse=True)


def required_python(wheels: Iterable[Wheel], platforms: tuple[str, ...]) -> str:
    """Return what wheels that would do on this platform ask of Python; empty if there are none."""
    wide = {*platforms, "any"}
    return next(
        (
            wheel.requires_python
            for wheel in wheels
            if not wheel.withheld and any(tag.platform in wide for tag in wheel.tags)
        ),
        "",
    )


@cache
def _accepts(requires_python: str, python: str) -> bool:
    """Tell whether some patch of a minor will do; as installers do, pass over what is no rule."""
    try:
        accepted = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    return any(accepted.contains(f"{python}.{patch}") for patch in range(_PATCHES))


def parts(python: str) -> tuple[int, int]:
    """Return a Python's version (`"3.11"`) as numbers, which compare."""
    major, minor = python.split(".")
    return int(major), int(minor)
