"""The page: every figure in it follows from the results."""

from __future__ import annotations

import pytest
from benchmarks.page import _number, render_page
from benchmarks.results import BARE
from tests.benchmarks.builders import NORMS, make_measured, make_results, make_set

from torchfloor.errors import RecordError

PAGE = render_page(make_results())


def section(title: str, page: str = PAGE) -> str:
    return page.partition(f"\n## {title}")[2].partition("\n## ")[0]


def test_norms_are_shown_over_the_bare_operator() -> None:
    shown = section("Norms: `gradnorms.compute_norms` over `torch._foreach_norm`")
    assert "| torch | threads | few |" in shown
    assert "| 2.1.0 | 1 | 1.00 (0.75 to 1.25) |" in shown
    assert "| 2.0.0 | 2 | 1.00 (0.75 to 1.25) |" in shown


def test_the_collector_is_shown_over_the_bare_operator_and_against_the_formula() -> None:
    over_bare, faster = section("Gradient health").split("How many times")
    assert "| 2.1.0 | 1 | 2.00 (1.50 to 3.00) |" in over_bare
    assert "| 2.1.0 | 1 | 50.0 (40.0 to 75.0) |" in faster


def test_memory_is_a_share_of_the_gradients() -> None:
    assert "| 2.1.0 | 5.0 % | 325.0 % |" in section("Gradient health")


def test_details_have_ratio_time_and_bandwidth_of_each_implementation() -> None:
    rows = section("All implementations")
    assert "| few | `torch._foreach_norm` | 1.00 (1.00 to 1.00) | 2.00 | 4.00 |" in rows
    assert "| few | telemetry formula | 20.0 (15.0 to 25.0) | 40.0 | 0.20 |" in rows


def test_reading_is_shown_at_its_best_round() -> None:
    rows = section("All implementations")
    assert "| few | `torch.sum` | 2.00 (1.25 to 2.00) | 4.00 | 8.00 |" in rows
    assert "Reading one tensor of 1 MB: 2.00 GB/s." in rows


def test_the_fastest_implementation_stands_first() -> None:
    slow = make_set(norms=NORMS | {"slow": (9.0, 9.0, 9.0), "fast": (1e-6, 1e-6, 1e-6)})
    page = render_page(make_results(make_measured("2.1.0", slow)))
    assert page.index("`fast`") < page.index("| few | `torch._foreach_norm`") < page.index("`slow`")


def test_an_implementation_that_a_release_lacks_has_no_row_there() -> None:
    more = make_set(norms=NORMS | {"torch.foreach.norm": NORMS[BARE]})
    page = render_page(make_results(make_measured("2.2.0", more), make_measured("2.0.0")))
    newer, older = page.split("<summary>torch 2.0.0, 1 thread</summary>")
    assert ("`torch.foreach.norm`" in newer, "`torch.foreach.norm`" in older) == (True, False)


def test_machine_day_builds_and_digest_are_told() -> None:
    assert "Measured on 2026-01-02: Some CPU, 2 logical processors, Linux x86_64." in PAGE
    assert "torch 2.1.0+cpu (Python 3.11.7, path *private*), 2.0.0+cpu (" in PAGE
    assert "revision abc1234, digest `0123456789abcdef`" in PAGE
    assert "few (3 tensors, 2,000,000 elements, 8.0 MB)" in PAGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.004, "0.00"),
        (1, "1.00"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert _number(value) == text


def test_samples_that_do_not_belong_together_are_refused() -> None:
    torn = make_set(norms=NORMS | {BARE: (1.0, 1.0)})
    with pytest.raises(RecordError, match="3 rounds cannot be compared with 2"):
        render_page(make_results(make_measured("2.1.0", torn)))
