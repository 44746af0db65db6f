"""Norms and gradient health on a CUDA device: right, and waiting no more often than promised."""

from __future__ import annotations

import contextlib
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.gradnorms.exact import assert_norm, sum_of_squares

from gradnorms import (
    SeedGradientCollector,
    collect_dual_gradients_async,
    collect_host_gradients_async,
    collect_seed_gradients,
    collect_seed_gradients_async,
    collect_seed_gradients_only_async,
    compute_norms,
    materialize_dual_grad_stats,
    materialize_grad_stats,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64)
RESULTS = {torch.complex64: torch.float32}


def tensors_of(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3,), (64, 64), (64, 64), (1000,), (), (513,), (0,), (7, 11), (100_003,)]
    return [torch.randn(shape, generator=generator).to(dtype).to("cuda") for shape in shapes]


def parameters_of(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    parameters = [torch.nn.Parameter(torch.zeros_like(tensor)) for tensor in tensors_of(dtype)]
    for parameter, gradient in zip(parameters, tensors_of(dtype), strict=True):
        parameter.grad = gradient
    return parameters


@contextlib.contextmanager
def waiting_is(mode: str) -> Iterator[None]:
    """Treat synchronisations of the host with the device as "error" or "warn"."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def waits(function: Callable[[], object]) -> int:
    """Count the synchronisations in a call."""
    with warnings.catch_warnings(record=True) as caught, waiting_is("warn"):
        warnings.simplefilter("always")
        function()
    return sum("synchroniz" in str(warning.message) for warning in caught)


def test_a_synchronisation_is_noticed() -> None:
    tensor = torch.ones(3, device="cuda")
    with waiting_is("error"), pytest.raises(RuntimeError, match="synchroniz"):
        tensor.sum().item()
    assert waits(lambda: tensor.sum().item()) == 1
    assert waits(tensor.sum) == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norms_are_right(dtype: torch.dtype) -> None:
    tensors = tensors_of(dtype)
    for tensor, norm in zip(tensors, compute_norms(tensors), strict=True):
        assert norm.device == tensor.device
        assert_norm(norm.cpu(), sum_of_squares(tensor.cpu()), RESULTS.get(dtype, dtype))


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e20, 1e30, 1e38])
def test_no_overflow_or_underflow(scale: float) -> None:
    tensor = torch.tensor([scale, -2 * scale, 1.0, scale / 2], device="cuda")
    (norm,) = compute_norms([tensor])
    assert_norm(norm.cpu(), sum_of_squares(tensor.cpu()), torch.float32)


def test_large_constants_lose_nothing() -> None:
    tensor = torch.full((2**24 + 3,), 0.1, device="cuda")
    (norm,) = compute_norms([tensor])
    assert_norm(norm.cpu(), Fraction(tensor[0].item()) ** 2 * tensor.numel(), torch.float32)


@pytest.mark.parametrize("order", [2, 1, float("inf"), 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norms_wait_for_nothing(dtype: torch.dtype, order: float) -> None:
    tensors = [tensor for tensor in tensors_of(dtype) if tensor.numel()]
    compute_norms(tensors, order)  # choosing a path reads once
    with waiting_is("error"):
        norms = compute_norms(tensors, order)
    assert len(norms) == len(tensors)


def test_tracked_norms_wait_for_nothing_either_way() -> None:
    tensors = [torch.ones(3, device="cuda", requires_grad=True) for _ in range(3)]
    torch.autograd.backward(torch.stack(compute_norms(tensors)).sum())
    with waiting_is("error"):
        torch.autograd.backward(torch.stack(compute_norms(tensors)).sum())
    assert all(tensor.grad is not None for tensor in tensors)


QUEUED: dict[str, Callable[[list[torch.nn.Parameter]], dict[str, Any]]] = {
    "seed": collect_seed_gradients_async,
    "collector": lambda parameters: SeedGradientCollector().collect_async(parameters),
    "host": lambda parameters: collect_host_gradients_async(parameters, "cuda"),
    "seed only": lambda parameters: collect_seed_gradients_only_async(parameters, "cuda"),
    "dual": lambda parameters: collect_dual_gradients_async(parameters, parameters, "cuda"),
}


@pytest.mark.parametrize("name", QUEUED)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_asynchronous_forms_wait_for_nothing(name: str, dtype: torch.dtype) -> None:
    parameters = parameters_of(dtype)
    QUEUED[name](parameters)
    with waiting_is("error"):
        queued = QUEUED[name](parameters)
    assert queued


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_synchronous_forms_wait_once(dtype: torch.dtype) -> None:
    parameters = parameters_of(dtype)
    collect_seed_gradients(parameters, return_enhanced=True)
    assert waits(lambda: collect_seed_gradients(parameters)) == 1
    assert waits(lambda: collect_seed_gradients(parameters, return_enhanced=True)) == 1
    assert waits(lambda: SeedGradientCollector().collect(parameters)) == 1


def test_materializing_waits_once() -> None:
    parameters = parameters_of(torch.float32)
    stats = collect_seed_gradients_async(parameters)
    dual = collect_dual_gradients_async(parameters, parameters)
    assert waits(lambda: materialize_grad_stats(stats)) == 1
    assert waits(lambda: materialize_dual_grad_stats(dual)) == 1


@pytest.mark.parametrize("asked", [None, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_no_wide_copy_is_made(dtype: torch.dtype, asked: torch.dtype | None) -> None:
    try:
        torch._foreach_norm([torch.ones(2, device="cuda")], 2, dtype=torch.float64)
    except TypeError:
        pytest.skip("the operator of this release takes no dtype, and so needs a copy")
    tensors = [torch.ones(2**22, device="cuda", dtype=dtype) for _ in range(8)]
    compute_norms(tensors, dtype=asked)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    norms = compute_norms(tensors, dtype=asked)
    torch.cuda.synchronize()
    assert [norm.item() for norm in norms] == [2**11] * 8
    # One tensor as float64 would need 32 MiB.
    assert torch.cuda.max_memory_allocated() - before < 2**23
