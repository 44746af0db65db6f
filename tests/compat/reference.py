"""Exact norms in plain Python, of numbers that every release gets bit for bit.

Nothing here knows torch. Numbers are integers times a power of two, so that a dtype with enough
significant bits holds them exactly; their norms are fractions, right to far more digits than any
dtype has.
"""

from __future__ import annotations

import cmath
import math
import random
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterable

Real = Union[float, Fraction]

# Decimal digits that a root is computed to; float64 has 16.
DIGITS = 50
# Binary digits after the point of a square root.
ROOT_BITS = 128


class UndefinedNormError(ArithmeticError):
    """The norm does not exist: of no elements, of an order without an identity."""


@dataclass(frozen=True)
class Numbers:
    """The entries of one tensor: complex integers, times a power of two, repeated.

    Attributes:
        entries: pairs of a real and an imaginary integer.
        exponent: each entry stands for itself times 2 ** exponent.
        copies: how often the whole sequence is repeated.
    """

    entries: tuple[tuple[int, int], ...]
    exponent: int = 0
    copies: int = 1

    def reals(self) -> list[float]:
        """Return the real parts of one copy, exactly."""
        return [_scaled(real, self.exponent) for real, _ in self.entries]

    def complexes(self) -> list[complex]:
        """Return one copy as complex numbers, exactly."""
        return [
            complex(_scaled(real, self.exponent), _scaled(imaginary, self.exponent))
            for real, imaginary in self.entries
        ]

    def norm(self, order: float) -> Fraction:
        """Return the vector norm: the order-th root of the sum of the order-th powers.

        Order 0 counts what is not zero, an infinite one takes the largest or smallest magnitude.

        Raises:
            UndefinedNormError: there are no entries, and the order is negative or infinite.
        """
        squares = [real * real + imaginary * imaginary for real, imaginary in self.entries]
        if not squares and (order < 0 or math.isinf(order)):
            msg = f"norm of order {order} of nothing"
            raise UndefinedNormError(msg)
        if order == 0:
            return Fraction(self.copies * sum(square > 0 for square in squares))
        return _norm_of_squares(squares, self.copies, order) * Fraction(2) ** self.exponent


def _scaled(number: int, exponent: int) -> float:
    """Return a number times a power of two: a float, though the number may be too large for one."""
    extra = max(0, number.bit_length() - 1000)
    return math.ldexp(number >> extra, exponent + extra)


def _norm_of_squares(squares: list[int], copies: int, order: float) -> Fraction:
    """Return the norm of magnitudes given by their squares."""
    if math.isinf(order):
        return square_root(max(squares) if order > 0 else min(squares))
    if order == 2:
        return square_root(copies * sum(squares))
    if order < 0 and 0 in squares:
        return Fraction(0)
    with localcontext() as context:
        context.prec = DIGITS
        powers = sum((_power(square, order) for square in squares if square), Decimal(0))
        return Fraction((copies * powers) ** (1 / Decimal(order))) if powers else Fraction(0)


def _power(square: int, order: float) -> Decimal:
    """Return a magnitude, given by its square, to a power."""
    if order == int(order):
        # A root and a whole power are many times faster than a broken power.
        return Decimal(square).sqrt() ** int(order)
    return Decimal(square) ** (Decimal(order) / 2)


def square_root(number: int) -> Fraction:
    """Return the root of an integer, to at least ROOT_BITS binary digits after the point."""
    return Fraction(isqrt(number << (2 * ROOT_BITS)), 1 << ROOT_BITS)


@dataclass(frozen=True)
class Extended:
    """The real entries of one tensor, NaN and infinities among them.

    Attributes:
        values: the entries.
        copies: always 1.
    """

    values: tuple[float, ...]
    copies: int = 1

    def reals(self) -> list[float]:
        """Return the entries."""
        return list(self.values)

    def complexes(self) -> list[complex]:
        """Return the entries as complex numbers."""
        return [complex(value) for value in self.values]

    def norm(self, order: float) -> Real:
        """Return the vector norm; NaN makes it NaN (but is counted as not zero by order 0)."""
        if order == 0:
            return Fraction(sum(value != 0 for value in self.values))
        if any(map(math.isnan, self.values)):
            return math.nan
        if order > 0:
            return math.inf
        # In the reciprocal powers of a negative order an infinity adds nothing.
        bounded = [value for value in self.values if math.isfinite(value)]
        return exact_numbers(bounded).norm(order) if bounded else math.inf


def rounded(number: Real, bits: int, smallest: int, largest: float) -> float:
    """Return the nearest number of a binary dtype, of two the one with an even significand.

    Args:
        number: not negative.
        bits: of the dtype's significand.
        smallest: exponent of its smallest denormal number.
        largest: its largest number; what rounds to more is infinite.
    """
    if not isinstance(number, Fraction) or not number:
        return float(number)
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    if number < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - bits + 1, smallest)
    nearest = round(number / unit) * unit  # Python, too, rounds halves to even
    return float(nearest) if nearest <= largest else math.inf


def random_numbers(  # noqa: PLR0913 - each says one thing about the numbers
    seed: int,
    count: int,
    bits: int,
    exponent: int = 0,
    copies: int = 1,
    *,
    is_complex: bool = False,
) -> Numbers:
    """Return random numbers of a given precision, never zero.

    Args:
        seed: of Python's own generator, whose random() is the same in every version.
        count: how many, before they are repeated.
        bits: significant bits of each part, at most 53.
        exponent: magnitudes reach from 2 ** exponent to just below 2 ** (bits + exponent).
        copies: see Numbers.
        is_complex: whether the imaginary parts are other than zero.
    """
    # A test needs equal numbers everywhere, not unpredictable ones.
    generator = random.Random(seed)  # noqa: S311

    def part() -> int:
        magnitude = 1 + int(generator.random() * (2**bits - 1))
        return magnitude if generator.random() < 0.5 else -magnitude

    entries = tuple((part(), part() if is_complex else 0) for _ in range(count))
    return Numbers(entries, exponent, copies)


def exact_numbers(values: Iterable[complex]) -> Numbers:
    """Return what finite floats or complex floats stand for, exactly."""
    pairs = [(Fraction(value.real), Fraction(value.imag)) for value in map(complex, values)]
    # Every denominator is a power of two: the largest is a common one.
    common = max((part.denominator for pair in pairs for part in pair), default=1)
    entries = tuple((int(real * common), int(imaginary * common)) for real, imaginary in pairs)
    return Numbers(entries, 1 - common.bit_length())


def numbers_in(values: Iterable[complex]) -> Numbers | Extended:
    """Return what any floats or complex floats stand for: exactly, as far as they are finite."""
    kept = [complex(value) for value in values]
    if all(cmath.isfinite(value) for value in kept):
        return exact_numbers(kept)
    return Extended(tuple(abs(value) for value in kept))
