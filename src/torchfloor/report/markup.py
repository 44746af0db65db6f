"""What came from outside, as text that Markdown takes for nothing else."""

from __future__ import annotations

import re

from torchfloor.output import printable

__all__ = ["code", "escape"]

_MARKUP = re.compile(r"[\\`*\[\]<|&~]|(?<!\w)_|_(?!\w)")
"""What Markdown gives a meaning; an underscore within a word has none."""


def escape(text: str) -> str:
    """Keep what came from outside from being markup, or from ending a table's cell or line."""
    return " ".join(_MARKUP.sub(r"\\\g<0>", printable(text)).split())


def code(text: str) -> str:
    """Show a name or a signature as code, unless it holds what cannot stand in a code span."""
    if "`" in text or "\\" in text:
        return escape(text)
    text = " ".join(printable(text).replace("|", "\\|").split())
    return f"`{text}`"
