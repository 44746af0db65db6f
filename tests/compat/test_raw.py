"""The raw private operator on what compute_norms is held to: for information, never a failure.

These probes bear no capability marks: passing, they say nothing for compute_norms.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch

from cases import CASES, Case
from holding import by_dtype
from tensors import build_all, keywords, meta, numbers_of, references

if TYPE_CHECKING:
    from torchfloor_incell import Evidence

SUBJECT = "torch._foreach_norm"


@pytest.fixture(autouse=True)
def _untracked() -> Any:
    """Let the raw operator have what helps it: no history is asked for."""
    with torch.no_grad():
        yield


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.capability}-{case.name}")
def test_raw_operator(case: Case, device: str, evidence: Evidence) -> None:
    tensors = build_all(case, device)
    wanted = references(case)
    for dtype, rows in by_dtype(case):

        def call(rows: list[int] = rows) -> list[float]:
            norms = torch._foreach_norm(tensors, case.order, **keywords(case))
            return numbers_of([norms[row] for row in rows])

        due = [wanted[row] for row in rows]
        tolerance = case.tolerance(case.entries[rows[0]])
        row = case.capability
        evidence.inform(SUBJECT, call, due, tolerance, dtype=dtype, capability=row)


def test_raw_operator_on_nothing(evidence: Evidence) -> None:
    def call() -> list[float]:
        return numbers_of(torch._foreach_norm([]))

    evidence.inform(SUBJECT, call, [], 0.0, capability="empty list")


def test_raw_operator_on_meta_tensors(evidence: Evidence) -> None:
    tensors = [meta((3,)), meta((3,))]

    def call() -> list[float]:
        norms = torch._foreach_norm(tensors)
        return [float(norm.device.type == "meta" and norm.shape == ()) for norm in norms]

    evidence.inform(SUBJECT, call, [1, 1], 0.0, capability="meta and fake tensors")


def test_raw_operator_on_real_and_meta_tensors(device: str, evidence: Evidence) -> None:
    # Many and all different: memory that nobody wrote to is then hardly right by chance.
    halves = range(1, 33)
    real = [torch.full((4,), half / 2, device=device) for half in halves]
    tensors = [tensor for each in real for tensor in (each, meta((4,)))]

    def call() -> list[float]:
        return numbers_of(torch._foreach_norm(tensors)[::2])

    row = "mixed dtypes and devices"
    evidence.inform(SUBJECT, call, list(halves), 1e-6, dtype="float32", capability=row)


def test_what_the_raw_operator_is(device: str, evidence: Evidence) -> None:
    operator = getattr(torch, "_foreach_norm", None)
    public = getattr(getattr(torch, "foreach", None), "norm", None)
    evidence.note(SUBJECT, SUBJECT, "exists" if operator else "missing")
    evidence.note(SUBJECT, "torch.foreach.norm", _signature(public) if public else "missing")
    if operator is None:
        return
    schemas = [
        str(schema)
        for schema in torch._C._jit_get_schemas_for_operator("aten::_foreach_norm")
        if "_out(" not in str(schema)
    ]
    evidence.note(SUBJECT, "schema", "; ".join(schemas))
    one = [torch.ones(4, device=device)]
    evidence.note(SUBJECT, "returns", type(operator(one)).__name__)
    evidence.note(SUBJECT, "list parameter", _list_parameter(operator, schemas, one))
    accepted = _accepts(operator, one, dtype=torch.float64)
    evidence.note(SUBJECT, "dtype=", "accepted" if accepted else "refused")


def _signature(function: Any) -> str:
    try:
        return f"{function.__name__}{inspect.signature(function)}"
    except (TypeError, ValueError):
        return "exists"


def _list_parameter(operator: Any, schemas: list[str], one: list[Any]) -> str:
    """Return the name by which the operator takes its list, as tried; "" for none known."""
    declared = re.findall(r"\(Tensor\[\] (\w+)", " ".join(schemas))
    names = dict.fromkeys([*declared, "self", "tensors", "input"])
    return next((name for name in names if _accepts(operator, **{name: one})), "")


def _accepts(operator: Any, *arguments: Any, **named: Any) -> bool:
    try:
        operator(*arguments, **named)
    except (TypeError, RuntimeError):
        return False
    return True
