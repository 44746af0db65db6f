"""From parameters to numbers: a gradient's stored elements, norms, counts, and reading them back.

Nothing here but `read_back` waits for an accelerator, with one exception that is PyTorch's own:
coalescing a sparse gradient that may hold an index twice.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gradnorms.elements import as_pairs, stored_elements
from gradnorms.norms import compute_norms
from gradnorms.paths import accumulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

_HOST = torch.device("cpu")
# Elements: 4 MB of float32.
_PIECE = 2**20


class Gradient(NamedTuple):
    """One gradient, detached.

    Attributes:
        stored: Its elements, dense; of a sparse gradient those it stores, each index once.
        size: Number of its elements, with those that a sparse gradient does not store.
    """

    stored: Tensor
    size: int


def find_gradients(parameters: Iterable[Tensor]) -> list[Gradient]:
    """Return the gradients of the parameters that have one, in order.

    Args:
        parameters: Read once; a single parameter is taken as a list of it.
    """
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    found = (parameter.grad for parameter in parameters)
    return [
        Gradient(stored_elements(grad.detach()), grad.numel()) for grad in found if grad is not None
    ]


def measure_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each tensor, in the widest dtype that the devices have.

    Args:
        tensors: Dense, real or complex, on any devices.

    Returns:
        Shape (number of tensors,), on the device that `gather` chooses: float64, where squares of
        1e20 stay finite; float32 if that device has no float64 (MPS).
    """
    norms: dict[int, Tensor] = {}
    widths = [accumulator(tensor.device.type) for tensor in tensors]
    for width in dict.fromkeys(widths):
        chosen = [index for index, own in enumerate(widths) if own == width]
        found = compute_norms([_as_real(tensors[index]) for index in chosen], dtype=width)
        norms.update(zip(chosen, found))
    ordered = [norms[index] for index in range(len(tensors))]
    return gather(ordered, accumulator(_home(ordered).type))


def _as_real(tensor: Tensor) -> Tensor:
    return as_pairs(tensor) if tensor.is_complex() else tensor


def gather(scalars: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Stack 0-d tensors on one device: of several, the first that is not the CPU.

    In this direction a copy needs no waiting.
    """
    if not scalars:
        return torch.zeros(0, dtype=dtype, device=_HOST)
    home = _home(scalars)
    return torch.stack([scalar.to(home, dtype, non_blocking=True) for scalar in scalars])


def _home(tensors: Sequence[Tensor]) -> torch.device:
    return next((tensor.device for tensor in tensors if not on_host(tensor)), _HOST)


def on_host(tensor: Tensor) -> bool:
    """Tell whether reading the tensor needs no synchronisation."""
    return tensor.device.type == "cpu"


def count_nonzeros(tensors: Sequence[Tensor]) -> Tensor:
    """Return the exact number of elements of all tensors that are not zero: 0-d, int64."""
    return gather([torch.count_nonzero(tensor) for tensor in tensors], torch.int64).sum()


def count_nonfinite(tensors: Sequence[Tensor]) -> Tensor:
    """Return the exact numbers of NaN and of infinite elements of all tensors: (2,), int64."""
    pieces = [piece for tensor in tensors for piece in _split(tensor)]
    return torch.stack([_count(torch.isnan, pieces), _count(torch.isinf, pieces)])


def _count(test: Callable[[Tensor], Tensor], pieces: Sequence[Tensor]) -> Tensor:
    return gather([torch.count_nonzero(test(piece)) for piece in pieces], torch.int64).sum()


def _split(tensor: Tensor) -> Sequence[Tensor]:
    """Cut a large tensor into views, so that testing its elements allocates little."""
    if tensor.numel() <= _PIECE:
        return [tensor]
    return torch.split(tensor, max(1, _PIECE * tensor.shape[0] // tensor.numel()))


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
