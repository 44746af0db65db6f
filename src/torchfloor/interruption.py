"""Being told to stop, in whatever way: clean up, then end."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["EXIT_CODE", "end_with_parent", "heed_interruption", "interrupted"]

EXIT_CODE = 130
"""How a process ends that was interrupted: what a shell says of Ctrl-C."""

interrupted = threading.Event()
"""Whether this process has been told to stop."""

_impatient = threading.Event()
"""Whether it has been told so again, while it was cleaning up."""

_GLANCE = 0.5
"""Seconds between two looks at the parent."""


def heed_interruption() -> None:
    """From now on, take being terminated, or losing the terminal, for Ctrl-C."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # What starts a command in the background, such as nohup, has some of them ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Who is told twice to end is cleaning up; only Ctrl-C, pressed again, is impatient. What is
    # done after that is short, and pressing it once more would only leave the rest undone.
    if interrupted.is_set():
        if number != signal.SIGINT or _impatient.is_set():
            return
        _impatient.set()
    interrupted.set()
    raise KeyboardInterrupt


def end_with_parent(leader: int) -> None:
    """From now on, take the end of the process that started this one for a termination.

    A nox that is killed leaves its worker processes running, and they hold the locks of their
    cells.

    Args:
        leader: The process that leads the run: it may have ended before this one came to look at
            its parent, which then is whoever adopts orphans.
    """
    import psutil  # noqa: PLC0415 - not worth importing where cells are only listed

    heed_interruption()
    # By number: what tells a process by its start believes it gone when the clock is set.
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and psutil.pid_exists(leader):
            time.sleep(_GLANCE)
        if hasattr(signal, "pthread_kill"):  # which wakes it, whatever it waits for
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            _thread.interrupt_main(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
