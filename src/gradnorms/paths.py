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
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Norms = Callable[[Sequence[Tensor], float, torch.dtype], Sequence[Tensor]]
"""Norms of order p of dense, real, non-empty tensors of one device and dtype, as another dtype."""

Rows = Callable[[Tensor, float], Tensor]
"""Norms of order p of the rows of a dense, real matrix (m, n): (m,), in its dtype."""

PATHS = ("public", "private", "loop")

# Their squares, cubes and sums are exact, and no two orders agree on all three.
_KNOWN = ((3.0, -4.0), (2.0, -3.0, 6.0), (-0.5,))
# Order 2 must work. In another order a path may refuse (its caller then takes the loop for
# that call), but an answer must be right.
_TRIED_ORDERS = (2.0, 1.0, 3.0, 0.5, 0.0, -1.0, math.inf, -math.inf)
# Longer than a vector register, so that vectorised sums are tried, and with a remainder.
_KNOWN_ROWS = tuple(tuple(float(n * n % k + 1) for n in range(43)) for k in (7, 5))
# Where all numbers are equal, every sum rounds alike, and errors add up: rows of such numbers lose
# most. Of 8 lanes rows of 768 lose 8e-7, found by trying 20,000 numbers; of one, 96 lose as much.
_UNROUND = tuple(1 + n / 61 for n in range(61))
_ROW_LENGTHS, _ROW_ERROR = (768, 384, 96), 9e-7
_TRIED_ROW_ORDERS = (2.0, 1.0, 3.0, 0.5, -1.0)
_FINE_ORDER = 0.1  # no float32 number
_TOLERANCE, _FINE = 1e-6, 1e-12
_WITHOUT_FLOAT64 = frozenset({"mps"})


class Path(NamedTuple):
    """One implementation."""

    name: str  # as in PATHS
    norms: Norms
    rows: Rows  # by an operator of the loop, whichever path it is
    longest_row: int  # that loses no more than _ROW_ERROR in float32
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
        device_type: the kind of device asked about, as in ``torch.device.type``.

    Raises:
        RuntimeError: no norm of this torch gives right answers on this kind of device.
    """
    return choose(device_type).name


@contextlib.contextmanager
def force_path(name: str) -> Iterator[None]:
    """Make one path serve every call in a ``with`` block. Meant for tests; not thread-safe.

    What the forced path refuses is still served by the loop, as without forcing.

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
    for name in names:
        for norms in _candidates(name):
            if _works(norms, device_type):
                fine = _answers(norms, _FINE_ORDER, device_type, _FINE)
                rows = _first_rows(device_type)
                return Path(name, norms, rows, _longest_row(rows, device_type), fine)
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


def _first_rows(device_type: str) -> Rows:
    """Return the first operator that gives right norms of rows; the definition if none does."""
    entries = (getattr(getattr(torch, "linalg", None), "vector_norm", None), torch.norm)
    for entry in filter(None, entries):
        rows = _by_rows(entry)
        if _rows_work(rows, device_type):
            return rows
    return _defined_rows


def _longest_row(rows: Rows, device_type: str) -> int:
    """Return how long a row of float32 numbers may be: kernels add in 1, 4, 8 or 16 lanes."""
    for length in _ROW_LENGTHS[:-1]:
        values = torch.tensor(_UNROUND, dtype=torch.float32, device=device_type)
        norms = rows(values.unsqueeze(1).expand(-1, length).contiguous(), 2.0).tolist()
        due = [value * math.sqrt(length) for value in values.tolist()]
        if all(math.isclose(*pair, rel_tol=_ROW_ERROR) for pair in zip(norms, due)):
            return length
    return _ROW_LENGTHS[-1]


def _untried_loop() -> Path:
    return Path("loop", _first_loop, _defined_rows, _ROW_LENGTHS[-1], fine_orders=False)


def _defined_rows(matrix: Tensor, p: float) -> Tensor:
    return matrix.abs().pow(p).sum(1).pow(1 / p)


def _by_rows(entry: Callable[..., Tensor]) -> Rows:
    return lambda matrix, p: entry(matrix, p, 1)


def _rows_work(rows: Rows, device_type: str) -> bool:
    try:
        return all(
            _rows_answer(rows, p, dtype, device_type)
            for p in _TRIED_ROW_ORDERS
            for dtype in (torch.float32, accumulator(device_type))
        )
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        return False


def _rows_answer(rows: Rows, p: float, dtype: torch.dtype, device_type: str) -> bool:
    norms = rows(torch.tensor(_KNOWN_ROWS, dtype=dtype, device=device_type), p)
    expected = [_expected(row, p) for row in _KNOWN_ROWS]
    found = norms.tolist()
    return norms.dtype == dtype and all(
        math.isclose(*pair, rel_tol=_TOLERANCE) for pair in zip(found, expected)
    )


def _first_loop(tensors: Sequence[Tensor], p: float, dtype: torch.dtype) -> Sequence[Tensor]:
    return next(_candidates("loop"))(tensors, p, dtype)


def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [tensor.to(dtype) for tensor in tensors]


def _works(norms: Norms, device_type: str) -> bool:
    return all(_answers(norms, p, device_type) for p in _TRIED_ORDERS)


def _answers(norms: Norms, p: float, device_type: str, tolerance: float = _TOLERANCE) -> bool:
    """Tell whether the norms of known numbers are right (or, unless p is 2, refused)."""
    dtype = accumulator(device_type)
    try:
        tensors = [torch.tensor(v, dtype=torch.float32, device=device_type) for v in _KNOWN]
        with torch.no_grad():
            results = norms(tensors, p, dtype)
            return _well_formed(results, dtype) and _right(results, p, tolerance)
    except Exception:  # noqa: BLE001 - whatever a release raises means that it refuses
        return p not in (_TRIED_ORDERS[0], _FINE_ORDER)


def _well_formed(results: object, dtype: torch.dtype) -> bool:
    return (
        isinstance(results, (list, tuple))
        and len(results) == len(_KNOWN)
        and all(isinstance(r, Tensor) and r.dim() == 0 and r.dtype == dtype for r in results)
    )


def _right(results: Sequence[Tensor], p: float, tolerance: float) -> bool:
    return all(
        math.isclose(result.item(), _expected(values, p), rel_tol=tolerance)
        for result, values in zip(results, _KNOWN)
    )


def _expected(values: Sequence[float], p: float) -> float:
    magnitudes = [abs(value) for value in values]
    if math.isinf(p):
        return max(magnitudes) if p > 0 else min(magnitudes)
    if p == 0:
        return float(len(magnitudes))
    return math.pow(math.fsum(math.pow(m, p) for m in magnitudes), 1 / p)
