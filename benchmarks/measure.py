"""Measure one release: runs inside its environment, with torch and, by path, gradnorms.

    python measure.py times TARGET THREADS    how long each way takes; 0 threads: torch's choice
    python measure.py memory TARGET           how much memory the collector takes

Each writes one JSON document to TARGET. Memory is measured under torch's profiler, which slows
every call down, so it has a process of its own.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import torch

import gradnorms
from torchfloor_incell.facts import readback
from torchfloor_incell.race import Runner, take_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Shape = tuple[int, ...]
Call = Callable[[], object]

ROUNDS = 25
BARE = "torch._foreach_norm"
READING = "torch.sum"
ROWS = "torch.linalg.vector_norm of rows"
LONG_ROWS = "torch.linalg.vector_norm of long rows"
PRODUCT = "torch.dot"
FORMULA = "telemetry formula"
COMPUTE_NORMS = "gradnorms.compute_norms"
COLLECTOR = "gradnorms.collect_seed_gradients"
RESNET = "ResNet-like"

_FIRST_WIDTH = 76
_BLOCKS = (3, 4, 6, 3)
_CLASSES = 1000
_READ_ELEMENTS = 64 * 2**20  # 256 MB: larger than any cache
_LONGEST_ROW, _LONG_ROW = 176, 768  # as in gradnorms, and what loses more than it promises
_VANISHING, _EXPLODING = 1e-7, 10.0


def resnet_shapes() -> Iterator[Shape]:
    """Yield the shapes of the parameters of a ResNet-50, in order.

    Its first layer is 76 channels wide instead of 64, and every other one by the same factor.
    """
    yield from _convolution(3, _FIRST_WIDTH, 7)
    channels = _FIRST_WIDTH
    for stage, blocks in enumerate(_BLOCKS):
        width = _FIRST_WIDTH * 2**stage
        for block in range(blocks):
            yield from _convolution(channels, width, 1)
            yield from _convolution(width, width, 3)
            yield from _convolution(width, 4 * width, 1)
            if block == 0:
                yield from _convolution(channels, 4 * width, 1)
            channels = 4 * width
    yield _CLASSES, channels
    yield (_CLASSES,)


def _convolution(channels: int, width: int, kernel: int) -> Iterator[Shape]:
    """Yield the shapes of a convolution and of the batch normalisation behind it."""
    yield width, channels, kernel, kernel
    yield (width,)
    yield (width,)


def sets() -> dict[str, list[Shape]]:
    """Return the shapes of each set of gradients."""
    return {
        RESNET: list(resnet_shapes()),
        "1000 tensors of 1000": [(1000,)] * 1000,
        "200 tensors of 100": [(100,)] * 200,
        "10 tensors of 1000000": [(1_000_000,)] * 10,
    }


def make_gradients(shapes: Iterable[Shape]) -> list[Any]:
    """Return float32 gradients; their numbers do not matter, only that they are ordinary."""
    torch.manual_seed(0)
    return [torch.randn(shape) for shape in shapes]


def make_parameters(gradients: Iterable[Any]) -> list[Any]:
    """Return parameters that have these gradients."""
    parameters = []
    for gradient in gradients:
        parameter = torch.nn.Parameter(torch.empty(gradient.shape))
        parameter.grad = gradient
        parameters.append(parameter)
    return parameters


def norm_calls(gradients: list[Any], parameters: Sequence[Any]) -> dict[str, Call]:
    """Return every way to norms that this release has, and a mere reading of the gradients.

    ``clip_grad_norm_`` with an infinite limit multiplies every gradient by 1: it changes nothing,
    but reads and writes all of them once more, as it always does. Norms of rows alone are not
    those of the gradients: they show what sums of this length cost, before anything is combined
    or checked; and products with themselves another way to sum.
    """
    rows, long_rows = (_in_rows(gradients, longest) for longest in (_LONGEST_ROW, _LONG_ROW))
    flat = [gradient.view(-1) for gradient in gradients]
    calls: dict[str, Call] = {
        COMPUTE_NORMS: lambda: gradnorms.compute_norms(gradients),
        BARE: lambda: torch._foreach_norm(gradients, 2),
        "torch.linalg.vector_norm": lambda: [torch.linalg.vector_norm(g) for g in gradients],
        FORMULA: lambda: torch._foreach_norm([g.double() for g in gradients], ord=2),
        "torch.nn.utils.clip_grad_norm_": lambda: torch.nn.utils.clip_grad_norm_(
            parameters, math.inf
        ),
        ROWS: lambda: [torch.linalg.vector_norm(m, 2, 1) for m in rows],
        LONG_ROWS: lambda: [torch.linalg.vector_norm(m, 2, 1) for m in long_rows],
        PRODUCT: lambda: [torch.dot(g, g) for g in flat],
        READING: lambda: [torch.sum(g) for g in gradients],
    }
    public = getattr(getattr(torch, "foreach", None), "norm", None)
    if public is not None:
        calls["torch.foreach.norm"] = lambda: public(gradients, ord=2)
    total = getattr(torch.nn.utils, "get_total_norm", None)
    if total is not None:
        calls["torch.nn.utils.get_total_norm"] = lambda: total(gradients)
    return calls


def _in_rows(gradients: Iterable[Any], longest: int) -> list[Any]:
    """Return each gradient as a matrix of rows that are as long as allowed and leave no rest."""
    return [g.view(-1, _row_length(g.numel(), longest)) for g in gradients]


def _row_length(numel: int, longest: int) -> int:
    return next(length for length in range(longest, 0, -1) if numel % length == 0)


def collector_calls(gradients: list[Any], parameters: Sequence[Any]) -> dict[str, Call]:
    """Return the ways to gradient health, and the bare operator that they are compared with."""
    return {
        COLLECTOR: lambda: gradnorms.collect_seed_gradients(parameters, return_enhanced=True),
        BARE: lambda: torch._foreach_norm(gradients, 2),
        FORMULA: lambda: telemetry_formula(parameters),
    }


def telemetry_formula(parameters: Sequence[Any]) -> dict[str, float]:
    """Compute what the telemetry module did: copies in float64, norms, masks over everything."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(list(torch._foreach_norm([g.double() for g in gradients], ord=2)))
    everything = torch.cat([gradient.flatten() for gradient in gradients])
    queued = {
        "norm": (norms**2).sum().sqrt(),
        "vanishing": (norms < _VANISHING).sum(),
        "exploding": (norms > _EXPLODING).sum(),
        "smallest": norms.min(),
        "largest": norms.max(),
        "nan": torch.isnan(everything).sum(),
        "inf": torch.isinf(everything).sum(),
        "zero": (everything == 0).sum(),
    }
    return {name: tensor.item() for name, tensor in queued.items()}


def measure_times(threads: int, rounds: int = ROUNDS) -> dict[str, object]:
    """Time every way on every set.

    Args:
        threads: how many torch may use; 0 for its own choice.
        rounds: samples of each way.
    """
    if threads:
        torch.set_num_threads(threads)
    return {
        "facts": _facts(),
        "reading": _measure_reading(rounds),
        "sets": [_measure_set(name, shapes, rounds) for name, shapes in sets().items()],
    }


def _measure_reading(rounds: int) -> dict[str, object]:
    large = torch.ones(_READ_ELEMENTS)
    samples = _race({READING: lambda: torch.sum(large)}, rounds)
    return {"bytes": 4 * _READ_ELEMENTS, "seconds": samples[READING]}


def _measure_set(name: str, shapes: Sequence[Shape], rounds: int) -> dict[str, object]:
    gradients = make_gradients(shapes)
    parameters = make_parameters(gradients)
    return {
        "name": name,
        "tensors": len(gradients),
        "elements": sum(gradient.numel() for gradient in gradients),
        "bytes": _size(gradients),
        "norms": _race(norm_calls(gradients, parameters), rounds),
        "collector": _race(collector_calls(gradients, parameters), rounds),
    }


def _race(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    samples = take_samples({name: _runner(call) for name, call in calls.items()}, rounds)
    return {name: _rounded(seconds) for name, seconds in samples.items()}


def _runner(call: Call) -> Runner:
    return Runner(call, around=nullcontext, synchronize=lambda: None)


def _rounded(seconds: Iterable[float]) -> list[float]:
    return [float(f"{each:.4g}") for each in seconds]


def _size(tensors: Iterable[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure_memory() -> dict[str, object]:
    """Measure what the collector and the formula allocate at most, beside the gradients."""
    gradients = make_gradients(resnet_shapes())
    calls = collector_calls(gradients, make_parameters(gradients))
    for call in calls.values():
        call()  # what is allocated once, at the first call, is no cost of the others
    expected, known = _known_allocation()
    return {
        "facts": _facts(),
        "set": RESNET,
        "bytes": _size(gradients),
        "expected": expected,
        "found": peak_memory(known),
        "peaks": {name: peak_memory(call) for name, call in calls.items()},
    }


def _known_allocation() -> tuple[int, Call]:
    """Return what a call allocates at most, by arithmetic, and the call: it proves the method."""

    def known() -> None:
        first, second = torch.empty(1_000_000), torch.empty(2_000_000)
        del first
        third = torch.empty(500_000)
        del second, third

    return 4 * 3_000_000, known


def peak_memory(call: Call) -> int:
    """Return the most bytes that torch's CPU allocator held at a time for a call.

    Every allocation and release is an event of torch's profiler; their running sum has a peak.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    changes.sort(key=lambda event: (event["ts"], event["args"]["Ev Idx"]))
    held = peak = 0
    for change in changes:
        held += change["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def _facts() -> dict[str, object]:
    facts = readback("torch", torch, "cpu")
    told = ("release", "build", "git", "python", "cpu", "cores", "threads")
    return {**{name: facts[name] for name in told}, "path": gradnorms.active_path()}


def main(what: str, target: str, threads: str = "0") -> None:
    """Measure one thing, and write the document."""
    document = measure_memory() if what == "memory" else measure_times(int(threads))
    Path(target).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
