"""What runs inside a release's environment, on small sets and in few rounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
import torch
from benchmarks import measure, results

import gradnorms

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = {"small": [(2, 3), (5,)]}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every set small, and leave the number of threads as it was."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(measure, "sets", lambda: SMALL)
    monkeypatch.setattr(measure, "resnet_shapes", lambda: SMALL["small"])
    monkeypatch.setattr(measure, "_READ_ELEMENTS", 1000)
    yield
    torch.set_num_threads(threads)


def test_both_sides_use_the_same_names() -> None:
    names = (
        *("BARE", "READING", "FORMULA", "COMPUTE_NORMS", "COLLECTOR"),
        *("ROWS", "LONG_ROWS", "PRODUCT"),
    )
    assert [getattr(measure, name) for name in names] == [getattr(results, name) for name in names]


def test_with_its_usual_width_the_set_is_a_resnet_50(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_FIRST_WIDTH", 64)
    shapes = list(measure.resnet_shapes())
    assert (len(shapes), sum(map(math.prod, shapes))) == (161, 25_557_032)


def test_the_set_that_is_measured_has_about_36_million_elements() -> None:
    shapes = list(measure.resnet_shapes())
    assert (len(shapes), sum(map(math.prod, shapes))) == (161, 35_569_076)


@pytest.mark.usefixtures("small")
def test_times_are_the_results_that_are_read() -> None:
    times = msgspec.convert(measure.measure_times(1, rounds=2), results.Times)
    assert (times.facts.threads, times.sets[0].elements, times.sets[0].bytes) == (1, 11, 44)
    samples = [*times.sets[0].norms.values(), *times.sets[0].collector.values()]
    assert {len(seconds) for seconds in samples} == {2}
    assert {results.BARE, results.READING, results.FORMULA} < set(times.sets[0].norms)
    assert set(times.sets[0].collector) == {results.COLLECTOR, results.BARE, results.FORMULA}


@pytest.mark.usefixtures("small")
def test_memory_is_what_a_known_call_allocates() -> None:
    memory = msgspec.convert(measure.measure_memory(), results.Memory)
    assert (memory.bytes, memory.found) == (44, memory.expected)
    # 11 elements copied to float64; and once more, joined, as they are.
    assert memory.peaks[results.FORMULA] >= 11 * 8 + 11 * 4


def test_every_way_to_norms_gives_the_norms() -> None:
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([[5.0], [12.0]])]
    calls = measure.norm_calls(gradients, measure.make_parameters(gradients))
    for name in (measure.READING, measure.PRODUCT):  # sums of numbers, and of squares
        del calls[name]
    totals = [float(torch.linalg.vector_norm(torch.as_tensor(call()))) for call in calls.values()]
    assert totals == pytest.approx([math.hypot(5, 13)] * len(calls))


def test_clipping_without_a_limit_changes_nothing() -> None:
    gradients = measure.make_gradients([(100,), (3, 4)])
    before = [gradient.clone() for gradient in gradients]
    parameters = measure.make_parameters(gradients)
    measure.norm_calls(gradients, parameters)["torch.nn.utils.clip_grad_norm_"]()
    pairs = zip(parameters, before, strict=True)
    assert all(torch.equal(parameter.grad, old) for parameter, old in pairs)


def test_the_formula_tells_what_the_collector_tells() -> None:
    gradients = measure.make_gradients([(100,), (3, 4)])
    parameters = measure.make_parameters(gradients)
    told = measure.telemetry_formula(parameters)
    metrics = gradnorms.collect_seed_gradients(parameters, return_enhanced=True)
    assert told["norm"] == pytest.approx(metrics.gradient_norm)
    assert told["smallest"] == pytest.approx(metrics.min_layer_norm)
    assert (told["nan"], told["inf"]) == (metrics.nan_count, metrics.inf_count)
