"""The expressions of GitHub Actions that our workflows use; what is not known is refused.

GitHub itself turns a misspelt name into an empty text, and the job goes another way.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["UnknownNameError", "asks_for_status", "evaluate", "fill_in", "is_true"]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[0-9]+)|(?P<name>[A-Za-z_][\w.-]*)"
    r"|(?P<sign>&&|\|\||==|!=|[!(),]))"
)
_STATUS = re.compile(r"\b(always|success|failure|cancelled)\s*\(")
_PLACE = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


class UnknownNameError(Exception):
    """An expression names what is not there, or is none that we know."""


def asks_for_status(condition: str) -> bool:
    """Tell whether a condition says itself when it holds after a failure."""
    return bool(_STATUS.search(condition))


def is_true(value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell what GitHub takes for true: not false, null, 0 or an empty text."""
    return value not in (False, None, 0, "")


def fill_in(
    template: Any,  # noqa: ANN401 - any YAML
    contexts: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - any JSON
    """Replace the expressions of a text by their values, or of all texts in lists and mappings."""
    if isinstance(template, dict):
        return {key: fill_in(value, contexts) for key, value in template.items()}
    if isinstance(template, list):
        return [fill_in(value, contexts) for value in template]
    if not isinstance(template, str):
        return template
    if whole := _PLACE.fullmatch(template.strip()):
        return evaluate(whole[1], contexts)
    return _PLACE.sub(lambda found: as_text(evaluate(found[1], contexts)), template)


def as_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Write a value where a text is wanted."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (bool, int, list, dict)) else str(value)


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Evaluate an expression, with or without `${{ }}` around it.

    Args:
        expression: Names, texts, `&& || == != !`, parentheses and calls.
        contexts: Nested mappings by name (`github`, `needs` …), and functions by name.

    Raises:
        UnknownNameError: If it names anything that is not in the contexts.
    """
    if whole := _PLACE.fullmatch(expression.strip()):
        expression = whole[1]
    tokens, position = [], 0
    while expression[position:].strip():
        found = _TOKEN.match(expression, position)
        if found is None:
            raise UnknownNameError(expression)
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        position = found.end()
    reader = _Reader(tokens, contexts)
    value = reader.either()
    if reader.tokens:
        raise UnknownNameError(expression)
    return value


class _Reader:
    """Reads an expression from left to right, as `a || b`, of `a && b`, of `a == b`."""

    def __init__(self, tokens: list[tuple[str, str]], contexts: Mapping[str, Any]) -> None:
        self.tokens = tokens
        self._contexts = contexts

    def either(self) -> Any:  # noqa: ANN401 - any JSON
        return self._chain("||", self._both, lambda left: not is_true(left))

    def _both(self) -> Any:  # noqa: ANN401
        return self._chain("&&", self._compared, is_true)

    def _chain(self, sign: str, part: Callable[[], Any], goes_on: Callable[[Any], bool]) -> Any:  # noqa: ANN401
        value = part()
        while self._take(sign):
            following = part()
            value = following if goes_on(value) else value
        return value

    def _compared(self) -> Any:  # noqa: ANN401
        value = self._single()
        for sign, wanted in (("==", True), ("!=", False)):
            if self._take(sign):
                other = self._single()
                # GitHub takes null for an empty text where it meets one.
                equal = other == value or {None, ""} == {other, value}
                return equal is wanted
        return value

    def _single(self) -> Any:  # noqa: ANN401
        if self._take("!"):
            return not is_true(self._single())
        if self._take("("):
            value = self.either()
            self._need(")")
            return value
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if kind == "name" and self._take("("):
            return self._call(text)
        if kind == "name":
            return _WORDS[text] if text in _WORDS else self._look_up(text)
        raise UnknownNameError(text)

    def _call(self, name: str) -> Any:  # noqa: ANN401
        arguments = []
        while not self._take(")"):
            arguments.append(self.either())
            self._take(",")
        return self._look_up(name)(*arguments)

    def _look_up(self, name: str) -> Any:  # noqa: ANN401
        value: Any = self._contexts
        for part in name.split("."):
            try:
                value = value[part]
            except (KeyError, TypeError):
                raise UnknownNameError(name) from None
        return value

    def _take(self, sign: str) -> bool:
        taken = bool(self.tokens) and self.tokens[0] == ("sign", sign)
        if taken:
            self.tokens.pop(0)
        return taken

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise UnknownNameError(sign)
