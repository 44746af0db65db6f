"""Read matrix.yaml: what is varied, across which releases, with which companions."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from torchfloor.addresses import find_mistake
from torchfloor.declared import declared_floor
from torchfloor.document import load_document, read_fields
from torchfloor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Companion", "Flavour", "Matrix", "read_matrix"]

_DURATION = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>[smh])")
_LOGIN = re.compile(r"[^@]*:[^@]*@")
"""What an address without its scheme begins with."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _no_specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return f"{text!r} is no PEP 440 specifier; write something like '>=2.0'"
    return ""


def _no_version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        return f"{text!r} is no PEP 440 version; write '1.13' or '1.13.1'"
    return ""


def _no_requirement(text: str) -> str:
    try:
        url = Requirement(text).url or ""
    except InvalidRequirement:
        return f"{text!r} is no requirement; write 'numpy<2'"
    is_remote = url.startswith(("http:", "https:"))
    if is_remote and (find_mistake(url) or "@" in urlsplit(url).netloc):
        # Without it: a plan names its companions, and is published.
        return "its link holds a login, or a query that may let in; name an index that has it"
    return ""


def _no_duration(text: str) -> str:
    return "" if _DURATION.fullmatch(text) else f"{text!r} is no duration; write 90s, 15m or 1h"


def _no_index(text: str) -> str:
    scheme, sign, rest = text.partition("://")
    if scheme in {"http", "https"} and rest:
        return find_mistake(text)
    if sign or _LOGIN.match(text):
        named = f"{scheme}:// is" if sign and scheme.isalpha() else "is"
        return f"{named} no index; write default, an http(s) address, or a folder of wheels"
    return ""


def _no_python(text: str) -> str:
    if text == "auto" or re.fullmatch(r"3\.(9|[1-9][0-9])", text):
        return ""
    return f"{text!r} is neither auto nor 3.9 or newer ('3.11')"


def _no_module(text: str) -> str:
    if text.isidentifier():
        return ""
    written = re.sub(r"\W", "_", text)
    return f"{text!r} cannot be imported; write {written!r}: indexes take either name"


def _no_dotted_name(text: str) -> str:
    if "." in text and all(part.isidentifier() for part in text.split(".")):
        return ""
    return f"{text!r} is no dotted name; write one such as torch.linalg.vector_norm"


def _repeated_index(texts: tuple[str, ...]) -> str:
    """Tell by its place what stands twice: an address may hold a password."""
    twice = [f"[{place}]" for place, text in enumerate(texts) if text in texts[:place]]
    return f"{', '.join(twice)} stands twice; keep one" if twice else ""


def _repeated(texts: tuple[str, ...]) -> str:
    twice = sorted({text for text in texts if texts.count(text) > 1})
    return ", ".join(f"{text!r} stands twice" for text in twice) + ("; keep one" if twice else "")


def _leaves(text: str) -> str:
    """Refuse what is not inside the project: a commit of it could not be proved again."""
    place = PurePath(os.path.normpath(text))
    if place.is_absolute() or not place.parts or place.parts[0] == "..":
        return f"{text!r} is not inside the folder of matrix.yaml; name a path in it"
    return ""


def _empty(flavours: dict[str, Flavour]) -> str:
    return "" if flavours else "empty; name at least one, such as 'cpu: {indexes: [default]}'"


# Names become part of file names. `$` would allow a line break at the end.
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z", max_length=100)
]
FlavourName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]*\Z", max_length=20)]
RelativePath = Annotated[str, msgspec.Meta(min_length=1), _leaves]
Specifier = Annotated[str, msgspec.Meta(max_length=200), _no_specifier]
Indexes = Annotated[
    tuple[Annotated[str, _no_index], ...], msgspec.Meta(min_length=1), _repeated_index
]
Requirements = Annotated[
    tuple[Annotated[str, _no_requirement], ...], msgspec.Meta(min_length=1), _repeated
]
Names = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=200), _no_dotted_name], ...], _repeated
]
History = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=50), _no_version], ...], _repeated]


class Flavour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wheel flavour: where its wheels come from, and what the host must have."""

    indexes: Indexes
    needs: Literal["cuda"] | None = None


_specifier = lru_cache(SpecifierSet)  # reading one takes longer than asking it


class Companion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements that releases matching `when` (all, if empty) need beside them."""

    install: Requirements
    when: Specifier = ""

    def applies_to(self, release: Version) -> bool:
        """Tell whether the release needs this companion."""
        return _specifier(self.when).contains(release, prereleases=True)


class _Document(msgspec.Struct, frozen=True, rename="kebab"):
    """The keys of matrix.yaml, their types and defaults."""

    package: Annotated[Name, _no_module]
    subject: RelativePath
    probes: RelativePath
    declared_in: RelativePath
    versions: Specifier
    flavours: Annotated[dict[FlavourName, Flavour], _empty]
    headline: str = ""
    names: Names = ()
    canary: Annotated[str, _no_index] = ""
    sample: Literal["newest-patch", "all"] = "newest-patch"
    history: History = ()
    python: Annotated[str, _no_python] = "auto"
    companions: tuple[Companion, ...] = ()
    timeout: Annotated[str, _no_duration] = "15m"


@dataclass(frozen=True)
class Matrix:
    """What matrix.yaml says, checked.

    Attributes:
        source: The matrix.yaml itself.
        package: Name of the dependency under test, on the index and when imported.
        subject: The import package (a folder) or module (a file) whose behaviour is proved.
        headline: What the main table is about, by the name the probes give it; if empty, what
            they observed first.
        names: Dotted names of the package that wheels are read for, in the table's order.
        canary: The index of pre-releases, or empty.
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
    names: tuple[str, ...]
    canary: str
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
    content, mistakes = load_document(path)
    values = read_fields(content, _Document, mistakes)
    mistakes += _missing_paths(path.parent, values)
    mistakes += _unfit_paths(path.parent, values)
    mistakes += _foreign_names(values)
    if mistakes:
        raise ConfigError(path.name, mistakes)
    document = _Document(**values)
    amount = _DURATION.fullmatch(document.timeout)
    assert amount is not None  # noqa: S101 - _no_duration has checked it
    root = path.resolve().parent
    return Matrix(
        source=path,
        package=document.package,
        subject=root / document.subject,
        headline=document.headline,
        names=document.names,
        canary=document.canary,
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


def _missing_paths(root: Path, values: dict[str, str]) -> list[str]:
    return [
        f"{field.encode_name}: {values[field.name]!r} does not exist beside matrix.yaml; "
        "name a path relative to it"
        for field in msgspec.structs.fields(_Document)
        if field.name in {"subject", "probes", "declared_in"} and field.name in values
        if not _exists(root / values[field.name])
    ]


def _unfit_paths(root: Path, values: Mapping[str, Any]) -> list[str]:
    """Name what is there, and is nothing that Python imports or pytest looks into."""
    mistakes = []
    subject, probes = values.get("subject"), values.get("probes")
    if subject and _exists(root / subject):
        place = root / subject
        is_module = place.suffix == ".py" or (place.is_dir() and any(place.rglob("*.py")))
        if not (is_module and place.resolve().stem.isidentifier()):
            words = "is no import package or module; name a folder with Python files, or a .py file"
            mistakes.append(f"subject: {subject!r} {words}")
    if probes and _exists(root / probes) and not (root / probes).is_dir():
        mistakes.append(f"probes: {probes!r} is a file; name the folder that it lies in")
    return mistakes


def _foreign_names(values: Mapping[str, Any]) -> list[str]:
    module = values.get("package", "").replace("-", "_")
    return [
        f"names[{position}]: {name!r} is no name in {module}; it would begin with '{module}.'"
        for position, name in enumerate(values.get("names", ()))
        if module and not name.startswith(f"{module}.")
    ]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for any file
        return False
