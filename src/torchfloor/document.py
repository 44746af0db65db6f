"""A YAML file -> typed values, with every mistake in it named at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec
import yaml

from torchfloor.errors import ConfigError
from torchfloor.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Check", "load_document", "read_fields"]

Check = Callable[[Any], str]
"""Tells what is wrong with a value of the right type, or nothing; it stands in `Annotated`."""

_MAX_BYTES = 256 * 1024
"""Far more than a matrix needs, and read in a few seconds at worst."""


def load_document(path: Path) -> tuple[dict[Any, Any], list[str]]:
    """Load a YAML file that holds keys and values.

    Args:
        path: The file.

    Returns:
        Its content, and a sentence for each key that stands twice.

    Raises:
        ConfigError: If the file cannot be read, or is something else.
    """
    try:
        content, repeated = _load(read_bounded(path, _MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        msg = "not found: run torchfloor in the folder that holds it, or name it with --matrix"
        raise ConfigError(path.name, [msg]) from None
    except OSError as error:
        raise ConfigError(path.name, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        hint = f"cannot be read: {error}; save it as UTF-8"
        raise ConfigError(path.name, [hint]) from None
    except RecursionError:
        raise ConfigError(path.name, ["not valid YAML: nested too deeply"]) from None
    except _YAML_ERRORS as error:
        raise ConfigError(path.name, [f"not valid YAML: {_cause(error)}"]) from None
    if not isinstance(content, dict):
        raise ConfigError(path.name, ["must hold keys and values, such as 'package: torch'"])
    return content, repeated


# PyYAML lets through what Python says to a date or a tagged number that is none.
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError)


def _cause(error: Exception) -> str:
    """Say what is wrong and where, without the line itself: it may hold a password."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return ", ".join(filter(None, (error.context, error.problem))) + place


def _load(text: str) -> tuple[object, list[str]]:
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.repeated
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, without aliases; repeated keys are told.

    PyYAML keeps the last of repeated keys in silence. Aliases let a few lines stand for more
    values than any memory holds.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            msg = f"the alias *{alias.anchor} is not allowed here: write out what it stands for"
            raise yaml.composer.ComposerError(None, None, msg, alias.start_mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text = str(super().construct_scalar(node))
        text.encode()  # an escape can name half a surrogate pair, which is no text
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    self.repeated.append(f"line {line}: the key {key.value!r} stands twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_fields(
    content: dict[Any, Any], into: type[msgspec.Struct], mistakes: list[str], place: str = ""
) -> dict[str, Any]:
    """Convert keys and values to the fields of a struct, each by itself.

    Args:
        content: Keys and values.
        into: Names the fields, their types and, in `Annotated`, what else to check.
        mistakes: Gets a sentence for each mistake, starting with its place in the file.
        place: Where the content stands.

    Returns:
        The fields that are right.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(into)}
    before = f"{place}." if place else ""
    mistakes += [f"{before}{_unknown(key, fields)}" for key in content if key not in fields]
    values = {}
    for name, field in fields.items():
        if name in content:
            values[field.name] = _read(content[name], field.type, mistakes, before + name)
        elif field.required:
            mistakes.append(f"{before}{name}: missing, but required")
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def _unknown(key: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(key), list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
    return f"{key}: unknown key; {hint}"


def _read(value: Any, into: Any, mistakes: list[str], place: str) -> Any:  # noqa: ANN401 - any type
    """Convert a value, going into it so that one mistake does not hide the next."""
    told = len(mistakes)
    kind = get_args(into)[0] if get_origin(into) is Annotated else into
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        read_fields(value, kind, mistakes, place)
    elif isinstance(value, dict) and get_origin(kind) is dict:
        for key, entry in value.items():
            _read(key, get_args(kind)[0], mistakes, place)
            _read(entry, get_args(kind)[1], mistakes, f"{place}.{key}")
    elif isinstance(value, list) and get_origin(kind) is tuple:
        for position, entry in enumerate(value):
            _read(entry, get_args(kind)[0], mistakes, f"{place}[{position}]")
    return msgspec.UNSET if len(mistakes) > told else _convert(value, into, mistakes, place)


def _convert(value: object, into: Any, mistakes: list[str], place: str) -> Any:  # noqa: ANN401 - any type
    try:
        converted = msgspec.convert(value, into)
    except msgspec.ValidationError as error:
        mistakes.append(f"{place}: {_explain(str(error).partition(' - at `')[0], into)}")
        return msgspec.UNSET
    checks = getattr(into, "__metadata__", ())
    problems = [check(converted) for check in checks if callable(check)]
    mistakes += [f"{place}: {problem}" for problem in problems if problem]
    return msgspec.UNSET if any(problems) else converted


def _explain(problem: str, into: Any) -> str:  # noqa: ANN401 - any type
    """Add to msgspec's words what to write instead."""
    if "Expected `str`, got `float`" in problem:
        return f'{problem}: write it in quotes, since YAML reads 2.10 as the number 2.1 ("2.10")'
    if re.search(r"Expected `str`, got `(int|bool|date|datetime)`", problem):
        return f"{problem}: write it in quotes"
    if "Expected `array`" in problem:
        return f"{problem}: write a list, such as [a, b]"
    if known := _choices(into):
        return f"{problem}: write {' or '.join(known)}"
    if "matching regex '^[a-z][a-z0-9]*" in problem:
        return f"{problem}: begin with a small letter; small letters and digits may follow"
    return problem


def _choices(into: Any) -> list[str]:  # noqa: ANN401 - any type
    """List the texts that a type allows, if it names them."""
    if get_origin(into) is Literal:
        return [str(choice) for choice in get_args(into)]
    return [choice for part in get_args(into) for choice in _choices(part)]
