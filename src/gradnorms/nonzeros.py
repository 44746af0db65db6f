"""Count what is not zero in the host's memory, two to three times as fast as count_nonzero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gradnorms.elements import HOST, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

# Since 1.10, negation may be a flag on a tensor, which the copy would hand on to flags.
_LAZY_NEGATION = hasattr(torch.Tensor, "resolve_neg")
# A word holds eight flags, each a byte of 0 or 1. So many words can be added up before the largest
# sum of a byte, 255, might carry into the next.
_WORD, _ADDED = 8, 128
_ROW = _WORD * _ADDED
# Elements looked at in one go, as a megabyte of flags; up to how many a tensor is joined to others
# for that; and how many those are at most.
_PIECE, _SMALL, _JOINED = 2**20, 2**12, 2**17


class NonzeroCounter:
    """Counts the elements of tensors that are not zero; a NaN is not.

    Large tensors are counted when they are added: whoever adds one just after reading it finds it
    in the processor's caches. Small ones wait to be joined, and must not change meanwhile.
    """

    def __init__(self) -> None:
        self._words = torch.zeros(0, dtype=torch.int64, device=HOST)
        self._sums: list[Tensor] = []
        self._small: dict[torch.dtype, list[Tensor]] = {}
        self._slow = 0

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Count more tensors: dense, in the host's memory, of any shapes and dtypes."""
        for tensor in tensors:
            if tensor.is_complex() or not _FLAGS_IN_WORDS:
                self._slow += int(torch.count_nonzero(tensor))
            elif tensor.numel() > _SMALL:
                for piece in pieces(tensor, _PIECE):
                    self._count(piece)
            else:
                self._small.setdefault(tensor.dtype, []).append(tensor)

    def total(self) -> int:
        """Return the number of all tensors so far."""
        for piece in self._joined():
            self._count(piece)
        self._small.clear()
        if not self._sums:
            return self._slow
        return self._slow + int(torch.cat(self._sums).view(torch.uint8).sum())

    def _count(self, flat: Tensor) -> None:
        size = flat.numel()
        used = -(-size // _ROW) * _ROW
        if used > _WORD * len(self._words):
            self._words = torch.zeros(used // _WORD, dtype=torch.int64, device=HOST)
        words = self._words[: used // _WORD]
        flags = words.view(torch.bool)
        flags[:size].copy_(flat.resolve_neg() if _LAZY_NEGATION else flat)
        flags[size:].zero_()
        self._sums.append(words.view(-1, _ADDED).sum(1))

    def _joined(self) -> Iterator[Tensor]:
        """Yield small tensors as flat ones, each to be used before the next: they share room."""
        step = _JOINED // _SMALL
        for dtype, tensors in self._small.items():
            room = torch.empty(_JOINED, dtype=dtype, device=HOST)
            for start in range(0, len(tensors), step):
                some = [t if t.dim() == 1 else t.reshape(-1) for t in tensors[start : start + step]]
                yield torch.cat(some, out=room[: sum(map(torch.Tensor.numel, some))])


def _can_view_flags_in_words() -> bool:
    """Tell whether this release views a dtype as one of another size; the oldest do not."""
    try:
        return torch.ones(_WORD, dtype=torch.bool, device=HOST).view(torch.int64).numel() == 1
    except RuntimeError:
        return False


_FLAGS_IN_WORDS = _can_view_flags_in_words()
