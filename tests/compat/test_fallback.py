"""Every path answers alike, and the next one takes over when one breaks.

Releases break a path by removing its name, changing its signature, what it returns, or what that
means. Each of these is planted here, in the public and in the private path, also on releases that
do not have the path yet (or any more): what they would do with a broken one is known all the same.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

import pytest
import torch

import gradnorms
from cases import CASES, Case, entry
from holding import PATHS, SUBJECT, hold
from tensors import build_all, keywords

if TYPE_CHECKING:
    from torchfloor_incell import Evidence

# Captured before anything is planted: what a planted operator answers with.
LINALG_NORM = getattr(torch.linalg, "vector_norm", torch.norm)

# Any list will do to see who computes it; the rows are compared path by path below.
EVERYDAY = Case("fallback", "", tuple(entry("float32", (count,)) for count in (3, 4, 1000)))


MANY_COPIES = 10_000
# What a path shares with the others it shares at a million elements as well as at sixteen.
ROWS: dict[str, list[Case]] = {}
for each in CASES:
    if sum(part.numbers.copies for part in each.entries) < MANY_COPIES:
        ROWS.setdefault(each.capability, []).append(each)


def _true_norms(tensors: Any, order: Any, dtype: Any = None) -> list[Any]:
    typed = {} if dtype is None else {"dtype": dtype}
    return [LINALG_NORM(tensor, order, **typed) for tensor in tensors]


def _raises(error: Exception) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


def _other_signature(*, tensor_sequence: Any, power: Any) -> Any:
    """Take its arguments by names that nobody knows."""
    return _true_norms(tensor_sequence, power)


def _answers(change: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """Return an operator whose right norms are changed before they are returned."""

    def broken(tensors: Any, ord: Any = 2, dtype: Any = None) -> Any:  # noqa: A002 - torch's name
        return change(_true_norms(tensors, ord, dtype))

    return broken


BROKEN: dict[str, Callable[..., Any]] = {
    "signature changed": _other_signature,
    "raises": _raises(RuntimeError("this operator was removed")),
    "not implemented": _raises(NotImplementedError("no kernel for this backend")),
    "returns None": _answers(lambda _: None),
    "returns one tensor": _answers(torch.stack),
    "returns numbers": _answers(lambda norms: [norm.item() for norm in norms]),
    "returns too few": _answers(lambda norms: norms[:-1]),
    "answers wrongly": _answers(lambda norms: [norm * norm for norm in norms]),
    "answers one wrongly": _answers(lambda norms: [*norms[:-1], norms[-1] * 1.01]),
    "answers NaN": _answers(lambda norms: [norm * float("nan") for norm in norms]),
    "answers in another order": _answers(lambda norms: norms[::-1]),
}
REMOVED = "name removed"


def _working_public(tensors: Any, /, *, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:  # noqa: A002
    """Do what the newest releases' torch.foreach.norm does, with its keyword-only order."""
    return tuple(_true_norms(tensors, ord, dtype))


def _working_private(tensors: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:  # noqa: A002
    return tuple(_true_norms(tensors, ord, dtype))


def plant(patch: pytest.MonkeyPatch, path: str, operator: Callable[..., Any] | None) -> None:
    """Put an operator where a path looks for it, or take away what is there."""
    holder, name = (torch, "_foreach_norm") if path == "private" else (_foreach(patch), "norm")
    if operator is None:
        patch.delattr(holder, name, raising=False)
    else:
        patch.setattr(holder, name, operator, raising=False)
    gradnorms.reset_paths()


def _foreach(patch: pytest.MonkeyPatch) -> Any:
    """Return torch.foreach; where the release has none, one without a norm."""
    if not hasattr(torch, "foreach"):
        patch.setattr(torch, "foreach", SimpleNamespace(), raising=False)
    return torch.foreach


def hold_everyday(evidence: Evidence, device: str, path: str) -> None:
    """Check that a path is chosen, is seen to be taken, and is right."""
    tensors = build_all(EVERYDAY, device)
    norms = gradnorms.compute_norms(tensors)
    assert gradnorms.active_path() == path
    hold(evidence, EVERYDAY, norms, device, f"{SUBJECT} after fallback to {path}")
    with evidence.observe(f"{SUBJECT} after fallback to {path}", PATHS) as seen:
        gradnorms.compute_norms(tensors)
    assert seen.path == path


@pytest.mark.capability("fallback")
@pytest.mark.parametrize("fault", [REMOVED, *BROKEN])
def test_a_broken_private_path_leads_to_the_loop(
    fault: str, planted: pytest.MonkeyPatch, device: str, evidence: Evidence
) -> None:
    # Where there is a public path, it may be built on the private one: none is left here.
    plant(planted, "public", None)
    plant(planted, "private", BROKEN.get(fault))
    hold_everyday(evidence, device, "loop")


@pytest.mark.capability("fallback")
@pytest.mark.parametrize("fault", [REMOVED, *BROKEN])
def test_a_broken_public_path_leads_to_the_private_one(
    fault: str, planted: pytest.MonkeyPatch, device: str, evidence: Evidence
) -> None:
    if not hasattr(torch, "_foreach_norm"):
        plant(planted, "private", _working_private)
    plant(planted, "public", BROKEN.get(fault))
    hold_everyday(evidence, device, "private")


@pytest.mark.capability("fallback")
@pytest.mark.parametrize("path", ["public", "private"])
def test_a_path_that_works_is_taken_wherever_it_appears(
    path: str, planted: pytest.MonkeyPatch, device: str, evidence: Evidence
) -> None:
    plant(planted, "public", _working_public if path == "public" else None)
    plant(planted, "private", _working_private if path == "private" else None)
    hold_everyday(evidence, device, path)


@pytest.mark.capability("fallback")
@pytest.mark.parametrize("fault", [REMOVED, *BROKEN])
def test_the_telemetry_module_patch_after_the_choice_changes_no_result(
    fault: str, planted: pytest.MonkeyPatch, device: str, evidence: Evidence
) -> None:
    tensors = build_all(EVERYDAY, device)
    gradnorms.compute_norms(tensors)
    if fault == REMOVED:
        planted.delattr(torch, "_foreach_norm", raising=False)
    else:
        planted.setattr(torch, "_foreach_norm", BROKEN[fault], raising=False)
    norms = gradnorms.compute_norms(tensors)
    hold(evidence, EVERYDAY, norms, device, f"{SUBJECT} patched")


def skip_unless_working(path: str) -> None:
    """Skip the probe on releases where a path does not work."""
    try:
        with gradnorms.force_path(path):
            return
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.capability("every path agrees")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("row", ROWS)
def test_every_path_gives_the_same_answer(
    path: str, row: str, device: str, evidence: Evidence
) -> None:
    skip_unless_working(path)
    with gradnorms.force_path(path):
        for case in ROWS[row]:
            norms = gradnorms.compute_norms(build_all(case, device), case.order, **keywords(case))
            hold(evidence, case, norms, device, f"{SUBJECT} by {path}")


@pytest.mark.capability("every path agrees")
@pytest.mark.parametrize("path", PATHS)
def test_a_forced_path_is_seen_to_be_taken(path: str, device: str, evidence: Evidence) -> None:
    skip_unless_working(path)
    tensors = build_all(EVERYDAY, device)
    with gradnorms.force_path(path), evidence.observe(f"{SUBJECT} by {path}", PATHS) as seen:
        gradnorms.compute_norms(tensors)
    assert seen.path == path


def test_a_path_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="fast"), gradnorms.force_path("fast"):
        pass
