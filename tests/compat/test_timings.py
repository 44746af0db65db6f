"""How long each way to norms takes: a pass of its own, single-threaded.

Benchmarks give absolute times, for this machine and moment. The races give ratios from interleaved
rounds, which can be compared.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Callable

import pytest
import torch

import gradnorms

if TYPE_CHECKING:
    from torchfloor_incell import Evidence

pytestmark = pytest.mark.timing

LISTS = {
    "200 tensors of 100": (200, 100),
    "1000 tensors of 1000": (1000, 1000),
    "10 tensors of 1000000": (10, 1_000_000),
}
PATHS = ("public", "private", "loop")
RAW = "torch._foreach_norm"
TELEMETRY = "telemetry formula"

Call = Callable[[], object]


@pytest.fixture(scope="module", params=LISTS)
def group(request: pytest.FixtureRequest) -> str:
    """Return the name of a list of tensors."""
    return str(request.param)


@pytest.fixture(scope="module")
def tensors(group: str, device: str) -> list[Any]:
    """Return gradients of no special kind; their numbers do not matter, only how many."""
    count, size = LISTS[group]
    torch.manual_seed(0)
    return [torch.randn(size, device=device) for _ in range(count)]


def telemetry_formula(gradients: list[Any]) -> tuple[Any, ...]:
    """Compute what the telemetry module did: copies in float64, norms, masks over everything."""
    wide = [gradient.double() for gradient in gradients]
    norms = torch.stack(list(torch._foreach_norm(wide, ord=2)))
    everything = torch.cat([gradient.flatten() for gradient in gradients])
    masks = (torch.isnan(everything), torch.isinf(everything), everything == 0)
    return (norms, (norms**2).sum(), *(mask.sum() for mask in masks))


def works(path: str) -> bool:
    """Tell whether a path works on this release."""
    try:
        with gradnorms.force_path(path):
            return True
    except RuntimeError:
        return False


def candidates(tensors: list[Any]) -> dict[str, Call]:
    """Return every way that works on this release; the paths want their context around them."""
    names = ["compute_norms", *filter(works, PATHS)]
    calls: dict[str, Call] = {name: lambda: gradnorms.compute_norms(tensors) for name in names}
    if hasattr(torch, "_foreach_norm"):
        calls[RAW] = lambda: torch._foreach_norm(tensors, 2)
        calls[TELEMETRY] = lambda: telemetry_formula(tensors)
    return calls


def forcing(path: str) -> Callable[[], Any]:
    """Return what makes the context in which compute_norms takes a path."""
    return lambda: gradnorms.force_path(path)


@pytest.mark.parametrize("name", ["compute_norms", *PATHS, RAW, TELEMETRY])
@pytest.mark.benchmark(max_time=0.2, min_rounds=3, warmup=False, disable_gc=True)
def test_seconds_of_one_call(name: str, group: str, tensors: list[Any], benchmark: Any) -> None:
    call = candidates(tensors).get(name)
    if call is None:
        pytest.skip(f"{name} does not exist on this release")
    benchmark.group = group
    benchmark.name = name
    with forcing(name)() if name in PATHS else nullcontext():
        assert benchmark(call) is not None


def test_ratio_to_the_loop(group: str, tensors: list[Any], evidence: Evidence) -> None:
    around = {path: forcing(path) for path in PATHS}
    ratios = evidence.race(group, candidates(tensors), baseline="loop", rounds=9, around=around)
    assert ratios["compute_norms"].median > 0
