"""Norms and counts of distributed tensors (DTensor): each rank's own, gathered and put together.

No rule of torch for norms of such tensors is used: on many releases they square in the tensor's
dtype, take the norm of a sum to be the sum of norms, or are missing. What a rank holds is measured
like any other tensor, and then a few numbers travel.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Callable

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

_MODULES = ("torch.distributed.tensor", "torch.distributed._tensor")  # older releases: the latter


def is_distributed(tensor: Tensor) -> bool:
    """Tell whether the tensor is spread over a mesh of ranks."""
    kind = type(tensor)
    # torch.compile of old releases cannot trace hasattr. Naming DTensor would import it for all.
    return kind is not torch.Tensor and kind is not torch.nn.Parameter and _is_spread(kind)


def _is_spread(kind: type) -> bool:
    return hasattr(kind, "device_mesh")


def any_distributed(tensors: Sequence[Tensor]) -> bool:
    """Tell, quickly for many tensors of few classes, whether any is distributed."""
    return any(map(_is_spread, set(map(type, tensors))))


def settle(tensor: Tensor) -> Tensor:
    """Add up a distributed tensor whose elements are sums of what ranks hold; return others as is.

    Every rank of its mesh must call this.
    """
    if not is_distributed(tensor):
        return tensor
    places = _places(tensor)
    if not any(place.is_partial() for place in places):
        return tensor
    settled = [_placements().Replicate() if place.is_partial() else place for place in places]
    return _redistribute(tensor, settled)


def distributed_norms(
    tensors: Sequence[Tensor], p: float, measure: Callable[[Sequence[Tensor]], Iterable[Tensor]]
) -> list[Tensor]:
    """Return the norms of whole distributed tensors, the same on every rank: plain scalars.

    Every rank of their meshes must call this, with the same tensors in the same order.

    Args:
        tensors: Distributed, of any meshes and placements; shards may be uneven or empty.
        p: The order.
        measure: Gives the norms of order p of plain tensors, as scalars of the accumulator's
            dtype, and 0 for empty ones.
    """
    settled = list(map(settle, tensors))
    norms: dict[int, Tensor] = {}
    for indices in _groups(settled):
        parts = [_local(settled[index]) for index in indices]
        own = list(measure(parts))
        if p < 0:
            # What has no elements must not be the smallest: 0 would.
            own = [norm if part.numel() else norm + math.inf for norm, part in zip(own, parts)]
        rows = _gather(settled[indices[0]], torch.stack(own))
        # Of order 0 the norms are numbers of elements, which add up.
        joined = rows.sum(0) if p == 0 else measure(rows.unbind(1))
        norms.update(zip(indices, joined))
    return [norms[index] for index in range(len(tensors))]


def count_everywhere(
    tensors: Sequence[Tensor], count: Callable[[Sequence[Tensor]], Tensor]
) -> list[Tensor]:
    """Return counts that add up to that of all elements: of copies of a shard, one is counted.

    Every rank of the meshes must call this, with the same distributed tensors in the same order.

    Args:
        tensors: Distributed or not.
        count: Counts elements of plain tensors: any shape, int64.

    Returns:
        The count of the tensors that are not distributed, then that of each group of others.
    """
    if not any_distributed(tensors):
        return [count(tensors)]
    spread = [settle(tensor) for tensor in tensors if is_distributed(tensor)]
    counts = [count([tensor for tensor in tensors if not is_distributed(tensor)])]
    for indices in _groups(spread):
        own = count([_local(spread[index]) for index in indices])
        counts.append(_gather(spread[indices[0]], own.reshape(-1)).sum(0).reshape(own.shape))
    return counts


def _groups(tensors: Sequence[Any]) -> list[list[int]]:
    """Return the indices of tensors whose shards lie on the same ranks, group by group."""
    if len(tensors) == 1:
        return [[0]]  # torch.compile, which asks for one at a time, cannot trace the rest
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, tensor in enumerate(tensors):
        tracked = tensor.requires_grad and torch.is_grad_enabled()
        copied = [place.is_replicate() for place in _places(tensor)]
        groups.setdefault((tensor.device_mesh, *copied, tracked), []).append(index)
    return list(groups.values())


def _places(tensor: Any) -> Sequence[Any]:  # noqa: ANN401 - a class that some releases lack
    places: Sequence[Any] = tensor.placements
    return places


def _local(tensor: Any) -> Tensor:  # noqa: ANN401
    local: Tensor = tensor.to_local()
    return local


def _gather(tensor: Any, numbers: Tensor) -> Tensor:  # noqa: ANN401
    """Return what the ranks that hold the shards of a tensor have: (n,) of each -> (shards, n)."""
    copied = [place.is_replicate() for place in _places(tensor)]
    if all(copied):
        return numbers.unsqueeze(0)
    api = _placements()
    places = [api.Replicate() if copy else api.Shard(i) for i, copy in enumerate(copied)]
    row = numbers.reshape(*[1] * len(copied), -1)
    rows = type(tensor).from_local(row, tensor.device_mesh, places, run_check=False)
    whole = _redistribute(rows, [api.Replicate()] * len(copied))
    return _local(whole).to(numbers.device).reshape(-1, len(numbers))


def _redistribute(tensor: Any, placements: list[Any]) -> Tensor:  # noqa: ANN401
    moved: Tensor = tensor.redistribute(tensor.device_mesh, placements)
    return moved


def _placements() -> Any:  # noqa: ANN401
    """Return the module that has the kinds of placements; it is there if a tensor is."""
    return next(sys.modules[name] for name in _MODULES if hasattr(sys.modules.get(name), "Shard"))
