"""Cases as tensors, and norms as numbers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Callable

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cases import Case, Entry
    from reference import Real

Tensor = Any


def build(entry: Entry, device: str) -> Tensor:
    """Return an entry as a tensor: the same bits on every release."""
    dtype = getattr(torch, entry.dtype)
    is_complex = entry.dtype.startswith("complex")
    values = entry.numbers.complexes() if is_complex else entry.numbers.reals()
    flat = torch.tensor(values, dtype=dtype, device=device)
    if entry.layout == "expanded":
        return flat.expand(entry.numbers.copies, -1)
    if entry.numbers.copies > 1:
        flat = flat.repeat(entry.numbers.copies)
    shaped = flat if entry.shape is None else flat.reshape(entry.shape)
    return LAYOUTS[entry.layout](shaped)


def build_all(case: Case, device: str) -> list[Tensor]:
    """Return the list of a case, each entry a tensor of its own."""
    return [build(entry, device) for entry in case.entries]


def meta(shape: tuple[int, ...], dtype: str = "float32") -> Tensor:
    """Return a tensor without numbers."""
    try:
        return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
    except RuntimeError as error:
        pytest.skip(f"this release makes no meta tensors: {str(error).splitlines()[0]}")


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.t().contiguous().t()


def _strided(tensor: Tensor) -> Tensor:
    # What lies between belongs to someone else, and would be noticed.
    room = torch.full((tensor.shape[0] * 2, *tensor.shape[1:]), float("nan"), dtype=tensor.dtype)
    room = room.to(tensor.device)
    room[::2] = tensor
    return room[::2]


def _offset(tensor: Tensor) -> Tensor:
    room = torch.full((tensor.numel() + 3,), float("nan"), dtype=tensor.dtype, device=tensor.device)
    room[3:] = tensor.reshape(-1)
    return room[3:].reshape(tensor.shape)


def _flipped(tensor: Tensor) -> Tensor:
    # Strides in the order of no memory format: the last dimension is the slowest but one.
    return tensor.reshape(2, 3, -1).permute(1, 2, 0)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _sparse(tensor: Tensor) -> Tensor:
    """Return a sparse tensor of twice as many rows, every second of them empty."""
    rows, columns = tensor.shape
    places = [(2 * row, column) for row in range(rows) for column in range(columns)]
    indices = torch.tensor(places, device=tensor.device).t()
    return torch.sparse_coo_tensor(indices, tensor.reshape(-1), (2 * rows, columns))


def _uncoalesced(tensor: Tensor) -> Tensor:
    """Return a sparse tensor with each entry given as two halves."""
    sparse = _sparse(tensor)
    indices = torch.cat([sparse._indices()] * 2, dim=1)
    values = torch.cat([sparse._values() / 2] * 2)
    return torch.sparse_coo_tensor(indices, values, sparse.shape)


def _csr(tensor: Tensor) -> Tensor:
    if not hasattr(tensor, "to_sparse_csr"):
        pytest.skip("this release has no compressed sparse tensors")
    try:
        # Some releases warn that these tensors are in beta; making one is not what is probed.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tensor.to_sparse_csr()
    except RuntimeError as error:
        pytest.skip(f"this release cannot make this compressed sparse tensor: {error}")


def _not_leaf(tensor: Tensor) -> Tensor:
    # Times one: the same bits, with a history.
    return tensor.clone().requires_grad_() * 1


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda tensor: tensor,
    "transposed": _transposed,
    "strided": _strided,
    "offset": _offset,
    "flipped": _flipped,
    "channels last": _channels_last,
    "conjugate": lambda tensor: tensor.conj(),
    "sparse": _sparse,
    "uncoalesced": _uncoalesced,
    "csr": _csr,
    "leaf": lambda tensor: tensor.requires_grad_(),
    "not leaf": _not_leaf,
    "parameter": torch.nn.Parameter,
}


def numbers_of(norms: Sequence[Tensor]) -> list[float]:
    """Return norms as Python floats; every dtype's numbers are some float's."""
    return [float(norm.item()) for norm in norms]


def references(case: Case) -> list[Real]:
    """Return the exact norms of a case."""
    known: dict[int, Real] = {}
    for entry in case.entries:
        if id(entry) not in known:
            known[id(entry)] = entry.numbers.norm(case.order)
    return [known[id(entry)] for entry in case.entries]


def keywords(case: Case) -> dict[str, Any]:
    """Return the ``dtype=`` argument of a case, where it has one."""
    return {"dtype": getattr(torch, case.dtype)} if case.dtype else {}
