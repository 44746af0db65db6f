"""The sessions that look where the matrix does not: floor and canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nox

from torchfloor.errors import ConfigError, TorchfloorError, unfinished

if TYPE_CHECKING:
    from torchfloor.workspace import Workspace

__all__ = ["define_scouting"]


def define_scouting(workspace: Workspace) -> None:
    """Define the sessions floor and canary.

    Args:
        workspace: The checkout's, with its plan made.
    """

    @nox.session(python=False, default=False)
    def floor(session: nox.Session) -> None:
        """Search the lowest release that works; `-- --versions SPEC` says among which."""
        from torchfloor.floor import find_floor  # noqa: PLC0415 - no other session needs it

        try:
            found = find_floor(workspace, session.posargs, _say)
        except (TorchfloorError, OSError) as error:
            session.error(unfinished(error))
        for line in found.lines[: None if found.holds else -1]:
            session.log(line)
        if not found.holds:
            session.error(found.lines[-1].removesuffix("."))

    @nox.session(python=False, default=False)
    def canary(session: nox.Session) -> None:
        """Try the newest pre-release of the canary index; it may fail, and is reported apart."""
        from torchfloor.canary import try_canary  # noqa: PLC0415 - no other session needs it

        try:
            try_canary(workspace, _say, discard="--discard" in session.posargs)
        except ConfigError as error:
            session.error(unfinished(error))
        except (TorchfloorError, OSError) as error:
            session.warn(f"Canary: {unfinished(error)}; nothing is known of what is coming")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the output
