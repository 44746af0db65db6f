"""Read matrix.yaml: what is varied, across which releases, with which companions."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from torchfloor.declared import declared_floor
from torchfloor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Companion", "Flavour", "Matrix", "read_matrix"]

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
Texts = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
_DURATION = re.compile(r"(?P<number>[1-9][0-9]*)(?P<unit>[smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Flavour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wheel flavour: where its wheels come from, and what the host must have."""

    indexes: Texts
    needs: Literal["cuda"] | None = None


class Companion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements that releases matching `when` (all, if empty) need beside them."""

    install: Texts
    when: str = ""

    def applies_to(self, release: Version) -> bool:
        """Tell whether the release needs this companion."""
        return SpecifierSet(self.when).contains(release, prereleases=True)


class _Document(msgspec.Struct, frozen=True, rename="kebab"):
    """The keys of matrix.yaml, their types and defaults."""

    package: Name
    subject: str
    probes: str
    declared_in: str
    versions: str
    flavours: dict[Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9]*$")], Flavour]
    headline: str = ""
    sample: Literal["newest-patch", "all"] = "newest-patch"
    history: tuple[str, ...] = ()
    python: str = "auto"
    companions: tuple[Companion, ...] = ()
    timeout: str = "15m"


@dataclass(frozen=True)
class Matrix:
    """What matrix.yaml says, checked.

    Attributes:
        source: The matrix.yaml itself.
        package: Name of the dependency under test, on the index and when imported.
        subject: The import package (a folder) or module (a file) whose behaviour is proved.
        headline: What the main table is about, by the name the probes give it; if empty, what
            they observed first.
        probes: The folder of pytest files that run in every cell.
        declared_in: The pyproject.toml that declares the floor.
        declared: The declared floor.
        versions: The releases that must work, as a PEP 440 specifier.
        sample: Which of them become cells.
        history: Releases below the floor: `"1.13"` is that minor's newest patch.
        python: `"auto"`, or the Python (`"3.11"`) of every cell.
        flavours: By name, in the order of the table's columns.
        companions: What an era of releases needs beside it.
        timeout: Seconds a cell may spend on its installation, and on each pass of probes.
    """

    source: Path
    package: str
    subject: Path
    headline: str
    probes: Path
    declared_in: Path
    declared: Version
    versions: SpecifierSet
    sample: Literal["newest-patch", "all"]
    history: tuple[str, ...]
    python: str
    flavours: dict[str, Flavour]
    companions: tuple[Companion, ...]
    timeout: int

    @property
    def root(self) -> Path:
        """The folder that holds matrix.yaml; every path in it is relative to this folder."""
        return self.source.resolve().parent

    def companions_of(self, release: Version) -> tuple[str, ...]:
        """List the requirements the release needs beside it, in the file's order."""
        return tuple(
            requirement
            for companion in self.companions
            if companion.applies_to(release)
            for requirement in companion.install
        )


def read_matrix(path: Path) -> Matrix:
    """Read and check a matrix.yaml.

    Args:
        path: The file.

    Returns:
        The matrix, with every path resolved against the file's folder.

    Raises:
        ConfigError: If the file cannot be read, or says anything that cannot be meant; every
            mistake is named with its place.
    """
    document = _convert(path, _load(path))
    mistakes = [*_wrong_values(document), *_missing_paths(path.parent, document)]
    if mistakes:
        raise ConfigError(path.name, mistakes)
    amount = _DURATION.fullmatch(document.timeout)
    assert amount is not None  # noqa: S101 - _wrong_values has checked it
    root = path.resolve().parent
    return Matrix(
        source=path,
        package=document.package,
        subject=root / document.subject,
        headline=document.headline,
        probes=root / document.probes,
        declared_in=root / document.declared_in,
        declared=declared_floor(root / document.declared_in, document.package),
        versions=SpecifierSet(document.versions),
        sample=document.sample,
        history=document.history,
        python=document.python,
        flavours=document.flavours,
        companions=document.companions,
        timeout=int(amount["number"]) * _SECONDS[amount["unit"]],
    )


def _load(path: Path) -> dict[object, object]:
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        msg = "not found: run torchfloor in the folder that holds it, or name it with --matrix"
        raise ConfigError(path.name, [msg]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, [f"cannot be read: {error}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError(path.name, ["not valid YAML: " + " ".join(str(error).split())]) from None
    if not isinstance(content, dict):
        raise ConfigError(path.name, ["must hold keys and values, such as 'package: torch'"])
    return content


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, without repeated keys (PyYAML keeps the last one in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def _convert(path: Path, content: dict[object, object]) -> _Document:
    """Convert each key by itself, so that one mistake does not hide the next."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(_Document)}
    mistakes = [_unknown(key, fields) for key in content if key not in fields]
    values = {}
    for name, field in fields.items():
        if name in content:
            try:
                values[field.name] = msgspec.convert(content[name], field.type)
            except msgspec.ValidationError as error:
                mistakes.append(_explain(name, str(error)))
        elif field.required:
            mistakes.append(f"{name}: missing, but required")
    if mistakes:
        raise ConfigError(path.name, mistakes)
    return _Document(**values)


def _unknown(key: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(key), list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
    return f"{key}: unknown key; {hint}"


def _explain(name: str, problem: str) -> str:
    """Turn msgspec's words and path into ours."""
    problem, _, place = problem.partition(" - at `$")
    hint = ""
    if "Expected `str`, got `float`" in problem or "Expected `str`, got `int`" in problem:
        hint = ': write it in quotes, since YAML reads 2.10 as the number 2.1 (write "2.10")'
    elif "Expected `array`" in problem:
        hint = ": write a list, such as [a, b]"
    return f"{name}{place.rstrip('`')}: {problem}{hint}"


def _wrong_values(document: _Document) -> list[str]:
    mistakes = _wrong_specifier("versions", document.versions)
    mistakes += _wrong_history(document.history)
    for position, companion in enumerate(document.companions):
        mistakes += _wrong_companion(f"companions[{position}]", companion)
    if not document.flavours:
        mistakes.append("flavours: empty; name at least one, such as 'cpu: {indexes: [default]}'")
    for name, flavour in document.flavours.items():
        mistakes += _duplicates(f"flavours.{name}.indexes", flavour.indexes)
    if document.python != "auto" and not re.fullmatch(r"3\.(9|[1-9][0-9])", document.python):
        mistakes.append(f"python: {document.python!r} is neither auto nor 3.9 or newer ('3.11')")
    if not _DURATION.fullmatch(document.timeout):
        mistakes.append(f"timeout: {document.timeout!r} is no duration; write 90s, 15m or 1h")
    return mistakes


def _wrong_specifier(place: str, text: str) -> list[str]:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return [f"{place}: {text!r} is no PEP 440 specifier; write something like '>=2.0'"]
    return []


def _wrong_history(history: tuple[str, ...]) -> list[str]:
    mistakes = []
    for position, text in enumerate(history):
        try:
            Version(text)
        except InvalidVersion:
            mistakes.append(
                f"history[{position}]: {text!r} is no PEP 440 version; write '1.13' or '1.13.1'"
            )
    return mistakes + _duplicates("history", history)


def _wrong_companion(place: str, companion: Companion) -> list[str]:
    mistakes = _wrong_specifier(f"{place}.when", companion.when)
    for position, text in enumerate(companion.install):
        try:
            Requirement(text)
        except InvalidRequirement:
            mistakes.append(
                f"{place}.install[{position}]: {text!r} is no requirement; write 'numpy<2'"
            )
    return mistakes + _duplicates(f"{place}.install", companion.install)


def _duplicates(place: str, texts: tuple[str, ...]) -> list[str]:
    twice = {text for text in texts if texts.count(text) > 1}
    return [f"{place}: {text!r} stands twice; remove one" for text in sorted(twice)]


def _missing_paths(root: Path, document: _Document) -> list[str]:
    named = {
        "subject": document.subject,
        "probes": document.probes,
        "declared-in": document.declared_in,
    }
    return [
        f"{key}: {value!r} does not exist beside matrix.yaml; name a path relative to it"
        for key, value in named.items()
        if not (root / value).exists()
    ]
