"""Norms of order 2 of tensors so large that a careless sum loses its digits or its count."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from tests.gradnorms.exact import ROUNDED, assert_norm, sum_of_squares

from gradnorms import compute_norms

REAL = (torch.float32, torch.float64, *ROUNDED)
# Mantissas that float32 sums round always to the same side, or that fill all bits, or few.
CONSTANTS = (0.1, 0.3, 1 / 3, 1.1, 2**0.5, 3.14159, 0.7071067, 1.9999999, 1e-3, 1e5, 1.0)


def constants(count: int, dtype: torch.dtype) -> None:
    tensor = torch.empty(count, dtype=dtype)
    for constant in CONSTANTS:
        tensor.fill_(constant)
        value = Fraction(tensor[0].item())
        assert value
        (norm,) = compute_norms([tensor])
        assert_norm(norm, value**2 * count, dtype)


@pytest.mark.parametrize("count", [10**6, 2**20 + 1, 3 * 10**6 + 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constants_of_any_mantissa_lose_nothing(dtype: torch.dtype, count: int) -> None:
    constants(count, dtype)


def test_sixteen_million_constants_lose_nothing() -> None:
    constants(2**24 + 3, torch.float32)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_growing_numbers_lose_nothing(dtype: torch.dtype) -> None:
    # Small ones first: a serial sum is kindest to these; then the other way round.
    tensor = torch.linspace(0, 1, 2_000_003).pow(3).to(dtype)
    square = sum_of_squares(tensor)
    forward, backward = compute_norms([tensor, tensor.flip(0)])
    assert_norm(forward, square, dtype)
    assert_norm(backward, square, dtype)


@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
def test_ten_million_halves_are_correctly_rounded(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tensor = torch.randn(10_000_019, generator=generator).to(dtype)
    square = sum_of_squares(tensor)
    (norm,) = compute_norms([tensor])
    assert_norm(norm, square, dtype)


HALF, BFLOAT = ROUNDED
TIES = [(HALF, 2049), (HALF, 2051), (BFLOAT, 1028), (BFLOAT, 1036)]


@pytest.mark.parametrize(("dtype", "root"), TIES)
@pytest.mark.parametrize("change", ["none", "above", "barely above", "below"])
def test_millions_of_halves_that_make_a_tie_are_correctly_rounded(
    dtype: torch.dtype, root: int, change: str
) -> None:
    # The root is in the middle of two neighbours, and a single element decides.
    tensor = torch.ones(root**2 + 1, dtype=dtype)
    tensor[-1] = {"above": 2.0**-11, "barely above": 2.0**-24}.get(change, 0)
    if change == "below":
        tensor[root] -= 2.0**-8
    square = sum_of_squares(tensor)
    assert (square > root**2, square < root**2) == ("above" in change, change == "below")
    (norm,) = compute_norms([tensor])
    assert_norm(norm, square, dtype)


def test_a_large_tensor_of_large_numbers_does_not_overflow() -> None:
    tensor = torch.full((2_000_000,), 1e30)
    tensor[-1] = 1e38
    tensor[0] = 1e-40
    (norm, tiny) = compute_norms([tensor, torch.full((2_000_000,), 1e-30)])
    assert_norm(norm, sum_of_squares(tensor), torch.float32)
    value = Fraction(torch.tensor(1e-30).item())
    assert_norm(tiny, value**2 * 2_000_000, torch.float32)


MORE = 2**31 + 8


def test_more_elements_than_an_int32_counts() -> None:
    tensor = torch.full((1,), 3.0).expand(MORE)
    (norm,) = compute_norms([tensor])
    assert_norm(norm, Fraction(9 * MORE), torch.float32)


def test_half_overflows_only_beyond_its_range_in_more_than_an_int32_counts() -> None:
    column = torch.tensor([[1.0], [0.5], [2.0**-24]], dtype=torch.float16)
    width = 2**31 // 3 + 3
    tensor = column.expand(3, width)
    assert tensor.numel() > 2**31
    (norm,) = compute_norms([tensor])
    square = width * sum((Fraction(v) ** 2 for v in column.view(-1).tolist()), Fraction(0))
    assert_norm(norm, square, torch.float16)


MEMORY = """
import resource, torch
from gradnorms import compute_norms
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
tensors = [torch.ones(1, dtype=dtype).expand(2**26) for dtype in (torch.float32, torch.float16)]
tensors.append(torch.ones(2**12, 1).expand(2**12, 2**14).t())
compute_norms([tensor[:9].clone() for tensor in tensors])
before = peak()
norms = compute_norms(tensors)
assert norms[0].item() ** 2 > 2**25, norms
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in another unit elsewhere")
def test_memory_does_not_grow_with_the_tensor() -> None:
    # In a process of its own: a peak is never forgotten.
    ran = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", MEMORY],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    # As float64, each of them would need 512 MiB; half of it as float32.
    assert int(ran.stdout) < 2**26
