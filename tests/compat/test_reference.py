"""The references themselves: the same bits on every release, and norms by other roads."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import pytest

from cases import CASES, Case, Entry, entry
from reference import Numbers, UndefinedNormError, exact_numbers, random_numbers
from tensors import build

FEW = 5000
PLAIN = [
    each
    for case in CASES
    for each in dict.fromkeys(case.entries)
    if each.layout == "plain" and each.numbers.copies * len(each.numbers.reals()) < FEW
]


def test_inputs_are_the_same_bits_everywhere() -> None:
    text = " ".join(value.hex() for value in random_numbers(1, 1000, 53, -53).reals())
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest.startswith("24c5b3ff66d77885")


@pytest.mark.parametrize("dtype", sorted({each.dtype for each in PLAIN}))
def test_tensors_hold_the_numbers_exactly(dtype: str, device: str) -> None:
    for each in PLAIN:
        if each.dtype == dtype:
            due = values_of(each) * each.numbers.copies
            held = build(each, device).flatten().tolist()
            assert list(map(repr, held)) == list(map(repr, due))


def values_of(each: Entry) -> list[complex]:
    is_complex = each.dtype.startswith("complex")
    return [*(each.numbers.complexes() if is_complex else each.numbers.reals())]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 0.5, 2.5, -1, -2])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_norms_agree_with_floating_point(order: float, dtype: str) -> None:
    each = entry(dtype, (300,))
    by_powers = math.fsum(abs(value) ** order for value in values_of(each)) ** (1 / order)
    assert float(each.numbers.norm(order)) == pytest.approx(by_powers, rel=1e-13)


def test_norms_of_known_numbers() -> None:
    triangle = Numbers(((3, 0), (0, -4), (0, 0)), exponent=-1074)
    norms = [triangle.norm(order) / Fraction(2) ** -1074 for order in (2, 1, math.inf, -math.inf)]
    assert norms == [5, 7, 4, 0]
    assert [triangle.norm(0), triangle.norm(-1)] == [2, 0]
    assert Numbers(((1, 0),), copies=16).norm(2) == 4
    assert exact_numbers([1.5, -2.0]).norm(2) == 2.5
    assert exact_numbers([]).norm(2) == 0


@pytest.mark.parametrize("order", [-1, math.inf, -math.inf])
def test_norms_of_nothing_without_identity_do_not_exist(order: float) -> None:
    with pytest.raises(UndefinedNormError):
        exact_numbers([]).norm(order)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [name_of(case) for case in CASES]
    assert len(set(names)) == len(names)


def name_of(case: Case) -> str:
    return f"{case.capability}-{case.name}"
