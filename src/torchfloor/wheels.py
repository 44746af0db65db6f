"""An index or a folder of wheels -> the wheels it offers."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

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
    "without_credentials",
]

DEFAULT = "default"
"""The word in matrix.yaml for the index that pip and uv are configured to use."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_RETRIES = 2


class IndexUnreachableError(TorchfloorError):
    """An index does not answer, or answers with something that is no index."""


class Wheel(msgspec.Struct, frozen=True):
    """One wheel, as its index describes it.

    Attributes:
        filename: Its file name, which holds release, Python and platform tags.
        url: Where to download it; may hold credentials, so it never enters a record.
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
    def version(self) -> Version:
        """The wheel's version, with its local part (`2.0.1+cpu`)."""
        return parse_wheel_filename(self.filename)[1]

    @property
    def build(self) -> BuildTag:
        """The build tag: among wheels of one release, installers prefer the highest."""
        return parse_wheel_filename(self.filename)[2]

    @property
    def tags(self) -> frozenset[Tag]:
        """The Python, ABI and platform tags of its file name."""
        return parse_wheel_filename(self.filename)[3]

    @property
    def release(self) -> Version:
        """The wheel's version, without a local part: the release it belongs to."""
        return Version(self.version.public)


def list_wheels(package: str, index: str, root: Path) -> list[Wheel]:
    """List every wheel of a package that an index offers.

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
        The URL in UV_DEFAULT_INDEX, UV_INDEX_URL or PIP_INDEX_URL, else the one in pip's
        configuration, else the public index that pypi-simple knows.
    """
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if url := os.environ.get(variable):
            return url
    if url := _pip_index():
        return url
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - see _from_index

    return PYPI_SIMPLE_ENDPOINT


def without_credentials(url: str) -> str:
    """Strip user name and password from a URL."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


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
    except (
        requests.RequestException,
        simple.UnsupportedContentTypeError,
        simple.UnsupportedRepoVersionError,
    ) as error:
        msg = f"{name} does not answer ({_cause(error)})"
        raise IndexUnreachableError(msg) from None
    return [
        _from_page(entry, name)
        for entry in page.packages
        if entry.package_type == "wheel" and _is_wheel_of(package, entry.filename)
    ]


def _session() -> requests.Session:
    import requests  # noqa: PLC0415 - see above
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    return session


def _cause(error: Exception) -> str:
    """Name what happened in a few words: the innermost cause, without URLs or addresses."""
    text = str(error)
    for sign, words in {
        "NameResolution": "its name cannot be resolved",
        "resolve": "its name cannot be resolved",
        "refused": "connection refused",
        "timed out": "timed out",
        "CERTIFICATE": "its certificate is not trusted",
    }.items():
        if sign in text:
            return words
    response = getattr(error, "response", None)
    return f"status {response.status_code}" if response is not None else type(error).__name__


def _from_page(entry: DistributionPackage, index: str) -> Wheel:
    return Wheel(
        filename=entry.filename,
        url=entry.url.partition("#")[0],
        index=index,
        size=entry.size,
        sha256=entry.digests.get("sha256"),
        uploaded=entry.upload_time.date() if entry.upload_time else None,
        yanked=entry.is_yanked,
    )


def _from_folder(package: str, index: str, folder: Path) -> list[Wheel]:
    if not folder.is_dir():
        msg = f"{index} is no folder; name a folder of wheels relative to matrix.yaml, or a URL"
        raise IndexUnreachableError(msg)
    return [
        Wheel(
            filename=file.name,
            url=file.resolve().as_uri(),
            index=index,
            size=file.stat().st_size,
            sha256=_sha256(file),
        )
        for file in sorted(folder.glob("*.whl"))
        if _is_wheel_of(package, file.name)
    ]


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_wheel_of(package: str, filename: str) -> bool:
    try:
        return parse_wheel_filename(filename)[0] == canonicalize_name(package)
    except InvalidWheelFilename:
        return False
