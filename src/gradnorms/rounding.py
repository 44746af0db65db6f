"""Round float64 numbers to half types correctly: once, to the nearest, ties to even."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

# Without their sign, which is the highest bit.
_HALF_NUMBERS = 2**15
# No set, because torch.compile of 2.1 cannot look into one.
HALVES = (torch.float16, torch.bfloat16)
"""The dtypes to which PyTorch rounds float64 twice."""


def narrow(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Return non-negative numbers in another dtype, rounded to the nearest.

    PyTorch rounds float64 to half types by way of float32, and so twice, which goes wrong where
    the first rounding ends in the middle of two half numbers. There the side on which the number
    lay decides. Reads nothing back; differentiable; torch.compile and torch.func can trace it.

    Args:
        numbers: any shape.
        dtype: any floating dtype.
    """
    if numbers.dtype != torch.float64 or dtype not in HALVES:
        return numbers.to(dtype)
    exact = numbers.detach()
    single = exact.to(torch.float32)
    rounded = single.to(dtype).to(torch.float64)
    single = single.to(torch.float64)
    # What lies as far beyond: a number of the half type only if the other was in the middle.
    beyond = 2 * single - rounded
    was_middle = (beyond > 0) & (beyond.to(dtype).to(torch.float64) == beyond)
    wrong = was_middle & ((exact - single) * (beyond - rounded) > 0)
    largest = torch.finfo(dtype).max
    too_large = (single > largest) & (exact < halfway(largest, dtype))
    right = torch.where(too_large, largest, torch.where(wrong, beyond, rounded))
    moved = torch.where(right < math.inf, right - exact, 0.0)
    return (numbers + moved).to(dtype)


def halfway(number: float, dtype: torch.dtype) -> float:
    """Return the middle of a non-negative number of a half type and the next larger one."""
    info = torch.finfo(dtype)
    exponent = max(math.frexp(number)[1], math.frexp(info.tiny)[1])
    return number + math.ldexp(info.eps, exponent - 1) / 2


def compare_norm(pieces: Iterable[Tensor], bound: float) -> int:
    """Compare the exact L2 norm of the elements with a number: -1 less, 0 equal, 1 more.

    There are so few half numbers that how often each occurs can be counted, and those that do
    added up as fractions.

    Args:
        pieces: flat tensors of one half type, of finite numbers.
        bound: finite, not negative.
    """
    counts = torch.zeros(_HALF_NUMBERS, dtype=torch.int64, device="cpu")
    dtype = torch.float16
    for piece in pieces:
        magnitudes = piece.contiguous().view(torch.int16).to(torch.int64) % _HALF_NUMBERS
        counts += torch.bincount(magnitudes, minlength=_HALF_NUMBERS)
        dtype = piece.dtype
    occurring = counts.nonzero().reshape(-1)
    numbers = occurring.to(torch.int16).view(dtype).tolist()
    squares = zip(numbers, counts[occurring].tolist())
    difference = -(Fraction(bound) ** 2)
    difference += sum((count * Fraction(number) ** 2 for number, count in squares), Fraction())
    return (difference > 0) - (difference < 0)
