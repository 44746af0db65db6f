"""How norms are held against a case, and what probes call the ways to compute them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tensors import numbers_of, references

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cases import Case
    from torchfloor_incell import Evidence

HALVES = frozenset({"float16", "bfloat16"})
SUBJECT = "compute_norms"

# Best first. What torch.foreach.norm calls in turn, and what torch.norm calls, is seen as well.
PATHS = {
    "public": ("torch.foreach.norm",),
    "private": ("torch._foreach_norm",),
    "loop": ("torch.linalg.vector_norm", "torch.norm"),
}


def marked(case: Case) -> Any:
    """Return a case as a parameter that belongs to its row."""
    name = f"{case.capability}-{case.name}"
    return pytest.param(case, id=name, marks=pytest.mark.capability(case.capability))


def by_dtype(case: Case) -> Iterator[tuple[str, list[int]]]:
    """Yield each dtype of a case with the places of its entries."""
    for dtype in dict.fromkeys(each.dtype for each in case.entries):
        yield dtype, [place for place, each in enumerate(case.entries) if each.dtype == dtype]


def hold(
    evidence: Evidence, case: Case, norms: list[Any], device: str, subject: str = SUBJECT
) -> None:
    """Check the form of each norm and hold the numbers against the references, dtype by dtype.

    Raises:
        AssertionError: a norm is not a dense scalar of the due dtype on the due device, is further
            off than the case tolerates, or, of a half type and order 2, not correctly rounded.
    """
    assert type(norms) is list
    assert len(norms) == len(case.entries)
    for norm, each in zip(norms, case.entries):
        form = (norm.layout, norm.shape, norm.dtype, norm.device.type)
        due = (torch.strided, (), getattr(torch, case.result_dtype(each)), device)
        assert form == due, each
    found, wanted = numbers_of(norms), references(case)
    for dtype, rows in by_dtype(case):
        tolerance = case.tolerance(case.entries[rows[0]])
        ours, theirs = [found[row] for row in rows], [wanted[row] for row in rows]
        evidence.compare(subject, ours, theirs, tolerance, dtype=dtype)
        if case.order == 2 and case.result_dtype(case.entries[rows[0]]) in HALVES:
            assert list(map(repr, ours)) == [repr(case.rounded_norm(case.entries[r])) for r in rows]
