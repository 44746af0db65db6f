"""Addresses: no part of one that lets anybody in is shown."""

from __future__ import annotations

import pytest

from torchfloor.addresses import without_credentials


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://user:pass@host.invalid/simple/", "https://host.invalid/simple/"),
        ("https://token@host.invalid:8080/x?y#z", "https://host.invalid:8080/x"),
        ("https://user:p@ss@host.invalid/", "https://host.invalid/"),
        ("https://host.invalid/a@b", "https://host.invalid/a@b"),
        ("default", "default"),
        ("wheels/here", "wheels/here"),
    ],
)
def test_credentials_are_stripped(url: str, bare: str) -> None:
    assert without_credentials(url) == bare
