"""How far results are from their references, in exact arithmetic."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Sequence

Real = Union[float, Fraction]


@dataclass(frozen=True)
class Distance:
    """The worst of a sequence of results.

    Attributes:
        cases: how many results were compared.
        error: the largest relative error; infinite where a result is unbounded wrong.
        index: where it is, -1 where there is nothing to compare.
    """

    cases: int
    error: float
    index: int


def relative_error(result: Real, reference: Real) -> float:
    """Return |result - reference| / |reference|.

    Zero where both are zero, both NaN or the same infinity; infinite where the reference is zero
    and the result is not, or where only one of them is finite.
    """
    if not (math.isfinite(result) and math.isfinite(reference)):
        same = result == reference or (math.isnan(result) and math.isnan(reference))
        return 0.0 if same else math.inf
    exact, wanted = _exact(result), _exact(reference)
    if exact == wanted:
        return 0.0
    try:
        return float(abs(exact - wanted) / abs(wanted))
    except (ZeroDivisionError, OverflowError):
        return math.inf


def _exact(number: Real) -> Fraction:
    """Return a number as it is; those of other libraries tell their ratio, if they are real."""
    ratio = getattr(number, "as_integer_ratio", None)
    return Fraction(*ratio()) if ratio is not None else Fraction(number)


def worst(results: Sequence[Real], references: Sequence[Real]) -> Distance:
    """Return the largest relative error of two sequences of equal length."""
    errors = [relative_error(*pair) for pair in zip(results, references)]
    if not errors:
        return Distance(0, 0.0, -1)
    index = max(range(len(errors)), key=errors.__getitem__)
    return Distance(len(errors), errors[index], index)


def digest(results: Sequence[Real]) -> str:
    """Return 16 hexadecimal digits that are equal for two releases with the same bits."""
    text = "\n".join(float(result).hex() for result in results)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
