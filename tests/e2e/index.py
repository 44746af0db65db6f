"""A real package index on this machine, and the faults that can be planted in it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from html import escape
from itertools import count
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver
from pypi_simple import ProjectPage

from torchfloor.index import default_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

JSON = "application/vnd.pypi.simple.v1+json"


class Answer(NamedTuple):
    """What a server says; no header is sent before the body's first part is there."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]

    def having(self, body: Iterable[bytes], kind: str = "") -> Answer:
        """Say something else, of another length and perhaps kind."""
        told = [(k, v) for k, v in self.headers if k != "Content-Length"]
        kept = [(k, v) for k, v in told if not (kind and k == "Content-Type")]
        return Answer(self.status, kept + ([("Content-Type", kind)] if kind else []), body)


Fault = Callable[[Answer], Answer]
"""Makes the wrong answer from the right one."""


def status(code: int) -> Fault:
    """Answer with nothing but a status."""
    return lambda _: Answer(f"{code} Planted", [("Content-Length", "0")], [])


def refuses(_right: Answer) -> Answer:
    """Close the connection without a word."""
    raise ConnectionAbortedError


def is_silent(right: Answer) -> Answer:
    """Take the connection, and never answer."""
    return right._replace(body=_forever())


def hangs(right: Answer) -> Answer:
    """Send half of it, and never the rest."""
    body = b"".join(right.body)
    return right._replace(body=_forever(body[: len(body) // 2]))


def _forever(*parts: bytes) -> Iterator[bytes]:
    yield from parts
    threading.Event().wait()


def truncated(right: Answer) -> Answer:
    """Send half of it, and close the connection."""
    body = b"".join(right.body)
    return right._replace(body=[body[: len(body) // 2]])


def corrupted(right: Answer) -> Answer:
    """Turn around the bits of the byte in the middle."""
    body = b"".join(right.body)
    middle = len(body) // 2
    turned = bytes(byte ^ 0xFF for byte in body[middle : middle + 1])
    return right._replace(body=[body[:middle] + turned + body[middle + 1 :]])


def instead(content: bytes, kind: str = "text/html") -> Fault:
    """Answer with something else."""
    return lambda right: right.having([content], kind)


def as_json(right: Answer) -> Answer:
    """Write the page in JSON (PEP 691), as the public index does."""
    html = ProjectPage.from_html("tinydep", b"".join(right.body).decode(), "/simple/tinydep/")
    files = [
        {"filename": file.filename, "url": file.url.partition("#")[0], "hashes": file.digests}
        for file in html.packages
    ]
    text = json.dumps({"meta": {"api-version": "1.0"}, "name": "tinydep", "files": files})
    return right.having([text.encode()], JSON)


def yanked(filename: str) -> Fault:
    """Withdraw a file."""
    return edited(f">{filename}<", f' data-yanked="broken">{filename}<')


def without_digest(filename: str) -> Fault:
    """Leave out what a file must hash to."""
    return edited(f"{filename}#sha256=", f"{filename}#none=")


def for_python(filename: str, rule: str) -> Fault:
    """Say of a wheel which Pythons it installs on."""
    return edited(f">{filename}</a>", f' data-requires-python="{escape(rule)}">{filename}</a>')


def edited(before: str, after: str) -> Fault:
    """Replace some words of a page."""
    return lambda right: right.having(
        [b"".join(right.body).replace(before.encode(), after.encode())]
    )


def offers(*filenames: str) -> Fault:
    """Name more files on the page; those that are not there are a 404."""
    links = "".join(
        f'<a href="/packages/{name}#sha256={"0" * 64}">{name}</a>\n' for name in filenames
    )
    return edited("</body>", f"{links}</body>")


def is_endless(right: Answer) -> Answer:
    """Begin the page, and never come to its end."""
    begin = b"".join(right.body).partition(b"</body>")[0]
    lines = (f"<a href='/packages/{n}'>{n}</a>\n".encode() * 1000 for n in count())
    return right.having(part for parts in ([begin], lines) for part in parts)


def cut_off(right: Answer) -> Answer:
    """End the page, and the connection, in the middle of it; nothing says how long it is."""
    page = b"".join(right.body)
    return right.having([page[: len(page) // 2]])


def drips(right: Answer) -> Answer:
    """Send the page a word at a time, and never all of it."""

    def words() -> Iterator[bytes]:
        while True:
            time.sleep(0.1)
            yield b"<p>"

    return right.having(words())


class Index:
    """A running index: pypiserver, and what is planted before it.

    Attributes:
        url: Where it is (PEP 503), with the credentials it asks for.
        bare: The same without credentials.
        asked: The paths that were asked for, in order.
    """

    def __init__(self, app: WSGIApplication, credentials: str) -> None:
        self.asked: list[str] = []
        self.bare = self.url = ""
        self._app = app
        self._faults: dict[str, tuple[Fault, ...]] = {}
        self._credentials = credentials

    def plant(self, name: str, *faults: Fault) -> None:
        """Plant faults, one on top of the other.

        Args:
            name: The file's name, or the project's for its page.
            faults: Each makes the wrong answer from the last one's; without any, all is well again.
        """
        self._faults[name] = faults

    def moved_to(self, port: int) -> None:
        """Say where it listens."""
        self.bare = f"http://127.0.0.1:{port}/simple/"
        at = f"{self._credentials}@" if self._credentials else ""
        self.url = self.bare.replace("://", f"://{at}")

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if not self._lets_in(environ):
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="tiny"')])
            return []
        faults = self._faults.get(path.strip("/").rpartition("/")[2], ())
        answer = self._ask(environ)
        for fault in faults:
            answer = fault(answer)
        start(answer.status, answer.headers)
        return answer.body

    def _lets_in(self, environ: WSGIEnvironment) -> bool:
        wanted = base64.b64encode(self._credentials.encode()).decode()
        return not self._credentials or environ.get("HTTP_AUTHORIZATION") == f"Basic {wanted}"

    def _ask(self, environ: WSGIEnvironment) -> Answer:
        said: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[..., object]:
            said.append((status, headers))
            return bytes

        environ.pop("HTTP_RANGE", None)  # faults are planted in whole files
        body = self._app(environ, start)
        try:
            content = b"".join(body)
        finally:
            getattr(body, "close", bytes)()
        return Answer(*said[-1], [content])


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # those that hang end with the tests
    block_on_close = False


class _Handler(WSGIRequestHandler):
    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path, credentials: str = "") -> Iterator[Index]:
    """Serve a folder of wheels on a free port of this machine.

    What the folder does not have is found at the index that pip and uv are configured to use: it
    can stand in for it (UV_DEFAULT_INDEX), and cells get their pytest all the same.

    Args:
        folder: The wheels; those added later are served, too.
        credentials: `user:password` that it asks for, if any.
    """
    app = pypiserver.app(
        roots=[folder], hash_algo="sha256", backend_arg="simple-dir", fallback_url=default_index()
    )
    index = Index(app, credentials)
    with make_server("127.0.0.1", 0, index, _Server, _Handler) as server:
        index.moved_to(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
