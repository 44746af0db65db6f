"""Which index is the default one, and what is said of one that cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from torchfloor import index
from torchfloor.index import IndexUnreachableError, default_index
from torchfloor.wheels import list_wheels

HERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("variables", "of_uv", "expected"),
    [
        ({"UV_DEFAULT_INDEX": "a", "UV_INDEX_URL": "b", "PIP_INDEX_URL": "c"}, "u", "a"),
        ({"UV_INDEX_URL": "b", "PIP_INDEX_URL": "c"}, "u", "b"),
        ({"UV_DEFAULT_INDEX": "", "PIP_INDEX_URL": "c"}, "u", "c"),
        ({}, "u", "u"),
        ({}, None, "configured"),
    ],
)
def test_the_default_index_is_the_one_that_uv_and_pip_use(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], of_uv: str | None, expected: str
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torchfloor.host.uv_index", lambda: of_uv)
    monkeypatch.setattr(index, "_pip_index", lambda: "configured")
    assert default_index() == expected


@pytest.mark.parametrize("where", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL", "pip's configuration"])
@pytest.mark.parametrize(
    "url", ["https://user:s3/cret@host.invalid/simple/", "https://host.invalid/simple?token=s3cret"]
)
def test_a_default_index_that_would_show_its_password_is_refused_without_it(
    monkeypatch: pytest.MonkeyPatch, where: str, url: str
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    if where.isupper():
        monkeypatch.setenv(where, url)
    monkeypatch.setattr(index, "_pip_index", lambda: url)
    with pytest.raises(IndexUnreachableError) as caught:
        list_wheels("some-dep", "default", HERE)
    assert str(caught.value).startswith(f"default cannot be asked: what {where} names ")
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_without_any_configuration_the_public_index_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torchfloor.host.uv_index", lambda: None)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert default_index() == PYPI_SIMPLE_ENDPOINT
