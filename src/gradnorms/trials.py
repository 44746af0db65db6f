"""Try an operator: ask it for norms that are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Callable

import torch
from torch import Tensor

Norms = Callable[[Sequence[Tensor], float, torch.dtype], Sequence[Tensor]]
"""Norms of order p of dense, real, non-empty tensors of one device and dtype, as another dtype."""

Rows = Callable[[Tensor, float], Tensor]
"""Norms of order p of the rows of a dense, real matrix (m, n): (m,), in its dtype."""

# Their squares, cubes and sums are exact, and no two orders agree on all three.
_KNOWN = ((3.0, -4.0), (2.0, -3.0, 6.0), (-0.5,))
# Order 2 must work. In another order a path may refuse (its caller then takes the loop for
# that call), but an answer must be right.
_TRIED_ORDERS = (2.0, 1.0, 3.0, 0.5, 0.0, -1.0, math.inf, -math.inf)
_FINE_ORDER = 0.1  # no float32 number
_TOLERANCE, _FINE = 1e-6, 1e-12
# Longer than a vector register, so that vectorised sums are tried, and with a remainder.
_KNOWN_ROWS = tuple(tuple(float(n * n % k + 1) for n in range(43)) for k in (7, 5))
_TRIED_ROW_ORDERS = (2.0, 1.0, 3.0, 0.5, -1.0)
# A kernel adds a float32 row in 1, 4, 8 or 16 lanes, the rest of it one by one, and then the lanes.
# With 28 additions, a square, a root and a last rounding, a norm is off by no more than
# (28 + 1) / 2 + 1 + 1 units of 2**-24, which is 9.8e-7.
_LANES, _MOST_ADDITIONS = (1, 4, 8, 16), 28
# Every addition rounds up in a row of these; that tells how many lanes there are at least.
_LARGE, _ROUNDED_UP, _ROW_ERROR = 2047.0, 15.8515625, 9.8e-7


def are_right(norms: Norms, device_type: str, dtype: torch.dtype) -> bool:
    """Tell whether a path gives right norms, or refuses, of every order; and of order 2 gives them.

    Args:
        norms: what is tried.
        device_type: where.
        dtype: of the norms.
    """
    return all(_is_right(norms, p, device_type, dtype, _TOLERANCE) for p in _TRIED_ORDERS)


def are_fine(norms: Norms, device_type: str, dtype: torch.dtype) -> bool:
    """Tell whether a path, which are_right, keeps orders that are no float32 numbers."""
    return _is_right(norms, _FINE_ORDER, device_type, dtype, _FINE)


def _is_right(
    norms: Norms, p: float, device_type: str, dtype: torch.dtype, tolerance: float
) -> bool:
    try:
        tensors = [torch.tensor(v, dtype=torch.float32, device=device_type) for v in _KNOWN]
        with torch.no_grad():
            results = norms(tensors, p, dtype)
            return _are_scalars(results, dtype) and _are_close(
                [result.item() for result in results], _KNOWN, p, tolerance
            )
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        return p not in (_TRIED_ORDERS[0], _FINE_ORDER)


def _are_scalars(results: object, dtype: torch.dtype) -> bool:
    return (
        isinstance(results, (list, tuple))
        and len(results) == len(_KNOWN)
        and all(isinstance(r, Tensor) and r.dim() == 0 and r.dtype == dtype for r in results)
    )


def are_right_rows(rows: Rows, device_type: str, dtype: torch.dtype) -> bool:
    """Tell whether an operator gives right norms of rows, in float32 and in the dtype."""
    try:
        return all(
            _is_right_by_rows(rows, p, device_type, each)
            for p in _TRIED_ROW_ORDERS
            for each in (torch.float32, dtype)
        )
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        return False


def _is_right_by_rows(rows: Rows, p: float, device_type: str, dtype: torch.dtype) -> bool:
    norms = rows(torch.tensor(_KNOWN_ROWS, dtype=dtype, device=device_type), p)
    return norms.dtype == dtype and _are_close(norms.tolist(), _KNOWN_ROWS, p, _TOLERANCE)


def row_lengths(rows: Rows, device_type: str) -> tuple[int, ...]:
    """Return how many float32 numbers a row may have, the most first, to be right to 9.8e-7."""
    lengths: tuple[int, ...] = ()
    for fewest in (8, 4, 1):
        lengths = _lengths_for(fewest)
        row = (_LARGE, *[_ROUNDED_UP] * (lengths[0] - 1))
        matrix = torch.tensor([row], dtype=torch.float32, device=device_type)
        if _are_close(rows(matrix, 2.0).tolist(), (row,), 2.0, _ROW_ERROR):
            break
    return lengths


def _lengths_for(fewest: int) -> tuple[int, ...]:
    """Return the lengths that so many lanes or more can add accurately."""
    lanes = [count for count in _LANES if count >= fewest]
    return tuple(
        length
        for length in range(fewest * _MOST_ADDITIONS, 0, -1)
        if all(length // n + length % n + n - 2 <= _MOST_ADDITIONS for n in lanes)
    )


SHORTEST_ROWS = _lengths_for(1)


def _are_close(
    norms: Sequence[float], known: Sequence[Sequence[float]], p: float, tolerance: float
) -> bool:
    expected = [_expected(values, p) for values in known]
    return len(norms) == len(expected) and all(
        math.isclose(*pair, rel_tol=tolerance) for pair in zip(norms, expected)
    )


def _expected(values: Sequence[float], p: float) -> float:
    magnitudes = [abs(value) for value in values]
    if math.isinf(p):
        return max(magnitudes) if p > 0 else min(magnitudes)
    if p == 0:
        return float(len(magnitudes))
    return math.pow(math.fsum(math.pow(m, p) for m in magnitudes), 1 / p)
