"""The verdict as a badge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from torchfloor.report.model import Report

__all__ = ["Badge", "make_badge", "render_badge"]

_STATES = {
    "holds": ("proved", "brightgreen"),
    "broken": ("does not hold", "red"),
    "unproved": ("not proved", "orange"),
    "no evidence": ("no evidence", "lightgrey"),
}


class Badge(msgspec.Struct, frozen=True, rename="camel"):
    """An answer to https://shields.io/badges/endpoint-badge.

    Attributes:
        schema_version: Of that schema.
        label: Left half.
        message: Right half.
        color: Of the right half, by the name that Shields gives it.
        is_error: Whether the colour must not be changed by whoever shows the badge.
    """

    schema_version: int
    label: str
    message: str
    color: str
    is_error: bool


def make_badge(report: Report) -> Badge:
    """Say in two words how the declared floor stands."""
    verdict = report.verdict
    state, colour = _STATES[verdict.status]
    label = "PyTorch" if report.package == "torch" else report.package
    broken = verdict.status == "broken"
    return Badge(1, label, f"≥ {verdict.declared} {state}", colour, broken)


def render_badge(report: Report) -> str:
    """Render badge.json."""
    return msgspec.json.format(msgspec.json.encode(make_badge(report)), indent=2).decode() + "\n"
