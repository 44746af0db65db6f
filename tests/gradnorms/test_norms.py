"""compute_norms against exact arithmetic in plain Python, on every path that works here."""

from __future__ import annotations

import decimal
import math
import random
import re
import sys
import types
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gradnorms.working import WORKING
from torch import Tensor

from gradnorms import (
    NormError,
    active_path,
    compute_norms,
    force_path,
    paths,
    reset_paths,
    rows,
    wide,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

INF = math.inf
ORDERS = (2, 1, 0, INF, -INF, 3, 0.5, 0.1, 1.5, -0.5, -1, -2, -3.5, 6, 7, 40, 1000)
REAL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex64, torch.complex128)
EXACT = decimal.Context(prec=60, Emax=10**9, Emin=-(10**9))


@pytest.fixture
def fresh_paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    reset_paths()
    yield monkeypatch
    monkeypatch.undo()
    reset_paths()


def magnitude(value: complex) -> Decimal:
    parts = [Decimal(part) for part in (value.real, value.imag)]
    if not parts[1] or not parts[0]:
        return EXACT.abs(EXACT.add(*parts))
    return EXACT.sqrt(EXACT.add(*(EXACT.multiply(part, part) for part in parts)))


def exact_norm(values: Sequence[complex], order: float) -> Decimal:
    """Return the norm to 60 digits; the values are finite."""
    sizes = [magnitude(value) for value in values]
    if math.isinf(order):
        return max(sizes) if order > 0 else min(sizes)
    if order == 0:
        return Decimal(sum(1 for size in sizes if size))
    if not any(sizes) or (order < 0 and not all(sizes)):
        return Decimal(0)
    p = Decimal(order)
    total = Decimal(0)
    for size in sizes:
        if size:
            total = EXACT.add(total, EXACT.power(size, p))
    return EXACT.power(total, EXACT.divide(Decimal(1), p))


def flat(tensor: Tensor) -> list[complex]:
    """Return the numbers that a dense tensor really holds."""
    if tensor.is_complex():
        plain = tensor.resolve_conj() if hasattr(tensor, "resolve_conj") else tensor
        parts = torch.view_as_real(plain.detach()).double().reshape(-1, 2).tolist()
        return [complex(real, imag) for real, imag in parts]
    return [complex(value) for value in tensor.detach().double().reshape(-1).tolist()]


def assert_norm(result: Tensor, expected: Decimal, dtype: torch.dtype) -> None:
    assert result.dtype == dtype
    assert result.shape == ()
    found, limits = result.item(), torch.finfo(dtype)
    if expected > Decimal(limits.max) * (1 + Decimal(limits.eps) / 2):
        assert found == INF
        return
    assert math.isfinite(found)
    slack = 64 if dtype == torch.float64 else 1
    allowed = slack * Decimal(limits.eps) * expected + Decimal(limits.tiny * limits.eps)
    assert abs(Decimal(found) - expected) <= allowed, f"{found} instead of {expected}"


def sample(seed: object, size: int = 23, exponent: int = 3) -> list[float]:
    generator = random.Random(str(seed))  # noqa: S311 - reproducible, not secret
    return [
        generator.uniform(-1, 1) * 10 ** generator.uniform(-exponent, exponent) for _ in range(size)
    ]


def complex_sample(seed: object, size: int = 11) -> list[complex]:
    values = sample(seed, 2 * size)
    return [complex(real, imag) for real, imag in zip(values[::2], values[1::2], strict=True)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.usefixtures("path")
def test_real_norms_are_exact(dtype: torch.dtype, order: float) -> None:
    tensors = [torch.tensor(sample((order, n), n), dtype=dtype) for n in (1, 2, 23)]
    results = compute_norms(tensors, order)
    for tensor, result in zip(tensors, results, strict=True):
        assert_norm(result, exact_norm(flat(tensor), order), dtype)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
@pytest.mark.usefixtures("path")
def test_complex_norms_are_exact_and_real(dtype: torch.dtype, order: float) -> None:
    tensor = torch.tensor(complex_sample(order), dtype=dtype)
    (result,) = compute_norms([tensor], order)
    real = torch.float32 if dtype == torch.complex64 else torch.float64
    assert_norm(result, exact_norm(flat(tensor), order), real)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.usefixtures("path")
def test_complex_half_is_taken_where_it_exists(order: float) -> None:
    parts = torch.tensor([[3.0, 4.0], [-0.5, 0.25], [100.0, -7.0]], dtype=torch.float16)
    try:
        tensor = torch.view_as_complex(parts)
    except RuntimeError:
        pytest.skip("this release has no complex half")
    (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm([complex(*p) for p in parts.tolist()], order), torch.float16)


@pytest.mark.parametrize("order", [2, 3, -1])
def test_float8_is_taken_where_it_exists(order: float) -> None:
    if not hasattr(torch, "float8_e4m3fn"):
        pytest.skip("this release has no float8")
    tensor = torch.tensor([3.0, -4.0, 1.0]).to(torch.float8_e4m3fn)
    (result,) = compute_norms([tensor], order)
    assert result.dtype == torch.float8_e4m3fn
    expected = torch.tensor(float(exact_norm([3, -4, 1], order))).to(torch.float8_e4m3fn)
    assert result.float().item() == expected.float().item()


RANGES = [
    (torch.float32, 1e20), (torch.float32, 1e37), (torch.float32, 1e-30), (torch.float32, 3e-45),
    (torch.float64, 1e200), (torch.float64, 1e307), (torch.float64, 1e-200),
    (torch.float64, 1e-323), (torch.float16, 3e4), (torch.float16, 6e-8),
    (torch.bfloat16, 1e37), (torch.bfloat16, 1e-39),
    (torch.complex64, 1e37), (torch.complex64, 3e-45),
    (torch.complex128, 1e307), (torch.complex128, 1e-200), (torch.complex128, 1e-300),
]  # fmt: skip


@pytest.mark.parametrize("order", [2, 1, 0, INF, -INF, 3, 0.5, -0.3, -1, -2, 6, 7, 300])
@pytest.mark.parametrize(("dtype", "size"), RANGES, ids=str)
@pytest.mark.usefixtures("path")
def test_no_overflow_or_underflow(dtype: torch.dtype, size: float, order: float) -> None:
    factor = 1 + 1j if dtype.is_complex else 1
    tensor = torch.tensor([size * factor, -2 * size * factor, size], dtype=dtype)
    (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm(flat(tensor), order), result.dtype)


@pytest.mark.parametrize("order", [2, 1, 3, 0.5, 0.01, -0.01, -1, -3])
@pytest.mark.usefixtures("path")
def test_whole_range_of_float64_in_one_tensor(order: float) -> None:
    tensor = torch.tensor([1e300, 1e-300, 1.0, 5e-324], dtype=torch.float64)
    (result,) = compute_norms([tensor], order)
    expected = exact_norm(flat(tensor), order)
    if expected < Decimal("1e308"):
        assert result.item() == pytest.approx(float(expected), rel=1e-12, abs=0)
    else:
        assert result.item() == INF


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1),
    order=st.sampled_from(ORDERS),
    path=st.sampled_from(WORKING),
)
def test_any_float32_numbers_have_exact_norms(values: list[float], order: float, path: str) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    with force_path(path):
        (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm(flat(tensor), order), torch.float32)


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    order=st.sampled_from([order for order in ORDERS if abs(order) >= 0.5 or order == 0]),
)
def test_any_float64_numbers_have_exact_norms(values: list[float], order: float) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)
    (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm(flat(tensor), order), torch.float64)


@pytest.mark.parametrize("order", [1e-4, 1e-5, 1e-10, 1e-40, 5e-324])
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.usefixtures("path")
def test_orders_near_0_lose_nothing(dtype: torch.dtype, order: float) -> None:
    one = torch.tensor([-3.3], dtype=dtype)
    sparse, two = torch.tensor([0, -3.3], dtype=dtype), torch.tensor([3.3, -4.4], dtype=dtype)
    expected = magnitude(flat(one)[0])
    first, second, more = compute_norms([one, sparse, two], order)
    assert_norm(first, expected, dtype)
    assert_norm(second, expected, dtype)
    assert more.item() == INF
    assert_norm(compute_norms([one], -order)[0], expected, dtype)


LARGE_ORDERS = [2**53 + 1, 2**63, 2**64, 10**30, 10**400, Fraction(10**400)]


@pytest.mark.parametrize("order", LARGE_ORDERS, ids=range(len(LARGE_ORDERS)))
@pytest.mark.usefixtures("path")
def test_orders_that_no_machine_integer_holds(order: Any) -> None:  # noqa: ANN401 - int or Fraction
    tensor = torch.tensor([3.0, -4.0, 4.0])
    assert compute_norms([tensor], order)[0].item() == 4
    assert compute_norms([tensor], -order)[0].item() == 3
    assert compute_norms([torch.zeros(0)], order)[0].item() == 0


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.usefixtures("path")
def test_large_tensors_lose_nothing(dtype: torch.dtype, order: int) -> None:
    count = 2_000_000
    tensor = torch.full((count,), 0.1, dtype=dtype)
    (result,) = compute_norms([tensor], order)
    expected = magnitude(flat(tensor[:1])[0]) * EXACT.power(count, 1 / Decimal(order))
    limits = torch.finfo(dtype)
    if expected > Decimal(limits.max):
        assert result.item() == INF
    else:
        promised = {torch.float32: 1e-6, torch.float64: 1e-14}.get(dtype, limits.eps / 2)
        assert abs(Decimal(result.item()) - expected) <= Decimal(promised) * expected


NOT_FINITE = [
    ([1.0, math.nan], 2, math.nan), ([1.0, math.nan], INF, math.nan),
    ([1.0, math.nan], -INF, math.nan), ([math.nan, 1.0], 1, math.nan),
    ([1.0, math.nan], -2, math.nan), ([0.0, math.nan], -1, math.nan),
    ([1.0, math.nan], 7, math.nan), ([0.0, math.nan], 0, 1.0),
    ([INF, math.nan], 2, math.nan), ([INF, math.nan], INF, math.nan),
    ([1.0, -INF], 2, INF), ([1.0, INF], 1, INF), ([1.0, -INF], INF, INF), ([1.0, INF], 7, INF),
    ([1.0, INF], 0.5, INF), ([1.0, INF], -INF, 1.0), ([1.0, INF], -1, 1.0), ([1.0, INF], -2, 1.0),
    ([INF, INF], -2, INF), ([INF, 0.0], 0, 1.0), ([INF, 0.0], -1, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [*REAL, *COMPLEX], ids=str)
@pytest.mark.parametrize(("values", "order", "expected"), NOT_FINITE)
@pytest.mark.usefixtures("path")
def test_nan_and_infinity_propagate(
    values: list[float], order: float, expected: float, dtype: torch.dtype
) -> None:
    (result,) = compute_norms([torch.tensor(values, dtype=dtype)], order)
    assert result.item() == pytest.approx(expected, nan_ok=True)


@pytest.mark.usefixtures("path")
def test_a_mixed_list_keeps_order_dtypes_and_values() -> None:
    tensors = [
        torch.tensor([3.0, 4.0]),
        torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64),
        torch.zeros(0, 3),
        torch.tensor([6.0, 8.0], dtype=torch.bfloat16),
        torch.tensor(-7.0),
        torch.tensor([3 + 4j]),
        torch.empty(5, device="meta"),
        torch.tensor([1e20, 0.0]),
        torch.nn.Parameter(torch.ones(4), requires_grad=False),
        torch.tensor([0.0, 0.0, 9.0]).to_sparse(),
    ]
    results = compute_norms(iter(tensors))
    assert [result.dtype for result in results] == [
        torch.float32, torch.float64, torch.float32, torch.bfloat16, torch.float32,
        torch.float32, torch.float32, torch.float32, torch.float32, torch.float32,
    ]  # fmt: skip
    assert [str(result.device) for result in results] == ["cpu"] * 6 + ["meta"] + ["cpu"] * 3
    values = [result.item() for result in results if result.device.type != "meta"]
    assert values == pytest.approx([5, 5, 0, 10, 7, 5, 1e20, 2, 9])


@pytest.mark.usefixtures("path")
def test_an_empty_list_has_no_norms() -> None:
    assert compute_norms([]) == []
    assert compute_norms(()) == []


def views() -> dict[str, Tensor]:
    base = torch.tensor(sample("views", 24)).reshape(4, 6)
    return {
        "transposed": base.t(),
        "strided": base[::2, 1::3],
        "expanded": base[:, :1].expand(4, 5),
        "0-d": base[2, 3],
        "complex": torch.tensor(complex_sample("views", 12)).reshape(3, 4).t(),
        "real part": torch.tensor(complex_sample("views", 12)).real,
        "conjugate": torch.tensor(complex_sample("views", 12)).conj(),
        "imaginary part of a conjugate": torch.tensor(complex_sample("views", 12)).conj().imag,
    }


@pytest.mark.parametrize("order", [2, 1, -1, 7, INF])
@pytest.mark.parametrize("name", views())
@pytest.mark.usefixtures("path")
def test_views_are_taken_as_they_are(name: str, order: float) -> None:
    tensor = views()[name]
    (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm(flat(tensor.contiguous()), order), torch.float32)


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3.5])
@pytest.mark.usefixtures("path")
def test_empty_tensors_have_norm_0_for_finite_orders(order: float) -> None:
    tensors = [torch.zeros(0), torch.ones(2, 0, 3, dtype=torch.complex64), torch.ones(1)]
    assert [result.item() for result in compute_norms(tensors, order)] == [0, 0, 1]


@pytest.mark.parametrize("order", [INF, -INF, -1, -0.5])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.complex64], ids=str)
@pytest.mark.usefixtures("path")
def test_undefined_norms_of_empty_tensors_are_one_error(kind: torch.dtype, order: float) -> None:
    with pytest.raises(NormError, match=r"tensor 1 is empty \(shape \(0, 2\)\)"):
        compute_norms([torch.ones(1), torch.zeros(0, 2, dtype=kind)], order)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("asked", [None, torch.float32])
@pytest.mark.parametrize("size", [3, 0])
@pytest.mark.usefixtures("path")
def test_integers_and_bools_are_one_error(
    dtype: torch.dtype, asked: torch.dtype | None, size: int
) -> None:
    with pytest.raises(NormError, match=f"tensor 1 is {dtype}"):
        compute_norms([torch.ones(1), torch.ones(size, dtype=dtype)], dtype=asked)


def test_the_error_is_a_value_error() -> None:
    assert issubclass(NormError, ValueError)


@pytest.mark.parametrize(
    ("given", "asked", "result"),
    [
        (torch.float32, torch.float64, torch.float64),
        (torch.float16, torch.float32, torch.float32),
        (torch.bfloat16, torch.float64, torch.float64),
        (torch.float64, torch.float64, torch.float64),
        (torch.complex64, torch.complex128, torch.float64),
        (torch.complex64, torch.complex64, torch.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [2, 3, 7, -1, INF])
@pytest.mark.usefixtures("path")
def test_dtype_sets_precision_and_result(
    given: torch.dtype, asked: torch.dtype, result: torch.dtype, order: float
) -> None:
    tensor = torch.tensor(sample("dtype"), dtype=given)
    (norm,) = compute_norms([tensor], order, dtype=asked)
    assert_norm(norm, exact_norm(flat(tensor), order), result)
    (empty,) = compute_norms([torch.zeros(0, dtype=given)], dtype=asked)
    assert empty.dtype == result


@pytest.mark.usefixtures("path")
def test_a_wider_dtype_holds_what_the_tensors_own_cannot() -> None:
    (norm,) = compute_norms([torch.full((4,), 3e38)], dtype=torch.float64)
    assert norm.item() == pytest.approx(6e38)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (torch.float64, torch.float32), (torch.float32, torch.float16),
        (torch.bfloat16, torch.float16), (torch.float16, torch.bfloat16),
        (torch.float32, torch.complex64), (torch.complex64, torch.float32),
        (torch.complex128, torch.complex64), (torch.float32, torch.int32),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.usefixtures("path")
def test_dtype_that_does_not_hold_the_input_is_one_error(
    given: torch.dtype, asked: torch.dtype
) -> None:
    with pytest.raises(NormError, match="would narrow or change"):
        compute_norms([torch.ones(2, dtype=given)], dtype=asked)


def test_order_nan_is_undefined() -> None:
    with pytest.raises(NormError, match="ord is NaN"):
        compute_norms([], math.nan)


@pytest.mark.parametrize("order", ["fro", None, 2j, torch.tensor(2.0)])
def test_an_order_that_is_no_real_number_is_a_type_error(order: Any) -> None:  # noqa: ANN401 - anything wrong
    with pytest.raises(TypeError, match="must be a real number"):
        compute_norms([torch.ones(1)], order)


def test_one_tensor_instead_of_a_list_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"pass \[tensor\]"):
        compute_norms(torch.ones(2, 2))


def test_something_else_in_the_list_is_a_type_error() -> None:
    unfit: list[Any] = [torch.ones(1), None]
    with pytest.raises(TypeError, match="item 1 is a NoneType"):
        compute_norms(unfit)


SPARSE_ORDERS = [2, 1, 0, 0.5, INF, -INF, -1, 7]


@pytest.mark.parametrize("order", SPARSE_ORDERS)
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "hybrid"])
@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
@pytest.mark.usefixtures("path")
def test_sparse_tensors_have_the_norm_of_their_dense_form(layout: str, order: float) -> None:
    dense = torch.tensor([[0.0, 3.0, 0.0, 0.0], [-4.0, 0.0, 0.0, 12.0]])
    makers: dict[str, tuple[str, tuple[object, ...]]] = {
        "coo": ("to_sparse", ()),
        "csr": ("to_sparse_csr", ()),
        "csc": ("to_sparse_csc", ()),
        "bsr": ("to_sparse_bsr", ((2, 2),)),
        "hybrid": ("to_sparse", (1,)),
    }
    name, arguments = makers[layout]
    if not hasattr(dense, name):
        pytest.skip(f"this release has no {layout} layout")
    try:
        tensor = getattr(dense, name)(*arguments)
    except RuntimeError as error:
        pytest.skip(f"this release does not make a {layout} layout: {error}")
    (result,) = compute_norms([tensor], order)
    assert_norm(result, exact_norm(flat(dense), order), torch.float32)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.usefixtures("path")
def test_duplicates_of_an_uncoalesced_sparse_tensor_add_up() -> None:
    index, values = torch.tensor([[1, 1, 2]]), torch.tensor([1.0, 2.0, 4.0])
    tensor = torch.sparse_coo_tensor(index, values, (5,))
    assert [norm.item() for norm in compute_norms([tensor, tensor.double()])] == [5.0, 5.0]
    (norm,) = compute_norms([tensor], dtype=torch.float64)
    assert (norm.item(), norm.dtype) == (5.0, torch.float64)


@pytest.mark.parametrize("order", SPARSE_ORDERS)
@pytest.mark.usefixtures("path")
def test_a_sparse_tensor_without_values_is_all_zeros(order: float) -> None:
    (norm,) = compute_norms([torch.zeros(3).to_sparse()], order)
    assert norm.item() == 0


@pytest.mark.usefixtures("path")
def test_an_empty_sparse_tensor_has_no_infinity_norm() -> None:
    with pytest.raises(NormError, match="is empty"):
        compute_norms([torch.zeros(0).to_sparse()], INF)


@pytest.mark.parametrize("order", [2, -1, INF, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.float64], ids=str)
@pytest.mark.usefixtures("path")
def test_fake_tensors_stay_fake(dtype: torch.dtype, order: float) -> None:
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    with fake.FakeTensorMode() as mode:
        made = torch.ones(3, dtype=dtype)
        (inside,) = compute_norms([made], order)
    real = torch.full((4,), 2.0, dtype=dtype)
    converted = mode.from_tensor(real)
    outside = compute_norms([converted, real], order)
    assert [isinstance(norm, fake.FakeTensor) for norm in (inside, *outside)] == [True, True, False]
    assert_norm(outside[1], exact_norm(flat(real), order), inside.dtype)


def test_a_first_call_on_fake_tensors_decides_nothing(fresh_paths: pytest.MonkeyPatch) -> None:
    del fresh_paths
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    expected = active_path()
    reset_paths()
    with fake.FakeTensorMode():
        compute_norms([torch.ones(3)])
    assert active_path() == expected


@pytest.mark.skipif(not hasattr(torch, "compiler"), reason="they start the driver in 2.0")
def test_fake_tensors_of_a_device_that_is_not_there(fresh_paths: pytest.MonkeyPatch) -> None:
    def no_driver() -> bool:
        msg = "CUDA driver version is insufficient"
        raise RuntimeError(msg)

    fresh_paths.setattr(torch.cuda, "is_current_stream_capturing", no_driver, raising=False)
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    shape = torch.ones(3, device="meta")
    with fake.FakeTensorMode() as mode:
        made = fake.FakeTensor(mode, shape, torch.device("cuda", 0))
        (norm,) = compute_norms([made])
    assert (norm.device.type, norm.shape) == ("cuda", ())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("order", [2, 1, 3, 7])
@pytest.mark.usefixtures("path")
def test_norms_are_differentiable(dtype: torch.dtype, order: float) -> None:
    tensor = torch.tensor([3.0, -4.0, 0.0], dtype=dtype, requires_grad=True)
    (norm,) = compute_norms([tensor], order)
    (gradient,) = torch.autograd.grad(norm, [tensor])
    size = float(exact_norm([3, 4], order))
    expected = [
        (abs(v) / size) ** (order - 1) * math.copysign(1, v) if v else 0 for v in (3, -4, 0)
    ]
    assert [g.real for g in flat(gradient)] == pytest.approx(expected, rel=1e-6)


def test_an_empty_tensor_takes_part_in_differentiation() -> None:
    tensor = torch.zeros(0, requires_grad=True)
    (norm,) = compute_norms([tensor])
    (gradient,) = torch.autograd.grad(norm, [tensor])
    assert gradient.shape == (0,)


def test_inputs_are_left_alone() -> None:
    tensors = [torch.tensor([1e200, 3.0], dtype=torch.float64), torch.tensor([3.0, 4.0])]
    before = [tensor.clone() for tensor in tensors]
    compute_norms(tensors, 3)
    assert all(torch.equal(now, then) for now, then in zip(tensors, before, strict=True))


def test_long_lists_are_split_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "_BATCH_ELEMENTS_CPU", 5)
    tensors = [torch.full((n,), 2.0) for n in (1, 4, 3, 9, 1, 1)]
    assert [n.item() for n in compute_norms(tensors, 1)] == [2, 8, 6, 18, 2, 2]


def test_a_device_without_float64_scales_in_float32(fresh_paths: pytest.MonkeyPatch) -> None:
    fresh_paths.setattr(paths, "_WITHOUT_FLOAT64", frozenset({"cpu"}))
    for order in (2, 1, 3, -2, INF):
        for size in (1e20, 1.0, 1e-30):
            tensor = torch.tensor([3 * size, -4 * size])
            (norm,) = compute_norms([tensor], order)
            assert_norm(norm, exact_norm(flat(tensor), order), torch.float32)


def set_foreach(patch: pytest.MonkeyPatch, norm: object) -> None:
    patch.setattr(torch, "foreach", types.SimpleNamespace(norm=norm), raising=False)


def remove_public(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(torch, "foreach", raising=False)


def right(tensors: Sequence[Tensor], order: float = 2) -> tuple[Tensor, ...]:
    return tuple(torch.norm(tensor, order) for tensor in tensors)


def wrong(tensors: Sequence[Tensor], ord: float = 2, **_: object) -> list[Tensor]:  # noqa: A002
    return [norm * 1.001 for norm in right(tensors, ord)]


def stacked(tensors: Sequence[Tensor], ord: float = 2, **_: object) -> Tensor:  # noqa: A002
    return torch.stack(right(tensors, ord))


def renamed(tensors: Sequence[Tensor], *, power: float) -> tuple[Tensor, ...]:
    return right(tensors, power)


def refusing(*_: object, **__: object) -> None:
    msg = "not implemented for this"
    raise NotImplementedError(msg)


def narrow(tensors: Sequence[Tensor], ord: float = 2, **_: object) -> list[Tensor]:  # noqa: A002
    return [norm.float() for norm in right(tensors, ord)]


def short(tensors: Sequence[Tensor], ord: float = 2, **_: object) -> list[Tensor]:  # noqa: A002
    return list(right(tensors[1:], ord))


def wrong_infinity(
    tensors: Sequence[Tensor],
    ord: float = 2,  # noqa: A002
    **_: object,
) -> tuple[Tensor, ...]:
    return right(tensors, 2 if ord == INF else ord)


BROKEN = [wrong, stacked, renamed, refusing, narrow, short, wrong_infinity, None]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_public_norm_leads_to_the_next_path(
    fresh_paths: pytest.MonkeyPatch, broken: object
) -> None:
    set_foreach(fresh_paths, broken)
    assert active_path() == ("private" if hasattr(torch, "_foreach_norm") else "loop")
    assert compute_norms([torch.tensor([3.0, 4.0])])[0].item() == 5


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_private_norm_leads_to_the_loop(
    fresh_paths: pytest.MonkeyPatch, broken: object
) -> None:
    remove_public(fresh_paths)
    fresh_paths.setattr(torch, "_foreach_norm", broken, raising=False)
    assert active_path() == "loop"
    assert compute_norms([torch.tensor([3.0, 4.0])])[0].item() == 5
    with pytest.raises(RuntimeError, match="no working private path"), force_path("private"):
        pass


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_after_the_choice_is_noticed(
    fresh_paths: pytest.MonkeyPatch, broken: object
) -> None:
    before = active_path()
    # The public path of the newest releases calls whatever torch holds under the private name.
    fresh_paths.setattr(torch, "_foreach_norm", broken, raising=False)
    norms_found = compute_norms([torch.tensor([3.0, 4.0]), torch.ones(4)])
    assert [norm.item() for norm in norms_found] == [5, 2]
    assert active_path() == "loop"
    fresh_paths.undo()
    assert active_path() == before


def test_removed_names_lead_to_the_loop(fresh_paths: pytest.MonkeyPatch) -> None:
    remove_public(fresh_paths)
    fresh_paths.delattr(torch, "_foreach_norm", raising=False)
    assert active_path() == "loop"
    assert compute_norms([torch.tensor([3.0, 4.0])])[0].item() == 5


@pytest.mark.parametrize("path", ["public", "private"])
@pytest.mark.parametrize("result", [list, tuple])
def test_a_path_without_dtype_is_used_all_the_same(
    fresh_paths: pytest.MonkeyPatch, path: str, result: Callable[[object], object]
) -> None:
    calls = []

    def public(inputs: Sequence[Tensor], /, *, ord: float = 2) -> object:  # noqa: A002
        calls.append("public")
        return result(right(inputs, ord))

    def private(self: Sequence[Tensor], ord: float = 2) -> object:  # noqa: A002
        calls.append("private")
        return result(right(self, ord))

    remove_public(fresh_paths)
    if path == "public":
        set_foreach(fresh_paths, public)
    fresh_paths.setattr(torch, "_foreach_norm", private, raising=False)
    assert active_path() == path
    calls.clear()
    norms_found = compute_norms(
        [torch.full((4,), 1e20), torch.full((4,), 1e200, dtype=torch.float64)]
    )
    assert [norm.item() for norm in norms_found] == pytest.approx([2e20, 2e200])
    assert set(calls) == {path}


@pytest.mark.parametrize("missing", [False, True])
def test_the_loop_does_without_vector_norm(
    fresh_paths: pytest.MonkeyPatch,
    missing: bool,  # noqa: FBT001
) -> None:
    remove_public(fresh_paths)
    fresh_paths.delattr(torch, "_foreach_norm", raising=False)
    if missing:
        fresh_paths.delattr(torch.linalg, "vector_norm", raising=False)
    else:
        fresh_paths.setattr(torch.linalg, "vector_norm", refusing, raising=False)
    fresh_paths.setattr(torch, "norm", by_hand)  # torch's own calls vector_norm
    assert active_path() == "loop"
    tensor = torch.tensor(sample("loop")).reshape(1, 23)
    for order in (2, 1, 3, 0.5):
        (norm,) = compute_norms([tensor], order)
        assert_norm(norm, exact_norm(flat(tensor), order), torch.float32)


def by_hand(tensor: Tensor, order: float) -> Tensor:
    if math.isinf(order):
        return tensor.abs().max() if order > 0 else tensor.abs().min()
    if order == 0:
        return (tensor != 0).sum().to(tensor.dtype)
    return tensor.abs().pow(order).sum().pow(1 / order)


def test_a_torch_without_any_norm_says_so(fresh_paths: pytest.MonkeyPatch) -> None:
    remove_public(fresh_paths)
    for name in ("_foreach_norm", "norm"):
        fresh_paths.setattr(torch, name, None, raising=False)
    fresh_paths.setattr(torch.linalg, "vector_norm", None, raising=False)
    with pytest.raises(RuntimeError, match="no working public or private or loop path"):
        compute_norms([torch.ones(1)])


def test_an_operator_that_refuses_later_is_replaced_for_that_group(
    fresh_paths: pytest.MonkeyPatch,
) -> None:
    served = []

    def picky(tensors: Sequence[Tensor], ord: float = 2) -> tuple[Tensor, ...]:  # noqa: A002
        if len(tensors[0]) > 3:
            refusing()
        served.append(len(tensors))
        return right(tensors, ord)

    remove_public(fresh_paths)
    fresh_paths.setattr(torch, "_foreach_norm", picky, raising=False)
    assert active_path() == "private"
    served.clear()
    found = compute_norms([torch.ones(4, dtype=torch.bfloat16), torch.tensor([3.0, 4.0])], 1)
    assert [norm.item() for norm in found] == [4, 7]
    assert served == [1]


def test_an_order_that_a_path_refuses_is_served_by_the_loop(
    fresh_paths: pytest.MonkeyPatch,
) -> None:
    def only_2(tensors: Sequence[Tensor], ord: float = 2) -> tuple[Tensor, ...]:  # noqa: A002
        if ord != 2:
            refusing()
        return right(tensors, ord)

    remove_public(fresh_paths)
    fresh_paths.setattr(torch, "_foreach_norm", only_2, raising=False)
    assert active_path() == "private"
    assert compute_norms([torch.tensor([3.0, 4.0])], 1)[0].item() == 7


def test_force_path_names_its_choices() -> None:
    with pytest.raises(ValueError, match="choose one of public, private, loop"), force_path("cuda"):
        pass


def test_forced_paths_nest_and_end(path: str) -> None:
    assert active_path() == path
    with force_path("loop"):
        assert active_path() == "loop"
    assert active_path() == path


def compiled_norms(*, dynamic: bool) -> Callable[..., Any]:
    if not hasattr(torch, "compile"):
        pytest.skip("this release has no torch.compile")
    if torch.__version__.startswith("2.0.") and sys.version_info >= (3, 11):
        pytest.skip("torch.compile of 2.0 does not know Python 3.11")
    torch._dynamo.reset()

    def norms_of(tensors: list[Tensor], order: float) -> list[Tensor]:
        return compute_norms(tensors, order)

    return torch.compile(norms_of, fullgraph=True, backend="eager", dynamic=dynamic)


@pytest.mark.filterwarnings("ignore")  # torch's own, which differ by release
@pytest.mark.parametrize("order", [2, 3.0, INF, -1, 7])
@pytest.mark.parametrize("dynamic", [False, True])
def test_it_compiles_without_a_graph_break(order: float, dynamic: bool) -> None:  # noqa: FBT001
    compiled = compiled_norms(dynamic=dynamic)
    for size in (3, 5):
        tensors = [
            torch.full((size,), 1e20),
            torch.ones(2, size, dtype=torch.float64),
            torch.tensor([3 + 4j] * size),
            torch.ones(size, dtype=torch.bfloat16),
        ]
        expected = compute_norms(tensors, order)
        assert [n.item() for n in compiled(tensors, order)] == [n.item() for n in expected]


@pytest.mark.filterwarnings("ignore")
def test_compiling_before_any_path_is_known_works(fresh_paths: pytest.MonkeyPatch) -> None:
    del fresh_paths
    compiled = compiled_norms(dynamic=False)
    assert [norm.item() for norm in compiled([torch.tensor([3.0, 4.0])], 2)] == [5]


@pytest.mark.parametrize("dtype", ["float64", float])
def test_what_is_no_dtype_is_refused(dtype: Any) -> None:  # noqa: ANN401 - whatever is passed
    with pytest.raises(TypeError, match=re.escape(f"dtype is {dtype!r}")):
        compute_norms([torch.ones(2)], dtype=dtype)


@pytest.mark.skipif(not hasattr(torch, "nested"), reason="this torch has no nested tensors")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(NormError, match="tensor 1 is nested"):
        compute_norms([torch.ones(2), nested])


def adversarial_row(length: int) -> Tensor:
    """A large number, and small ones that make every addition in eight lanes round up."""
    small = math.sqrt(2.0 * 2**-24 * 1.002)
    row = torch.full((length,), small)
    lanes = torch.arange(length) % 8 != 0
    whole = torch.arange(length) < length // 8 * 8
    row[lanes & whole] = small / math.sqrt(length // 8) * 1.001
    row[0] = 1.4142137
    return row


@pytest.mark.parametrize("length", [160, 161, 167, 168, 174, 175, 176, 177, 183, 192])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("copies", [1, 6])
@pytest.mark.usefixtures("path")
def test_no_row_loses_more_than_is_promised(length: int, step: int, copies: int) -> None:
    flat = adversarial_row(length).repeat(3)
    tensor = torch.stack([flat] * step, 1)[:, 0]  # the same numbers, one by one or with gaps
    exact = math.sqrt(math.fsum(value * value for value in flat.tolist()))
    for norm in compute_norms([tensor] * copies):
        assert abs(norm.item() - exact) <= 1e-6 * exact


def test_what_modes_make_is_not_remembered() -> None:
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    tensors = [torch.ones(size) for size in (3, 7)] * 5
    with fake.FakeTensorMode(allow_non_fake_inputs=True):
        compute_norms(tensors)
    assert rows.stack_norms(tensors) is not None
