"""What a dotted name is in each release of a package: read from wheels, never run."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "Change",
    "Kind",
    "Parameter",
    "ParameterKind",
    "Reading",
    "Sighting",
    "Signature",
    "Status",
    "Timeline",
]

Status = Literal["present", "absent", "undecided", "no-stub", "unread"]
"""What static reading can say of a name in one release.

- `present`: the wheel's own files define it.
- `absent`: the files that would define it were read, and do not.
- `undecided`: reading cannot tell, and `why` says what it would take to know.
- `no-stub`: the name is a compiled module's, and the wheel holds no stub of that module.
- `unread`: the wheel could not be read; `why` names the cause. Says nothing about the name.
"""

Kind = Literal["function", "class", "method", "attribute", "module"]

ParameterKind = Literal["positional-only", "positional", "variadic", "keyword-only", "keywords"]
"""`positional` can be passed by keyword too; `variadic` is `*args`, `keywords` is `**kwargs`."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter, as its file writes it.

    Attributes:
        name: Without stars.
        kind: How it is passed.
        annotation: Its type, or None where none is written.
        default: Its default, or None where there is none (`"None"` where it is None).
    """

    name: str
    kind: ParameterKind = "positional"
    annotation: str | None = None
    default: str | None = None


class Signature(msgspec.Struct, frozen=True):
    """One signature; an overloaded name has several.

    Attributes:
        parameters: In their order; `self` of a method is among them.
        returns: The type of the result, or None where none is written.
    """

    parameters: tuple[Parameter, ...] = ()
    returns: str | None = None


class Sighting(msgspec.Struct, frozen=True):
    """What one release says of a name.

    Attributes:
        release: The release, as PEP 440 normalises it (`2.0.1`).
        status: What can be said.
        kind: What the name is; None unless present.
        signatures: As written in `file`, which may differ from what the name does at run time;
            empty where it cannot be called, or no signature is written.
        why: The grounds, or what stands in the way; of a present name, what else is to be known.
        file: The wheel's member that defines the name, or where reading ended.
        wheel: File name of the wheel that was read; empty if none was.
    """

    release: str
    status: Status
    kind: Kind | None = None
    signatures: tuple[Signature, ...] = ()
    why: str = ""
    file: str = ""
    wheel: str = ""


class Timeline(msgspec.Struct, frozen=True):
    """A name, release by release.

    Attributes:
        name: The dotted name.
        sightings: Oldest release first; one for each release that was asked for.
    """

    name: str
    sightings: tuple[Sighting, ...]

    def at(self, release: str) -> Sighting | None:
        """Return what a release says, or None for a release that was not asked for."""
        return next((seen for seen in self.sightings if seen.release == release), None)

    @property
    def first(self) -> str | None:
        """The oldest release that has the name; older ones may be undecided."""
        return next((seen.release for seen in self.sightings if seen.status == "present"), None)

    @property
    def last(self) -> str | None:
        """The newest release that has the name."""
        found = [seen.release for seen in self.sightings if seen.status == "present"]
        return found[-1] if found else None


class Change(msgspec.Struct, frozen=True):
    """A difference between two neighbouring releases.

    Attributes:
        release: The first release where it is so.
        before: The release it is compared with; None for the oldest that was read.
        kind: What changed: whether the name is there, what it is, how it is called, or only the
            types that are written beside it.
        text: The change in words (`dtype added`).
    """

    release: str
    before: str | None
    kind: Literal["status", "kind", "signature", "annotation"]
    text: str


class Reading(msgspec.Struct, frozen=True):
    """What one look at a package gave.

    Attributes:
        package: The distribution.
        index: Where its wheels are listed, without credentials.
        releases: Every release that was asked for, oldest first.
        timelines: One for each name, in the order asked.
        notes: What the reader should know: an index that does not answer, a store without a place.
        requests: How many times a server was asked for bytes of wheels.
        received: Bytes of wheels that came over the network.
    """

    package: str
    index: str
    releases: tuple[str, ...]
    timelines: tuple[Timeline, ...]
    notes: tuple[str, ...] = ()
    requests: int = 0
    received: int = 0

    def timeline(self, name: str) -> Timeline:
        """Return the timeline of a name that was asked for.

        Raises:
            KeyError: If it was not.
        """
        for timeline in self.timelines:
            if timeline.name == name:
                return timeline
        raise KeyError(name)
