"""A package and names -> their timelines: many names and many releases in one go."""

from __future__ import annotations

import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.version import Version

from torchfloor.errors import TorchfloorError
from torchfloor.garbage import uncollected
from torchfloor.index import DEFAULT
from torchfloor.timeline.archive import ArchiveError, Member, read_directory, read_members
from torchfloor.timeline.catalogue import Offer, key_of, list_offers
from torchfloor.timeline.model import Reading, Sighting, Timeline
from torchfloor.timeline.remote import (
    Bytes,
    LocalBytes,
    NoRangesError,
    RemoteBytes,
    RemoteError,
    Server,
    megabytes,
)
from torchfloor.timeline.store import Store, default_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torchfloor.timeline.resolve import Answer
    from torchfloor.wheels import Wheel

__all__ = ["list_names", "read_timelines"]

_READER = f"{sum(zlib.crc32(file.read_bytes()) for file in Path(__file__).parent.glob('*.py')):x}"
"""Changes with every word of this room: another reader may answer otherwise from the same files."""
_AT_ONCE = 16
"""Releases that are read at a time: most of their time is waiting for servers."""
_MANY = 50
_AT_ONCE_OF_MANY = 4
"""With many names, most of it is parsing, and each release holds 100 MB of syntax trees."""
_MAX_WHOLE = 4 * 2**30


def read_timelines(  # noqa: PLR0913 - each is an option of the command
    package: str,
    names: Iterable[str],
    *,
    index: str = DEFAULT,
    root: Path | None = None,
    versions: str = "",
    pre: bool = False,
    refresh: bool = False,
    allow_full: bool = False,
    store: Path | None = None,
    on_release: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Reading:
    """Read what names are in the releases of a package, from their wheels.

    All names are looked up in a release while its files are at hand, several releases at a time;
    what was read is kept for good, so a second look at the same names reads no wheel.

    Args:
        package: The distribution (`torch`).
        names: Dotted names (`torch.linalg.vector_norm`); duplicates are read once.
        index: As in matrix.yaml: `"default"`, the URL of an index, or a folder of wheels.
        root: The folder that a folder of wheels is relative to; by default the current one.
        versions: Narrows the releases (PEP 440); all if empty.
        pre: Whether pre-releases are read too.
        refresh: Whether to ask an index again that was asked within the last hour.
        allow_full: Whether a wheel on a server without byte ranges may be downloaded whole.
        store: The folder of the cache; by default the user's own.
        on_release: Told (finished, all) releases when one more is finished.
        say: Told in a line what takes long, before it does.

    Returns:
        The timelines. A release that cannot be read has the status `unread` in each of them.

    Raises:
        ConfigError: If `versions` is no PEP 440 specifier or matches nothing, or the index does
            not know the package.
        IndexUnreachableError: If the index does not answer, and no earlier answer is kept.
    """
    wanted = tuple(dict.fromkeys(names))
    kept = Store(store or default_folder())
    try:
        catalogue, notes = list_offers(
            package, index, root or Path(), kept, versions=versions, pre=pre, refresh=refresh
        )
        reader = _Reader(kept, wanted, allow_full=allow_full, say=say or _quietly)
        with _unwarned(), uncollected():
            seen = reader.read(catalogue.offers, on_release or _uncounted)
    finally:
        kept.close()
    return Reading(
        package=package,
        index=catalogue.index,
        releases=tuple(offer.release for offer in catalogue.offers),
        timelines=tuple(
            Timeline(name, tuple(seen[offer.release][name] for offer in catalogue.offers))
            for name in wanted
        ),
        notes=(*notes, *([kept.trouble] if kept.trouble else [])),
        requests=reader.requests,
        received=reader.received,
    )


def list_names(
    package: str, owner: str, *, index: str = DEFAULT, release: str, store: Path | None = None
) -> set[str]:
    """List what a module holds in one release, as far as its own files tell.

    Args:
        package: The distribution.
        owner: The module's dotted name.
        index: As for `read_timelines`.
        release: The release.
        store: The folder of the cache.

    Returns:
        Names; none where the release cannot be read.
    """
    from torchfloor.timeline.resolve import Release  # noqa: PLC0415 - a warm look needs none

    kept = Store(store or default_folder())
    try:
        catalogue, _ = list_offers(package, index, Path(), kept, versions=f"=={release}", pre=True)
        reader = _Reader(kept, (), allow_full=False, say=_quietly)
        archive = _Archive(kept, catalogue.offers[-1].wheel, reader.open)
        with _unwarned():
            return Release(archive.members, archive.read).names_of(owner)
    except TorchfloorError:
        return set()
    finally:
        kept.close()


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keep quiet about old files' escapes and the like: they are not this reader's business.

    Which warnings are shown is the whole process's affair, so that threads must not change it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _quietly(_line: str) -> None:
    """Tell nobody."""


def _uncounted(_finished: int, _all: int) -> None:
    """Tell nobody."""


class _Reader:
    """Reads releases, several at a time."""

    def __init__(
        self, store: Store, names: Sequence[str], *, allow_full: bool, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._names = names
        self._allow_full = allow_full
        self._say = say
        self._lock = threading.Lock()
        self._server: Server | None = None

    @property
    def requests(self) -> int:
        """How many answers servers gave."""
        return self._server.requests if self._server else 0

    @property
    def received(self) -> int:
        """How many bytes of wheels they sent."""
        return self._server.received if self._server else 0

    def read(
        self, offers: Sequence[Offer], on_release: Callable[[int, int], None]
    ) -> dict[str, dict[str, Sighting]]:
        """Return, by release and name, what was seen."""
        seen = {offer.release: self._known(offer) for offer in offers}
        due = [offer for offer in offers if len(seen[offer.release]) < len(self._names)]
        finished = len(offers) - len(due)
        on_release(finished, len(offers))
        pool = ThreadPoolExecutor(_AT_ONCE if len(self._names) <= _MANY else _AT_ONCE_OF_MANY)
        try:
            # Newest first: the largest directories must not be the last to come.
            tasks = {pool.submit(self._look, o, seen[o.release]): o for o in reversed(due)}
            for task in as_completed(tasks):
                seen[tasks[task].release].update(task.result())
                finished += 1
                on_release(finished, len(offers))
        finally:
            pool.shutdown(cancel_futures=True)
        return seen

    def _known(self, offer: Offer) -> dict[str, Sighting]:
        kept = self._store.get_many(f"answer{_READER}", key_of(offer.wheel), self._names, Sighting)
        return {name: _of_release(sighting, offer) for name, sighting in kept.items()}

    def _look(self, offer: Offer, known: dict[str, Sighting]) -> dict[str, Sighting]:
        """Look names up in one release; whatever goes wrong there is that release's own affair."""
        names = [name for name in self._names if name not in known]
        if offer.wheel.is_source:
            why = offer.wheel.withheld
            return {name: Sighting(offer.release, "unread", why=why) for name in names}
        archive = _Archive(self._store, offer.wheel, self.open)
        try:
            sightings = self._resolve(offer, names, archive)
        except (ArchiveError, RemoteError) as error:
            return {name: _unread(offer, error) for name in names}
        finally:
            archive.close()
        self._store.put(f"answer{_READER}", key_of(offer.wheel), sightings)
        return sightings

    def _resolve(
        self, offer: Offer, names: Sequence[str], archive: _Archive
    ) -> dict[str, Sighting]:
        from torchfloor.timeline.resolve import Release  # noqa: PLC0415 - a warm look needs none

        release = Release(archive.members, archive.read, Version(offer.release))
        release.prefetch(names)
        return {name: _sighting(offer, release.look_up(name)) for name in names}

    def open(self, wheel: Wheel) -> Bytes:
        """Open a wheel where it lies."""
        if wheel.url.startswith("file://"):
            return LocalBytes.at(wheel.url)
        with self._lock:
            self._server = self._server or Server(_AT_ONCE)
        try:
            remote = RemoteBytes(self._server, wheel.url, wheel.size)
            remote.read(0, 1) if self._allow_full else None
        except NoRangesError:
            if not self._allow_full:
                raise
            size = f"{megabytes(wheel.size)}" if wheel.size else "of unknown size"
            self._say(
                f"{wheel.filename}: no byte ranges, so the whole wheel is downloaded ({size})"
            )
            return LocalBytes(self._server.whole(wheel.url, wheel.size, _MAX_WHOLE))
        return remote


class _Archive:
    """The members of one wheel: from the store, else by opening the wheel."""

    def __init__(self, store: Store, wheel: Wheel, opened: Callable[[Wheel], Bytes]) -> None:
        self._store = store
        self._wheel = wheel
        self._key = key_of(wheel)
        self._opened = opened
        self._bytes: Bytes | None = None
        self._members: dict[str, Member] = {}

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its Python files, stubs and compiled modules."""
        if not self._members:
            kept = self._store.get("directory", self._key, "", list[Member])
            if kept is None:
                kept = read_directory(self._open())
                self._store.put("directory", self._key, {"": kept})
            self._members = {member.name: member for member in kept}
        return tuple(self._members)

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the content of members."""
        wanted = list(names)
        found = self._store.get_many("member", self._key, wanted, bytes)
        missing = [self._members[name] for name in wanted if name not in found]
        if missing:
            new = {member.name: body for member, body in read_members(self._open(), missing)}
            self._store.put("member", self._key, new)
            found |= new
        return found

    def close(self) -> None:
        """Let go of a wheel on this machine."""
        if isinstance(self._bytes, LocalBytes):
            self._bytes.close()

    def _open(self) -> Bytes:
        if self._bytes is None:
            self._bytes = self._opened(self._wheel)
        return self._bytes


def _sighting(offer: Offer, answer: Answer) -> Sighting:
    return Sighting(
        release=offer.release,
        status=answer.status,
        kind=answer.kind,
        signatures=answer.signatures,
        why=answer.why,
        file=answer.file,
        wheel=offer.wheel.filename,
    )


def _unread(offer: Offer, error: TorchfloorError) -> Sighting:
    file = offer.wheel.filename
    why = str(error) if str(error).startswith(file) else f"{file}: {error}"
    return Sighting(offer.release, "unread", why=why, wheel=offer.wheel.filename)


def _of_release(sighting: Sighting, offer: Offer) -> Sighting:
    """Give a kept sighting the names it goes by now: a wheel may lie on several indexes."""
    return msgspec.structs.replace(sighting, release=offer.release, wheel=offer.wheel.filename)
