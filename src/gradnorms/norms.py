"""Compute the norm of each tensor of a list: right, and the same, on every release of torch."""

from __future__ import annotations

import math
import numbers
import sys
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradnorms.elements import as_pairs, magnitudes, stored_elements, unit_scale
from gradnorms.paths import PATHS, Path, accumulator, choose, tracing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# float32 reaches from 1.4e-45 to 3.4e38: its sixth powers, and sums of 1e70 of them, are normal
# float64 numbers, and so are those of the half types.
_LARGEST_ROOMY_ORDER = 6.0
# Below it, the root of a sum of two powers leaves float64, and of one, every digit counts.
_SMALLEST_ROOMY_ORDER = 2.0**-12
# Larger integers may not fit torch's; the nearest float64 makes no difference to the norm.
_LARGEST_INTEGER_ORDER = 2**53
# Where a release rounds the order to float32, it leaves these, and integers, alone.
_FLOAT32_ORDERS = frozenset({n / 2 for n in range(-64, 65)} | {math.inf, -math.inf})
_COMPLEX32 = getattr(torch, "complex32", None)  # 1.11 has none
# Bounds the copies that casting and scaling make: on a CPU to what its cache holds.
_BATCH_ELEMENTS, _BATCH_ELEMENTS_CPU = 2**24, 2**18


class NormError(ValueError):
    """A norm that was asked for does not exist, on any path and on any release of torch.

    Raised by ``compute_norms`` for

    - a tensor whose dtype is integer or bool;
    - an empty tensor and an order that is negative or infinite: the empty sum's negative power
      and the largest of no numbers are undefined (a sparse tensor without stored values is not
      empty: it is all zeros);
    - an order that is NaN;
    - a ``dtype=`` that would narrow a tensor, or is complex for a real tensor, or real for a
      complex one, as in ``torch.linalg.vector_norm``.
    """


def compute_norms(
    tensors: Iterable[Tensor],
    ord: float = 2,  # noqa: A002 - torch's own name for it
    *,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """Return the vector norm of each tensor, taken over all its elements.

    With x the elements, the norm is (sum |x|^ord)^(1/ord); max |x| for inf; min |x| for -inf; the
    number of elements that are not zero for 0 (a NaN is not zero). This is the definition of
    ``torch.linalg.vector_norm``. Sums are carried in float64 (float32 on a device that has no
    float64), scaled by the largest magnitude where powers could leave float64's range, so that
    the answer is right wherever the result dtype can hold it. NaN and infinity propagate.

    Nothing is read back from the device: the results can be computed while the host goes on.
    (The first call on a device type reads some numbers once, to choose a path.) The results are
    differentiable. Works under ``torch.compile(fullgraph=True)``. The loop serves tensors that
    require a gradient, and calls that torch.compile traces.

    Args:
        tensors: any number of tensors of any shape, in any mixture of devices, layouts (strided,
            sparse) and floating or complex dtypes. Not changed.
        ord: the order, any real number or +-inf.
        dtype: the dtype in which to take the norms, at least as wide as each tensor's own;
            complex for complex tensors. None means each tensor's own.

    Returns:
        A scalar tensor (shape ``()``) for each tensor, in order, on its device. Its dtype is
        ``dtype``, or else the tensor's; of a complex dtype the real counterpart.

    Raises:
        NormError: a norm is undefined; see there.
        TypeError: ``tensors`` is not an iterable of tensors, or ``ord`` not a real number.
    """
    batch = _as_list(tensors)
    p = _as_order(ord)
    norms: dict[int, Tensor] = {}
    groups: dict[str, list[tuple[int, Tensor]]] = {}
    targets = [_result_dtype(index, tensor, p, dtype) for index, tensor in enumerate(batch)]
    for index, tensor in enumerate(batch):
        elements = tensor if tensor.device.type == "meta" else _elements(tensor, p)
        if elements.numel() == 0 or elements.device.type == "meta":
            # Zero-size tensors stay out of the batch: in some releases they corrupt the rest.
            norms[index] = _without_values(tensor, targets[index])
        else:
            key = _group_key(elements)
            if key not in groups:
                groups[key] = []
            groups[key].append((index, elements))
    for members in groups.values():
        results = _group_norms([elements for _, elements in members], p)
        for (index, _), result in zip(members, results):
            norms[index] = result.to(targets[index])
    return [norms[index] for index in range(len(batch))]


def _as_list(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return the tensors as a list; TypeError for a bare tensor, whose rows would be taken."""
    if isinstance(tensors, Tensor):
        msg = "compute_norms takes an iterable of tensors, not one tensor: pass [tensor]"
        raise TypeError(msg)
    batch = list(tensors)
    for index, tensor in enumerate(batch):
        if not isinstance(tensor, Tensor):
            msg = f"item {index} is a {type(tensor).__name__}, not a tensor: leave it out"
            raise TypeError(msg)
    return batch


def _as_order(order: float) -> float:
    if not isinstance(order, numbers.Real):
        msg = f"ord is {order!r}, but must be a real number or +-math.inf"
        raise TypeError(msg)
    if order != order:  # noqa: PLR0124 - torch.compile of old releases cannot trace math.isnan
        msg = "ord is NaN: there is no such norm. Pass a real number or +-math.inf"
        raise NormError(msg)
    if isinstance(order, float):
        return order
    if isinstance(order, int) and -_LARGEST_INTEGER_ORDER <= order <= _LARGEST_INTEGER_ORDER:
        # Kept as it is, because some releases cannot trace float() of a symbolic integer.
        return order
    return _as_float(order)


def _as_float(order: float) -> float:
    """Return the nearest finite float64 of a finite number, however large."""
    try:
        return float(order)
    except OverflowError:
        return sys.float_info.max if order > 0 else -sys.float_info.max


def _result_dtype(index: int, tensor: Tensor, p: float, dtype: torch.dtype | None) -> torch.dtype:
    """Return the dtype of the norm of this tensor, or raise NormError if there is no norm."""
    if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
        msg = (
            f"tensor {index} is {tensor.dtype}, and norms need a floating or complex dtype: "
            "convert it first, for example with tensor.float()"
        )
        raise NormError(msg)
    if tensor.numel() == 0 and (p < 0 or p == math.inf):
        msg = (
            f"tensor {index} is empty (shape {tuple(tensor.shape)}), and the norm of order {p} of "
            "no elements is undefined: leave it out, or use a finite order of at least 0"
        )
        raise NormError(msg)
    if dtype is not None and dtype != tensor.dtype and not _widens(dtype, tensor.dtype):
        msg = (
            f"tensor {index} is {tensor.dtype}, which dtype={dtype} would narrow or change between "
            "real and complex: pass a dtype at least as wide, and convert the result instead"
        )
        raise NormError(msg)
    return _real(dtype or tensor.dtype)


def _real(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the real part."""
    counterparts = {
        torch.complex128: torch.float64,
        torch.complex64: torch.float32,
        _COMPLEX32: torch.float16,
    }
    return counterparts.get(dtype, dtype)


def _widens(wide: torch.dtype, narrow: torch.dtype) -> bool:
    """Tell whether every number of one dtype is a number of the other, both real or complex."""
    if wide.is_complex != narrow.is_complex or not (wide.is_complex or wide.is_floating_point):
        return False
    to, given = torch.finfo(_real(wide)), torch.finfo(_real(narrow))
    return to.max >= given.max and to.eps <= given.eps


def _group_key(tensor: Tensor) -> str:
    """Return what tensors must share to be reduced in one call.

    Lists that mix devices or special tensors (fake ones, say) can come back uninitialised. A
    string, because torch.compile of 2.1 takes no other compound keys (nor ``type(tensor)``).
    """
    kind = tensor.__class__
    special = "" if kind in (Tensor, torch.nn.Parameter) else kind.__name__
    return f"{tensor.device} {tensor.dtype} {special} {_tracked(tensor)}"


def _tracked(tensor: Tensor) -> bool:
    """Tell whether autograd will ask for the derivative of this tensor's norm."""
    return tensor.requires_grad and torch.is_grad_enabled()


def _without_values(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the norm of a tensor that has no elements (0) or no values (another meta tensor)."""
    if tensor.requires_grad and tensor.layout == torch.strided:
        return tensor.abs().sum().to(dtype)  # differentiable, like any other norm
    return torch.zeros((), dtype=dtype, device=tensor.device)


def _elements(tensor: Tensor, p: float) -> Tensor:
    """Return a dense, real tensor that has the same norm of order p."""
    stored = stored_elements(tensor)
    if p < 0 and stored.numel() < tensor.numel():
        # The zeros that a sparse tensor does not store count here: one does for all.
        stored = torch.cat([stored.reshape(-1), stored.new_zeros(1)])
    if stored.numel() == 0 or not stored.dtype.is_complex:
        return stored
    pairs = as_pairs(stored)
    return pairs if p == 2 else magnitudes(pairs)  # noqa: PLR2004 - |z|^2 = re^2 + im^2


def _group_norms(tensors: Sequence[Tensor], p: float) -> list[Tensor]:
    """Return the norms, in the accumulator's dtype, of tensors of one device and dtype."""
    device_type = tensors[0].device.type
    # Only the loop is differentiable on every release.
    path = choose(device_type, ("loop",) if _tracked(tensors[0]) else PATHS)
    dtype = accumulator(device_type)
    norms: list[Tensor] = []
    for batch in _batches(tensors):
        norms.extend(_batch_norms(path, batch, p, dtype))
    return norms


def _batches(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Split the list so that the tensors of one batch, unless it is only one, stay in bounds."""
    batches: list[list[Tensor]] = []
    bound = _BATCH_ELEMENTS_CPU if tensors[0].device.type == "cpu" else _BATCH_ELEMENTS
    room = 0
    for tensor in tensors:
        if not batches or tensor.numel() > room:
            batches.append([])
            room = bound
        batches[-1].append(tensor)
        room -= tensor.numel()
    return batches


def _batch_norms(
    path: Path, tensors: Sequence[Tensor], p: float, dtype: torch.dtype
) -> Sequence[Tensor]:
    """Return the norms by this path, or by the loop if the path refuses these tensors."""
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
    if path.fine_orders or isinstance(p, int) or p in _FLOAT32_ORDERS:
        return path.norms(tensors, p, dtype)
    return [tensor.to(dtype).abs().pow(p).sum().pow(1 / p) for tensor in tensors]


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
