"""What wheels say of the names that a matrix is about: read, never run, and published as evidence.

Reading is slow to import, so it is only imported where wheels are read; sessions are listed from
the published file.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

import msgspec

from torchfloor.addresses import without_credentials
from torchfloor.errors import ConfigError, TorchfloorError
from torchfloor.files import is_unchanged, read_bounded, seal
from torchfloor.index import IndexUnreachableError
from torchfloor.records import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.matrix import Matrix
    from torchfloor.timeline import Reading, Timeline

__all__ = [
    "FILE",
    "Change",
    "NameHistory",
    "Seen",
    "StaticEvidence",
    "known_static",
    "publish_static",
    "read_names",
    "read_static",
    "read_wheels",
]

FILE = "timeline.json"
"""Its name among the evidence."""

_MAX_BYTES = 64 * 2**20


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a release's wheel says of a name.

    Attributes:
        release: The release.
        status: As in `torchfloor.timeline.Status`.
        signatures: As its file writes them.
        why: The grounds, or what stands in the way.
        file: The wheel's member that decides.
        wheel: File name of the wheel that was read.
    """

    release: str
    status: Literal["present", "absent", "undecided", "no-stub", "unread"]
    signatures: tuple[str, ...] = ()
    why: str = ""
    file: str = ""
    wheel: str = ""


class Change(msgspec.Struct, frozen=True):
    """A change point, as in `torchfloor.timeline.Change`."""

    release: str
    before: str | None
    kind: Literal["status", "kind", "signature", "annotation"]
    text: str


class NameHistory(msgspec.Struct, frozen=True):
    """A name, release by release.

    Attributes:
        name: The dotted name.
        changes: Where it changes, oldest first.
        seen: What each release says, oldest first.
    """

    name: str
    changes: tuple[Change, ...]
    seen: tuple[Seen, ...]

    @property
    def first(self) -> str | None:
        """The oldest release that has the name."""
        return next((seen.release for seen in self.seen if seen.status == "present"), None)


class StaticEvidence(msgspec.Struct, frozen=True):
    """What was read from wheels, not run.

    Attributes:
        package: The distribution.
        index: Where its wheels are listed.
        read: The day, in UTC.
        names: In the matrix's order.
    """

    package: str
    index: str
    read: dt.date
    names: tuple[NameHistory, ...]


def read_names(matrix: Matrix, versions: str, *, refresh: bool = False) -> StaticEvidence:
    """Read the matrix's names from wheels, as evidence; see `read_wheels`."""
    reading = read_wheels(matrix, versions, refresh=refresh)
    return StaticEvidence(
        package=reading.package,
        index=reading.index,
        read=dt.datetime.now(dt.UTC).date(),
        names=tuple(_history(timeline) for timeline in reading.timelines),
    )


def read_wheels(
    matrix: Matrix, versions: str, *, index: str = "", pre: bool = False, refresh: bool = False
) -> Reading:
    """Read the matrix's names from wheels.

    Args:
        matrix: Names them, and the indexes.
        versions: Which releases to read (PEP 440).
        index: The index; by default the first of the matrix's that answers and has some of them.
        pre: Whether pre-releases count.
        refresh: Whether to ask an index again that was asked within the last hour.

    Raises:
        IndexUnreachableError: If no index answers or has such releases; all are named.
    """
    from torchfloor.timeline import read_timelines  # noqa: PLC0415 - see the top

    mistakes = []
    every = (i for flavour in matrix.flavours.values() for i in flavour.indexes)
    for each in [index] if index else dict.fromkeys(every):
        try:
            return read_timelines(
                matrix.package,
                matrix.names,
                index=each,
                root=matrix.root,
                versions=versions,
                pre=pre,
                refresh=refresh,
            )
        except ConfigError as error:
            mistakes += [f"{without_credentials(each)}: {mistake}" for mistake in error.mistakes]
        except TorchfloorError as error:
            mistakes.append(str(error))
    raise IndexUnreachableError("; ".join(mistakes))


def _history(timeline: Timeline) -> NameHistory:
    from torchfloor.timeline import change_points  # noqa: PLC0415 - see the top
    from torchfloor.timeline.signature import write_signature  # noqa: PLC0415

    seen = (
        Seen(
            release=sighting.release,
            status=sighting.status,
            signatures=tuple(write_signature(each) for each in sighting.signatures),
            why=sighting.why,
            file=sighting.file,
            wheel=sighting.wheel,
        )
        for sighting in timeline.sightings
    )
    changes = (Change(c.release, c.before, c.kind, c.text) for c in change_points(timeline))
    return NameHistory(timeline.name, tuple(changes), tuple(seen))


def publish_static(matrix: Matrix, releases: tuple[str, ...]) -> list[str]:
    """Read the matrix's names from wheels, and put what they say into evidence/.

    Where no wheel can be read, what was published before stays: wheels do not change.

    Args:
        matrix: Names them.
        releases: The planned releases, oldest first.

    Returns:
        What the reader should know, in lines.
    """
    file = matrix.root / "evidence" / FILE
    if not matrix.names:
        file.unlink(missing_ok=True)
        return []
    try:
        found = read_names(matrix, f">={releases[0]},<={releases[-1]}", refresh=True)
    except IndexUnreachableError as error:
        kept = f"evidence/{FILE} stays as it is" if file.exists() else "no timeline is published"
        return [f"{error}; {kept}"]
    unread = {s.release: s.why for name in found.names for s in name.seen if s.status == "unread"}
    if unread and known_static(matrix):
        return [*_told(unread), f"evidence/{FILE} stays as it is"]
    write_atomically(file, seal(found))
    return _told(unread)


def _told(unread: dict[str, str]) -> list[str]:
    return [f"{release} could not be read: {why}" for release, why in unread.items()]


def read_static(matrix: Matrix) -> StaticEvidence | None:
    """Read what was published of the matrix's names; it asks no index.

    Returns:
        The evidence, or None where there is none.

    Raises:
        ConfigError: If it cannot be read, was changed by hand, or is about other names.
    """
    name = f"evidence/{FILE}"
    try:
        content = read_bounded(matrix.root / name, _MAX_BYTES)
        found = msgspec.json.decode(content, type=StaticEvidence)
    except FileNotFoundError:
        return None
    except OSError as error:
        mistake = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        mistake = f"cannot be read: {error}"
    else:
        mistake = _mistake(found, content, matrix)
        if not mistake:
            return found
    raise ConfigError(name, [f"{mistake}; run `nox -s publish`, or take the change back"])


def known_static(matrix: Matrix) -> StaticEvidence | None:
    """Return what `read_static` does, or None where that cannot be used: docs tells why."""
    try:
        return read_static(matrix)
    except ConfigError:
        return None


def _mistake(found: StaticEvidence, content: bytes, matrix: Matrix) -> str:
    if not is_unchanged(content):
        return "was changed since it was published (its digest does not fit)"
    about = tuple(name.name for name in found.names)
    if about != matrix.names:
        return f"is about {_listed(about)}, and matrix.yaml names {_listed(matrix.names)}"
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
