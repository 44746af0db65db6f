"""Norms of order 2 in exact arithmetic, to judge those of compute_norms by.

Numbers become fractions, sums of squares are exact at any size, and a root is only ever known
between two bounds, far closer than any dtype can tell apart. Nothing is rounded before it is
compared.
"""

from __future__ import annotations

import math
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

Runs = list[tuple[float, int]]
"""A tensor's elements: a value, and how often it comes in a row."""

COMPLEX_HALF = getattr(torch, "complex32", None)
PARTS = {
    torch.complex128: torch.float64,
    torch.complex64: torch.float32,
    COMPLEX_HALF: torch.float16,
}
ROUNDED = (torch.float16, torch.bfloat16)
"""The dtypes whose norms are correctly rounded. The others have a relative error at most:"""
TOLERANCES = {torch.float32: Fraction(1, 10**6), torch.float64: Fraction(1, 10**14)}

# Bits of an exact root beyond its integer part: float64 has 53 in all.
_ROOT_BITS = 200
# Half of the 54 bits that a product may have for sums of 2**26 halves to be exact in float64.
_HALF_BITS = 27


class Format:
    """What a real floating dtype can hold, as exact numbers.

    Attributes:
        bits: of a significand, the leading one included.
        lowest: the exponent of the smallest normal number.
        top: the exponent of the largest number.
        quantum: the exponent of the smallest number above 0.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        limits = torch.finfo(dtype)
        self.bits = 2 - math.frexp(limits.eps)[1]
        self.lowest = math.frexp(limits.tiny)[1] - 1
        self.top = math.frexp(limits.max)[1] - 1
        self.quantum = self.lowest - self.bits + 1
        self.largest = Fraction(limits.max)


def power(exponent: int) -> Fraction:
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def square_of(runs: Iterable[tuple[float, int]]) -> Fraction:
    """Return the sum of the squares of the elements."""
    return sum((Fraction(value) ** 2 * count for value, count in runs), Fraction(0))


def tensor_of(runs: Iterable[tuple[float, int]], dtype: torch.dtype) -> Tensor:
    """Return the elements as a tensor; each must be a number of the dtype."""
    pairs = list(runs)
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float64)
    converted = values.to(dtype)
    assert torch.equal(converted.double(), values), "a number that the dtype does not hold"
    return converted.repeat_interleave(torch.tensor([count for _, count in pairs]))


def sum_of_squares(tensor: Tensor) -> Fraction:
    """Return the sum of squared magnitudes of a dense tensor of at most 2**26 finite numbers."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.detach().resolve_conj())
    elements = tensor.detach().resolve_neg().contiguous().reshape(-1)
    assert elements.numel() <= 2**26
    if elements.dtype in ROUNDED:
        return _by_pattern(elements)
    return _by_exponent(elements.double())


def _by_pattern(elements: Tensor) -> Fraction:
    patterns = elements.view(torch.int16).to(torch.int32) + 2**15
    counts = torch.bincount(patterns, minlength=2**16)
    present = counts.nonzero().reshape(-1)
    values = (present - 2**15).to(torch.int16).view(elements.dtype).double().tolist()
    return square_of(zip(values, counts[present].tolist(), strict=True))


def _by_exponent(elements: Tensor) -> Fraction:
    assert bool(torch.isfinite(elements).all())
    if not elements.numel():
        return Fraction(0)
    fractions, exponents = torch.frexp(elements.abs())
    exponents = exponents.long()
    lowest = int(exponents.min())
    whole = (fractions * 2.0**53).long()
    high, low = whole >> _HALF_BITS, whole & (2**_HALF_BITS - 1)
    # whole**2 = high**2 * 2**54 + high * low * 2**28 + low**2
    total = Fraction(0)
    for product, shift in ((high * high, 54), (high * low, 28), (low * low, 0)):
        for part, more in ((product >> _HALF_BITS, _HALF_BITS), (product % 2**_HALF_BITS, 0)):
            sums = torch.bincount(exponents - lowest, weights=part.double())
            for index in sums.nonzero().reshape(-1).tolist():
                scale = power(2 * (index + lowest - 53) + shift + more)
                total += int(sums[index]) * scale
    return total


def root_bounds(square: Fraction) -> tuple[Fraction, Fraction]:
    """Return two numbers, closer than any dtype can tell apart, with the root between them."""
    if not square:
        return square, square
    shift = max(_ROOT_BITS + square.denominator.bit_length() - square.numerator.bit_length(), 0)
    shift += _ROOT_BITS
    low = isqrt((square.numerator << 2 * shift) // square.denominator)
    return Fraction(low, 1 << shift), Fraction(low + 1, 1 << shift)


def rounded_root(square: Fraction, dtype: torch.dtype) -> float:
    """Return the root as the nearest number of the dtype, of two the even one; or infinity."""
    form = Format(dtype)
    if not square:
        return 0.0
    exponent = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    while square >= power(2 * exponent + 2):
        exponent += 1
    while square < power(2 * exponent):
        exponent -= 1
    step = power(max(exponent, form.lowest) - form.bits + 1)
    steps = square / step**2
    below = isqrt(steps.numerator // steps.denominator)
    middle = Fraction(2 * below + 1, 2) ** 2
    if steps > middle or (steps == middle and below % 2):
        below += 1
    return math.inf if below * step > form.largest else float(below * step)


def assert_norm(result: Tensor, square: Fraction, dtype: torch.dtype) -> None:
    """Assert that a norm is what the contract says, given the exact sum of squares.

    Args:
        result: the norm.
        square: the sum of squared magnitudes.
        dtype: that the norm should be of.
    """
    assert result.dtype == dtype
    assert result.shape == ()
    found = result.item()
    if dtype in ROUNDED:
        expected = rounded_root(square, dtype)
        assert found == expected, f"{found!r} instead of {expected!r}, correctly rounded"
        return
    low, high = root_bounds(square)
    slack, largest = TOLERANCES[dtype], Format(dtype).largest
    if low * (1 - slack) > largest:
        assert found == math.inf
    elif found == math.inf:
        assert high * (1 + slack) >= largest, f"infinity instead of {float(high)!r}"
    else:
        assert math.isfinite(found), f"{found!r} instead of {float(high)!r}"
        allowed = max(slack * low, power(Format(dtype).quantum))
        error = max(abs(Fraction(found) - low), abs(Fraction(found) - high))
        assert error <= allowed, f"{found!r} instead of {float(high)!r}: {float(error / high):.2e}"


def tie(odd: int, exponent: int, dtype: torch.dtype) -> list[float]:
    """Return numbers of a dtype whose norm is exactly in the middle of two neighbours.

    Args:
        odd: an odd number with one bit more than the dtype's significands.
        exponent: the norm is odd * 2 ** exponent.
        dtype: that the numbers are of.
    """
    assert odd % 2
    assert odd.bit_length() == Format(dtype).bits + 1
    return squares_making(odd**2, exponent, dtype)


def squares_making(total: int, exponent: int, dtype: torch.dtype) -> list[float]:
    """Return numbers of a dtype, multiples of 2 ** exponent, whose squares sum to a multiple.

    Args:
        total: the sum of squares is total * 4 ** exponent.
        exponent: of the unit.
        dtype: that the numbers are of.
    """
    bits, numbers = Format(dtype).bits, []
    while total:
        largest = isqrt(total)
        spare = max(largest.bit_length() - bits, 0)
        number = largest >> spare << spare
        numbers.append(math.ldexp(number, exponent))
        total -= number**2
    return numbers


def next_below(value: float, dtype: torch.dtype) -> float:
    """Return the next smaller number of a dtype than one above 0."""
    form = Format(dtype)
    fraction, exponent = math.frexp(value)
    exponent -= 2 if fraction == 0.5 else 1
    return value - math.ldexp(1, max(exponent, form.lowest) - form.bits + 1)


def tie_exponents(dtype: torch.dtype) -> tuple[int, int]:
    """Return the least and the largest exponent that `tie` can be asked for."""
    form = Format(dtype)
    return form.quantum, form.top - form.bits
