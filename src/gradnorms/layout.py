"""Lay tensors of given shapes out in rows: which share a matrix, and how long the rows are."""

from __future__ import annotations

import math
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

# Copying a tensor into a matrix costs less than a call of its own, up to about this size.
_LARGEST_STACKED, _FEWEST_STACKED = 2**13, 4
# Rows that may make up a stacked tensor, so that their norms are no long sum in turn.
_MOST_ROWS = 64


class Stack(NamedTuple):
    """Equally shaped tensors that become rows of a matrix."""

    size: int
    choose: Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
    numel: int
    row: int  # how many elements a row has; does not always divide numel


class Layout(NamedTuple):
    """How a list of tensors of these shapes is measured."""

    stacks: tuple[Stack, ...]
    singles: tuple[tuple[int, int], ...]  # index, and length of the rows that divide it, or 0
    empty: int  # how many tensors have no element
    order: tuple[int, ...] | None  # where, among the above, each tensor is; None: in that order


@lru_cache(maxsize=64)
def lay_out(shapes: tuple[torch.Size, ...], lengths: tuple[int, ...]) -> Layout:
    """Return how lists of tensors of these shapes are measured.

    Found out once for all such lists: a model's gradients keep their shapes.

    Args:
        shapes: of the tensors, in order.
        lengths: that rows may have, in elements; the longest first.
    """
    members: dict[torch.Size, list[int]] = {}
    for index, shape in enumerate(shapes):
        members.setdefault(shape, []).append(index)
    stacks, singles, empty = [], [], []
    found: list[int] = []
    most = min(_LARGEST_STACKED, _MOST_ROWS * lengths[0])
    for shape, indices in members.items():
        numel = math.prod(shape)
        row = _row_length(numel, lengths)
        if numel == 0:
            empty += indices
        elif numel <= most and len(indices) >= _FEWEST_STACKED:
            everything = len(indices) == len(shapes)
            chosen: Any = tuple if everything else itemgetter(*indices)
            stacks.append(Stack(len(indices), chosen, numel, row or lengths[0]))
            found += indices
        else:
            singles += [(index, row) for index in indices]
    found += [*(index for index, _ in singles), *empty]
    order = None
    if found != sorted(found):
        places = {index: place for place, index in enumerate(found)}
        order = tuple(places[index] for index in range(len(found)))
    return Layout(tuple(stacks), tuple(singles), len(empty), order)


@lru_cache(maxsize=4096)
def _row_length(numel: int, lengths: tuple[int, ...]) -> int:
    """Return the largest length of rows that divides the number of elements, or 0."""
    useful = (length for length in lengths if length > lengths[0] // 8 or length == numel)
    return next((length for length in useful if numel % length == 0), 0)
