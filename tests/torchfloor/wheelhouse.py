"""What the tests of timelines build: wheels of a few files, and servers that give parts of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def pack(files: Mapping[str, str | bytes]) -> bytes:
    """Pack files the way a build tool does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_wheels(
    folder: Path, releases: Mapping[str, Mapping[str, str]], package: str = "dep"
) -> None:
    """Write a wheel of each release, from its files."""
    folder.mkdir(exist_ok=True)
    for release, files in releases.items():
        (folder / f"{package}-{release}-py3-none-any.whl").write_bytes(pack(files))


class WheelServer:
    """Serves an index of wheels, and byte ranges of them, with the manners it is told.

    Attributes:
        url: The index.
        manner: `ranges`, or what is wrong: `whole`, `other`, `short`, `gzip`, `gone`, `busy`.
        sent: Bytes of wheels that were sent.
        asked: How many requests for wheels came.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manner = "ranges"
        self.sent = 0
        self.asked = 0
        self.url = ""

    def index(self) -> bytes:
        """Return the page of the index."""
        files = [
            {
                "filename": file.name,
                "url": f"../../files/{file.name}",
                "hashes": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
                "size": file.stat().st_size,
            }
            for file in sorted(self.folder.iterdir())
        ]
        page = {"meta": {"api-version": "1.1"}, "name": "dep", "versions": [], "files": files}
        return json.dumps(page).encode()

    @contextlib.contextmanager
    def running(self) -> Iterator[WheelServer]:
        """Answer on this machine while the context lasts."""
        house = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                _answer(house, self)

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        class Listening(ThreadingHTTPServer):
            def handle_error(self, *_who: object) -> None:
                """Say nothing of those who hang up."""

        with Listening(("127.0.0.1", 0), Handler) as listening:
            listening.daemon_threads = True
            arguments = {"poll_interval": 0.01}
            thread = threading.Thread(target=listening.serve_forever, kwargs=arguments)
            thread.start()
            self.url = f"http://127.0.0.1:{listening.server_port}/simple/"
            yield self
            listening.shutdown()
            thread.join()


def _answer(house: WheelServer, handler: BaseHTTPRequestHandler) -> None:
    if not handler.path.startswith("/files/"):
        body = house.index()
        _send(handler, 200, body, {"Content-Type": "application/vnd.pypi.simple.v1+json"})
        return
    house.asked += 1
    body = (house.folder / handler.path.rpartition("/")[2]).read_bytes()
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
    if house.manner == "gone":
        _send(handler, 404, b"", {})
        return
    if house.manner == "busy" and house.asked == 1:
        _send(handler, 502, b"", {})
        return
    if asked is None or house.manner == "whole":
        _send(handler, 200, body, {}, house)
        return
    start, end = int(asked[1]), min(int(asked[2]), len(body) - 1)
    told = start + 1 if house.manner == "other" else start
    headers = {"Content-Range": f"bytes {told}-{end}/{len(body)}"}
    if house.manner == "gzip":
        headers["Content-Encoding"] = "gzip"
    _send(handler, 206, body[start : end + 1], headers, house, short=house.manner == "short")


def _send(  # noqa: PLR0913 - what an answer consists of
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    house: WheelServer | None = None,
    *,
    short: bool = False,
) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    sent = body[: len(body) // 2] if short else body
    if house is not None:
        house.sent += len(sent)
    handler.wfile.write(sent)
    if short:
        handler.close_connection = True
