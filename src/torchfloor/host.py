"""This host: its interpreters, its machine, its devices and its disk."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import msgspec
from uv import find_uv_bin

from torchfloor.errors import TorchfloorError
from torchfloor.files import read_bounded

__all__ = [
    "Machine",
    "free_space",
    "has_cuda_device",
    "interpreters",
    "machine",
    "search_path",
    "uv",
    "uv_environment",
    "uv_index",
]

OLDEST_PYTHON = (3, 9)
"""The oldest Python the in-cell plugin is written for."""

_INSTALLER_VARIABLES = frozenset(
    {
        # Where a process finds its libraries, its language and its temporary files.
        *("LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP"),
        # Where uv finds ~/.netrc, the keyring and the Pythons that it manages.
        *("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
        *("UV_PYTHON_INSTALL_DIR", "UV_CACHE_DIR", "XDG_CACHE_HOME"),
        # How the network is reached, and whose certificates count.
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "NETRC"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"),
        *("UV_INSECURE_HOST", "UV_OFFLINE", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES"),
        # Which indexes there are, and how one logs in; UV_INDEX_<NAME>_PASSWORD as well.
        *("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_STRATEGY"),
        *("UV_KEYRING_PROVIDER", "UV_CREDENTIALS_DIR"),
        # How much is done at a time.
        *("UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS"),
    }
)
"""All of the caller's environment that reaches the installer: no token but an index's own, and
nothing that turns the check of digests off."""
_MAX_CONFIG = 2**20
_SYSTEM = "/etc"


class Machine(msgspec.Struct, frozen=True):
    """What timings depend on.

    Attributes:
        system: `Linux`, `Darwin` or `Windows`.
        architecture: `x86_64`, `arm64` …
        cpu: The processor's model name.
        cores: Logical processors.
    """

    system: str
    architecture: str
    cpu: str
    cores: int


def uv() -> str:
    """Return the path of the uv that is installed beside torchfloor."""
    return find_uv_bin()


def search_path() -> str:
    """Return the PATH on which uv finds every interpreter.

    pyenv puts shims on the path that fail for every version but the active one; the real
    folders go before them.
    """
    return os.pathsep.join([*_pyenv_folders(), os.environ.get("PATH", os.defpath)])


def uv_environment(index: str) -> dict[str, str]:
    """Return the environment in which uv finds every interpreter and uses an index.

    Args:
        index: The default index's URL; an argument would show its credentials to every user.

    Returns:
        All of it: what an installer needs of the caller's, and nothing else.
    """
    passed_on = {name: text for name, text in os.environ.items() if _reaches_installer(name)}
    return {
        **passed_on,
        "PATH": search_path(),
        "UV_DEFAULT_INDEX": index,
        "UV_NO_WRAP": "1",
        # Neither what stands in the project, nor in a folder around it, nor what this user prefers
        # changes what is installed: it would not be what another one proves with the same matrix.
        "UV_NO_CONFIG": "1",
    }


def _reaches_installer(name: str) -> bool:
    return name.upper() in _INSTALLER_VARIABLES or name.startswith("UV_INDEX_")


def uv_index() -> str | None:
    """Find the default index in this user's configuration of uv, or in the system's.

    A project's own is left out: its matrix says which indexes it is about.
    """
    return next(filter(None, map(_index_in, _uv_configurations())), None)


def _uv_configurations() -> list[Path]:
    if named := os.environ.get("UV_CONFIG_FILE"):
        return [Path(named)]
    if os.environ.get("UV_NO_CONFIG"):
        return []
    if os.name == "nt":
        folders = [os.environ.get("APPDATA"), os.environ.get("PROGRAMDATA")]
    else:
        folders = [os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config"), _SYSTEM]
    return [Path(folder, "uv/uv.toml") for folder in folders if folder]


def _index_in(file: Path) -> str | None:
    try:
        said = tomllib.loads(read_bounded(file, _MAX_CONFIG).decode())
        named = [index["url"] for index in said.get("index", ()) if index.get("default")]
        named += [said.get("index-url"), said.get("pip", {}).get("index-url")]
        url = next(filter(None, named), None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # there is none
        return None
    return url if isinstance(url, str) else None


def interpreters() -> tuple[str, ...]:
    """List the CPython versions of this host that a cell can use, newest first (`"3.11"`).

    Raises:
        TorchfloorError: If uv cannot tell.
    """
    found = subprocess.run(  # noqa: S603 - a fixed command line
        [uv(), "python", "list", "--only-installed", "--output-format", "json"],
        env={**os.environ, "PATH": search_path(), "UV_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        said = (found.stderr.strip().splitlines() or [f"status {found.returncode}"])[0]
        msg = f"uv cannot list the interpreters here ({said}); `uv python list` shows more"
        raise TorchfloorError(msg)
    versions = {
        (entry["version_parts"]["major"], entry["version_parts"]["minor"])
        for entry in json.loads(found.stdout)
        if entry["implementation"] == "cpython" and entry["variant"] == "default"
    }
    return tuple(
        f"{major}.{minor}"
        for major, minor in sorted(versions, reverse=True)
        if (major, minor) >= OLDEST_PYTHON
    )


def _pyenv_folders() -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(str(folder) for folder in root.glob("versions/3.*/bin"))


def has_cuda_device() -> bool:
    """Tell whether the NVIDIA driver lists at least one device."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return False
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    return listed.returncode == 0 and "GPU" in listed.stdout


@cache
def machine() -> Machine:
    """Describe this machine; the host's name is left out, since records are published."""
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def free_space(folder: Path) -> int:
    """Return the free bytes of the file system that would hold the folder."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
