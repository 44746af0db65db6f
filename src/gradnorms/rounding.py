"""Round float64 numbers to half types correctly: once, to the nearest, ties to even."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def narrow(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Return non-negative float64 numbers in another dtype, rounded to the nearest.

    PyTorch rounds float64 to half types by way of float32, and so twice. The way here rounds to
    odd first (S. Boldo, G. Melquiond: Emulation of FMA and correctly rounded sums, 2008): of the
    two float32 numbers around an inexact one that with an odd last bit, which is never the middle
    of two half numbers. Reads nothing back; differentiable.

    Args:
        numbers: any shape.
        dtype: any floating dtype.
    """
    if numbers.dtype != torch.float64 or dtype not in (torch.float16, torch.bfloat16):
        return numbers.to(dtype)
    exact = numbers.detach()
    nearest = exact.to(torch.float32)
    back = nearest.to(torch.float64)
    below = nearest.view(torch.int32) - (back > exact).to(torch.int32)
    odd = (below | (back != exact).to(torch.int32)).view(torch.float32).to(torch.float64)
    usable = torch.isfinite(back) & (back > 0)
    moved = torch.where(usable, odd - exact, torch.zeros_like(exact))
    return (numbers + moved).to(torch.float32).to(dtype)


def halfway(number: float, dtype: torch.dtype) -> float:
    """Return the middle of a non-negative number of a half type and the next larger one."""
    info = torch.finfo(dtype)
    exponent = max(math.frexp(number)[1], math.frexp(info.tiny)[1])
    return number + math.ldexp(info.eps, exponent - 1) / 2


def exceeds(terms: Iterable[float], bound: float) -> float:
    """Return a number with the sign of the exact sum of the terms minus the bound.

    Args:
        terms: finite; their sum in float64's range.
        bound: finite.
    """

    def difference() -> Iterable[float]:
        yield -bound
        yield from terms

    return math.fsum(difference())
