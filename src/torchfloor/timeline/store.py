"""What was read from indexes and wheels, kept in the user's cache directory.

What a wheel holds never changes under its sha256, so it is kept for good. Every body is packed
with a checksum (zlib's), and whatever cannot be read back is as if it had never been kept.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Store", "default_folder"]

T = TypeVar("T")

_SCHEMA = 1
"""Another schema is another file: an older torchfloor beside this one keeps its own."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS kept"
    " (kind TEXT, wheel TEXT, name TEXT, body BLOB, PRIMARY KEY (kind, wheel, name)) WITHOUT ROWID"
)
_PATIENCE = 10
"""Seconds to wait for another process that writes."""


def default_folder() -> Path:
    """Return the folder in the user's cache directory; TORCHFLOOR_CACHE names another."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - only those who read timelines need it

    named = os.environ.get("TORCHFLOOR_CACHE")
    return Path(named) if named else user_cache_path("torchfloor", appauthor=False)


class Store:
    """A private file of what was read; several threads and processes may use it at once.

    Where the file can be neither read nor made anew, what is read is kept in memory.

    Args:
        folder: Where the file lies; made if it is not there.

    Attributes:
        trouble: Why nothing is kept beyond this process; empty if all is well.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble = ""
        self._lock = threading.Lock()
        self._database = self._open(folder)

    def _open(self, folder: Path) -> sqlite3.Connection:
        file = folder / f"wheels-{_SCHEMA}.sqlite"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)  # the addresses that an index gives may hold credentials
            try:
                return _connect(file)
            except sqlite3.OperationalError:
                raise  # busy, or not writable: what it holds may be good
            except sqlite3.DatabaseError:
                file.unlink()
                file.touch(mode=0o600)
                return _connect(file)
        except (OSError, sqlite3.Error) as error:
            self.trouble = f"nothing is kept for the next time: {folder} cannot be used ({error})"
            return _connect(":memory:")

    def get(self, kind: str, wheel: str, name: str, into: type[T]) -> T | None:
        """Return what was kept, or None."""
        return self.get_many(kind, wheel, [name], into).get(name)

    def get_many(self, kind: str, wheel: str, names: Iterable[str], into: type[T]) -> dict[str, T]:
        """Return what was kept, by name; what was not, or cannot be read back, is left out."""
        wanted = set(names)
        one = "" if len(wanted) > 1 else " AND name = :name"
        query = f"SELECT name, body FROM kept WHERE kind = :kind AND wheel = :wheel{one}"  # noqa: S608 - our own words
        values = {"kind": kind, "wheel": wheel, "name": next(iter(wanted), "")}
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._database.execute(query, values).fetchall()
            return _unpack_all([row for row in rows if row[0] in wanted], into)
        return {}

    def put(self, kind: str, wheel: str, bodies: Mapping[str, object]) -> None:
        """Keep bodies by name; what cannot be kept will have to be read again."""
        rows = [(kind, wheel, name, _pack(body)) for name, body in bodies.items()]
        with self._lock, contextlib.suppress(sqlite3.Error), self._database:
            self._database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _connect(place: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=_PATIENCE, check_same_thread=False)
    # Losing what a power cut interrupts is no harm: it is read again.
    database.execute("PRAGMA synchronous = OFF")
    database.execute(_TABLES)
    database.commit()
    return database


def _pack(body: object) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(body), 1)


def _unpack_all(rows: Iterable[tuple[str, bytes]], into: type[T]) -> dict[str, T]:
    decoder = msgspec.msgpack.Decoder(into)
    found = {}
    for name, body in rows:
        with contextlib.suppress(zlib.error, msgspec.DecodeError, TypeError):
            found[name] = decoder.decode(zlib.decompress(body))
    return found
