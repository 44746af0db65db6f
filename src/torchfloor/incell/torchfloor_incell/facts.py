"""What a cell really is: release, build, Python, machine, device, as read back from inside it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from torchfloor_incell.origin import installed

if TYPE_CHECKING:
    from types import ModuleType


def readback(package: str, module: ModuleType, device: str) -> dict[str, object]:
    """Return the facts of the running cell, to be held against the plan.

    Args:
        package: the distribution under test.
        module: the same, imported.
        device: where the code is to run; what comes back is where it really can.
    """
    release, build = _release(package, module)
    return {
        "package": package,
        "release": release,
        "build": build,
        "module_version": _module_version(module),
        **_environment(),
        **(_torch_facts(module, device) if package == "torch" else _plain_facts(device)),
        "packages": installed_packages(),
    }


def _module_version(module: ModuleType) -> str:
    said = getattr(module, "__version__", "")
    return str(said) if isinstance(said, str) else ""  # a tuple, say, is another way to tell


def _release(package: str, module: ModuleType) -> tuple[str, str]:
    """Return the public version and the build tag with its plus sign ("" where there is none)."""
    imported = _module_version(module)
    distribution = installed(package)
    version = imported if distribution is None else distribution.version
    public, _, local = version.partition("+")
    # An index may strip the local part from the metadata; the module still knows it.
    local = local or imported.partition("+")[2]
    return public, f"+{local}" if local else ""


def _environment() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation().lower(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
    }


def _plain_facts(device: str) -> dict[str, object]:
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "cuda": None,
        "git": None,
        "threads": int(threads) if threads.isdigit() else os.cpu_count() or 1,
        "device": device,
        "device_name": "",
        "driver": "",
    }


def _torch_facts(torch: ModuleType, device: str) -> dict[str, object]:
    on_cuda = device == "cuda" and bool(torch.cuda.is_available())
    cuda = torch.version.cuda
    git = getattr(torch.version, "git_version", None)
    return {
        "cuda": str(cuda) if cuda else None,
        "git": str(git) if git else None,
        "threads": int(torch.get_num_threads()),
        "device": device if on_cuda or device != "cuda" else "cpu",
        "device_name": str(torch.cuda.get_device_name()) if on_cuda else "",
        "driver": _nvidia_driver() if on_cuda else "",
    }


def _nvidia_driver() -> str:
    # torch knows the CUDA version that the driver supports, not the driver's own version.
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return _first_line_of(query)


def installed_packages() -> dict[str, str]:
    """Return the version of every distribution in the environment, by its name in lower case."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that imports.
            found.setdefault(name.lower().replace("_", "-"), distribution.version)
    return dict(sorted(found.items()))


def cpu_model() -> str:
    """Return the processor's model name, or the nearest thing that the platform tells."""
    system = platform.system()
    named = ""
    if system == "Linux":
        named = _cpuinfo_model()
    elif system == "Darwin":
        named = _first_line_of(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    return named or platform.processor() or platform.machine()


def _cpuinfo_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return ""


def _first_line_of(command: list[str]) -> str:
    """Return the first line a command prints, or "" where it is missing, fails or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands, no input from outside
            command, capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""
