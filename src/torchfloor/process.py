"""Run a command to its end, or stop it with all that it started; leave no process behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Ended", "end_strays", "execute"]

_FAREWELL = 5
"""Seconds that killed processes get to be gone."""
_MARK = "TORCHFLOOR_FOLDER"
"""Names the folder a command runs in to all that it starts, whoever their parent becomes."""


class Ended(NamedTuple):
    """How a process ended: exit status (negative: a signal), timed out, wall seconds."""

    status: int
    timed_out: bool
    seconds: float

    @property
    def signal(self) -> str:
        """Name of the signal that killed it (`SIGSEGV`), or empty."""
        if self.status >= 0:
            return ""
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.status).name
        return f"signal {-self.status}"


def execute(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    output: IO[bytes],
    timeout: float,
) -> Ended:
    """Run a command, its output going to a file.

    The process stays in the caller's process group, so that whoever stops the caller's group
    (a terminal, nox) stops it as well.

    Args:
        command: Program and arguments; no shell is involved.
        environment: All of its environment, but for a mark by which `end_strays` finds it.
        folder: Its working directory.
        output: Where stdout and stderr go.
        timeout: Seconds after which it is stopped.

    Returns:
        How it ended. When this function is interrupted, the process has been stopped.
    """
    start = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, built by torchfloor.install
        command,
        env={**environment, _MARK: str(folder)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        _stop_tree(process)
        return Ended(process.wait(), timed_out=True, seconds=time.monotonic() - start)
    except BaseException:
        _stop_tree(process)
        raise
    return Ended(status, timed_out=False, seconds=time.monotonic() - start)


def _stop_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants; they hold nothing that is worth saving."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        children = parent.children(recursive=True)
        _kill([*children, parent])
        process.wait()
        psutil.wait_procs(children, timeout=_FAREWELL)  # they hold files in the environment
    process.wait()


def end_strays(folder: Path) -> None:
    """Kill what still runs of the commands of a folder: a harness that was killed left it.

    Args:
        folder: As `execute` was given it; no harness may be running there.
    """
    strays = [each for each in psutil.process_iter() if _folder_of(each) == str(folder)]
    _kill(strays)
    psutil.wait_procs(strays, timeout=_FAREWELL)


def _folder_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(_MARK)
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return None


def _kill(processes: Iterable[psutil.Process]) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
