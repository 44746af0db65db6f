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
# A float32 row of 8 lanes, of 22 numbers each, loses at most (22 + 7 additions + 1 square) / 2 + 1
# units of 2**-24, 9.5e-7; kernels of 4 lanes or one are held to as many numbers each. They can be
# told by a row in which a large number makes every addition round up.
_ROW_LENGTHS, _ROW_ERROR = (176, 88, 22), 9e-7
_LARGE, _ROUNDED_UP = 2047.0, 15.8515625
SHORTEST_ROW = _ROW_LENGTHS[-1]


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


def longest_row(rows: Rows, device_type: str) -> int:
    """Return how long a row of float32 numbers may be, by how much one loses."""
    for length in _ROW_LENGTHS[:-1]:
        row = (_LARGE, *[_ROUNDED_UP] * (length - 1))
        matrix = torch.tensor([row], dtype=torch.float32, device=device_type)
        if _are_close(rows(matrix, 2.0).tolist(), (row,), 2.0, _ROW_ERROR):
            return length
    return SHORTEST_ROW


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
