"""L2 norms of plain tensors in the host's memory, in rows: one pass, accurate and safe.

A long sum in float32 loses digits: adding a square to a sum a million times as large rounds away
most of it. So every tensor is cut into rows short enough that little is lost, whose norms are
combined in float64. That reads the elements once, as one long sum would. Equally shaped small
tensors become the rows of one matrix, which spares a call for each.

What squares take out of the working dtype's range shows in the result (infinity, NaN, or next to
nothing), and only such a tensor is measured again, in float64 and scaled.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, Callable

import torch

from gradnorms.elements import HOST, PLAIN, flat_view, pieces
from gradnorms.layout import lay_out
from gradnorms.paths import choose
from gradnorms.rounding import HALVES, compare_norm, halfway, narrow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from gradnorms.layout import Stack
    from gradnorms.paths import Path

    Visitor = Callable[[Sequence[Tensor]], None]

_WIDE = torch.float64
_SERVED = (*HALVES, torch.float32, _WIDE)
# Lengths of float64 rows: even if added one by one, they lose less than 2e-15.
_WIDE_LENGTHS = tuple(range(32, 0, -1))
# Norms below it may have lost squares that underflowed: up to 1.2e-38 each in float32, so that
# 1e11 of them still weigh less than 1e-7 of the smallest sound square; float64 alike.
_SMALLEST_SOUND = {torch.float32: 2.0**-33, _WIDE: 2.0**-460}
# Of the results, relative. Half types are decided by exact arithmetic where this leaves a doubt.
_ERROR = {torch.float32: 1e-6, _WIDE: 1e-13}
# Elements of a matrix, or of a piece that is cast: what fits a processor's own cache.
_PIECE = 2**18


def stack_norms(tensors: Sequence[Tensor], dtype: torch.dtype | None = None) -> Tensor | None:
    """Return the L2 norms of the tensors in one tensor of shape (number of tensors,), or None.

    Args:
        tensors: at least one, of any kind.
        dtype: of the result, at least as wide as the tensors'; None means theirs. float16 and
            bfloat16 norms are correctly rounded, float32 ones right to 1e-6, float64 to 1e-14.

    Returns:
        None where the tensors are not all in the host's memory, dense, plain, untracked by
        autograd and of one floating dtype, or torch refuses, for example because values cannot
        be read now.
    """
    target = tensors[0].dtype if dtype is None else dtype
    norms = _measure(tensors, _WIDE if target == _WIDE else torch.float32)
    if norms is None:
        return None
    return _round(tensors, norms, target) if target in HALVES else norms.to(target)


def estimate_norms(tensors: Sequence[Tensor], visit: Visitor | None = None) -> Tensor | None:
    """Return what `stack_norms` does, as float64, right to 1e-6 (1e-14 if the tensors are).

    Args:
        tensors: as for `stack_norms`.
        visit: is handed every tensor that is not empty once, some at a time, just after they
            were read; not all of them if the answer is None.
    """
    return _measure(tensors, _WIDE if tensors[0].dtype == _WIDE else torch.float32, visit)


def row_norms(path: Path, flat: Tensor, length: int, p: float = 2.0) -> Tensor:
    """Return a flat tensor of the same norm: the norms of rows, and the elements that remain."""
    whole = flat.numel() // length * length
    norms = path.rows(flat[:whole].view(-1, length), p) if whole else flat[:0]
    return norms if whole == flat.numel() else torch.cat([norms, flat[whole:]])


def _measure(
    tensors: Sequence[Tensor], working: torch.dtype, visit: Visitor | None = None
) -> Tensor | None:
    if not _are_plain(tensors):
        return None
    path = choose("cpu")
    try:
        return _sound_norms(path, tensors, working, visit)
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        return None


def _lengths(path: Path, working: torch.dtype) -> tuple[int, ...]:
    return _WIDE_LENGTHS if working == _WIDE else path.row_lengths


def _are_plain(tensors: Sequence[Tensor]) -> bool:
    # Each attribute in one sweep: a loop over 1000 small tensors would take as long as the norms.
    # In what else tensors may differ shows when they are stacked, or in the result.
    first = tensors[0]
    return (
        first.device.type == "cpu"
        and first.layout == torch.strided
        and first.dtype in _SERVED
        and set(map(type, tensors)) <= PLAIN
        and len(set(map(attrgetter("dtype"), tensors))) == 1
        and not (first.requires_grad and torch.is_grad_enabled())
    )


def _sound_norms(
    path: Path, tensors: Sequence[Tensor], working: torch.dtype, visit: Visitor | None
) -> Tensor:
    """Return the norms in float64, from squares in the working dtype where those are sound."""
    norms = _norms(path, tensors, working, visit)
    if norms.requires_grad:
        raise NotImplementedError
    values = norms.tolist()
    # The sum is finite if all are, and min() can be trusted if there is no NaN.
    if math.isfinite(sum(values)) and min(values) >= _SMALLEST_SOUND[working]:
        return norms
    for index, value in enumerate(values):
        if not _SMALLEST_SOUND[working] <= value < math.inf:
            norms[index] = _wide_norm(path, tensors[index])
    return norms


def _norms(
    path: Path, tensors: Sequence[Tensor], working: torch.dtype, visit: Visitor | None
) -> Tensor:
    layout = lay_out(tuple(map(attrgetter("shape"), tensors)), _lengths(path, working))
    found: list[Tensor] = []
    for stack in layout.stacks:
        chosen = stack.choose(tensors)
        found += _stacked(path, chosen, stack, working)
        if visit is not None:
            visit(chosen)
    flats = []
    for index, row in layout.singles:
        flats.append(_short(path, tensors[index], row, working))
        if visit is not None:
            visit((tensors[index],))
    if flats:
        found.append(torch.stack([*path.norms(flats, 2.0, _WIDE)]))
    if layout.empty:
        found.append(torch.zeros(layout.empty, dtype=_WIDE, device=HOST))
    norms = found[0] if len(found) == 1 else torch.cat(found)
    return norms if layout.order is None else norms[torch.tensor(layout.order, device=HOST)]


def _stacked(
    path: Path, chosen: tuple[Tensor, ...], stack: Stack, working: torch.dtype
) -> Iterable[Tensor]:
    """Yield the norms of the tensors of a stack, as many at a time as a cache holds."""
    first = chosen[0]
    step = min(stack.size, max(1, _PIECE // stack.numel))
    # One matrix for all: fresh memory costs more than the copies.
    room = torch.empty((step, *first.shape), dtype=first.dtype, device=HOST)
    for start in range(0, stack.size, step):
        some = chosen[start : start + step]
        matrix = torch.stack(some, out=room[: len(some)]).to(working)
        if stack.numel % stack.row:
            flat = matrix.view(len(some), -1)
            matrix = torch.nn.functional.pad(flat, (0, -stack.numel % stack.row))
        norms = path.rows(matrix.view(-1, stack.row), 2.0).double()
        yield norms if len(norms) == len(some) else path.rows(norms.view(len(some), -1), 2.0)


def _short(path: Path, tensor: Tensor, length: int, working: torch.dtype) -> Tensor:
    """Return a flat float64 tensor that has the norm of this one: the norms of its rows."""
    if tensor.device != HOST:
        raise NotImplementedError
    longest = _lengths(path, working)[0]
    if tensor.numel() <= longest:
        norms = tensor.reshape(-1)
    elif tensor.dtype == working and length and tensor.is_contiguous():
        norms = path.rows(tensor.view(-1, length), 2.0)
    else:
        norms = _all_rows(path, _cast_pieces(tensor, working))
    norms = norms.double()
    while working == _WIDE and norms.numel() > longest:
        norms = row_norms(path, norms, longest)
    return norms


def _cast_pieces(tensor: Tensor, dtype: torch.dtype) -> Iterable[Tensor]:
    """Yield flat tensors of the elements, copying little at a time, and nothing if possible."""
    flat = flat_view(tensor) if tensor.dtype == dtype else None
    return [flat] if flat is not None else (p.to(dtype) for p in pieces(tensor, _PIECE))


def _all_rows(path: Path, flats: Iterable[Tensor]) -> Tensor:
    return torch.cat([row_norms(path, flat, _lengths(path, flat.dtype)[0]) for flat in flats])


def _wide_norm(path: Path, tensor: Tensor) -> Tensor:
    """Return the norm in float64, from squares that cannot leave its range."""
    peaks = [piece.double().abs().max() for piece in pieces(tensor, _PIECE)]
    if not peaks:
        return torch.zeros((), dtype=_WIDE, device=HOST)
    peak = torch.stack(peaks).max()
    if not 0 < peak < math.inf:
        return peak  # which is the norm: 0, infinity or NaN
    # float64 holds the squares of all other dtypes. Halves of the exponent, since 2.0**1074 is
    # not a float64 number.
    exponent = -math.frexp(peak.item())[1] if tensor.dtype == _WIDE else 0
    up, down = _powers(exponent), _powers(-exponent)
    scaled = (piece.double() * up[0] * up[1] for piece in pieces(tensor, _PIECE))
    norm = path.norms([_short(path, _all_rows(path, scaled), 0, _WIDE)], 2.0, _WIDE)[0]
    return norm * down[0] * down[1]


def _powers(exponent: int) -> tuple[float, float]:
    """Return two powers of 2 whose product is 2^exponent."""
    half = exponent // 2
    return 2.0**half, 2.0 ** (exponent - half)


def _round(tensors: Sequence[Tensor], norms: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the norms correctly rounded to a half type, computing doubtful ones again."""
    path = choose("cpu")
    rounded = narrow(norms, dtype)
    low, high = _bounds(norms, _ERROR[torch.float32], dtype)
    for index in (low < high).nonzero().reshape(-1).tolist():
        wide = _wide_norm(path, tensors[index])
        bounds = _bounds(wide, _ERROR[_WIDE], dtype)
        doubtful = bool(bounds[0] < bounds[1])
        rounded[index] = _decided(tensors[index], *bounds) if doubtful else narrow(wide, dtype)
    return rounded


def _bounds(norms: Tensor, error: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return what norms with this relative error may round to, at least and at most."""
    return narrow(norms * (1 - error), dtype), narrow(norms * (1 + error), dtype)


def _decided(tensor: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round a norm next to the middle of two neighbours to one of them, by exact arithmetic."""
    dtype = low.dtype
    middle = halfway(low.item(), dtype)
    side = compare_norm(pieces(tensor, _PIECE), middle)
    if side == 0:
        return torch.tensor(middle, dtype=_WIDE, device=HOST).to(dtype)  # the even one
    return high if side > 0 else low
