"""Choose the implementation that serves ``compute_norms``, by trying it.

No version string is read. Each candidate is looked up on the torch module and asked for norms that
are known beforehand. A missing name, a changed signature, a changed return type or a wrong answer
all lead to the next candidate. The finding is kept per device type until ``reset_paths``, or until
the torch module holds another object under one of the names.
"""

from __future__ import annotations

import contextlib
import math
import operator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gradnorms.trials import (
    SHORTEST_ROWS,
    Norms,
    Rows,
    are_fine,
    are_right,
    are_right_rows,
    row_lengths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATHS = ("public", "private", "loop")

_WITHOUT_FLOAT64 = frozenset({"mps"})


class Path(NamedTuple):
    """One implementation."""

    name: str  # as in PATHS
    norms: Norms
    rows: Rows  # by an operator of the loop, whichever path it is
    row_lengths: tuple[int, ...]  # of float32 numbers, that lose little; the longest first
    fine_orders: bool  # False where the operator rounds the order to float32


class _Finding(NamedTuple):
    path: Path
    entries: tuple[object, ...]  # what was tried


_found: dict[tuple[tuple[str, ...], str], _Finding] = {}  # (names tried, device type) -> finding
_forced: list[Path] = []  # innermost last; empty outside force_path


def accumulator(device_type: str) -> torch.dtype:
    """Return the widest real dtype that devices of this type compute in."""
    return torch.float32 if device_type in _WITHOUT_FLOAT64 else torch.float64


def choose(device_type: str, names: tuple[str, ...] = PATHS) -> Path:
    """Return the path that serves tensors on devices of this type, trying at the first call.

    Trying reads a few numbers back from the device. Where that is impossible (while a CUDA graph
    is captured, or under a mode that replaces tensors) and nothing was found out before, the
    answer is the loop, and the next call tries again. It is the loop, too, while torch.compile
    traces: that can trace it on every release, and fuses the calls itself.

    Args:
        device_type: as in ``torch.device.type``.
        names: the paths to choose from, best first.

    Raises:
        RuntimeError: none of them gives right answers on this kind of device.
    """
    if _forced and names == PATHS:
        return _forced[-1]
    if tracing():
        return _untried_loop()
    found, entries = _found.get((names, device_type)), _entries()
    if found is not None and all(map(operator.is_, found.entries, entries)):
        return found.path
    if not _readable(device_type):
        return _untried_loop()
    path = _first_working(names, device_type)
    _found[names, device_type] = _Finding(path, entries)
    return path


def _entries() -> tuple[object, ...]:
    """Return what torch holds now under the names that the paths call.

    Whoever replaces one may change another path with it: ``torch.foreach.norm`` calls
    ``torch._foreach_norm``, and ``torch.norm`` calls ``torch.linalg.vector_norm``.
    """
    return (
        getattr(getattr(torch, "foreach", None), "norm", None),
        getattr(torch, "_foreach_norm", None),
        getattr(getattr(torch, "linalg", None), "vector_norm", None),
        getattr(torch, "norm", None),
    )


def active_path(device_type: str = "cpu") -> str:
    """Name the path that serves ``compute_norms``: "public", "private" or "loop".

    Args:
        device_type: the kind of device asked about, as in ``torch.device.type``. Where nothing can
            be tried, because there is no such device, the answer is "loop".

    Raises:
        RuntimeError: no norm of this torch gives right answers on this kind of device.
    """
    return choose(device_type).name


@contextlib.contextmanager
def force_path(name: str) -> Iterator[None]:
    """Make one path serve calls in a ``with`` block. Meant for tests; not thread-safe.

    What the forced path refuses, and what only the loop serves (tensors that autograd tracks, and
    code that torch.compile traces), is still served by the loop. The path is tried on the CPU.

    Args:
        name: "public", "private" or "loop".

    Raises:
        ValueError: there is no path of this name.
        RuntimeError: the path does not work on this release of torch.
    """
    if name not in PATHS:
        msg = f"unknown path {name!r}: choose one of {', '.join(PATHS)}"
        raise ValueError(msg)
    _forced.append(_first_working((name,), "cpu"))
    try:
        yield
    finally:
        _forced.pop()


def reset_paths() -> None:
    """Forget what trying found out, so that the next call looks at torch afresh."""
    _found.clear()


def tracing() -> bool:
    """Tell whether torch.compile is tracing the caller, so that no value can be looked at."""
    return bool(_is_compiling())


def _find_is_compiling() -> Callable[[], bool]:
    public = getattr(getattr(torch, "compiler", None), "is_compiling", None)
    private = getattr(getattr(torch, "_utils", None), "is_compiling", None)
    return public or private or bool  # bool() is False: this release has no torch.compile


_is_compiling = _find_is_compiling()


def _readable(device_type: str) -> bool:
    """Tell whether numbers can be read back now from devices of this type."""
    capturing = getattr(torch.cuda, "is_current_stream_capturing", bool)
    try:
        if device_type == "cuda" and capturing():
            return False
        return type(torch.zeros((), device=device_type)) is Tensor
    except Exception:  # noqa: BLE001 - a fake tensor may name a device that is not there
        return False


def _first_working(names: Sequence[str], device_type: str) -> Path:
    dtype = accumulator(device_type)
    for name in names:
        for norms in _candidates(name):
            if are_right(norms, device_type, dtype):
                rows = _first_rows(device_type, dtype)
                lengths = row_lengths(rows, device_type)
                return Path(name, norms, rows, lengths, are_fine(norms, device_type, dtype))
    msg = (
        f"torch {torch.__version__} has no working {' or '.join(names)} path for norms on "
        f"{device_type}: its operators are missing, refuse or answer wrongly. "
        "Use another path or another release."
    )
    raise RuntimeError(msg)


def _candidates(name: str) -> Iterator[Norms]:
    """Yield the ways to call a path, best first; none where its entry point is missing."""
    if name == "public":
        yield from _public(getattr(getattr(torch, "foreach", None), "norm", None))
    elif name == "private":
        yield from _private(getattr(torch, "_foreach_norm", None))
    else:
        yield from _vector_norm(getattr(getattr(torch, "linalg", None), "vector_norm", None))
        yield from _norm(getattr(torch, "norm", None))


def _public(entry: Callable[..., Sequence[Tensor]] | None) -> Iterator[Norms]:
    if entry is not None:
        yield lambda tensors, p, dtype: entry(tensors, ord=p, dtype=dtype)
        yield lambda tensors, p, dtype: entry(_cast(tensors, dtype), ord=p)


def _private(entry: Callable[..., Sequence[Tensor]] | None) -> Iterator[Norms]:
    # The list goes by position, because the parameter's name changed between releases.
    if entry is not None:
        yield lambda tensors, p, dtype: entry(tensors, p, dtype=dtype)
        yield lambda tensors, p, dtype: entry(_cast(tensors, dtype), p)


def _vector_norm(entry: Callable[..., Tensor] | None) -> Iterator[Norms]:
    if entry is not None:
        yield lambda tensors, p, dtype: [entry(t, p, dtype=dtype) for t in tensors]
        yield lambda tensors, p, dtype: [entry(t, p) for t in _cast(tensors, dtype)]


def _norm(entry: Callable[..., Tensor] | None) -> Iterator[Norms]:
    if entry is not None:
        yield lambda tensors, p, dtype: [_flat_norm(entry, t, p) for t in _cast(tensors, dtype)]


def _flat_norm(entry: Callable[..., Tensor], tensor: Tensor, p: float) -> Tensor:
    # 1.8 starts a minimum from the largest number there is, and so never finds infinity.
    if p == -math.inf:
        return tensor.abs().min()
    return entry(tensor.reshape(-1), p)


def _first_rows(device_type: str, dtype: torch.dtype) -> Rows:
    """Return the first operator that gives right norms of rows; the definition if none does."""
    entries = (
        getattr(getattr(torch, "linalg", None), "vector_norm", None),
        getattr(torch, "norm", None),
    )
    candidates = (_by_rows(entry) for entry in entries if entry is not None)
    right = (rows for rows in candidates if are_right_rows(rows, device_type, dtype))
    return next(right, _defined_rows)


def _untried_loop() -> Path:
    return Path("loop", _first_loop, _defined_rows, SHORTEST_ROWS, fine_orders=False)


def _defined_rows(matrix: Tensor, p: float) -> Tensor:
    return matrix.abs().pow(p).sum(1).pow(1 / p)


def _by_rows(entry: Callable[..., Tensor]) -> Rows:
    return lambda matrix, p: entry(matrix, p, 1)


def _first_loop(tensors: Sequence[Tensor], p: float, dtype: torch.dtype) -> Sequence[Tensor]:
    return next(_candidates("loop"))(tensors, p, dtype)


def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [tensor.to(dtype) for tensor in tensors]
