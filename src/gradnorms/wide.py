"""Norms of any order on any device, accumulated in the widest dtype that the device has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from gradnorms.elements import PLAIN, pieces, unit_scale
from gradnorms.paths import Path, accumulator, choose, tracing
from gradnorms.rows import row_norms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# float32 reaches from 1.4e-45 to 3.4e38: its sixth powers, and sums of 1e70 of them, are normal
# float64 numbers, and so are those of the half types.
_LARGEST_ROOMY_ORDER = 6.0
# Below it, the root of a sum of two powers leaves float64, and of one, every digit counts.
_SMALLEST_ROOMY_ORDER = 2.0**-12
# Below it, the root of a row's sum might, though that of the whole does not.
_SMALLEST_ROW_ORDER = 2.0**-6
# Where a release rounds the order to float32, it leaves these, and integers, alone.
_FLOAT32_ORDERS = frozenset({n / 2 for n in range(-64, 65)} | {math.inf, -math.inf})
# Bounds the copies that casting and scaling make: on a CPU to what its cache holds.
_BATCH_ELEMENTS, _BATCH_ELEMENTS_CPU = 2**24, 2**18
# A processor may add numbers one by one, and so loses digits in longer sums.
_LONGEST_SUM, _LONGEST_ROW = 256, 32


def wide_norms(path: Path, tensors: Sequence[Tensor], p: float) -> list[Tensor]:
    """Return the norms, each a scalar in the accumulator's dtype.

    Args:
        path: takes the norms; what it refuses, the loop takes.
        tensors: at least one; dense, real, non-empty, of one class, device and dtype.
        p: the order.
    """
    norms: list[Tensor] = []
    for batch in _batches(tensors):
        if _is_oversized(batch[0]):
            norms.append(_joined_norm(path, batch[0], p))
        else:
            norms.extend(_batch_norms(path, batch, p))
    return norms


def _bound(tensor: Tensor) -> int:
    return _BATCH_ELEMENTS_CPU if tensor.device.type == "cpu" else _BATCH_ELEMENTS


def _is_oversized(tensor: Tensor) -> bool:
    """Tell whether a tensor is measured in pieces, so that no copy of it is made."""
    return not tracing() and type(tensor) in PLAIN and tensor.numel() > _bound(tensor)


def _batches(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Split the list so that the tensors of one batch, unless it is only one, stay in bounds."""
    batches: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if not batches or tensor.numel() > room:
            batches.append([])
            room = _bound(tensor)
        batches[-1].append(tensor)
        room -= tensor.numel()
    return batches


def _joined_norm(path: Path, tensor: Tensor, p: float) -> Tensor:
    """Return the norm of the norms of a tensor's pieces, which is its norm."""
    parts = [_batch_norms(path, [piece], p)[0] for piece in pieces(tensor, _bound(tensor))]
    # Of order 0 the norms are numbers of elements, which add up.
    return wide_norms(path, [torch.stack(parts)], p if p != 0 else 1.0)[0]


def _batch_norms(path: Path, tensors: Sequence[Tensor], p: float) -> Sequence[Tensor]:
    """Return the norms by this path, or by the loop if the path refuses these tensors."""
    dtype = accumulator(tensors[0].device.type)
    if tracing():
        return _safe_norms(path, tensors, p, dtype)
    try:
        return _safe_norms(path, tensors, p, dtype)
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        loop = choose(tensors[0].device.type, ("loop",))
        return _safe_norms(loop, [tensor.to(dtype) for tensor in tensors], p, dtype)


def _safe_norms(
    path: Path, tensors: Sequence[Tensor], p: float, dtype: torch.dtype
) -> Sequence[Tensor]:
    """Return the norms without letting powers leave the accumulator's range.

    ||x|| = s ||x / s|| for any s > 0. With s the largest magnitude (for a negative order the
    smallest), powers that underflow are negligible beside the one that is exactly 1.
    """
    if _fits(tensors[0].dtype, p, dtype):
        return _plain_norms(path, tensors, p, dtype)
    extreme = math.inf if p > 0 else -math.inf
    peaks = path.norms([tensor.detach() for tensor in tensors], extreme, dtype)
    scales = unit_scale(torch.stack(list(peaks))).unbind()
    scaled = [tensor.to(dtype) / scale for tensor, scale in zip(tensors, scales)]
    norms = _plain_norms(path, scaled, p, dtype)
    return [norm * scale for norm, scale in zip(norms, scales)]


def _plain_norms(
    path: Path, tensors: Sequence[Tensor], p: float, dtype: torch.dtype
) -> Sequence[Tensor]:
    """Return the norms as the path's operator sums them, or by the definition if it rounds p."""
    if not (path.fine_orders or isinstance(p, int) or p in _FLOAT32_ORDERS):
        return [tensor.to(dtype).abs().pow(p).sum().pow(1 / p) for tensor in tensors]
    if _SMALLEST_ROW_ORDER <= abs(p) < math.inf:
        tensors = [_condensed(path, tensor, p, dtype) for tensor in tensors]
    return path.norms(tensors, p, dtype)


def _condensed(path: Path, tensor: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """Return a tensor of the same norm, whose sum is short; itself where nothing would be won."""
    if tracing() or type(tensor) not in PLAIN:
        return tensor
    if tensor.device.type != "cpu" or tensor.numel() <= _LONGEST_SUM:
        return tensor
    flat = tensor.to(dtype).reshape(-1)
    while flat.numel() > _LONGEST_ROW:
        flat = row_norms(path, flat, _LONGEST_ROW, p)
    return flat


def _fits(source: torch.dtype, p: float, dtype: torch.dtype) -> bool:
    """Tell whether powers of any number of the source dtype can be summed in the other as is."""
    if p in (0.0, math.inf, -math.inf):
        return True
    if -_SMALLEST_ROOMY_ORDER < p < _SMALLEST_ROOMY_ORDER:
        return False
    if source != dtype and dtype == torch.float64:
        return -_LARGEST_ROOMY_ORDER <= p <= _LARGEST_ROOMY_ORDER
    # In these orders the power of a number that a dtype holds is a normal number of that dtype,
    # and a sum of powers overflows only where the norm does.
    return -0.5 <= p <= 1  # noqa: PLR2004
