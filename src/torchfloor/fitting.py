"""Wheels × interpreters -> which wheel fits which."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from packaging import tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.wheels import Wheel

__all__ = ["best_wheel", "parts", "pythons_of"]


def best_wheel(wheels: Iterable[Wheel], python: str, platforms: tuple[str, ...]) -> Wheel | None:
    """Choose the wheel that an installer would: by its tags, then by its build; None fits none."""
    ranks = _tag_ranks(python, platforms)
    ranked = []
    for wheel in wheels:
        fitting = [ranks[tag] for tag in wheel.tags if tag in ranks]
        if fitting and not wheel.withheld:
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
    }
    return sorted((f"3.{name[3:]}" for name in names), key=parts, reverse=True)


def parts(python: str) -> tuple[int, int]:
    """Return a Python's version (`"3.11"`) as numbers, which compare."""
    major, minor = python.split(".")
    return int(major), int(minor)
