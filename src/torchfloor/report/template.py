"""The templates of pages and charts: whatever they are given is text, and never markup."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from torchfloor.output import printable

__all__ = ["TEMPLATES", "environment"]

TEMPLATES = Path(__file__).with_name("templates")


@cache
def environment() -> Environment:
    """Return jinja's environment, which escapes what it is given."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["printable"] = printable
    return made
