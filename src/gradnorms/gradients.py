"""From parameters to numbers: a gradient's stored elements, norms, counts, and reading them back.

Nothing here but `read_back` waits for an accelerator, with one exception that is PyTorch's own:
coalescing a sparse gradient that may hold an index twice.
"""

from __future__ import annotations

import struct
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gradnorms.distributed import (
    any_distributed,
    count_everywhere,
    distributed_norms,
    is_distributed,
    settle,
)
from gradnorms.elements import HOST, as_pairs, pieces, stored_elements
from gradnorms.nonzeros import NonzeroCounter
from gradnorms.norms import compute_norms
from gradnorms.paths import accumulator
from gradnorms.rows import estimate_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Elements: 4 MB of float32.
_PIECE = 2**20


class Gradients(NamedTuple):
    """The gradients of some parameters.

    Attributes:
        stored: The elements of each, dense; of a sparse gradient those it stores, each index once.
            A distributed gradient stays so, but no elements of it are sums over ranks.
        size: Number of all elements, with those that sparse gradients do not store.
    """

    stored: list[Tensor]
    size: int


def find_gradients(parameters: Iterable[Tensor]) -> Gradients:
    """Return the gradients of the parameters that have one, in order.

    Args:
        parameters: Read once; a single parameter is taken as a list of it.
    """
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    found = [grad for grad in map(attrgetter("grad"), parameters) if grad is not None]
    if any_distributed(found):
        found = list(map(settle, found))
    return Gradients(list(map(stored_elements, found)), sum(map(torch.Tensor.numel, found)))


def measure_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each tensor, in the widest dtype that the devices have.

    Args:
        tensors: Dense, real or complex, on any devices, distributed or not.

    Returns:
        Shape (number of tensors,), on the device that `gather` chooses: float64, where squares of
        1e20 stay finite; float32 if that device has no float64 (MPS). Right to 1e-6 for tensors
        of float32 and half types, to 1e-14 for wider ones.
    """
    estimates = estimate_norms(tensors) if tensors else None
    if estimates is not None:
        return estimates
    norms: dict[int, Tensor] = {}
    spread = [index for index, tensor in enumerate(tensors) if is_distributed(tensor)]
    norms.update(zip(spread, distributed_norms([tensors[i] for i in spread], 2, measure_norms)))
    local = [index for index in range(len(tensors)) if index not in norms]
    kinds = {i: (tensors[i].dtype, accumulator(tensors[i].device.type)) for i in local}
    for kind in dict.fromkeys(kinds.values()):
        indices = [index for index, own in kinds.items() if own == kind]
        norms.update(zip(indices, _norms([_as_real(tensors[index]) for index in indices], kind[1])))
    ordered = [norms[index] for index in range(len(tensors))]
    return gather(ordered, accumulator(_home(ordered).type))


def _norms(tensors: list[Tensor], width: torch.dtype) -> Sequence[Tensor]:
    estimates = estimate_norms(tensors)
    return compute_norms(tensors, dtype=width) if estimates is None else estimates.unbind()


def _as_real(tensor: Tensor) -> Tensor:
    return as_pairs(tensor) if tensor.is_complex() else tensor


def gather(scalars: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Stack tensors of one shape on one device: of several, the first that is not the CPU.

    In this direction a copy needs no waiting.
    """
    if not scalars:
        return torch.zeros(0, dtype=dtype, device=HOST)
    home = _home(scalars)
    return torch.stack([scalar.to(home, dtype, non_blocking=True) for scalar in scalars])


def _home(tensors: Sequence[Tensor]) -> torch.device:
    return next((tensor.device for tensor in tensors if not on_host(tensor)), HOST)


def on_host(tensor: Tensor) -> bool:
    """Tell whether reading the tensor needs no synchronisation."""
    return tensor.device.type == "cpu"


def measure_and_count(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what `measure_norms` and `count_nonzeros` do, of most tensors with one reading."""
    counter = NonzeroCounter()
    estimates = estimate_norms(tensors, counter.add) if tensors else None
    if estimates is None:
        return measure_norms(tensors), count_nonzeros(tensors)
    return estimates, torch.tensor(counter.total(), device=HOST)


def count_nonzeros(tensors: Sequence[Tensor]) -> Tensor:
    """Return the exact number of elements of all tensors that are not zero: 0-d, int64."""
    return gather(count_everywhere(tensors, _count_local_nonzeros), torch.int64).sum()


def _count_local_nonzeros(tensors: Sequence[Tensor]) -> Tensor:
    counts = [torch.count_nonzero(tensor) for tensor in tensors if not on_host(tensor)]
    counter = NonzeroCounter()
    counter.add(tensor for tensor in tensors if on_host(tensor))
    return gather([torch.tensor(counter.total(), device=HOST), *counts], torch.int64).sum()


def count_nonfinite(tensors: Sequence[Tensor]) -> Tensor:
    """Return the exact numbers of NaN and of infinite elements of all tensors: (2,), int64."""
    return gather(count_everywhere(tensors, _count_local_nonfinite), torch.int64).sum(0)


def _count_local_nonfinite(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([_count(torch.isnan, tensors), _count(torch.isinf, tensors)])


def _count(test: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> Tensor:
    # In pieces, so that testing the elements allocates little.
    cut = (piece for tensor in tensors for piece in pieces(tensor, _PIECE))
    return gather([torch.count_nonzero(test(piece)) for piece in cut], torch.int64).sum()


def read_back(tensors: Sequence[Tensor]) -> list[list[Any]]:
    """Read tensors back, with one synchronisation for all of them.

    They travel as one int64 tensor, numbers with a fraction as their bits: float64 would need a
    device that has it, and float32 rounds counts above 2**24.

    Args:
        tensors: Integers or floating-point numbers, 0-d or 1-d.

    Returns:
        For each tensor a list of its elements: int or float, as its dtype says.
    """
    home = _home(tensors)
    bits = [_as_bits(tensor).to(home, non_blocking=True) for tensor in tensors]
    numbers = iter(torch.cat(bits).tolist())
    return [_from_bits(islice(numbers, tensor.numel()), tensor.dtype) for tensor in tensors]


def _as_bits(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if flat.dtype == torch.float64:
        return flat.view(torch.int64)
    if flat.is_floating_point():
        return flat.float().view(torch.int32).to(torch.int64)
    return flat.to(torch.int64)


def _from_bits(numbers: Iterable[int], dtype: torch.dtype) -> list[Any]:
    values = list(numbers)
    if not dtype.is_floating_point:
        return values
    integer, real = ("q", "d") if dtype == torch.float64 else ("i", "f")
    packed = struct.pack(f"={len(values)}{integer}", *values)
    return list(struct.unpack(f"={len(values)}{real}", packed))
