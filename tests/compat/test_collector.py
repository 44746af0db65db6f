"""Probes of the collector: a short training run, and gradients of every awkward kind.

References are plain Python on numbers that every dtype here holds exactly.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

import pytest
import torch

from gradnorms.collector import (
    collect_dual_gradients_async,
    collect_seed_gradients,
    collect_seed_gradients_async,
    materialize_dual_grad_stats,
    materialize_grad_stats,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from torchfloor_incell import Evidence

SUBJECT = "collect_seed_gradients"
TOLERANCE = 1e-6
# torch.nn.utils.clip_grad_norm_ computes in the dtype of the gradients, float32 here.
CLIP_TOLERANCE = 1e-5
NAN, INF = math.nan, math.inf
MEASURES = [
    "gradient_norm",
    "min_layer_norm",
    "max_layer_norm",
    "zero_grad_fraction",
    "nan_count",
    "inf_count",
]


def with_gradient(gradient: Tensor) -> Tensor:
    parameter = torch.zeros(gradient.shape, dtype=gradient.dtype, device=gradient.device)
    parameter.grad = gradient
    return parameter


def gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def root_of_squares(values: Iterable[complex]) -> float:
    """The L2 norm; scaled, so that no square leaves the range."""
    parts = [part for value in map(complex, values) for part in (value.real, value.imag)]
    scale = max(map(abs, parts), default=0.0)
    if scale == 0.0 or not all(map(math.isfinite, parts)):
        return sum(map(abs, parts), 0.0)
    return scale * math.sqrt(math.fsum((part / scale) ** 2 for part in parts))


def any_part(test: Callable[[float], bool], values: Iterable[complex]) -> int:
    """Count the numbers of which either part passes the test."""
    return sum(test(value.real) or test(value.imag) for value in map(complex, values))


def expected_measures(rows: Sequence[Sequence[complex]]) -> list[float]:
    norms = [root_of_squares(row) for row in rows]
    values = [value for row in rows for value in row]
    has_nan = any(map(math.isnan, norms))
    return [
        root_of_squares(norms),
        NAN if has_nan else min(norms),
        NAN if has_nan else max(norms),
        sum(value == 0 for value in values) / max(len(values), 1),
        any_part(math.isnan, values),
        any_part(math.isinf, values),
    ]


def hold(
    evidence: Evidence, gradients: list[Tensor], rows: Sequence[Sequence[complex]], dtype: str
) -> None:
    """Hold the metrics of gradients against what plain Python makes of their elements."""
    metrics = collect_seed_gradients(
        (with_gradient(gradient) for gradient in gradients), return_enhanced=True
    ).to_dict()
    found = [metrics[name] for name in MEASURES]
    evidence.compare(SUBJECT, found, expected_measures(rows), TOLERANCE, dtype=dtype)


def repeated(value: complex) -> list[list[complex]]:
    return [[value] * 1000, [0, -value, value]]


VALUES: dict[str, dict[str, list[list[complex]]]] = {
    "collector: large magnitudes": {
        "float32": repeated(2.0**67),
        "float64": repeated(2.0**600),
        "bfloat16": repeated(2.0**67),
        "complex64": repeated(complex(2.0**67, -(2.0**66))),
    },
    "collector: small magnitudes": {
        "float32": repeated(2.0**-100),
        "float64": repeated(2.0**-600),
    },
    "collector: float16": {"float16": repeated(2.0**15)},
    "collector: bfloat16": {"bfloat16": [[n / 8 for n in range(-40, 40)], [0, 3]]},
    "collector: float64": {"float64": [[n / 8 for n in range(-40, 40)], [0, 3]]},
    "collector: complex": {
        "complex64": [[complex(n, 3 - n) for n in range(9)], [0, 4j]],
        "complex128": [[complex(n, 3 - n) for n in range(9)], [0, 4j]],
    },
    "collector: zero-size gradients": {"float32": [[], [3.0, -4.0], []], "float16": [[], []]},
    "collector: NaN and infinity": {
        "float32": [[0.0, 1.0], [NAN, 0.0], [INF, NAN, 0.0], [-INF, 0.0]],
        "float16": [[1.0, INF], [-INF, 0.0]],
        "bfloat16": [[NAN, INF], [1.0]],
        "complex64": [[complex(NAN, INF), 0, complex(0, -INF)], [1j]],
    },
}


@pytest.mark.parametrize(
    ("dtype", "rows"),
    [
        pytest.param(dtype, rows, id=f"{name[11:]}-{dtype}", marks=pytest.mark.capability(name))
        for name, by_dtype in VALUES.items()
        for dtype, rows in by_dtype.items()
    ],
)
def test_metrics(evidence: Evidence, device: str, dtype: str, rows: list[list[complex]]) -> None:
    gradients = [torch.tensor(row, dtype=getattr(torch, dtype), device=device) for row in rows]
    hold(evidence, gradients, rows, dtype)


@pytest.mark.capability("collector: non-contiguous gradients")
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda grid: grid.t(), id="transposed"),
        pytest.param(lambda grid: grid[:, 1::2], id="strided"),
        pytest.param(lambda grid: grid[3, 4:].expand(70), id="expanded"),
        pytest.param(lambda grid: grid[2, 1], id="0-d"),
        pytest.param(lambda grid: grid.reshape(1, 2, 4, 5).permute(0, 3, 1, 2), id="permuted"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_non_contiguous(
    evidence: Evidence, device: str, view: Callable[[Tensor], Tensor], dtype: str
) -> None:
    grid = torch.arange(40.0, device=device).reshape(8, 5).to(getattr(torch, dtype))
    gradient = view(grid)
    # Elements are whole numbers: .tolist() is exact and the order of adding does not matter.
    hold(evidence, [gradient], [gradient.flatten().tolist()], dtype)


@pytest.mark.capability("collector: lazily conjugated gradients")
def test_lazily_conjugated(evidence: Evidence, device: str) -> None:
    values = [3 + 1j, 0, -4j]
    gradient = torch.tensor(values, dtype=torch.complex64, device=device)
    hold(evidence, [gradient.conj(), gradient.conj().imag], [values, [1, 0, 4]], "complex64")


@pytest.mark.capability("collector: sparse gradients")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_sparse(evidence: Evidence, device: str, dtype: str) -> None:
    table = torch.nn.Embedding(6, 2, sparse=True).to(device, getattr(torch, dtype))
    used = torch.tensor([1, 4, 1, 1], device=device)
    try:
        table(used).sum().backward()
        gradient = gradient_of(table.weight)
    except RuntimeError as error:
        pytest.skip(f"this release has no sparse {dtype} gradients: {error}")
    assert not gradient.is_coalesced()
    hold(evidence, [gradient], [[0, 0, 3, 3, 0, 0, 0, 0, 1, 1, 0, 0]], dtype)


class Model(torch.nn.Module):
    """A parameter that is never used, an embedding, and two layers, all of fixed numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(3))
        self.table = torch.nn.Embedding(7, 5)
        self.hidden = torch.nn.Linear(5, 6)
        self.out = torch.nn.Linear(6, 1)
        for number, parameter in enumerate(self.parameters(), start=1):
            count = parameter.numel()
            values = [(37 * n % 101 - 50) / (64 * number) for n in range(1, count + 1)]
            parameter.data = torch.tensor(values).reshape(parameter.shape)

    def forward(self, words: Tensor) -> Tensor:
        result: Tensor = self.out(torch.tanh(self.hidden(self.table(words))))
        return result


def plain(parameters: Iterable[Tensor]) -> list[list[float]]:
    return [p.grad.flatten().tolist() for p in parameters if p.grad is not None]


def advance(parameters: Iterable[Tensor]) -> None:
    """Take a step of gradient descent, and zero the gradients in place."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad.zero_()


def train(device: str, steps: int, watch: Callable[[list[Tensor]], None]) -> None:
    """Train a model for a few steps; show its parameters before each of them."""
    model = Model().to(device)
    words = torch.tensor([0, 3, 5, 3], device=device)
    for _ in range(steps):
        (model(words) - 1.0).pow(2).mean().backward()
        parameters: list[Tensor] = list(model.parameters())
        watch(parameters)
        advance(parameters)


@pytest.mark.capability("collector: training run")
def test_training_run(evidence: Evidence, device: str) -> None:
    found: list[float] = []
    clipped: list[float] = []
    expected: list[float] = []

    def watch(parameters: list[Tensor]) -> None:
        rows = plain(parameters)
        metrics: dict[str, Any] = collect_seed_gradients(parameters, return_enhanced=True).to_dict()
        found.extend(metrics[name] for name in MEASURES)
        expected.extend(expected_measures(rows))
        clipped.append(float(torch.nn.utils.clip_grad_norm_(parameters, 1e9)))

    train(device, 5, watch)
    evidence.compare(SUBJECT, found, expected, TOLERANCE, dtype="float32")
    norms = found[:: len(MEASURES)]
    evidence.compare(f"{SUBJECT} against clip_grad_norm_", norms, clipped, CLIP_TOLERANCE)
    assert norms[0] > norms[-1] > 0, "the model learns"


@pytest.mark.capability("collector: results outlive the gradients")
def test_async_unaffected_by_the_step(evidence: Evidence, device: str) -> None:
    queued: list[tuple[dict[str, Any], dict[str, Any]]] = []
    expected: list[float] = []

    def watch(parameters: list[Tensor]) -> None:
        dual = collect_dual_gradients_async(iter(parameters[:2]), iter(parameters[2:]), device)
        queued.append((collect_seed_gradients_async(iter(parameters)), dual))
        rows = plain(parameters)
        host, seed = root_of_squares(rows[0]), root_of_squares(chain(*rows[1:]))
        expected.extend([root_of_squares([host, seed]), host, 35, seed, 43])

    train(device, 3, watch)
    found: list[float] = []
    for stats, both in queued:
        dual = materialize_dual_grad_stats(both)
        found.append(materialize_grad_stats(stats)["gradient_norm"])
        found += [dual.host_grad_norm, dual.host_param_count]
        found += [dual.seed_grad_norm, dual.seed_param_count]
    evidence.compare("collect_seed_gradients_async", found, expected, TOLERANCE, dtype="float32")


@pytest.mark.capability("collector: thresholds and health")
@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        pytest.param([], (0, 1, False, False), id="no gradients"),
        pytest.param([3, 4], (5, 1, False, False), id="healthy"),
        pytest.param([0, 4, 3, 0], (5, 0.75, True, False), id="vanishing"),
        pytest.param([0, 30, 40, 0], (50, 0.35, True, True), id="both"),
        pytest.param([1, INF], (INF, 0, False, True), id="infinite"),
        pytest.param([1, NAN], (NAN, 0, False, True), id="NaN"),
    ],
)
def test_thresholds_and_health(
    evidence: Evidence, device: str, norms: list[float], expected: tuple[float, ...]
) -> None:
    rows = [torch.tensor([norm, 0.0], device=device) for norm in norms]
    parameters = [torch.zeros(2, device=device), *map(with_gradient, rows)]
    stats: dict[str, Any] = dict(collect_seed_gradients(p for p in parameters))
    assert all(type(value) in {float, bool} for value in stats.values())
    found = [float(value) for value in stats.values()]
    evidence.compare(SUBJECT, found, [float(value) for value in expected], TOLERANCE)
