"""Indexes and folders: which wheels they offer, and how one that does not answer is named."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from torchfloor import index
from torchfloor.index import IndexUnreachableError
from torchfloor.wheels import Wheel, list_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path("/nowhere")
NAME = "some_dep-1.0-py3-none-any.whl"
HTML = f"""<!DOCTYPE html><html><body>
<a href="{NAME}#sha256={"ab" * 32}">{NAME}</a>
<a href="../../files/some_dep-1.1%2Bcpu-1-cp311-cp311-linux_x86_64.whl"
   >some_dep-1.1+cpu-1-cp311-cp311-linux_x86_64.whl</a>
<a href="some_dep-1.2-py3-none-any.whl" data-yanked="broken">some_dep-1.2-py3-none-any.whl</a>
<a href="some_dep-1.0.tar.gz">some_dep-1.0.tar.gz</a>
<a href="some_dep-odd.whl">some_dep-odd.whl</a>
<a href="x.whl">some_dep-1.{"9" * 5000}-py3-none-any.whl</a>
<a href="other-1.0-py3-none-any.whl">other-1.0-py3-none-any.whl</a>
</body></html>"""
JSON = json.dumps(
    {
        "meta": {"api-version": "1.1"},
        "name": "some-dep",
        "versions": ["1.0"],
        "files": [
            {
                "filename": NAME,
                "url": f"https://files.invalid/{NAME}",
                "hashes": {"sha256": "cd" * 32},
                "size": 1234,
                "requires-python": ">=3.9",
                "upload-time": "2026-01-02T03:04:05Z",
            }
        ],
    }
)
PAGES = {
    "/html/some-dep/": (200, "text/html", HTML),
    "/json/some-dep/": (200, "application/vnd.pypi.simple.v1+json", JSON),
    "/odd/some-dep/": (200, "image/png", "no index"),
    "/later/some-dep/": (
        200,
        "application/vnd.pypi.simple.v1+json",
        JSON.replace('"1.1"', '"9.0"'),
    ),
    "/broken/some-dep/": (200, "application/vnd.pypi.simple.v1+json", "{"),
    "/forbidden/some-dep/": (403, "text/html", ""),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, kind, text = PAGES.get(self.path, (404, "text/html", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve the pages on this machine."""
    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_an_html_index_tells_names_digests_and_what_is_yanked(server: str) -> None:
    found = list_wheels("some-dep", f"{server}/html/", HERE)
    assert [wheel.filename for wheel in found] == [
        NAME,
        "some_dep-1.1+cpu-1-cp311-cp311-linux_x86_64.whl",
        "some_dep-1.2-py3-none-any.whl",
    ]
    assert [wheel.yanked for wheel in found] == [False, False, True]
    first = found[0]
    assert (first.url, first.sha256) == (f"{server}/html/some-dep/{NAME}", "ab" * 32)
    assert (first.size, first.uploaded, found[1].sha256) == (None, None, None)


def test_a_json_index_tells_sizes_and_dates_too(server: str) -> None:
    (wheel,) = list_wheels("Some_Dep", f"{server}/json", HERE)
    assert wheel == Wheel(
        filename=NAME,
        url=f"https://files.invalid/{NAME}",
        index=f"{server}/json",
        size=1234,
        sha256="cd" * 32,
        uploaded=dt.date(2026, 1, 2),
        requires_python=">=3.9",
    )


def test_an_index_that_does_not_know_the_package_offers_nothing(server: str) -> None:
    assert list_wheels("unknown", f"{server}/html/", HERE) == []


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("forbidden", r"does not answer \(status 403\)"),
        ("odd", r"answers, but not as an index does \(UnsupportedContentTypeError\)"),
        ("later", r"answers, but not as an index does \(UnsupportedRepoVersionError\)"),
        ("broken", r"answers, but not as an index does \(JSONDecodeError\)"),
    ],
)
def test_an_answer_that_is_no_index_is_named_with_its_cause(
    server: str, path: str, cause: str
) -> None:
    with pytest.raises(IndexUnreachableError, match=f"/{path} {cause}"):
        list_wheels("some-dep", f"{server}/{path}", HERE)


def test_a_refused_connection_is_told_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_RETRIES", 0)
    with HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(IndexUnreachableError) as caught:
        list_wheels("some-dep", f"http://user:secret@127.0.0.1:{port}/", HERE)
    told = str(caught.value)
    assert told == f"http://127.0.0.1:{port}/ does not answer (connection refused)"


def test_credentials_of_an_index_never_name_it(server: str) -> None:
    (wheel,) = list_wheels("some-dep", f"{server.replace('//', '//user:secret@')}/json", HERE)
    assert wheel.index == f"{server}/json"


def test_a_release_without_a_wheel_is_told_by_its_source(tmp_path: Path) -> None:
    for name in (NAME, "some_dep-1.0.tar.gz", "some_dep-1.1.tar.gz", "some_dep-1.2.zip"):
        (tmp_path / name).write_bytes(b"content")
    found = list_wheels("some-dep", ".", tmp_path)
    assert [(str(each.release), each.is_source) for each in found] == [
        ("1.0", False),
        ("1.1", True),
        ("1.2", True),
    ]
    assert (found[1].tags, found[1].build) == (frozenset(), ())
    assert found[1].withheld == "no wheel, only source, and nothing is built here"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hashes": {"sha256": "CD" * 32}}, "cd" * 32),
        ({"hashes": {"sha256": "cd#egg=x"}}, None),
        ({"hashes": {"md5": "ab" * 16}}, None),
        ({"hashes": {}}, None),
    ],
)
def test_a_digest_is_one_or_there_is_none(
    server: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: str | None
) -> None:
    page = json.loads(JSON)
    page["files"][0] |= changes
    kind = "application/vnd.pypi.simple.v1+json"
    monkeypatch.setitem(PAGES, "/edited/some-dep/", (200, kind, json.dumps(page)))
    (wheel,) = list_wheels("some-dep", f"{server}/edited", HERE)
    assert wheel.sha256 == expected


def test_a_file_name_that_is_more_than_a_name_is_passed_over(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = json.loads(JSON)
    endless = f"some_dep-1.{'9' * 100}-py3-none-any.whl"
    names = ("some_dep-1.0-py3-none-any.<b>.whl", "some_dep-1.0-py3-none-any|x.whl", endless)
    page["files"] = [page["files"][0] | {"filename": name} for name in names]
    kind = "application/vnd.pypi.simple.v1+json"
    monkeypatch.setitem(PAGES, "/odd-names/some-dep/", (200, kind, json.dumps(page)))
    assert list_wheels("some-dep", f"{server}/odd-names", HERE) == []


def test_a_folder_offers_its_wheels_with_their_digests(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in (NAME, "other-1.0-py3-none-any.whl", "some_dep-1.0.tar.gz", "some_dep-x.whl"):
        (folder / name).write_bytes(b"content")
    (wheel,) = list_wheels("some-dep", "wheels", tmp_path)
    assert (wheel.filename, wheel.index, wheel.size) == (NAME, "wheels", 7)
    assert wheel.sha256 == hashlib.sha256(b"content").hexdigest()
    assert wheel.url == (folder / NAME).as_uri()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"some_dep-1.0.dist-info/METADATA": "Requires-Python: >=3.99\n"}, ">=3.99"),
        ({"some_dep-1.0.dist-info/METADATA": "Name: some-dep\n"}, ""),
        ({"other/some_dep-1.0.dist-info/METADATA": "Requires-Python: >=3.99\n"}, ""),
    ],
)
def test_a_folder_tells_what_its_wheels_ask_of_python(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    (wheel,) = list_wheels("some-dep", ".", tmp_path)
    assert wheel.requires_python == expected


def test_a_folder_that_is_not_there_is_named_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(IndexUnreachableError, match=r"gone is no folder; name a folder of wheels"):
        list_wheels("some-dep", "gone", tmp_path)


def test_a_wheel_knows_its_release_build_and_tags() -> None:
    wheel = Wheel("some_dep-1.1+cu118-2-cp311-cp311-linux_x86_64.whl", "", "")
    assert (str(wheel.version), str(wheel.release)) == ("1.1+cu118", "1.1")
    assert wheel.build == (2, "")
    assert [str(tag) for tag in wheel.tags] == ["cp311-cp311-linux_x86_64"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            f"https://files.invalid/{NAME}?sig=s3cret#sha256=x",
            f"https://files.invalid/{NAME}?sig=s3cret",
        ),
        (f"https://user:s3cret@files.invalid/{NAME}?sig=x", f"https://files.invalid/{NAME}?sig=x"),
        (f"https://files.invalid/a b/{NAME}", f"https://files.invalid/a%20b/{NAME}"),
    ],
)
def test_a_link_keeps_the_query_that_lets_in_and_no_login(
    server: str, monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    assert wheel_behind(url, server, monkeypatch).url == expected


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:s3/cret@files.invalid/{NAME}",
        f"https://files.invalid:s3cret/{NAME}",
        f"file:///s3cret/{NAME}",
        f"https://files.invalid/s3cret$'\n/{NAME}",
    ],
)
def test_a_wheel_whose_link_cannot_be_used_is_there_and_withheld(
    server: str, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    wheel = wheel_behind(url, server, monkeypatch)
    assert (wheel.url, wheel.withheld) == ("", "its link on the index cannot be used")


def wheel_behind(url: str, server: str, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """List the wheel of an index that links to it like this."""
    page = json.loads(JSON)
    page["files"][0]["url"] = url
    kind = "application/vnd.pypi.simple.v1+json"
    monkeypatch.setitem(PAGES, "/links/some-dep/", (200, kind, json.dumps(page)))
    (wheel,) = list_wheels("some-dep", f"{server}/links", HERE)
    return wheel


def test_a_wheel_that_cannot_be_read_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (NAME, "some_dep-1.1-py3-none-any.whl"):
        (tmp_path / name).touch()
    read = Path.open

    def refuse(self: Path, *options: Any, **more: Any) -> Any:  # noqa: ANN401 - as they are given
        if self.name == NAME:
            raise PermissionError(13, "Permission denied", str(self))
        return read(self, *options, **more)

    monkeypatch.setattr(Path, "open", refuse)
    broken, whole = list_wheels("some-dep", ".", tmp_path)
    assert broken.withheld == "its file cannot be read (Permission denied)"
    assert not whole.withheld
