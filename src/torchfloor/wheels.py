"""An index or a folder of wheels -> the wheels it offers."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from torchfloor.addresses import is_readable, without_credentials, without_login
from torchfloor.index import DEFAULT, IndexUnreachableError, default_index, list_files

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.tags import Tag
    from packaging.utils import BuildTag
    from pypi_simple import DistributionPackage

__all__ = [
    "Wheel",
    "list_wheels",
    "with_credentials",
]

_FILENAME = re.compile(r"[A-Za-z0-9._+!-]+")
_URL = re.compile(r"https?://[!#%-~]+")
"""No blank, no line break, no `${VARIABLE}`: it becomes a line of a requirements file."""
_LONGEST_VERSION = 64
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_RULE = re.compile(r"[ -~]{0,200}")
_METADATA_BYTES = 2**20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Wheel(msgspec.Struct, frozen=True):
    """One wheel, as its index describes it; or the source of a release that has no wheel.

    Attributes:
        filename: Its file name, which holds release, Python and platform tags.
        url: Where to download it, without a login unless `with_credentials` gave it one, but with
            a query, which may let one in; it never enters a record.
        index: The index's name in matrix.yaml, without credentials.
        size: Bytes, or None where the index does not say.
        sha256: Hexadecimal digest, or None where the index does not say.
        uploaded: Date of the upload, or None where the index does not say.
        yanked: Whether the release was withdrawn.
        requires_python: The Pythons it installs on (`>=3.9`), empty where that is not said.
        flaw: Why the file itself cannot be had, or empty.
    """

    filename: str
    url: str
    index: str
    size: int | None = None
    sha256: str | None = None
    uploaded: dt.date | None = None
    yanked: bool = False
    requires_python: str = ""
    flaw: str = ""

    def __post_init__(self) -> None:
        """Refuse a file name without a version (msgspec turns the error into its own)."""
        _ = self.version

    @property
    def is_source(self) -> bool:
        """Whether it is a source distribution: nothing is ever built in a cell."""
        return not self.filename.endswith(".whl")

    @property
    def withheld(self) -> str:
        """Why no cell installs it, or empty."""
        if self.yanked:
            return "yanked: the index says not to use it"
        if self.is_source:
            return "no wheel, only source, and nothing is built here"
        return self.flaw

    @property
    def version(self) -> Version:
        """The version, with its local part (`2.0.1+cpu`)."""
        if self.is_source:
            return parse_sdist_filename(self.filename)[1]
        return parse_wheel_filename(self.filename)[1]

    @property
    def build(self) -> BuildTag:
        """The build tag: among wheels of one release, installers prefer the highest."""
        return () if self.is_source else parse_wheel_filename(self.filename)[2]

    @property
    def tags(self) -> frozenset[Tag]:
        """The Python, ABI and platform tags of its file name; a source has none."""
        return frozenset() if self.is_source else parse_wheel_filename(self.filename)[3]

    @property
    def release(self) -> Version:
        """The wheel's version, without a local part: the release it belongs to."""
        return Version(self.version.public)


def list_wheels(package: str, index: str, root: Path) -> list[Wheel]:
    """List every wheel of a package that an index offers, and the source of wheelless releases.

    Args:
        package: Name of the distribution.
        index: `"default"`, the URL of a simple index (PEP 503 or 691), or a folder of wheels.
        root: The folder a relative folder of wheels is resolved against.

    Returns:
        The wheels in the index's order; none where the index does not know the package.

    Raises:
        IndexUnreachableError: If the index does not answer, or not as an index does.
    """
    if index != DEFAULT and "://" not in index:
        return _from_folder(package, index, root / index)
    return _from_index(package, index, default_index() if index == DEFAULT else index)


def with_credentials(wheel: Wheel, index: str) -> Wheel:
    """Give a wheel's URL the credentials of its index, if both lie on the same host.

    Args:
        wheel: A wheel that the index offers.
        index: The index as matrix.yaml names it.
    """
    asked, lies = urlsplit(index), urlsplit(wheel.url)
    credentials, _, host = asked.netloc.rpartition("@")
    if not credentials or (asked.scheme, host) != (lies.scheme, lies.netloc):
        return wheel
    return msgspec.structs.replace(wheel, url=urlunsplit(lies._replace(netloc=asked.netloc)))


def _from_index(package: str, index: str, url: str) -> list[Wheel]:
    name = without_credentials(index)
    files = list_files(package, name, url)
    return _installable(
        [_from_page(entry, name) for entry in files if _is_of(package, entry.filename)]
    )


def _from_page(entry: DistributionPackage, index: str) -> Wheel:
    sha256 = entry.digests.get("sha256", "").lower()
    url = without_login(entry.url.partition("#")[0]) if is_readable(entry.url) else ""
    url = url.replace(" ", "%20")  # as browsers take it
    is_usable = _URL.fullmatch(url) is not None
    return Wheel(
        filename=entry.filename,
        url=url if is_usable else "",
        index=index,
        size=entry.size,
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        uploaded=entry.upload_time.date() if entry.upload_time else None,
        yanked=entry.is_yanked,
        requires_python=_rule(entry.requires_python),
        flaw="" if is_usable else "its link on the index cannot be used",
    )


def _from_folder(package: str, index: str, folder: Path) -> list[Wheel]:
    if not folder.is_dir():
        msg = f"{index} is no folder; name a folder of wheels relative to matrix.yaml, or a URL"
        raise IndexUnreachableError(msg)
    files = [file for file in sorted(folder.iterdir()) if _is_of(package, file.name)]
    return _installable([_from_file(file, index) for file in files])


def _from_file(file: Path, index: str) -> Wheel:
    said: dict[str, Any] = {"filename": file.name, "url": file.resolve().as_uri(), "index": index}
    try:
        with file.open("rb") as content:
            said["sha256"] = hashlib.file_digest(content, "sha256").hexdigest()
        said["size"] = file.stat().st_size
    except OSError as error:  # that file's own affair
        said["flaw"] = f"its file cannot be read ({error.strerror})"
    return Wheel(**said, requires_python=_requires_python(file))


def _requires_python(file: Path) -> str:
    """Read what a wheel asks of Python; of what is no wheel its installation will tell."""
    try:
        with zipfile.ZipFile(file) as wheel:
            name = next(filter(_METADATA.fullmatch, wheel.namelist()), "")
            metadata = wheel.open(name).read(_METADATA_BYTES) if name else b""
    except (OSError, ValueError, NotImplementedError, RuntimeError, *_DAMAGE):
        return ""
    from packaging.metadata import parse_email  # noqa: PLC0415 - only a folder of wheels needs it

    return _rule(parse_email(metadata)[0].get("requires_python"))


def _rule(text: str | None) -> str:
    """Keep what a wheel asks of Python, if a plan can hold it."""
    return text if text and _RULE.fullmatch(text) else ""


def _installable(files: list[Wheel]) -> list[Wheel]:
    """Leave out the source of releases that have a wheel."""
    built = {file.release for file in files if not file.is_source}
    return [file for file in files if not file.is_source or file.release not in built]


def _is_of(package: str, filename: str) -> bool:
    parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
    try:
        name, version, *_ = parse(filename)
        # A version becomes part of a cell's identifier, and so of the names of its files.
        is_release = name == canonicalize_name(package) and len(str(version)) <= _LONGEST_VERSION
    except ValueError:  # as it says of names that are none, and Python of numbers without end
        return False
    return is_release and _FILENAME.fullmatch(filename) is not None
