"""What came from outside, as text that neither Markdown nor GitHub takes for anything else."""

from __future__ import annotations

import re

from torchfloor.output import one_line

__all__ = ["code", "escape"]

_MARKUP = re.compile(r"[\\`*\[\]<|&~]|(?<!\w)_|_(?!\w)")
"""What Markdown gives a meaning; an underscore within a word has none."""
_LEAD = re.compile(r">|[-+=](?=[-+= ]|$)|\d+[.)](?= |$)")
"""What it gives one at the beginning of a line."""
_LIVE = re.compile(r"(?<![^\s|])[^\s|]*(?:[@#$]|\bGH-\d|://|www\.)[^\s|]*", re.IGNORECASE)
"""Words that GitHub gives one beside Markdown, whatever stands before them: mentions, references to
issues (which words such as *closes* make a command), addresses, formulas."""


def escape(text: str) -> str:
    """Keep what came from outside from being markup, or from ending a table's cell or line.

    What GitHub would make a mention, a reference or a link of is shown as code: there no escape
    helps, and in code it looks for none.
    """
    text = one_line(text)
    parts, end = [], 0
    for live in _LIVE.finditer(text):
        parts += [_escape(text[end : live.start()]), _span(live[0])]
        end = live.end()
    told = "".join([*parts, _escape(text[end:])])
    lead = _LEAD.match(told)
    return f"{told[: lead.end() - 1]}\\{told[lead.end() - 1 :]}" if lead else told


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text)


def _span(text: str) -> str:
    """Show text as code, between more backticks than any that follow each other in it."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def code(text: str) -> str:
    """Show a name or a signature as code, unless it holds what cannot stand in a code span."""
    if "`" in text or "\\" in text:
        return escape(text)
    told = one_line(text).replace("|", "\\|")
    return f"`{told}`"
