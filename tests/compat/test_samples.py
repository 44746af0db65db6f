"""compute_norms on the sample inputs that torch's own tests give the operator.

They live in torch's internals, differently in every release, and need packages that torch does
not: where they cannot be had, the probe is skipped and says why.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
import torch

import gradnorms
from cases import DTYPES
from holding import SUBJECT
from reference import UndefinedNormError, numbers_in
from tensors import numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchfloor_incell import Evidence

MODULE = "torch.testing._internal.common_methods_invocations"


@pytest.fixture(scope="module")
def operator() -> Any:
    """Return torch's description of the operator, with its sample inputs."""
    try:
        module = importlib.import_module(MODULE)
    except Exception as error:  # noqa: BLE001 - internals may fail to import in any way
        pytest.skip(f"{MODULE} does not import: {type(error).__name__}: {error}")
    for name in dir(module):
        listed = getattr(module, name) if name.startswith("foreach") else None
        for described in listed if name.endswith("_op_db") and isinstance(listed, list) else ():
            if described.name.rpartition(".")[2] in {"_foreach_norm", "norm"}:
                return described
    pytest.skip(f"{MODULE} describes no norm of tensor lists")


def samples(operator: Any, device: str, dtype: Any) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield lists of tensors with the keywords that compute_norms shares with the operator."""
    torch.manual_seed(0)
    try:
        described = list(operator.sample_inputs(device, dtype))
    except TypeError:
        described = []
    for sample in described:
        if isinstance(sample.input, (list, tuple)):
            shared = {key: sample.kwargs[key] for key in ("ord", "dtype") if key in sample.kwargs}
            yield list(sample.input), shared
    if not described:
        # Up to 1.13 a sample is a list of so many tensors.
        for count in (1, 5, 20):
            for different in ({}, {"noncontiguous": True}, {"same_size": True}):
                yield operator.sample_inputs(device, dtype, count, **different), {}


@pytest.mark.capability("torch's own samples")
@pytest.mark.parametrize("name", DTYPES)
def test_torch_samples_are_right(name: str, operator: Any, device: str, evidence: Evidence) -> None:
    dtype = getattr(torch, name)
    if dtype not in operator.dtypes:
        pytest.skip(f"torch describes no samples of {name} for {operator.name}")
    seen = 0
    for tensors, keywords in samples(operator, device, dtype):
        wide = keywords.get("dtype")
        if wide is not None and name.startswith("complex") and not wide.is_complex:
            continue
        hold_sample(evidence, tensors, keywords, name)
        seen += 1
    assert seen > 0


def hold_sample(
    evidence: Evidence, tensors: list[Any], keywords: dict[str, Any], name: str
) -> None:
    """Hold a sample against exact norms of the very numbers it came with."""
    exact = [numbers_in(tensor.flatten().tolist()) for tensor in tensors]
    order = keywords.get("ord", 2)
    try:
        wanted = [numbers.norm(order) for numbers in exact]
    except UndefinedNormError:
        with pytest.raises(gradnorms.NormError):
            gradnorms.compute_norms(tensors, **keywords)
        return
    norms = gradnorms.compute_norms(tensors, **keywords)
    real = str(norms[0].dtype).rpartition(".")[2]
    evidence.compare(SUBJECT, numbers_of(norms), wanted, DTYPES[real].tolerance, dtype=name)
