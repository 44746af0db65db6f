"""What holds for norms of order 2 of any numbers, searched for counterexamples."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gradnorms.exact import (
    COMPLEX_HALF,
    PARTS,
    ROUNDED,
    TOLERANCES,
    Format,
    Runs,
    assert_norm,
    next_below,
    power,
    rounded_root,
    square_of,
    squares_making,
    sum_of_squares,
    tensor_of,
    tie,
    tie_exponents,
)
from tests.gradnorms.working import WORKING

from gradnorms import compute_norms, force_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# torch says once that complex halves are experimental.
pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf")
REAL = (torch.float32, torch.float64, *ROUNDED)
COMPLEX = (torch.complex64, torch.complex128, *([COMPLEX_HALF] if COMPLEX_HALF else []))
EDGES = (511, 512, 513, 767, 768, 769, 1021, 4093)
AWKWARD = (*EDGES, 8191, 8192, 8193, 65537, 2**18 - 1, 2**18, 2**18 + 1)


paths = st.sampled_from(WORKING)
Numbers = st.SearchStrategy[float]


def searched(examples: int) -> settings:
    # How fast a machine draws examples says nothing about norms.
    slow = [HealthCheck.too_slow]
    return settings(deadline=None, max_examples=examples, suppress_health_check=slow)


def numbers(dtype: torch.dtype, least: int | None = None, top: int | None = None) -> Numbers:
    """Draw numbers of a dtype: of exponents that differ wildly, close ones, and edges."""
    form = Format(dtype)
    low = form.quantum if least is None else least
    high = form.top - form.bits + 1 if top is None else top
    anywhere = st.builds(math.ldexp, significands(form), st.integers(low, high))
    middle = min(max(0, low), high)
    near = st.builds(
        math.ldexp, significands(form), st.integers(max(middle - 4, low), min(middle + 4, high))
    )
    if least is None and top is None:
        return st.one_of(near, anywhere, st.sampled_from(edges(form)))
    return st.one_of(near, anywhere)


def significands(form: Format) -> st.SearchStrategy[int]:
    limit = 2**form.bits - 1
    return st.one_of(st.integers(-limit, limit), st.sampled_from([1, -1, limit, -limit]))


def edges(form: Format) -> list[float]:
    smallest, normal = math.ldexp(1, form.quantum), math.ldexp(1, form.lowest)
    largest = float(form.largest)
    roots = [math.ldexp(1, exponent // 2) for exponent in (form.lowest, form.top, form.top + 1)]
    return [0.0, -0.0, smallest, -smallest, normal, normal - smallest, largest, -largest, *roots]


def runs(values: Numbers, longest: tuple[int, ...] = EDGES) -> st.SearchStrategy[Runs]:
    counts = st.one_of(st.integers(1, 5), st.sampled_from(longest))
    return st.lists(st.tuples(values, counts), min_size=1, max_size=6)


real_runs = st.sampled_from(REAL).flatmap(
    lambda dtype: st.tuples(st.just(dtype), runs(numbers(dtype)))
)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@searched(150)
@given(data=st.data(), path=paths)
def test_any_numbers_have_the_norm_of_exact_arithmetic(
    dtype: torch.dtype, data: st.DataObject, path: str
) -> None:
    elements = data.draw(runs(numbers(dtype)))
    with force_path(path):
        (norm,) = compute_norms([tensor_of(elements, dtype)])
    assert_norm(norm, square_of(elements), dtype)


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
@searched(60)
@given(data=st.data(), path=paths)
def test_any_complex_numbers_have_the_norm_of_exact_arithmetic(
    dtype: torch.dtype, data: st.DataObject, path: str
) -> None:
    part = PARTS[dtype]
    values = data.draw(st.lists(st.tuples(numbers(part), numbers(part)), min_size=1, max_size=8))
    repeats = data.draw(st.sampled_from([1, 2, 513]))
    pairs = torch.tensor(values, dtype=torch.float64).to(part).repeat(repeats, 1)
    tensor = torch.view_as_complex(pairs)
    if data.draw(st.booleans()):
        tensor = tensor.conj()
    with force_path(path):
        (norm,) = compute_norms([tensor])
    assert_norm(norm, repeats * square_of((x, 1) for pair in values for x in pair), part)


@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
@searched(200)
@given(data=st.data(), path=paths)
def test_half_norms_in_the_middle_of_two_neighbours_go_to_the_right_one(
    dtype: torch.dtype, data: st.DataObject, path: str
) -> None:
    form = Format(dtype)
    odd = data.draw(st.integers(2 ** (form.bits - 1), 2**form.bits - 1)) * 2 + 1
    exponent = data.draw(st.integers(*tie_exponents(dtype)))
    values = tie(odd, exponent, dtype)
    # One element makes the difference, of any size down to the smallest that there is.
    change = data.draw(st.sampled_from(["none", "above", "below"]))
    if change == "above":
        values.append(math.ldexp(1, data.draw(st.integers(form.quantum, exponent))))
    elif change == "below":
        values.append(next_below(values.pop(), dtype))
    zeros = data.draw(st.sampled_from([0, 1, 500, 1000]))
    order = data.draw(st.permutations(values))
    tensor = tensor_of([*((value, 1) for value in order), (0.0, zeros)], dtype)
    square = square_of((value, 1) for value in values)
    middle = (odd * power(exponent)) ** 2
    side = {"none": square == middle, "above": square > middle, "below": square < middle}
    assert side[change], "the construction missed its aim"
    with force_path(path):
        (norm,) = compute_norms([tensor])
    assert_norm(norm, square, dtype)


@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
@pytest.mark.parametrize("path", WORKING)
def test_every_tie_of_two_neighbours_is_even(dtype: torch.dtype, path: str) -> None:
    form = Format(dtype)
    least, most = tie_exponents(dtype)
    significands = range(2**form.bits + 1, 2 ** (form.bits + 1), 2 if form.bits < 10 else 26)
    values = [tie(odd, least + odd % (most - least + 1), dtype) for odd in significands]
    with force_path(path):
        norms = compute_norms([tensor_of([(v, 1) for v in vs], dtype) for vs in values])
    wrong = [
        (vs, norm.item(), expected)
        for vs, norm in zip(values, norms, strict=True)
        if norm.item() != (expected := rounded_root(square_of((v, 1) for v in vs), dtype))
    ]
    assert wrong == []


@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
@pytest.mark.parametrize("path", WORKING)
def test_denormal_norms_around_the_middle_are_rounded_once(dtype: torch.dtype, path: str) -> None:
    form = Format(dtype)
    below_normal = range(1, 2 ** (form.bits - 1), 7 if form.bits > 10 else 1)
    # (n + 1/2)**2 is between these two.
    sums = [n * n + n + more for n in below_normal for more in (0, 1)]
    values = [squares_making(total, form.quantum, dtype) for total in sums]
    with force_path(path):
        norms = compute_norms([tensor_of([(v, 1) for v in vs], dtype) for vs in values])
    expected = [rounded_root(square_of((v, 1) for v in vs), dtype) for vs in values]
    assert [norm.item() for norm in norms] == expected


OVERFLOWS = [
    (torch.float16, [65504.0, 1440.0], 65504.0),
    (torch.float16, tie(4095, 4, torch.float16), math.inf),  # 65520
    (torch.float16, [*tie(4095, 4, torch.float16)[:-1], 31.984375], 65504.0),
    (torch.float16, [*tie(4095, 4, torch.float16), 2.0**-24], math.inf),
    (torch.bfloat16, tie(511, 119, torch.bfloat16), math.inf),
    (torch.bfloat16, [*tie(511, 119, torch.bfloat16), 2.0**-133], math.inf),
    (
        torch.bfloat16,
        [*(t := tie(511, 119, torch.bfloat16))[:-1], next_below(t[-1], torch.bfloat16)],
        float(Format(torch.bfloat16).largest),
    ),
]


@pytest.mark.parametrize(("dtype", "values", "expected"), OVERFLOWS)
@pytest.mark.parametrize("path", WORKING)
def test_halves_overflow_from_the_middle_on(
    dtype: torch.dtype, values: list[float], expected: float, path: str
) -> None:
    tensor = tensor_of([(value, 1) for value in values], dtype)
    with force_path(path):
        found = [norm.item() for norm in compute_norms([tensor, tensor.flip(0), -tensor])]
    assert found == [expected] * 3


@searched(120)
@given(data=st.data(), path=paths, shift=st.integers(-16, 16))
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_scaling_by_a_power_of_two_is_exact(
    dtype: torch.dtype, data: st.DataObject, path: str, shift: int
) -> None:
    if dtype == torch.float16:
        shift = shift // 8  # the numbers and the norm, and no power of them, must stay normal
    form = Format(dtype)
    whole = st.integers(2 ** (form.bits - 1), 2**form.bits - 1)
    value = st.builds(math.ldexp, whole, st.integers(-form.bits - 3, 4 - form.bits))
    elements = data.draw(runs(value, (64, 511, 513)))
    tensor = tensor_of(elements, dtype)
    with force_path(path):
        norm, scaled = compute_norms([tensor, tensor * 2.0**shift])
    assert math.ldexp(norm.item(), shift) == scaled.item()


@searched(60)
@given(data=st.data(), path=paths, sign=st.sampled_from([1, -1]))
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_scaling_to_the_ends_of_the_range_loses_nothing(
    dtype: torch.dtype, data: st.DataObject, path: str, sign: int
) -> None:
    form = Format(dtype)
    shift = form.top - 13 if sign > 0 else form.lowest + form.bits + 9
    value = st.builds(math.ldexp, significands(form), st.integers(-form.bits - 7, 1 - form.bits))
    elements = [
        (math.ldexp(value, shift), count) for value, count in data.draw(runs(value, (64, 511, 513)))
    ]
    with force_path(path):
        (norm,) = compute_norms([tensor_of(elements, dtype)])
    assert_norm(norm, square_of(elements), dtype)


@searched(120)
@given(data=st.data(), path=paths)
def test_permuted_tensors_have_permuted_norms(data: st.DataObject, path: str) -> None:
    pool = data.draw(st.lists(real_runs, min_size=1, max_size=5))
    chosen = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=12))
    with force_path(path):
        norms = compute_norms([tensor_of(elements, dtype) for dtype, elements in chosen])
    for norm, (dtype, elements) in zip(norms, chosen, strict=True):
        assert_norm(norm, square_of(elements), dtype)


@searched(100)
@given(data=st.data(), path=paths)
def test_the_norm_of_parts_norms_is_the_norm_of_the_whole(data: st.DataObject, path: str) -> None:
    dtype = data.draw(st.sampled_from(REAL))
    form = Format(dtype)
    elements = data.draw(runs(numbers(dtype, form.quantum, form.top - form.bits - 10)))
    tensor = tensor_of(elements, dtype)
    cuts = st.lists(st.integers(0, tensor.numel()), max_size=4).map(sorted)
    bounds = [0, *data.draw(cuts), tensor.numel()]
    parts = [tensor[low:high] for low, high in pairwise(bounds)]
    with force_path(path):
        (whole,) = compute_norms([tensor], dtype=torch.float64)
        norms = compute_norms(parts, dtype=torch.float64)
        (together,) = compute_norms([torch.stack(norms)])
    for norm in (whole, together):
        squared = square_of(elements)
        low, high = (squared * (1 + side * 5 * TOLERANCES[torch.float64]) for side in (-1, 1))
        unit = power(Format(torch.float64).quantum)
        assert low - unit <= Fraction(norm.item()) ** 2 <= high + unit


@searched(120)
@given(drawn=real_runs)
def test_all_paths_agree(drawn: tuple[torch.dtype, Runs]) -> None:
    dtype, elements = drawn
    norms = []
    for path in WORKING:
        with force_path(path):
            norms += compute_norms([tensor_of(elements, dtype)])
    assert len(norms) >= 2, "every release has the private path and the loop, or public besides"
    slack = float(2 * TOLERANCES.get(dtype, Fraction(0)))
    for norm in norms:
        assert norm.item() == pytest.approx(
            norms[0].item(), rel=slack, abs=2 * math.ldexp(1, Format(dtype).quantum) * bool(slack)
        )


WIDER = [
    (narrow, wide)
    for narrow in REAL
    for wide in (torch.float32, torch.float64)
    if narrow not in (wide, torch.float64)
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER, ids=str)
@searched(60)
@given(data=st.data(), path=paths)
def test_a_wider_dtype_has_its_own_accuracy_and_range(
    narrow: torch.dtype, wide: torch.dtype, data: st.DataObject, path: str
) -> None:
    elements = data.draw(runs(numbers(narrow)))
    with force_path(path):
        (norm,) = compute_norms([tensor_of(elements, narrow)], dtype=wide)
    assert_norm(norm, square_of(elements), wide)


@searched(100)
@given(drawn=real_runs, path=paths, data=st.data())
def test_nan_and_infinity_propagate_from_anywhere(
    drawn: tuple[torch.dtype, Runs], path: str, data: st.DataObject
) -> None:
    tensor = tensor_of(drawn[1], drawn[0])
    special = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    places = st.integers(0, tensor.numel() - 1)
    infinite = data.draw(places)
    tensor[infinite] = math.inf
    tensor[data.draw(places)] = special
    neighbour = torch.tensor([3.0, -4.0], dtype=drawn[0])
    with force_path(path):
        before, norm, after = compute_norms([neighbour, tensor, neighbour])
    assert (before.item(), after.item()) == (5, 5)
    found = norm.item()
    assert math.isnan(found) if math.isnan(special) else found == math.inf


def negated(tensor: Tensor) -> Tensor:
    return torch._neg_view(tensor)


def imaginary_part(tensor: Tensor) -> Tensor:
    """Return a negative view with a step: the imaginary part of a conjugate."""
    return torch.complex(tensor.float(), tensor.float()).conj().imag.to(tensor.dtype)


def every_second(tensor: Tensor) -> Tensor:
    return tensor[..., ::2] if tensor.dim() else tensor


def without_the_first(tensor: Tensor) -> Tensor:
    return tensor[1:] if tensor.dim() and tensor.shape[0] > 1 else tensor


def expanded(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(-1).expand(*tensor.shape, 3)


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(
        memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    )


def overlapping(tensor: Tensor) -> Tensor:
    whole = tensor.is_contiguous() and tensor.numel() > 8
    return tensor.as_strided((tensor.numel() - 7, 8), (1, 1)) if whole else tensor


def transposed(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, -1) if tensor.dim() else tensor


VIEWS = (
    negated, imaginary_part, every_second, without_the_first, expanded, channels_last, overlapping,
    transposed,
)  # fmt: skip


@searched(150)
@given(
    dtype=st.sampled_from(REAL),
    shape=st.sampled_from([(), (1,), (7,), (513,), (5, 3), (33, 31), (2, 3, 4, 5), (3, 0, 2)]),
    views=st.lists(st.sampled_from(VIEWS), max_size=3),
    seed=st.integers(0, 2**16),
    path=paths,
)
def test_any_view_has_the_norm_of_what_it_shows(
    dtype: torch.dtype,
    shape: tuple[int, ...],
    views: list[Callable[[Tensor], Tensor]],
    seed: int,
    path: str,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randn(shape, generator=generator).to(dtype)
    for view in views:
        tensor = view(tensor)
    copy = tensor.detach().resolve_neg().clone(memory_format=torch.contiguous_format)
    with force_path(path):
        first, second = compute_norms([tensor, tensor.detach()])
    assert_norm(first, sum_of_squares(copy), dtype)
    assert_norm(second, sum_of_squares(copy), dtype)


@pytest.mark.parametrize("dtype", [*REAL, *COMPLEX], ids=str)
@pytest.mark.parametrize("path", WORKING)
def test_no_size_is_awkward(dtype: torch.dtype, path: str) -> None:
    part = PARTS.get(dtype, dtype)
    tensors = []
    for size in (0, 1, 2, 31, *AWKWARD):
        generator = torch.Generator().manual_seed(size)
        shape = (size, 2) if dtype.is_complex else (size,)
        # The last element counts as much as all others: one that is left out is noticed.
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        values[-1:] *= max(size, 1) ** 0.5
        values = values.to(part)
        tensors.append(torch.view_as_complex(values) if dtype.is_complex else values)
    with force_path(path):
        norms = compute_norms(tensors)
    for tensor, norm in zip(tensors, norms, strict=True):
        assert_norm(norm, sum_of_squares(tensor), part)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("path", WORKING)
def test_one_element_anywhere_counts(dtype: torch.dtype, path: str) -> None:
    tensors = []
    for size in AWKWARD[:-4]:
        for place in {0, 1, size // 2, size - 513, size - 2, size - 1} & set(range(size)):
            tensor = torch.zeros(size, dtype=dtype)
            tensor[place] = -3.0
            tensors.append(tensor)
    with force_path(path):
        norms = compute_norms(tensors)
    assert {norm.item() for norm in norms} == {3.0}
    assert len(norms) == len(tensors) > 40


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("path", WORKING)
def test_equal_shapes_among_others_keep_their_places(dtype: torch.dtype, path: str) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(), (1,), (4,), (2, 2), (3, 5), (5, 3), (512,), (2, 256), (513,), (0,), (1000,)]
    picks = torch.randint(len(shapes), (600,), generator=generator).tolist()
    tensors = [torch.zeros(shapes[pick], dtype=dtype) for pick in picks]
    for number, tensor in enumerate(tensors):
        if tensor.numel():
            tensor.view(-1)[-1] = float(number % 251 + 1)
    layouts = [t.t() if t.dim() == 2 and number % 3 else t for number, t in enumerate(tensors)]
    with force_path(path):
        norms = compute_norms(layouts)
    assert [norm.item() for norm in norms] == [
        number % 251 + 1 if tensor.numel() else 0 for number, tensor in enumerate(tensors)
    ]


def test_equal_shapes_of_wildly_different_magnitudes_do_not_mix() -> None:
    sizes = [1e-44, 1e-38, 1e-30, 1e-20, 1.0, 1e10, 1e20, 1e30, 1e38]
    tensors = [torch.full((3,), size) for size in sizes * 7]
    tensors += [torch.full((3,), 1e-45), torch.full((3,), math.nan), torch.full((3,), math.inf)]
    *norms, least, not_a_number, infinity = compute_norms(tensors)
    for tensor, norm in zip(tensors, norms, strict=False):
        assert_norm(norm, sum_of_squares(tensor), torch.float32)
    assert_norm(least, sum_of_squares(torch.full((3,), 1e-45)), torch.float32)
    assert math.isnan(not_a_number.item())
    assert infinity.item() == math.inf


EXTREMES = {
    "large": [1e20] * 5,
    "larger": [1e30, -2e30, 1e30],
    "largest": [1e38],
    "small": [1e-30, -2e-30],
    "denormal": [1e-44, 3e-45, -1e-40],
    "all at once": [1e38, 1e20, 1.0, 1e-20, 1e-38, 1e-45],
    "one large among ones": [*[1.0] * 600, 1e20, *[1.0] * 600],
    "one denormal among zeros": [*[0.0] * 600, 1e-45, *[0.0] * 600],
    "too large together": [3e38, 3e38],
    "just below the threshold of squares": [1.8e19, 1.8e19, -1.8e19],
    "just above the smallest square": [1.1e-19] * 3,
    "squares that are denormal": [4e-23] * 700,
    "zeros": [0.0, -0.0],
}


@pytest.mark.parametrize("path", WORKING)
def test_extreme_magnitudes_keep_to_themselves(path: str) -> None:
    tensors = {name: torch.tensor(values) for name, values in EXTREMES.items()}
    tensors |= {f"{name}, complex": torch.complex(t, t.flip(0)) for name, t in tensors.items()}
    with force_path(path):
        norms = compute_norms(list(tensors.values()))
    for (name, tensor), norm in zip(tensors.items(), norms, strict=True):
        try:
            assert_norm(norm, sum_of_squares(tensor), torch.float32)
        except AssertionError as error:
            pytest.fail(f"{name}: {error}")


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_twenty_thousand_tiny_tensors_keep_their_order(dtype: torch.dtype) -> None:
    sizes = [number * 7919 % 5 + 1 for number in range(20_000)]
    tensors = [
        torch.full((size,), float(number % 127 + 1), dtype=dtype)
        for number, size in enumerate(sizes)
    ]
    norms = torch.stack(compute_norms(tensors)).double().tolist()
    for number, size in enumerate(sizes):
        value = number % 127 + 1
        if size == 1:
            assert norms[number] == value
        elif size == 4:
            assert norms[number] == 2 * value
        else:
            assert norms[number] == pytest.approx(value * size**0.5, rel=2**-8)
    for number in range(0, 20_000, 97):
        square = Fraction((number % 127 + 1) ** 2 * sizes[number])
        assert_norm(torch.tensor(norms[number], dtype=torch.float64).to(dtype), square, dtype)


# One large number first, and many small ones that a short float32 sum rounds the same way.
BIASED: list[Runs] = [
    [(0.0, 3), (8112.0, 3), (146.0, 767)],
    [(2047.0, 1), (15.8515625, 511)],
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("elements", BIASED)
@pytest.mark.parametrize("path", WORKING)
def test_many_small_numbers_after_a_large_one_lose_nothing(
    path: str, elements: Runs, dtype: torch.dtype
) -> None:
    tensor = tensor_of(elements, dtype)
    with force_path(path):
        alone = compute_norms([tensor], dtype=torch.float32)
        among_equal_shapes = compute_norms([tensor] * 9, dtype=torch.float32)
    for norm in alone + among_equal_shapes:
        assert_norm(norm, square_of(elements), torch.float32)
