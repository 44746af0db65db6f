"""compute_norms inside torch.compile, in one graph, where the release can on this Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import pytest
import torch

import gradnorms
from cases import Case, entry
from holding import SUBJECT, hold
from tensors import build_all

if TYPE_CHECKING:
    from torchfloor_incell import Evidence

pytestmark = pytest.mark.capability("torch.compile")

CASE = Case("torch.compile", "", tuple(entry("float32", (count,)) for count in (3, 4, 1000)))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile in one graph, without a backend that would need a C++ compiler."""
    result: Callable[..., Any] = torch.compile(function, fullgraph=True, backend="eager")
    return result


@pytest.fixture(scope="module", autouse=True)
def _release_can_compile() -> None:
    if not hasattr(torch, "compile"):
        pytest.skip("this release has no torch.compile")
    try:
        compiled(lambda tensor: tensor + 1)(torch.ones(1))
    except Exception as error:  # noqa: BLE001 - that it cannot is told in many ways
        pytest.skip(f"this release cannot compile on this Python: {error}")


@pytest.fixture(autouse=True)
def _forget() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("order", [2, 1, float("inf")])
def test_compiled_norms_are_right(order: float, device: str, evidence: Evidence) -> None:
    case = Case("torch.compile", "", CASE.entries, order)
    norms = compiled(lambda tensors: gradnorms.compute_norms(tensors, order))(
        build_all(case, device)
    )
    hold(evidence, case, norms, device, f"{SUBJECT} compiled")


def test_compiling_comes_before_the_first_call(device: str, evidence: Evidence) -> None:
    gradnorms.reset_paths()
    norms = compiled(gradnorms.compute_norms)(build_all(CASE, device))
    hold(evidence, CASE, norms, device, f"{SUBJECT} compiled")


def test_compiled_norms_follow_other_inputs(device: str, evidence: Evidence) -> None:
    function = compiled(gradnorms.compute_norms)
    for sizes in ((3, 4), (5, 6, 7), (8, 1)):
        case = Case("torch.compile", "", tuple(entry("float32", (size,)) for size in sizes))
        hold(evidence, case, function(build_all(case, device)), device, f"{SUBJECT} compiled")
