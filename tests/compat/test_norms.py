"""compute_norms against exact references, and in what form it answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

import gradnorms
from cases import CASES, DTYPES, Case, entry, scaled
from holding import PATHS, SUBJECT, hold, marked
from tensors import build, build_all, keywords, meta

if TYPE_CHECKING:
    from torchfloor_incell import Evidence


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_norms_are_right(case: Case, device: str, evidence: Evidence) -> None:
    norms = gradnorms.compute_norms(build_all(case, device), case.order, **keywords(case))
    hold(evidence, case, norms, device)


@pytest.mark.capability("other orders")
@pytest.mark.parametrize("order", [1e-5, 1e-15, 5e-324])
def test_orders_near_0_lose_nothing(order: float, device: str, evidence: Evidence) -> None:
    # Of a single number, every norm is its magnitude.
    case = Case("other orders", "", tuple(scaled("float32", each, 1) for each in (-100, 1, 120)))
    for signed in (order, -order):
        norms = gradnorms.compute_norms(build_all(case, device), signed)
        hold(evidence, case, norms, device)


@pytest.mark.capability("other orders")
@pytest.mark.parametrize("order", [2**63, 10**30])
def test_orders_that_no_machine_integer_holds(order: int, device: str) -> None:
    tensor = torch.tensor([3.0, -4.0, 4.0], device=device)
    norms = [gradnorms.compute_norms([tensor], signed)[0].item() for signed in (order, -order)]
    assert norms == [4, 3]


@pytest.mark.capability("empty list")
@pytest.mark.parametrize("nothing", [[], (), iter(())], ids=["list", "tuple", "iterator"])
def test_nothing_has_no_norms(nothing: Any) -> None:
    assert gradnorms.compute_norms(nothing) == []


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_any_iterable_is_taken_in_order(kind: Any, device: str, evidence: Evidence) -> None:
    case = Case("", "", tuple(entry("float32", (count,)) for count in (9, 2, 5, 2)))
    hold(evidence, case, gradnorms.compute_norms(kind(build_all(case, device))), device)


def test_inputs_are_left_as_they_are(device: str) -> None:
    tensors = [build(entry(dtype, (2, 3)), device) for dtype in DTYPES]
    kept = [tensor.clone() for tensor in tensors]
    gradnorms.compute_norms(tensors)
    assert all(torch.equal(*pair) for pair in zip(tensors, kept))


@pytest.mark.capability("requires_grad")
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_norms_are_right_without_autograd(mode: str, device: str, evidence: Evidence) -> None:
    if not hasattr(torch, mode):
        pytest.skip(f"this release has no torch.{mode}")
    case = Case("", "", (entry("float32", (5,), "leaf"), entry("float32", (3, 4), "not leaf")))
    with getattr(torch, mode)():
        norms = gradnorms.compute_norms(build_all(case, device))
        hold(evidence, case, norms, device)
    assert not any(norm.requires_grad for norm in norms)


@pytest.mark.capability("sparse")
@pytest.mark.parametrize("order", [-1, -math.inf])
def test_zeros_that_are_not_stored_count(order: float, device: str) -> None:
    tensor = torch.tensor([[3.0, 0.0], [0.0, -4.0]], device=device).to_sparse()
    assert gradnorms.compute_norms([tensor], order)[0].item() == 0


@pytest.mark.capability("requires_grad")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("order", [2, 1, 3, 7])
def test_norms_are_differentiable(dtype: str, order: int, device: str, evidence: Evidence) -> None:
    typed = {"dtype": getattr(torch, dtype), "device": device}
    tensors = [torch.tensor(row, **typed).requires_grad_() for row in ([3.0, -4.0], [2.0, 0], [])]
    total: Any = torch.stack(gradnorms.compute_norms(tensors, order)).sum()
    total.backward()
    size = (3**order + 4**order) ** (1 / order)
    due = [(3 / size) ** (order - 1), -((4 / size) ** (order - 1)), 1, 0]
    found = [float(each) for tensor in tensors if tensor.grad is not None for each in tensor.grad]
    tolerance = 2 * DTYPES[dtype].tolerance  # 1.9 rounds half types once more on the way back
    evidence.compare(f"{SUBJECT} backward", found, due, tolerance, dtype=dtype)


@pytest.mark.capability("meta and fake tensors")
@pytest.mark.parametrize("dtype", DTYPES)
def test_meta_tensors_have_meta_norms(dtype: str) -> None:
    norms = gradnorms.compute_norms([meta((2, 3), dtype) for _ in range(3)])
    due = [("meta", (), getattr(torch, DTYPES[dtype].real))] * 3
    assert [(norm.device.type, norm.shape, norm.dtype) for norm in norms] == due


@pytest.mark.capability("meta and fake tensors")
def test_fake_tensors_have_fake_norms(device: str) -> None:
    fake = pytest.importorskip("torch._subclasses.fake_tensor", exc_type=ImportError)
    with fake.FakeTensorMode():
        norms = gradnorms.compute_norms([torch.ones(3, device=device), torch.ones(2, 2)])
    assert [type(norm) for norm in norms] == [fake.FakeTensor] * 2
    assert [norm.device.type for norm in norms] == [device, "cpu"]
    assert [(norm.shape, norm.dtype) for norm in norms] == [((), torch.float32)] * 2


@pytest.mark.capability("mixed dtypes and devices")
def test_real_and_meta_tensors_do_not_touch_each_other(device: str, evidence: Evidence) -> None:
    case = Case("", "", tuple(entry("float32", (count,)) for count in (3, 4, 5)))
    first, *rest = build_all(case, device)
    one, two, *more = gradnorms.compute_norms([first, meta((7,)), *rest])
    assert two.device.type == "meta"
    hold(evidence, case, [one, *more], device)


@pytest.mark.capability("mixed dtypes and devices")
def test_host_and_device_tensors_keep_their_device(device: str, evidence: Evidence) -> None:
    if device == "cpu":
        pytest.skip("this cell has one device only")
    case = Case("", "", tuple(entry("float32", (count,)) for count in (3, 4)))
    both = [*build_all(case, "cpu"), *build_all(case, device)]
    norms = gradnorms.compute_norms(both)
    hold(evidence, case, norms[:2], "cpu")
    hold(evidence, case, norms[2:], device)


@pytest.mark.capability("documented errors")
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "int8", "bool"])
@pytest.mark.parametrize("order", [2, 0, math.inf])
def test_integers_and_booleans_are_refused(dtype: str, order: float, device: str) -> None:
    whole = torch.ones(3, dtype=getattr(torch, dtype), device=device)
    with pytest.raises(gradnorms.NormError, match=dtype):
        gradnorms.compute_norms([torch.ones(2, device=device), whole], order)


@pytest.mark.capability("documented errors")
def test_narrowing_and_no_order_are_refused(device: str) -> None:
    tensor = torch.ones(2, device=device)
    for order, dtype in ((2, torch.float16), (2, torch.complex64), (math.nan, None)):
        with pytest.raises(gradnorms.NormError):
            gradnorms.compute_norms([tensor], order, dtype=dtype)


@pytest.mark.capability("documented errors")
@pytest.mark.parametrize("order", [math.inf, -math.inf, -1])
def test_norms_without_identity_of_nothing_are_refused(order: float, device: str) -> None:
    tensors = [torch.ones(2, device=device), torch.ones((3, 0), device=device)]
    with pytest.raises(gradnorms.NormError):
        gradnorms.compute_norms(tensors, order)


def test_the_path_taken_is_the_one_reported(device: str, evidence: Evidence) -> None:
    tensors = [build(entry("float32", (count,)), device) for count in (3, 4, 5)]
    # Choosing tries paths that are then not taken: that is over before anyone looks.
    gradnorms.compute_norms(tensors)
    with evidence.observe(SUBJECT, PATHS) as seen:
        gradnorms.compute_norms(tensors)
    assert seen.path == gradnorms.active_path()
    assert any("norm" in operator for operator in seen.operators)


def test_the_collector_computes_its_norms_by_a_path(device: str, evidence: Evidence) -> None:
    parameters = [torch.nn.Parameter(build(entry("float32", (4, 5)), device)) for _ in range(3)]
    for parameter in parameters:
        parameter.grad = parameter.detach().clone()
    gradnorms.collect_seed_gradients(parameters)
    with evidence.observe("collect_seed_gradients", PATHS) as seen:
        gradnorms.collect_seed_gradients(parameters)
    assert seen.operators
