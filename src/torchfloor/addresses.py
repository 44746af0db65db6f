"""Addresses of indexes and files: what is wrong with one, and how much of it may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

__all__ = ["find_mistake", "is_readable", "without_credentials", "without_login"]

_ALLOWED = re.compile(r"https?://(?:[!$&-;=@-\[\]_a-z~?#]|%[0-9A-Fa-f]{2})+")
"""What an address may be written with (RFC 3986)."""
_ENCODE = "write such characters of a user name or password percent-encoded: / as %2F, @ as %40"


def find_mistake(address: str) -> str:
    """Say what is wrong with the http(s) address of an index, without showing any of it.

    Whoever reads an address cuts it at the first `/`, `?` or `#` and takes what follows an `@` for
    the host. A password that holds one of them is then taken for something else, and shown.

    Args:
        address: An address with a scheme.

    Returns:
        What is wrong and what to write instead, or nothing.
    """
    if not is_readable(address) or not _ALLOWED.fullmatch(address):
        return f"cannot be read as an address; {_ENCODE}"
    parts = urlsplit(address)
    if address.count("@") > ("@" in parts.netloc):
        return f"has an @ that parts nothing; {_ENCODE}"
    if "?" in address or "#" in address:
        where = "has a ? or a #, which no index has"
        return f"{where}; give a token as the user name (https://TOKEN@host/simple/), and {_ENCODE}"
    return ""


def is_readable(address: str) -> bool:
    """Tell whether an address has a host and, if any, a port that is a number."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.port is None or parts.port >= 0)
    except ValueError:
        return False


def without_login(address: str) -> str:
    """Strip user name and password; what else an address holds may be needed to use it."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def without_credentials(index: str) -> str:
    """Return an index as it may be shown: without login, query and fragment.

    Args:
        index: An address, or the name of a folder, which stays as it is.
    """
    if "://" not in index:
        return index
    return urlunsplit(urlsplit(without_login(index))._replace(query="", fragment=""))
