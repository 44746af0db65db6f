"""Some bytes of a file, near or far: a local file, or one on a server that gives byte ranges."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

from torchfloor.errors import TorchfloorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

__all__ = [
    "Bytes",
    "LocalBytes",
    "NoRangesError",
    "RemoteBytes",
    "RemoteError",
    "Server",
    "megabytes",
]

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ANSWER_SECONDS = 120
"""A server that drips must come to an end, too."""
_RETRIES = 3
_BLOCK = 2**16
_NOT_THERE = (404, 410)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RemoteError(TorchfloorError):
    """A server does not give the bytes it was asked for."""


class NoRangesError(RemoteError):
    """A server only gives whole files."""


class Bytes(Protocol):
    """Something of known size, of which parts can be read."""

    size: int

    def read(self, start: int, length: int) -> bytes:
        """Return exactly these bytes.

        Raises:
            RemoteError: If they cannot be had.
        """


class LocalBytes:
    """An open file.

    Args:
        file: Opened for reading bytes; several threads must not share it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    @classmethod
    def at(cls, url: str) -> LocalBytes:
        """Open the file that a `file://` URL names.

        Raises:
            RemoteError: If it cannot be opened.
        """
        path = Path(url2pathname(urlsplit(url).path))
        try:
            return cls(path.open("rb"))
        except OSError as error:
            msg = f"{path.name} cannot be read ({error.strerror}); check the folder of wheels"
            raise RemoteError(msg) from None

    def read(self, start: int, length: int) -> bytes:
        """Return exactly these bytes."""
        self._file.seek(start)
        found = self._file.read(length)
        if len(found) != length:
            msg = f"the file ends at byte {self.size}, before the bytes that it says it holds"
            raise RemoteError(msg)
        return found

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Server:
    """Asks servers for bytes, from several threads, and counts what comes.

    Attributes:
        requests: How many answers came.
        received: How many bytes were in them, without headers.
    """

    def __init__(self, connections: int) -> None:
        # Half a second to import, which nobody need spend who finds everything in the store.
        import requests  # noqa: PLC0415
        from requests.adapters import HTTPAdapter  # noqa: PLC0415
        from urllib3 import Retry  # noqa: PLC0415

        retry = Retry(
            _RETRIES,
            backoff_factor=0.2,
            backoff_max=5,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
        )
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            adapter = HTTPAdapter(pool_maxsize=connections, max_retries=retry)
            self._session.mount(scheme, adapter)
        self._lock = threading.Lock()
        self.requests = 0
        self.received = 0

    def part(self, url: str, start: int, length: int) -> tuple[bytes, int]:
        """Return a part of a file, and the size of the whole.

        Raises:
            NoRangesError: If the server gives whole files only; none is read.
            RemoteError: If it gives something else, or nothing.
        """
        name = _name(url)
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        for attempt in range(_RETRIES):
            with self._answer(url, headers) as answer:
                size = _check_part(answer, name, start, length)
                body = b"".join(self._blocks(answer, length))
            if len(body) == length:
                return body, size
            time.sleep(0.1 * attempt)
        msg = f"{name}: the server breaks off before its answer is complete; try again later"
        raise RemoteError(msg)

    def whole(self, url: str, size: int | None, limit: int) -> IO[bytes]:
        """Download a file into a nameless temporary one.

        Args:
            url: The file's address.
            size: Its size, if known.
            limit: The most bytes to take.

        Raises:
            RemoteError: If it cannot be had, or is another size.
        """
        name = _name(url)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this function
        with self._answer(url, {}) as answer:
            for block in self._blocks(answer, limit):
                file.write(block)
        if size is not None and file.tell() != size:
            msg = f"{name}: {file.tell()} bytes came, and the index says {size}; try again later"
            file.close()
            raise RemoteError(msg)
        return file

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        import requests  # noqa: PLC0415 - see above

        name = _name(url)
        try:
            answer = self._session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                stream=True,
            )
        except requests.RequestException as error:
            msg = f"{name}: the server does not answer ({type(error).__name__}); try again later"
            raise RemoteError(msg) from None
        with self._lock:
            self.requests += 1
        if answer.status_code >= 400:  # noqa: PLR2004 - errors begin there
            answer.close()
            gone = answer.status_code in _NOT_THERE
            hint = "it is no longer there" if gone else "try again later"
            msg = f"{name}: the server answers with status {answer.status_code}; {hint}"
            raise RemoteError(msg)
        return answer

    def _blocks(self, answer: requests.Response, limit: int) -> Iterator[bytes]:
        """Yield the answer's bytes, no more than the limit; fewer where the answer breaks off."""
        import requests  # noqa: PLC0415 - see above

        deadline = time.monotonic() + _ANSWER_SECONDS
        left = limit
        try:
            for block in answer.iter_content(_BLOCK):
                with self._lock:
                    self.received += len(block)
                yield block[:left]
                left -= len(block)
                if left <= 0 or time.monotonic() > deadline:
                    return
        except requests.RequestException:
            return


class RemoteBytes:
    """A file on a server that gives byte ranges.

    Args:
        server: Asks for them.
        url: The file's address.
        size: Its size, or None where the index does not say: then one more answer tells.
    """

    def __init__(self, server: Server, url: str, size: int | None) -> None:
        self._server = server
        self._url = url
        self.size = size if size is not None else server.part(url, 0, 1)[1]

    def read(self, start: int, length: int) -> bytes:
        """Return exactly these bytes."""
        if length <= 0:
            return b""
        body, size = self._server.part(self._url, start, length)
        if size != self.size:
            msg = (
                f"{_name(self._url)}: {size} bytes on the server, and {self.size} on the index; "
                "ask the index again (--refresh)"
            )
            raise RemoteError(msg)
        return body


def _check_part(answer: requests.Response, name: str, start: int, length: int) -> int:
    """Make sure that an answer is the part that was asked for; return the size of the whole."""
    if answer.status_code != 206:  # noqa: PLR2004 - partial content
        told = answer.headers.get("Content-Length", "")
        size = f" ({megabytes(int(told))})" if told.isdigit() else ""
        msg = (
            f"{name}: the server gives no byte ranges, only the whole file{size}; "
            "--allow-full downloads it"
        )
        raise NoRangesError(msg)
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None or (int(found[1]), int(found[2])) != (start, start + length - 1):
        msg = f"{name}: the server gives other bytes than it was asked for; use another index"
        raise RemoteError(msg)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        msg = f"{name}: the server compresses parts of files; use another index"
        raise RemoteError(msg)
    return int(found[3])


def _name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def megabytes(size: int) -> str:
    """Write a number of bytes for a reader."""
    return f"{size / 1e6:.1f} MB"
