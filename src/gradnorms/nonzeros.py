"""Count what is not zero in the host's memory, two to three times as fast as count_nonzero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gradnorms.elements import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

_HOST = torch.device("cpu")
# Since 1.10, negation may be a flag on a tensor, which the copy would hand on to flags.
_LAZY_NEGATION = hasattr(torch.Tensor, "resolve_neg")
# A word holds eight flags, each a byte of 0 or 1. So many words can be added up before the largest
# sum of a byte, 255, might carry into the next.
_WORD, _ADDED = 8, 128
_ROW = _WORD * _ADDED
# Elements looked at in one go, as a megabyte of flags; up to how many a tensor is joined to others
# for that; and how many those are at most.
_PIECE, _SMALL, _JOINED = 2**20, 2**12, 2**17


def count_host_nonzeros(tensors: Sequence[Tensor]) -> int:
    """Return how many elements of all tensors are not zero; a NaN is not.

    Args:
        tensors: dense, in the host's memory, of any shapes and dtypes.
    """
    simple: list[Tensor] = []
    others: list[Tensor] = []
    # From the end, so that who reads them next from the start finds those in the caches.
    for tensor in reversed(tensors):
        (others if tensor.is_complex() or not _FLAGS_IN_WORDS else simple).append(tensor)
    slow = sum(int(torch.count_nonzero(tensor)) for tensor in others)
    return slow + (_count_flags(simple) if simple else 0)


def _count_flags(tensors: Sequence[Tensor]) -> int:
    largest = max(map(torch.Tensor.numel, tensors))
    room = -(-min(max(largest, _JOINED), _PIECE) // _ROW) * _ROW
    words = torch.zeros(room // _WORD, dtype=torch.int64, device=_HOST)
    flags = words.view(torch.bool)
    sums = [words[:0]]
    for piece in _flats(tensors, room):
        size = piece.numel()
        used = -(-size // _ROW) * _ROW
        flags[:size].copy_(piece.resolve_neg() if _LAZY_NEGATION else piece)
        flags[size:used].zero_()
        sums.append(words[: used // _WORD].view(-1, _ADDED).sum(1))
    return int(torch.cat(sums).view(torch.uint8).sum())


def _flats(tensors: Sequence[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the elements in flat tensors of up to so many: small tensors joined, large ones cut.

    Each is to be used before the next: the joined ones share their memory.
    """
    small: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel() > _SMALL:
            yield from pieces(tensor, size)
        else:
            small.setdefault(tensor.dtype, []).append(tensor)
    for dtype, flats in small.items():
        room = torch.empty(_JOINED, dtype=dtype, device=_HOST)
        step = _JOINED // _SMALL
        for start in range(0, len(flats), step):
            some = [t if t.dim() == 1 else t.reshape(-1) for t in flats[start : start + step]]
            yield torch.cat(some, out=room[: sum(map(torch.Tensor.numel, some))])


def _can_view_flags_in_words() -> bool:
    """Tell whether this release views a dtype as one of another size; the oldest do not."""
    try:
        return torch.ones(_WORD, dtype=torch.bool, device=_HOST).view(torch.int64).numel() == 1
    except RuntimeError:
        return False


_FLAGS_IN_WORDS = _can_view_flags_in_words()
