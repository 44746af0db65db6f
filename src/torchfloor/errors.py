"""The mistakes and mishaps torchfloor tells its user about, each with its exit status."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from torchfloor.output import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "ConfigError",
    "NoEvidenceError",
    "RecordError",
    "SpaceError",
    "StorageError",
    "TorchfloorError",
    "unfinished",
]


_OBSTACLES = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR)


class TorchfloorError(Exception):
    """Base of every error that is shown without a traceback.

    The message says what failed, the likely cause and what to do, in that order. Nothing in it
    moves the cursor or colours the terminal.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class ConfigError(TorchfloorError):
    """One or more mistakes in a file or call; all of them are reported together.

    Args:
        source: The file the mistakes stand in.
        mistakes: One sentence for each, starting with its place in the file.
    """

    def __init__(self, source: Path | str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {m}" for m in mistakes)]))


class SpaceError(TorchfloorError):
    """The disk cannot hold what a run needs."""

    exit_code = 3


class StorageError(TorchfloorError):
    """A file or folder of the harness's own cannot be written.

    Args:
        place: The file or folder.
        error: What the operating system says.
    """

    def __init__(self, place: Path, error: OSError) -> None:
        if error.errno in _OBSTACLES:
            advice = f"remove what stands in its place in {place.parent}"
        else:
            advice = f"make room for {place.parent}, or make it writable"
        super().__init__(
            f"{place.name} cannot be written ({error.strerror or error}); {advice}, and run again: "
            "what is finished is kept"
        )


class NoEvidenceError(TorchfloorError):
    """Nothing ran, so nothing can be said."""

    exit_code = 3


class RecordError(TorchfloorError):
    """A record cannot be read, or does not say what its name promises."""


class UnreadRecordError(RecordError):
    """A record's file cannot be read: next time it may be."""


def unfinished(error: Exception) -> str:
    """Take a mistake's words as nox shows them: it ends the sentence itself."""
    return str(error).removesuffix(".")
