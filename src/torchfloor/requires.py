"""Uses and timelines -> the static floor, and what forces it."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from packaging.version import Version

from torchfloor.errors import ConfigError, NoEvidenceError
from torchfloor.usage import Sight, World, is_certain, is_possible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchfloor.timeline import Reading, Sighting
    from torchfloor.usage import Project, Usage, Use

__all__ = ["Name", "Place", "Requirements", "Standing", "names_to_read", "requirements"]

Standing = Literal["gone", "nowhere", "needed", "guarded", "annotation", "written", "undecided"]
"""What a name asks of a release.

- `gone`: needed, and the newest release lacks it.
- `nowhere`: needed, and no release has it.
- `needed`: some release must have it.
- `guarded`: every use of it copes with its absence.
- `annotation`: only type checkers read it.
- `written`: it is only assigned to.
- `undecided`: needed, and reading wheels cannot tell about it, or about which name is meant.
"""

_SHOWN = 5
_SOLID = {"function", "class", "method", "module"}


class Place(msgspec.Struct, frozen=True):
    """Where a name is used.

    Attributes:
        file: As the user named it.
        line: Counted from 1.
        column: Counted from 1.
        guards: In words, what keeps releases without the name away.
    """

    file: str
    line: int
    column: int
    guards: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Name(msgspec.Struct, frozen=True):
    """One dotted name that the code uses.

    Attributes:
        name: In full.
        standing: What it asks of a release.
        private: Whether some part of it starts with an underscore.
        since: The oldest release that has it; None if none is known to.
        until: The newest release that has it, if a newer one is known not to.
        lacking: The releases that lack it, or may lack it, though the code needs it there; oldest
            first.
        unknown: Of these, the ones about which reading wheels cannot tell.
        let_through: Of the others, the ones that a guard lets through although it holds older ones
            back: it promises too little.
        uses: How many places use it.
        places: The first few of them, those that fail without it before others.
        why: What else is to be said: of an undecided name, why.
    """

    name: str
    standing: Standing
    private: bool
    since: str | None
    until: str | None
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]
    let_through: tuple[str, ...]
    uses: int
    places: tuple[Place, ...]
    why: str = ""

    @property
    def since_is_open(self) -> bool:
        """Whether it cannot be told about the release right before `since`."""
        older = [r for r in self.lacking if self.since and Version(r) < Version(self.since)]
        return bool(older) and older[-1] in self.unknown


class Requirements(msgspec.Struct, frozen=True):
    """What a code base asks of its dependency.

    Attributes:
        package: The distribution.
        files: How many files were looked at.
        releases: The releases that were compared, oldest first.
        floor: The lowest release from which on every needed name is there, or was until it went.
        ceiling: The newest release from which none has gone yet; None if that is the newest there
            is. If it is below the floor, no release has every name.
        forced_by: The names that rule out the release below the floor.
        names: Those that matter most first.
        refused: Releases that the code itself refuses when it is imported, and where.
        unread: Files that could not be read, and why. They may need more.
        unread_releases: Releases whose wheels could not be read, and why. They are not compared.
        notes: What else the reader should know.
    """

    package: str
    files: int
    releases: tuple[str, ...]
    floor: str
    ceiling: str | None
    forced_by: tuple[str, ...]
    names: tuple[Name, ...]
    refused: dict[str, tuple[str, ...]] = {}
    unread: tuple[str, ...] = ()
    unread_releases: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    def obstacles(self, version: Version) -> list[Name]:
        """List the names that some release at or above a version lacks, or may lack.

        Raises:
            ConfigError: If there is no such release.
        """
        newest = self.releases[-1]
        if Version(newest) < version:
            source = "--at-least"
            raise ConfigError(
                source, [f"no release of {self.package} is at or above {version}: try {newest}"]
            )
        return [
            name
            for name in self.names
            if any(Version(release) >= version for release in name.lacking)
        ]

    def refusals(self, version: Version) -> list[str]:
        """List the places that refuse a release at or above a version."""
        return [
            place
            for place, releases in self.refused.items()
            if any(Version(release) >= version for release in releases)
        ]


def names_to_read(usage: Usage) -> list[str]:
    """List the names whose timelines decide what a code base requires, prefixes included."""
    used = {use.name for use in usage.uses if not use.name.endswith("…")} | usage.asked
    parts = (name.split(".") for name in used)
    prefixes = {prefix for p in parts for prefix in accumulate(p, "{}.{}".format)}
    return sorted(prefixes - {usage.project.root})


def requirements(usage: Usage, reading: Reading) -> Requirements:
    """Find the static floor of a code base.

    Args:
        usage: What it uses.
        reading: The timelines of `names_to_read`.

    Returns:
        The names, and the floor that follows from those it cannot do without.

    Raises:
        ConfigError: If the index has no release.
        NoEvidenceError: If no release could be read.
    """
    if not reading.releases:
        source = "requires"
        raise ConfigError(source, [f"no release of {reading.package} to compare with"])
    history = _History(reading)
    unread = {r: why for r in reading.releases if (why := history.why_unread(r)) is not None}
    releases = tuple(release for release in reading.releases if release not in unread)
    if not releases:
        shown = "\n".join(f"  {release}: {why}" for release, why in list(unread.items())[:_SHOWN])
        msg = f"No release of {reading.package} could be read:\n{shown}"
        raise NoEvidenceError(msg)
    worlds = {r: _Release(usage.project, reading.package, r, history) for r in releases}
    by_name: dict[str, list[Use]] = defaultdict(list)
    for use in usage.uses:
        if use.kind != "refusal":
            by_name[use.name].append(use)
    names = [_name(name, uses, history, worlds) for name, uses in by_name.items()]
    refused = _refused(usage, worlds)
    floor, ceiling, forced = _floor(names, refused, releases)
    names.sort(key=lambda name: _importance(name, forced))
    return Requirements(
        reading.package,
        usage.files,
        releases,
        floor,
        ceiling,
        tuple(forced),
        tuple(names),
        refused,
        tuple(usage.unread),
        unread,
        reading.notes,
    )


class _History:
    """The timelines, asked by name and release."""

    def __init__(self, reading: Reading) -> None:
        self.releases = reading.releases
        self._seen: dict[str, dict[str, Sighting]] = {
            timeline.name: {sighting.release: sighting for sighting in timeline.sightings}
            for timeline in reading.timelines
        }

    def sighting(self, name: str, release: str) -> Sighting | None:
        """Return what a release says of a name; None if nothing was read about it."""
        return self._seen.get(name, {}).get(release)

    def why_unread(self, release: str) -> str | None:
        """Say why some name could not be read in a release, or None if all could."""
        here = (seen[release] for seen in self._seen.values() if release in seen)
        return next((sighting.why for sighting in here if sighting.status == "unread"), None)

    def has(self, name: str, release: str) -> bool | None:
        """Tell whether a release has a name, or None if that cannot be told.

        What a name lies in must be there, too: it may be decided where the name itself is not.
        """
        prefix = name.split(".")
        if len(prefix) == 1:
            return True  # the package itself
        for end in range(2, len(prefix) + 1):
            seen = self.sighting(".".join(prefix[:end]), release)
            if seen is not None and seen.status == "absent":
                return False
        seen = self.sighting(name, release)
        return True if seen is not None and seen.status == "present" else None

    def why_unknown(self, name: str, release: str) -> str:
        """Say why nothing can be told."""
        seen = self.sighting(name, release)
        if seen is None:
            return ""
        return seen.why or ("no stub" if seen.status == "no-stub" else "")


class _Release(World):
    """One release, as its timeline shows it."""

    def __init__(self, project: Project, package: str, release: str, history: _History) -> None:
        super().__init__(project, package)
        self._release = release
        self._history = history

    def look(self, name: str) -> Sight:
        if name == self.project.root:
            return Sight.SOLID
        has = self._history.has(name, self._release)
        if has is None:
            return Sight.UNKNOWN
        seen = self._history.sighting(name, self._release)
        is_solid = seen is not None and seen.kind in _SOLID
        return (Sight.SOLID if is_solid else Sight.PRESENT) if has else Sight.ABSENT

    def versions(self) -> tuple[str, ...]:
        return (self._release, f"{self._release}+cpu")  # builds add their local version


def _name(name: str, uses: list[Use], history: _History, worlds: dict[str, _Release]) -> Name:
    has = {release: history.has(name, release) for release in worlds}
    present = [release for release, there in has.items() if there]
    since = present[0] if present else None
    newest = next(reversed(has))
    exposed = [use for use in uses if _is_exposed(use)]
    certain = [use for use in exposed if not use.doubt]
    missing = _missing(name, has, since, history)
    lacking = [r for r in missing if any(is_possible(u.conditions, worlds[r]) for u in certain)]
    standing: Standing
    if not certain:
        standing = "undecided" if exposed else _standing_unneeded(uses)
    elif newest in lacking and has[newest] is False:
        standing = "gone" if present else "nowhere"
    elif not lacking and all(use.conditions for use in certain):
        standing = "guarded"
    else:
        standing = "needed" if present else "undecided"
    unknown = [release for release in lacking if has[release] is None]
    failing = [u for u in certain if any(is_possible(u.conditions, worlds[r]) for r in lacking)]
    weak = {
        use: _let_through(use, [r for r in lacking if has[r] is False], worlds) for use in failing
    }
    ordered = [*(use for use in failing if weak[use]), *failing, *certain, *exposed, *uses]
    return Name(
        name=name,
        standing=standing,
        private=_is_private(name),
        since=since,
        until=present[-1] if present and has[newest] is False else None,
        lacking=tuple(lacking),
        unknown=tuple(unknown),
        let_through=max(weak.values(), key=len, default=()),
        uses=len(uses),
        places=tuple(_place(use) for use in dict.fromkeys(ordered))[:_SHOWN],
        why=_doubts(exposed) or _unknowns(name, history, unknown or ([] if present else [newest])),
    )


def _let_through(use: Use, lacking: Sequence[str], worlds: dict[str, _Release]) -> tuple[str, ...]:
    """List the releases that surely pass a guard which holds older ones back."""
    held_back = False
    passed = []
    for release, world in worlds.items():
        held_back = held_back or not is_possible(use.conditions, world)
        if held_back and release in lacking and is_certain(use.conditions, world):
            passed.append(release)
    return tuple(passed)


def _missing(
    name: str, has: dict[str, bool | None], since: str | None, history: _History
) -> list[str]:
    """List the releases that lack a name, or come before any that is known to have it.

    Of a name that none is known to have, what counts is what it lies in.
    """
    if since is None and not all(there is False for there in has.values()):
        lies_in = name.rpartition(".")[0]
        while not any(history.has(lies_in, release) for release in has):
            lies_in = lies_in.rpartition(".")[0]
        return [release for release in has if history.has(lies_in, release) is False]
    older = set(takewhile(lambda release: release != since, has))
    return [r for r, there in has.items() if there is False or (there is None and r in older)]


def _is_exposed(use: Use) -> bool:
    """Tell whether the code may fail here for want of the name, as far as one place tells."""
    asks = use.kind in {"asked", "written"} and not use.doubt
    return not (use.caught or use.typing or asks)


def _standing_unneeded(uses: Iterable[Use]) -> Standing:
    run = [use for use in uses if not use.typing]
    if not run:
        return "annotation"
    return "written" if all(use.kind == "written" for use in run) else "guarded"


def _is_private(name: str) -> bool:
    parts = name.split(".")[1:]
    return any(p.startswith("_") and not (p.startswith("__") and p.endswith("__")) for p in parts)


def _place(use: Use) -> Place:
    return Place(str(use.file), use.line, use.column, use.guards)


def _doubts(uses: Iterable[Use]) -> str:
    return "; ".join(dict.fromkeys(use.doubt for use in uses if use.doubt))


def _unknowns(name: str, history: _History, releases: Sequence[str]) -> str:
    told = (history.why_unknown(name, release) for release in releases)
    return "; ".join(dict.fromkeys(filter(None, told)))


def _refused(usage: Usage, worlds: dict[str, _Release]) -> dict[str, tuple[str, ...]]:
    refused = {}
    for use in usage.uses:
        if use.kind == "refusal":
            releases = tuple(r for r, world in worlds.items() if is_certain(use.conditions, world))
            if releases:
                refused[str(_place(use))] = releases
    return refused


def _floor(
    names: Iterable[Name], refused: dict[str, tuple[str, ...]], releases: Sequence[str]
) -> tuple[str, str | None, list[str]]:
    """Find the range of releases that nothing rules out.

    Returns:
        Its lowest release, its highest if newer ones are ruled out, and what rules out the release
        below it. A name that no release has rules out none: no range could help it. Names that
        went before others came leave no range: its lowest release is above its highest.
    """
    obstacles = {name.name: name.lacking for name in names if name.standing != "nowhere"} | refused
    lowest, highest = 0, len(releases) - 1
    above: dict[str, int] = {}
    for name, lacking in obstacles.items():
        ends = [release in lacking for release in releases]
        top = len(list(takewhile(bool, reversed(ends))))
        highest = min(highest, len(releases) - 1 - top)
        above[name] = max((i + 1 for i, e in enumerate(ends[: len(ends) - top]) if e), default=0)
        lowest = max(lowest, above[name])
    forced = sorted(name for name, start in above.items() if start == lowest > 0)
    return releases[lowest], releases[highest] if highest < len(releases) - 1 else None, forced


_ORDER = get_args(Standing)


def _importance(name: Name, forced: Sequence[str]) -> tuple[object, ...]:
    """Sort what fails everywhere first, then what forces the floor, the newest, the private."""
    return (
        name.standing not in {"gone", "nowhere"},
        name.name not in forced,
        _ORDER.index(name.standing),
        -len(name.lacking),
        not name.private,
        name.name,
    )
