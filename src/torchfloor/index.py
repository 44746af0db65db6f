"""A package index: which one is configured, and what its page of a package names."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from torchfloor import host
from torchfloor.addresses import find_mistake
from torchfloor.errors import TorchfloorError

if TYPE_CHECKING:
    import requests
    from pypi_simple import DistributionPackage

__all__ = ["DEFAULT", "IndexUnreachableError", "default_index", "list_files"]

DEFAULT = "default"
"""The word in matrix.yaml for the index that pip and uv are configured to use."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_RETRIES = 2
_PAGE_SECONDS = 120
_PAGE_BYTES = 64 * 2**20
"""More than any page has: the largest projects' take a few MB."""


class IndexUnreachableError(TorchfloorError):
    """An index does not answer, or answers with something that is no index."""


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


def _pip_index() -> str | None:
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip is None:
        return None
    found = subprocess.run(  # noqa: S603 - a fixed command line
        [pip, "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def list_files(package: str, name: str, url: str) -> list[DistributionPackage]:
    """Ask an index for all that its page of a package names.

    Args:
        package: Name of the distribution.
        name: What to call the index in a message.
        url: The simple index (PEP 503 or 691), with the credentials that it asks for.

    Returns:
        The files in the page's order; none where the index does not know the package.

    Raises:
        IndexUnreachableError: If the index does not answer, or not as an index does.
    """
    # These take half a second to import, which only a plan that asks an index need spend.
    import pypi_simple as simple  # noqa: PLC0415
    import requests  # noqa: PLC0415

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
    return page.packages


def _no_index(name: str, error: Exception) -> IndexUnreachableError:
    return IndexUnreachableError(f"{name} answers, but not as an index does ({_cause(error)})")


class _EndlessError(Exception):
    """A page goes on and on, or breaks off where nothing tells how long it was to be."""


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
    page = content.getvalue().lower()
    if any(b"<" + tag in page and b"</" + tag not in page for tag in (b"html", b"body")):
        msg = "its page has no end"
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
