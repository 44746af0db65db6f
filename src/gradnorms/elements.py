"""A tensor of any layout and dtype -> its stored elements, dense, and real where that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gradnorms.paths import accumulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

HOST = torch.device("cpu")
PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
"""The classes whose elements lie in memory, where nobody overrides what operators do."""

# Since 1.10, conjugation may be a flag on a tensor instead of numbers in memory.
_LAZY_CONJUGATION = hasattr(torch.Tensor, "resolve_conj")


def stored_elements(tensor: Tensor) -> Tensor:
    """Return what a tensor stores, as a dense tensor; of a sparse one each index once.

    Args:
        tensor: strided, sparse COO (then duplicates are added up, which waits for an
            accelerator), or of another layout.
    """
    if tensor.layout == torch.strided:
        return tensor
    if tensor.layout == torch.sparse_coo:
        return _coalesced(tensor)
    if "sparse" not in str(tensor.layout) or not hasattr(tensor, "values"):
        return tensor.to_dense()
    values = tensor.values()
    # A CSR tensor's values pass for a view of it, which view_as_real then refuses.
    return values.clone() if values.dtype.is_complex else values


def _coalesced(tensor: Tensor) -> Tensor:
    try:
        return tensor.coalesce().values()
    except RuntimeError:  # 1.8 can add up neither complex numbers nor half types
        indices, values = tensor._indices(), tensor._values()  # noqa: SLF001 - nothing else reads them
    width = accumulator(values.device.type)
    if not values.dtype.is_complex:
        return _added_up(indices, values.to(width), tensor.shape)
    parts = torch.view_as_real(values).to(width).unbind(-1)
    return torch.complex(*(_added_up(indices, part, tensor.shape) for part in parts))


def _added_up(indices: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    return torch.sparse_coo_tensor(indices, values, shape).coalesce().values()


def as_pairs(tensor: Tensor) -> Tensor:
    """Return a dense complex tensor (...) as real pairs (..., 2), whose L2 norm is the same."""
    return torch.view_as_real(tensor.resolve_conj() if _LAZY_CONJUGATION else tensor)


def magnitudes(pairs: Tensor) -> Tensor:
    """Return |z| of pairs (..., 2) in the widest dtype, scaled so that squares stay in range."""
    wide = pairs.to(accumulator(pairs.device.type))
    peaks = unit_scale(wide.detach().abs().max(dim=-1, keepdim=True)[0])
    return torch.view_as_complex(wide / peaks).abs() * peaks.squeeze(-1)


def flat_view(tensor: Tensor) -> Tensor | None:
    """Return a dense tensor's elements as they lie in memory, (numel,); None if it has gaps.

    Args:
        tensor: strided, in any memory format: a transposed or channels-last tensor has no gaps.
    """
    if tensor.is_contiguous():
        return tensor.view(-1)
    ordered = tensor.permute(*sorted(range(tensor.dim()), key=tensor.stride, reverse=True))
    return ordered.view(-1) if ordered.is_contiguous() else None


def pieces(tensor: Tensor, size: int) -> Iterator[Tensor]:
    """Yield the elements in flat, contiguous tensors, copying no more than one at a time.

    Args:
        tensor: strided; of any size, since an expanded tensor may be larger than memory.
        size: the most elements of a piece, at least 1.
    """
    flat = flat_view(tensor)
    if flat is not None:
        yield from torch.split(flat, size)
    elif tensor.numel() <= size:
        yield tensor.reshape(-1).contiguous()
    else:
        longest = max(range(tensor.dim()), key=tensor.size)
        step = max(1, size * tensor.size(longest) // tensor.numel())
        for part in torch.split(tensor, step, longest):
            yield from pieces(part, size)


def unit_scale(peak: Tensor) -> Tensor:
    """Return the peaks, with 1 for those that cannot divide: 0, infinity and NaN."""
    return torch.where((peak > 0) & (peak < float("inf")), peak, torch.ones_like(peak))
