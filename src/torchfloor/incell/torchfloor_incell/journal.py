"""The journal: what a cell learned, one JSON object a line, written as soon as it is known."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TextIO


def finite(number: float) -> float | None:
    """Return the number, or None where strict JSON has no word for it (NaN, infinity)."""
    return number if math.isfinite(number) else None


class Journal:
    """An append-only file of JSON lines, flushed after each, so that a crash loses nothing known.

    Args:
        path: where to append; None keeps no journal (probes run by hand).

    Only the process that opened it writes: what a release forks shares the file, and would tell of
    itself. But a comparison that fails is told from wherever it is made.
    """

    def __init__(self, path: str | None) -> None:
        self._file: TextIO | None = None
        self._process = os.getpid()
        if path:
            # Open for as long as the session: pytest's clean-up closes it.
            self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def write(self, kind: str, **fields: object) -> None:
        """Append one line.

        Args:
            kind: the first key of the line: what it speaks of.
            **fields: JSON values.

        Raises:
            ValueError: a field is NaN or infinite; nothing is written.
            TypeError: a field is no JSON value; nothing is written.
        """
        line = json.dumps({"kind": kind, **fields}, allow_nan=False)
        if os.getpid() == self._process:
            self._append(line)

    def write_anyway(self, kind: str, **fields: object) -> None:
        """Append one line, also from a process that was forked; see write."""
        self._append(json.dumps({"kind": kind, **fields}, allow_nan=False))

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()

    def end_copies(self) -> None:
        """End a process that a release or a probe has forked, and that goes on as if it were ours.

        It would run every probe a second time, beside the first, and write files of its own.
        """
        if os.getpid() != self._process:
            os._exit(0)

    def close(self) -> None:
        """Close the file; later lines go nowhere."""
        if self._file is not None:
            self._file.close()
            self._file = None
