"""This host: what is found out about it, without what a record must not tell."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from torchfloor import host
from torchfloor.errors import TorchfloorError

if TYPE_CHECKING:
    from pathlib import Path


def listed(major: int, minor: int, **changes: str) -> dict[str, object]:
    parts = {"major": major, "minor": minor, "patch": 1}
    entry = {"version_parts": parts, "implementation": "cpython", "variant": "default"}
    return {**entry, **changes}


def answer(text: str, status: int = 0) -> Any:  # noqa: ANN401
    def run(*_command: object, **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], status, stdout=text, stderr="why: this")

    return run


def test_interpreters_are_the_usable_ones_once_and_newest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [
        listed(3, 9),
        listed(3, 12),
        listed(3, 12),
        listed(3, 8),
        listed(2, 7),
        listed(3, 13, variant="freethreaded"),
        listed(3, 14, implementation="pypy"),
    ]
    monkeypatch.setattr("subprocess.run", answer(json.dumps(entries)))
    assert host.interpreters() == ("3.12", "3.9")


def test_a_uv_that_cannot_list_interpreters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", answer("", 2))
    with pytest.raises(TorchfloorError, match=r"cannot list the interpreters here \(why: this\)"):
        host.interpreters()


def test_the_folders_of_pyenv_come_before_its_shims(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "versions/3.9.1/bin").mkdir(parents=True)
    (tmp_path / "versions/other/bin").mkdir(parents=True)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "/shims")
    assert host.search_path() == os.pathsep.join([str(tmp_path / "versions/3.9.1/bin"), "/shims"])


@pytest.mark.parametrize(
    ("smi", "text", "status", "found"),
    [
        (None, "", 0, False),
        ("/bin/nvidia-smi", "GPU 0: Some GPU\n", 0, True),
        ("/bin/nvidia-smi", "No devices were found\n", 0, False),
        ("/bin/nvidia-smi", "GPU access failed\n", 9, False),
    ],
)
def test_a_cuda_device_is_one_that_the_driver_lists(
    monkeypatch: pytest.MonkeyPatch, smi: str | None, text: str, status: int, *, found: bool
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: smi)
    monkeypatch.setattr("subprocess.run", answer(text, status))
    assert host.has_cuda_device() is found


def test_the_machine_is_described_without_its_name() -> None:
    machine = host.machine()
    assert machine.cores >= 1
    assert machine.cpu
    assert machine.system == platform.system()
    assert not platform.node() or platform.node() not in repr(machine)


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert host.free_space(tmp_path / "not/there/yet") > 0


def test_the_installer_gets_what_it_needs_of_the_environment_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = {
        "HOME": "/home/me",
        "https_proxy": "http://proxy.invalid",
        "SSL_CERT_FILE": "/etc/certificates",
        "UV_INDEX_MINE_PASSWORD": "of the index",
        "UV_KEYRING_PROVIDER": "subprocess",
    }
    others = (
        *("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PIP_PASSWORD", "SSH_AUTH_SOCK"),
        *("UV_PUBLISH_TOKEN", "UV_CONSTRAINT", "UV_OVERRIDE", "PYTHONPATH", "VIRTUAL_ENV"),
        *("UV_CONFIG_FILE", "UV_LINK_MODE"),
    )
    monkeypatch.setattr("os.environ", needed | dict.fromkeys(others, "x") | {"PATH": "/bin"})
    monkeypatch.setattr(host, "_pyenv_folders", list)
    found = host.uv_environment("https://index.invalid")
    ours = {"PATH": "/bin", "UV_DEFAULT_INDEX": "https://index.invalid", "UV_NO_WRAP": "1"}
    assert found == needed | ours | {"UV_NO_CONFIG": "1"}


ONE = '[[index]]\nname = "other"\nurl = "no"\n[[index]]\nurl = "one"\ndefault = true\n'


@pytest.mark.parametrize(
    ("user", "system", "index"),
    [
        (ONE, 'index-url = "two"', "one"),
        ('index-url = "two"', ONE, "two"),
        ('[pip]\nindex-url = "three"', ONE, "three"),
        ("offline = false", ONE, "one"),
        (None, ONE, "one"),
        ('index-url = "broken', ONE, "one"),
        ("index-url = 5", None, None),
        ("index = [5]", None, None),
        ("pip = 5", None, None),
        (None, None, None),
    ],
)
def test_the_index_in_uvs_own_configuration_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    system: str | None,
    index: str | None,
) -> None:
    for name, text in {"XDG_CONFIG_HOME": user, "SYSTEM": system}.items():
        (tmp_path / name / "uv").mkdir(parents=True)
        monkeypatch.setenv(name, str(tmp_path / name))
        if text is not None:
            (tmp_path / name / "uv/uv.toml").write_text(text, "utf-8")
    monkeypatch.delenv("UV_CONFIG_FILE", raising=False)
    monkeypatch.delenv("UV_NO_CONFIG", raising=False)
    monkeypatch.setattr(host, "_SYSTEM", str(tmp_path / "SYSTEM"))
    assert host.uv_index() == index
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert host.uv_index() is None
    (tmp_path / "named").write_text('index-url = "named"', "utf-8")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "named"))
    assert host.uv_index() == "named"


def test_uv_is_the_one_installed_beside_the_harness() -> None:
    done = subprocess.run([host.uv(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - the harness's own uv
    assert done.stdout.startswith("uv ")


def test_nothing_turns_the_check_of_digests_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    environment = host.uv_environment("https://host.invalid/simple/")
    assert "UV_NO_VERIFY_HASHES" not in environment
    assert environment["UV_HTTP_TIMEOUT"] == "7"
    assert environment["UV_DEFAULT_INDEX"] == "https://host.invalid/simple/"


def test_where_there_is_no_path_the_systems_own_is_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PATH")
    assert host.search_path().endswith(os.defpath)
