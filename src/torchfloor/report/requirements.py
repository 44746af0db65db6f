"""What a code base requires, in a terminal."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from packaging.version import Version
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from torchfloor.requires import Name, Requirements

__all__ = ["print_requirements", "sentence", "shortfalls"]

_STYLES = {
    "gone": "bold red",
    "nowhere": "bold red",
    "undecided": "yellow",
    "guarded": "green",
    "annotation": "dim",
    "written": "dim",
}
_WIDEST = 500
_NAMED = 3
_LONGEST = 70


def print_requirements(found: Requirements, console: Console) -> None:
    """Print the floor in a sentence, the names, and what could not be told.

    Args:
        found: What was found.
        console: Where to; rich leaves colours out where they are not wanted.
    """
    console.print(Text(sentence(found), style="bold"), soft_wrap=True)
    for line in _warnings(found):
        console.print(Text(line, style="red"), soft_wrap=True)
    console.print(Text(_summary(found)), soft_wrap=True)
    if found.names:
        console.print()
        table = _table(found.names)
        options = console.options.update(width=_WIDEST)
        table.width = console.measure(table, options=options).maximum
        console.print(table, crop=False)
    for line in found.notes:
        console.print(Text(f"Note: {line}", style="dim"), soft_wrap=True)


def sentence(found: Requirements) -> str:
    """Say the floor, and what forces it."""
    package, oldest, newest = found.package, found.releases[0], found.releases[-1]
    if not found.names:
        return f"Nothing in {_counted(found.files, 'file')} uses {package}."
    undecided = sum(name.standing == "undecided" for name in found.names)
    rest = ""
    if undecided:
        rest = f" {_counted(undecided, 'needed name')} undecided, which may need more."
    gone = [name.name for name in found.names if name.standing == "gone"]
    cause = _listed(found, found.forced_by) or "no name rules out the oldest release"
    if found.ceiling is None:
        return f"{package} {found.floor} or later: {cause}.{rest}"
    until = _listed(found, [*gone, *(place for place in found.refused if not gone)])
    if Version(found.ceiling) < Version(found.floor):
        return (
            f"No release of {package} from {oldest} to {newest} has every name: "
            f"{found.floor} or later is needed ({cause}), and {found.ceiling} or earlier ({until})."
            f"{rest}"
        )
    return f"{package} {found.floor} to {found.ceiling}: {cause}; {until}.{rest}"


def _listed(found: Requirements, forced: Sequence[str]) -> str:
    names = {name.name: name for name in found.names}
    told = [_forces(names[name]) if name in names else f"refused by {name}" for name in forced]
    more = f", and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return "; ".join(told[:_NAMED]) + more


def _forces(name: Name) -> str:
    since = f"first known in {name.since}" if name.since_is_open else f"first in {name.since}"
    if name.standing == "gone":
        since = f"last in {name.until}"
    elif name.standing == "nowhere":
        since = "in no release"
    elif name.since is None:
        since = f"undecided, and surely absent in {_span(name.lacking)}"
    return f"{name.name}, {since} ({name.places[0]})"


def _warnings(found: Requirements) -> list[str]:
    lines = []
    for name in found.names:
        if name.standing == "gone":
            lines.append(f"Gone: {_forces(name)}; no newer release works without a guard.")
        elif name.standing == "nowhere":
            lines.append(
                f"In no release: {name.name} ({name.places[0]}): something else provides it, or it "
                "is a mistake; the floor leaves it out."
            )
        elif name.let_through:
            place = name.places[0]
            verb = "lacks" if len(name.let_through) == 1 else "lack"
            lines.append(
                f"Guard too weak: {place} reaches {name.name} in {_span(name.let_through)}, which "
                f"{verb} it: {', '.join(place.guards)}."
            )
    lines += [
        f"Refused: {place} raises in {_span(releases)}."
        for place, releases in found.refused.items()
    ]
    lines += [f"Not read: {line}; it may need more." for line in found.unread]
    for why, group in groupby(found.unread_releases.items(), key=itemgetter(1)):
        releases = [release for release, _ in group]
        lines.append(f"Not compared: {found.package} {_span(releases)}: {why}.")
    return lines


def _span(releases: Sequence[str]) -> str:
    return releases[0] if len(releases) == 1 else f"{releases[0]} to {releases[-1]}"


def _summary(found: Requirements) -> str:
    standings = Counter(name.standing for name in found.names)
    places = sum(name.uses for name in found.names)
    private = sum(name.private for name in found.names)
    shares = [f"{count} {standing}" for standing, count in standings.items()]
    return (
        f"{_counted(len(found.names), 'name')} in {_counted(places, 'place')} of "
        f"{_counted(found.files, 'file')} ({', '.join(shares)}; {private} private), looked up in "
        f"{_counted(len(found.releases), 'release')}, {found.releases[0]} to {found.releases[-1]}. "
        "Read from wheels; nothing was run."
    )


def _table(names: Sequence[Name]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("name", "since", "until", "standing", "places", "first", "remark"):
        table.add_column(Text(heading), no_wrap=True)
    for name in names:
        standing = f"{name.standing}, private" if name.private else name.standing
        table.add_row(
            Text(name.name),
            Text(f"{'≤' if name.since_is_open else ''}{name.since or '–'}"),
            Text(name.until or ""),
            Text(standing, style=_STYLES.get(name.standing, "")),
            Text(str(name.uses)),
            Text(str(name.places[0])),
            Text(_shorten(name.why or ", ".join(name.places[0].guards)), style="dim"),
        )
    return table


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def shortfalls(found: Requirements, version: Version) -> list[str]:
    """Say what stands in the way of every release from a version on.

    Args:
        found: What was found.
        version: The lowest release that should do.

    Returns:
        A sentence each; none if nothing is known to need more.
    """
    lines = []
    for name in found.obstacles(version):
        lacking = [release for release in name.lacking if Version(release) >= version]
        verb = "may lack" if set(lacking) <= set(name.unknown) else "lack"
        lines.append(f"{_forces(name)}: {_span(lacking)} {verb} it.")
    for place in found.refusals(version):
        refused = [r for r in found.refused[place] if Version(r) >= version]
        lines.append(f"{place} raises in {_span(refused)}.")
    for release, why in found.unread_releases.items():
        if Version(release) >= version:
            lines.append(f"{found.package} {release} could not be read: {why}")
    return lines + [f"{line}: not read, so it may need more." for line in found.unread]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 else "")
