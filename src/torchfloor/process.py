"""Run a command to its end, or stop it with all that it started; leave no process behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import psutil

from torchfloor.output import tidy_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Ended", "end_strays", "execute"]

_FAREWELL = 5
"""Seconds that killed processes get to be gone."""
_MARK = "TORCHFLOOR_FOLDER"
"""Names the folder a command runs in to all that it starts, whoever their parent becomes: by what
stays when it, or one around it, is renamed, and by its path."""


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
    log: Path,
    timeout: float,
) -> Ended:
    """Run a command to its end, and leave nothing of it running.

    It gets a session of its own: a signal it sends to its group ends nobody else. So Ctrl-C in a
    terminal does not reach it either; this process, which it does reach, stops it.

    Args:
        command: Program and arguments; no shell is involved.
        environment: All of its environment, but for a mark by which `end_strays` finds it.
        folder: Its working directory.
        log: What it prints, made anew; tidied when it has ended.
        timeout: Seconds after which it is stopped.

    Returns:
        How it ended. When this function is interrupted, the process has been stopped.
    """
    marked = {**environment, _MARK: f"{_identity(folder)} {folder}"}
    try:
        with log.open("wb") as output:
            return _run(command, marked, folder, output, timeout)
    finally:
        end_strays(folder)
        tidy_log(log)


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    output: IO[bytes],
    timeout: float,
) -> Ended:
    start = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, built by torchfloor.install
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
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
    """Kill what still runs of the commands of a folder: it left its parent, or lost the harness.

    What has emptied its environment is known by the folder it works in, or by the name it was
    started under; but what has a terminal is a user's, who may be looking around there.

    Args:
        folder: As `execute` was given it; no harness may be running there.
    """
    me = psutil.Process()
    others = set(psutil.process_iter()) - {me, *me.parents()}
    strays = [each for each in others if _is_marked(each, folder) or _is_within(each, folder)]
    _kill(strays)
    psutil.wait_procs(strays, timeout=_FAREWELL)


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        identity, _, path = process.environ().get(_MARK, "").partition(" ")
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return False
    return path == str(folder) or (identity != "" and identity == _identity(folder))


def _identity(folder: Path) -> str:
    with contextlib.suppress(OSError):  # a release has removed it
        status = folder.stat()
        return f"{status.st_dev}:{status.st_ino}"
    return ""


def _is_within(process: psutil.Process, folder: Path) -> bool:
    try:
        program = process.cmdline()[:1]
        places = [Path(place) for place in (process.cwd(), *program) if place]
        has_terminal = psutil.POSIX and process.terminal() is not None
    except (psutil.Error, OSError):
        return False
    return not has_terminal and any(place.is_relative_to(folder) for place in places)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
