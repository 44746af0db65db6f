"""An index or a folder of wheels -> the wheels it offers."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from torchfloor import host
from torchfloor.addresses import find_mistake, is_readable, without_credentials, without_login
from torchfloor.errors import TorchfloorError

if TYPE_CHECKING:
    from pathlib import Path

    import requests
    from packaging.tags import Tag
    from packaging.utils import BuildTag
    from pypi_simple import DistributionPackage

__all__ = [
    "DEFAULT",
    "IndexUnreachableError",
    "Wheel",
    "default_index",
    "list_wheels",
    "with_credentials",
]

DEFAULT = "default"
"""The word in matrix.yaml for the index that pip and uv are configured to use."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_RETRIES = 2
_PAGE_SECONDS = 120
_PAGE_BYTES = 64 * 2**20
"""More than any page has: the largest projects' take a few MB."""
_FILENAME = re.compile(r"[A-Za-z0-9._+!-]+")
_URL = re.compile(r"https?://[!#%-~]+")
"""No blank, no line break, no `${VARIABLE}`: it becomes a line of a requirements file."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class IndexUnreachableError(TorchfloorError):
    """An index does not answer, or answers with something that is no index."""


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
    """

    filename: str
    url: str
    index: str
    size: int | None = None
    sha256: str | None = None
    uploaded: dt.date | None = None
    yanked: bool = False

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
        return "no wheel, only source, and nothing is built here" if self.is_source else ""

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


def default_index() -> str:
    """Find the index that uv and pip are configured to use, in this order.

    Returns:
        The URL in UV_DEFAULT_INDEX, UV_INDEX_URL or PIP_INDEX_URL, else the one in uv's or pip's
        configuration, else the public index that pypi-simple knows.

    Raises:
        IndexUnreachableError: If it cannot be read: uv and pip would show it, password and all.
    """
    place, url = _configured_index()
    if "://" in url and (mistake := find_mistake(url)):
        msg = f"{DEFAULT} cannot be asked: what {place} names {mistake}"
        raise IndexUnreachableError(msg)
    return url


def _configured_index() -> tuple[str, str]:
    """Return where the default index is named, and its URL."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if url := os.environ.get(variable):
            return variable, url
    if url := host.uv_index():
        return "uv's configuration", url
    if url := _pip_index():
        return "pip's configuration", url
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - see _from_index

    return "pypi-simple", PYPI_SIMPLE_ENDPOINT


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


def _pip_index() -> str | None:
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip is None:
        return None
    found = subprocess.run(  # noqa: S603 - a fixed command line
        [pip, "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _from_index(package: str, index: str, url: str) -> list[Wheel]:
    # These take half a second to import, which only a plan that asks an index need spend.
    import pypi_simple as simple  # noqa: PLC0415
    import requests  # noqa: PLC0415

    name = without_credentials(index)
    try:
        with simple.PyPISimple(url, session=_session()) as client:
            page = client.get_project_page(
                package,
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                accept=simple.ACCEPT_JSON_PREFERRED,
            )
    except simple.NoSuchProjectError:
        return []
    except requests.JSONDecodeError as error:
        raise _no_index(name, error) from None
    except requests.RequestException as error:
        msg = f"{name} does not answer ({_cause(error)})"
        raise IndexUnreachableError(msg) from None
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of what is no index
        raise _no_index(name, error) from None
    if not page.packages:
        msg = f"{name} has a page for {package} that names no file; is it an index?"
        raise IndexUnreachableError(msg)
    files = [
        _from_page(entry, name)
        for entry in page.packages
        if _is_of(package, entry.filename) and is_readable(entry.url)
    ]
    return _installable([file for file in files if _URL.fullmatch(file.url)])


def _no_index(name: str, error: Exception) -> IndexUnreachableError:
    return IndexUnreachableError(f"{name} answers, but not as an index does ({_cause(error)})")


class _EndlessError(Exception):
    """A page goes on and on."""


def _session() -> requests.Session:
    import requests  # noqa: PLC0415 - see above
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    session.hooks["response"].append(_read_bounded)
    return session


def _read_bounded(response: requests.Response, **_: object) -> None:
    """Read an answer, but no more of it than any page has, and not for ever."""
    content, start = io.BytesIO(), time.monotonic()
    with contextlib.closing(response.raw) as raw:
        while part := raw.read1(2**16, decode_content=True):
            content.write(part)
            if content.tell() > _PAGE_BYTES:
                msg = f"its page is longer than {_PAGE_BYTES // 2**20} MiB"
                raise _EndlessError(msg)
            if time.monotonic() - start > _PAGE_SECONDS:
                msg = f"its page is not complete after {_PAGE_SECONDS} s"
                raise _EndlessError(msg)
    content.seek(0)
    response.raw = content


def _cause(error: Exception) -> str:
    """Name what happened in a few words: the innermost cause, without URLs or addresses."""
    text = str(error)
    for sign, words in {
        "NameResolution": "its name cannot be resolved",
        "resolve": "its name cannot be resolved",
        "refused": "connection refused",
        "timed out": "timed out",
        "CERTIFICATE": "its certificate is not trusted",
        "RemoteDisconnected": "it closed the connection",
        "IncompleteRead": "its answer was cut short",
    }.items():
        if sign in text:
            return words
    if isinstance(error, _EndlessError):
        return text
    response = getattr(error, "response", None)
    if response is None:
        return type(error).__name__
    hint = {401: ", it asks for credentials"}.get(response.status_code, "")
    return f"status {response.status_code}{hint}"


def _from_page(entry: DistributionPackage, index: str) -> Wheel:
    sha256 = entry.digests.get("sha256", "").lower()
    return Wheel(
        filename=entry.filename,
        url=without_login(entry.url.partition("#")[0]),
        index=index,
        size=entry.size,
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        uploaded=entry.upload_time.date() if entry.upload_time else None,
        yanked=entry.is_yanked,
    )


def _from_folder(package: str, index: str, folder: Path) -> list[Wheel]:
    if not folder.is_dir():
        msg = f"{index} is no folder; name a folder of wheels relative to matrix.yaml, or a URL"
        raise IndexUnreachableError(msg)
    files = [
        Wheel(
            filename=file.name,
            url=file.resolve().as_uri(),
            index=index,
            size=file.stat().st_size,
            sha256=_sha256(file),
        )
        for file in sorted(folder.iterdir())
        if _is_of(package, file.name)
    ]
    return _installable(files)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _installable(files: list[Wheel]) -> list[Wheel]:
    """Leave out the source of releases that have a wheel."""
    built = {file.release for file in files if not file.is_source}
    return [file for file in files if not file.is_source or file.release not in built]


def _is_of(package: str, filename: str) -> bool:
    parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
    try:
        own = parse(filename)[0] == canonicalize_name(package)
    except ValueError:  # as it says of names that are none, and Python of numbers without end
        return False
    return own and _FILENAME.fullmatch(filename) is not None
