"""Compute the norm of each tensor of a list: right, and the same, on every release of torch."""

from __future__ import annotations

import math
import numbers
import sys
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradnorms.distributed import any_distributed, distributed_norms, is_distributed
from gradnorms.elements import PLAIN, as_pairs, magnitudes, stored_elements
from gradnorms.paths import PATHS, accumulator, choose, tracing
from gradnorms.rounding import narrow
from gradnorms.rows import stack_norms
from gradnorms.wide import wide_norms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EUCLIDEAN = 2
# Larger integers may not fit torch's; the nearest float64 makes no difference to the norm.
_LARGEST_INTEGER_ORDER = 2**53
_COMPLEX32 = getattr(torch, "complex32", None)  # 1.11 has none


class NormError(ValueError):
    """A norm that was asked for does not exist, on any path and on any release of torch.

    Raised by ``compute_norms`` for

    - a tensor whose dtype is integer or bool;
    - an empty tensor and an order that is negative or infinite: the empty sum's negative power
      and the largest of no numbers are undefined (a sparse tensor without stored values is not
      empty: it is all zeros);
    - an order that is NaN;
    - a nested tensor, which is not one tensor;
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
    ``torch.linalg.vector_norm``. The answer is right wherever the result dtype can hold it, at any
    size: L2 norms to a relative error of 1e-6 in float32 and 1e-14 in float64, and correctly
    rounded in float16 and bfloat16. Sums are carried in float64 (float32 on a device that has
    none), those of float32 numbers in the host's memory by short rows first, and scaled where
    powers could leave its range. NaN and infinity propagate.

    Nothing is read back from a device: the results can be computed while the host goes on.
    (The first call on a device type reads some numbers once, to choose a path.) The results are
    differentiable. Works under ``torch.compile(fullgraph=True)``. The loop serves tensors that
    require a gradient, and calls that torch.compile traces.

    The norm of a distributed tensor (``DTensor``) is that of the whole, the same on every rank:
    each measures what it holds, and the ranks' norms are gathered, once for all tensors of a mesh.
    So every rank of the mesh must make the same call.

    Args:
        tensors: any number of tensors of any shape, in any mixture of devices, layouts (strided,
            sparse), placements on meshes, and floating or complex dtypes. Not changed.
        ord: the order, any real number or +-inf.
        dtype: the dtype in which to take the norms, at least as wide as each tensor's own;
            complex for complex tensors. None means each tensor's own.

    Returns:
        A scalar tensor (shape ``()``) for each tensor, in order, on its device, never distributed.
        Its dtype is ``dtype``, or else the tensor's; of a complex dtype the real counterpart.
        Scalars of one list may be views of one tensor: clone one before resizing it, or before
        changing it in place where autograd has saved another.

    Raises:
        NormError: a norm is undefined; see there.
        TypeError: ``tensors`` is not an iterable of tensors, ``ord`` not a real number, or
            ``dtype`` not a torch.dtype.
    """
    p = _as_order(ord)
    batch = _as_list(tensors)
    if tracing():
        _check_classes(batch)
        return [_traced_norm(index, tensor, p, dtype) for index, tensor in enumerate(batch)]
    if dtype is not None and not isinstance(dtype, torch.dtype):
        msg = f"dtype is {dtype!r}, but must be a torch.dtype, such as torch.float64"
        raise TypeError(msg)
    if batch and p == _EUCLIDEAN and type(batch[0]) in PLAIN and dtype in (None, batch[0].dtype):
        # Nothing else to ask about each tensor: most lists end here.
        norms = stack_norms(batch)
        if norms is not None:
            return list(norms.unbind())
    _check_classes(batch)
    return _grouped_norms(batch, p, dtype)


def _grouped_norms(batch: list[Tensor], p: float, dtype: torch.dtype | None) -> list[Tensor]:
    """Return the norms of tensors of all kinds, those of one kind together."""
    targets = [_result_dtype(index, tensor, p, dtype) for index, tensor in enumerate(batch)]
    if not any_distributed(batch):
        return _norms_as(batch, p, targets)
    norms: dict[int, Tensor] = {}
    for distributed in (True, False):
        chosen = [i for i, tensor in enumerate(batch) if is_distributed(tensor) == distributed]
        tensors, dtypes = [batch[i] for i in chosen], [targets[i] for i in chosen]
        own = _distributed_norms if distributed else _norms_as
        norms.update(zip(chosen, own(tensors, p, dtypes)))
    return [norms[index] for index in range(len(batch))]


def _distributed_norms(
    tensors: Sequence[Tensor], p: float, targets: Sequence[torch.dtype]
) -> list[Tensor]:
    """Return the norms of distributed tensors, of what each rank holds in the widest dtype."""

    def measure(parts: Sequence[Tensor]) -> list[Tensor]:
        widths = [accumulator(part.device.type) for part in parts]
        if tracing():
            return [_traced_norm_as(part, p, width) for part, width in zip(parts, widths)]
        return _norms_as(parts, p, widths)

    norms = distributed_norms(tensors, p, measure)
    return [narrow(norm, target) for norm, target in zip(norms, targets)]


def _norms_as(batch: Sequence[Tensor], p: float, targets: Sequence[torch.dtype]) -> list[Tensor]:
    """Return the norms of tensors that are not distributed, each in its dtype."""
    norms: dict[int, Tensor] = {}
    groups: dict[tuple[object, ...], list[tuple[int, Tensor]]] = {}
    for index, (tensor, target) in enumerate(zip(batch, targets)):
        elements = tensor if tensor.device.type == "meta" else _elements(tensor, p)
        if elements.numel() == 0 or elements.device.type == "meta":
            # Zero-size tensors stay out of the batch: in some releases they corrupt the rest.
            norms[index] = _without_values(tensor, target)
        else:
            # Lists that mix devices or special tensors (fake ones, say) can come back
            # uninitialised.
            kind = (type(elements), elements.device, elements.dtype, _tracked(elements), target)
            groups.setdefault(kind, []).append((index, elements))
    for members in groups.values():
        target = targets[members[0][0]]
        results = _group_norms([elements for _, elements in members], p, target)
        norms.update(zip((index for index, _ in members), results))
    return [norms[index] for index in range(len(batch))]


def _group_norms(tensors: list[Tensor], p: float, target: torch.dtype) -> Sequence[Tensor]:
    """Return the norms of dense, real, non-empty tensors of one kind."""
    norms = stack_norms(tensors, target) if p == _EUCLIDEAN else None
    if norms is not None:
        return norms.unbind()
    device_type = tensors[0].device.type
    # Only the loop is differentiable on every release.
    path = choose(device_type, ("loop",) if _tracked(tensors[0]) else PATHS)
    found = wide_norms(path, tensors, p)
    if type(tensors[0]) in PLAIN:
        return narrow(torch.stack(found), target).unbind()
    return [norm.to(target) for norm in found]


def _traced_norm(index: int, tensor: Tensor, p: float, dtype: torch.dtype | None) -> Tensor:
    """Return one norm by operators that torch.compile of every release can trace and fuse."""
    target = _result_dtype(index, tensor, p, dtype)
    if is_distributed(tensor):
        return _distributed_norms([tensor], p, [target])[0]
    return _traced_norm_as(tensor, p, target)


def _traced_norm_as(tensor: Tensor, p: float, target: torch.dtype) -> Tensor:
    elements = _elements(tensor, p)
    if elements.numel() == 0:
        return _without_values(tensor, target)
    path = choose(elements.device.type, ("loop",))
    return narrow(wide_norms(path, [elements], p)[0], target)


def _as_list(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return the tensors as a list; TypeError for a bare tensor, whose rows would be taken."""
    if isinstance(tensors, Tensor):
        msg = "compute_norms takes an iterable of tensors, not one tensor: pass [tensor]"
        raise TypeError(msg)
    return list(tensors)


def _check_classes(batch: list[Tensor]) -> None:
    for index, tensor in enumerate(batch):
        if not isinstance(tensor, Tensor):
            msg = f"item {index} is a {type(tensor).__name__}, not a tensor: leave it out"
            raise TypeError(msg)


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
    if not tracing() and getattr(tensor, "is_nested", False):
        msg = f"tensor {index} is nested: pass the tensors in it, tensor.unbind(), instead"
        raise NormError(msg)
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


def _widens(wider: torch.dtype, narrower: torch.dtype) -> bool:
    """Tell whether every number of one dtype is a number of the other, both real or complex."""
    if wider.is_complex != narrower.is_complex or not (wider.is_complex or wider.is_floating_point):
        return False
    to, given = torch.finfo(_real(wider)), torch.finfo(_real(narrower))
    return to.max >= given.max and to.eps <= given.eps


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
    return pairs if p == _EUCLIDEAN else magnitudes(pairs)  # |z|^2 = re^2 + im^2
