"""The text of a Python file -> its statements, parsed as far as they are needed."""

from __future__ import annotations

import ast
import copy
import io
import re
import tokenize
from itertools import pairwise

__all__ = [
    "UNPARSED",
    "SourceError",
    "SpellOut",
    "decode",
    "find_aliases",
    "parse",
    "split",
    "unparsed",
]


class SourceError(Exception):
    """A file that this Python cannot parse."""


UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError, LookupError)
"""What parsing raises; a coding that does not exist is a LookupError."""


def _text(quote: str, inner: str) -> str:
    """Return the pattern of a text in quotes, written so that nothing is tried twice."""
    return rf"{quote}{inner}*(?:(?:\\.|{quote[0]}(?!{quote[1:]})){inner}*)*{quote}"


_STARTS = re.compile(
    "|".join(
        [
            _text('"""', r'[^"\\]'),
            _text("'''", r"[^'\\]"),
            r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"',
            r"'[^'\\\n]*(?:\\.[^'\\\n]*)*'",
            r"\#[^\n]*",
            r"\n(?P<start>(?=[^\s#)\]}]))",
        ]
    ),
    re.DOTALL,
)
"""Texts and comments, which are passed over, and the starts of lines that are not indented."""
_DEFINES = re.compile(r"(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)")


def decode(content: bytes) -> str:
    """Decode a file as Python does: by its coding line, else as UTF-8."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding)


def parse(content: str | bytes) -> list[ast.stmt]:
    """Parse statements; raises what is in UNPARSED. The caller keeps warnings quiet."""
    return ast.parse(content).body


_NAMESPACE = re.compile(
    r"^(\w+)(?:[ \t]*:[^=\n]+)?[ \t]*=[ \t]*"
    r"(sys\.modules\[__name__\]|globals\(\)|vars\(\))[ \t]*(?:#|$)",
    re.MULTILINE,
)
"""`this = sys.modules[__name__]`, by which the rest of a file then writes its own names."""


def find_aliases(text: str) -> dict[str, ast.expr]:
    """Find the names that a file gives to its own namespace, each with what it stands for."""
    return {m[1]: ast.parse(m[2], mode="eval").body for m in _NAMESPACE.finditer(text)}


class SpellOut(ast.NodeTransformer):
    """Writes what names stand for in their place.

    Args:
        aliases: The names, each with its expression.
    """

    def __init__(self, aliases: dict[str, ast.expr]) -> None:
        self._aliases = aliases

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a name that is read."""
        found = self._aliases.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if found is None else ast.copy_location(copy.deepcopy(found), node)


def unparsed(file: str, error: BaseException) -> SourceError:
    """Say which file it was that this Python cannot parse."""
    what = error.msg if isinstance(error, SyntaxError) else type(error).__name__
    return SourceError(f"{file} cannot be parsed by this Python ({what})")


def split(text: str) -> tuple[str, dict[str, list[tuple[int, str]]]]:
    """Take the functions and classes out of a file.

    A line that is not indented starts a statement, unless it stands within brackets; no line there
    starts with `def` or `class`, so what is cut is a whole definition, or else the rest does not
    parse, and the file is parsed as a whole.

    Returns:
        The file with empty lines in their place, and them, by name, with their first lines.
    """
    starts = [0, *(m.end() for m in _STARTS.finditer(text) if m["start"] is not None), len(text)]
    rest: list[str] = []
    definitions: dict[str, list[tuple[int, str]]] = {}
    line, decorated = 1, ""
    for start, end in pairwise(starts):
        chunk = text[start:end]
        if chunk.startswith("@"):
            decorated += chunk
            continue
        found = _DEFINES.match(chunk)
        whole = decorated + chunk
        lines = whole.count("\n")
        if found:
            definitions.setdefault(found[1], []).append((line, whole))
            rest.append("\n" * lines)
        else:
            rest.append(whole)
        line, decorated = line + lines, ""
    return "".join(rest) + decorated, definitions
