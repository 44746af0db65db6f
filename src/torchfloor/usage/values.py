"""The values that the interpreter knows, and what may be done with them."""

from __future__ import annotations

import operator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchfloor.usage.scopes import Function, Scope

__all__ = [
    "RAISED",
    "UNKNOWN",
    "Closure",
    "LostError",
    "MissingError",
    "Names",
    "Ref",
    "Value",
    "VersionText",
    "are_numbers",
    "as_version",
    "attempted",
    "is_odd",
    "is_small",
    "same",
    "truth",
]

Value = Any  # of the code that is read

_LARGE_NUMBER = 2**32
_LONG = 500


class _Odd(Enum):
    UNKNOWN = "anything"
    RAISED = "an error, so nothing goes on from here"


UNKNOWN, RAISED = _Odd.UNKNOWN, _Odd.RAISED


class Ref(NamedTuple):
    """Whatever has this dotted name."""

    path: str


class Closure(NamedTuple):
    """A function of the code base, and the scope it stands in."""

    node: Function
    scope: Scope


class Names(NamedTuple):
    """`dir(x)`."""

    path: str


class MissingError(Exception):
    """The code fails here, for want of a name: `error` is what it raises."""

    def __init__(self, error: str) -> None:
        self.error = error


class LostError(Exception):
    """Following the code takes too long."""


class VersionText(str):
    """A `__version__` that compares as a version does, as torch's does since 1.10."""

    __slots__ = ()
    __hash__ = str.__hash__

    def compare(self, other: object, compare: Callable[[Version, Version], bool]) -> bool:
        """Compare as versions, whatever the other is written as."""
        text = ".".join(map(str, other)) if isinstance(other, tuple) else str(other)
        return compare(Version(str(self)), Version(text))

    def __eq__(self, other: object) -> bool:
        return self.compare(other, operator.eq)

    def __ne__(self, other: object) -> bool:
        return self.compare(other, operator.ne)

    def __lt__(self, other: object) -> bool:
        return self.compare(other, operator.lt)

    def __le__(self, other: object) -> bool:
        return self.compare(other, operator.le)

    def __gt__(self, other: object) -> bool:
        return self.compare(other, operator.gt)

    def __ge__(self, other: object) -> bool:
        return self.compare(other, operator.ge)


def truth(value: Value) -> bool | None:
    """Tell whether a value counts as true, or None if that cannot be known."""
    if isinstance(value, (_Odd, Ref, Names)):
        return None
    return bool(value)


def is_odd(value: Value) -> bool:
    """Tell whether a value only stands for one."""
    return isinstance(value, (_Odd, Ref, Closure, Names))


def same(one: Value, other: Value) -> bool:
    """Tell whether two values are one and the same to the code."""
    if isinstance(one, Closure) or isinstance(other, Closure):
        return one is other
    return type(one) is type(other) and bool(one == other)


def is_small(value: Value) -> bool:
    """Tell whether an operation on a value cannot take long, or much memory."""
    if isinstance(value, (int, float)):
        return abs(value) < _LARGE_NUMBER
    return isinstance(value, (str, tuple, list)) and len(value) < _LONG


def are_numbers(*values: Value) -> bool:
    """Tell whether all are numbers."""
    return all(isinstance(value, (int, float)) for value in values)


def attempted(operation: Callable[..., Value], *arguments: Value) -> Value:
    """Return what an operation gives, UNKNOWN if it raises."""
    try:
        return operation(*arguments)
    except (TypeError, ValueError, LookupError, AttributeError, InvalidVersion, ArithmeticError):
        return UNKNOWN  # the code raises here, or does what this interpreter does not know


def as_version(text: str | Version) -> Version:
    """Return the version that a text says.

    Raises:
        InvalidVersion: If it says none.
    """
    return text if isinstance(text, Version) else Version(str(text))
