"""The indexes' wheels -> the releases that a matrix is about."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from torchfloor.addresses import without_credentials
from torchfloor.errors import ConfigError
from torchfloor.index import IndexUnreachableError
from torchfloor.wheels import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torchfloor.matrix import Flavour, Matrix

__all__ = ["Offers", "Selection", "collect_offers", "is_named", "select_releases", "selects"]

Offers = dict[Version, list[Wheel]]
"""What one flavour can be installed from: wheels by release."""


class Selection(NamedTuple):
    """Releases, oldest first.

    Attributes:
        floor: The lowest one at or above the declared floor.
        chosen: Those that become cells.
        covered: Those that the chosen ones stand for.
        unfound: Those that the project names, and that only a silent index may have.
        left_out: Those at or above the declared floor that `versions` does not match.
    """

    floor: Version
    chosen: list[Version]
    covered: list[Version]
    unfound: list[str]
    left_out: list[Version]


def collect_offers(
    matrix: Matrix, offered_by: Callable[[str, str, Path], list[Wheel]]
) -> tuple[dict[str, Offers], dict[str, str]]:
    """Ask each index once; per flavour, the first index that has a release provides it.

    Args:
        matrix: Names the flavours and their indexes.
        offered_by: Lists the wheels of (package, index, root).

    Returns:
        The offers of each flavour, and why indexes did not answer, by their names.

    Raises:
        ConfigError: If no index has a final release.
        IndexUnreachableError: If no index answers.
    """
    asked: dict[str, list[Wheel]] = {}
    unreachable: dict[str, str] = {}
    for index in dict.fromkeys(i for f in matrix.flavours.values() for i in f.indexes):
        try:
            asked[index] = offered_by(matrix.package, index, matrix.root)
        except IndexUnreachableError as error:
            asked[index] = []
            unreachable[without_credentials(index)] = str(error)
    offers = {name: _offers_of(flavour, asked) for name, flavour in matrix.flavours.items()}
    if not any(offers.values()):
        if unreachable:
            raise _unreachable(unreachable)
        hint = f"package: no index has a final release of {matrix.package!r}; check its spelling"
        raise ConfigError(matrix.source.name, [hint])
    return offers, unreachable


def _unreachable(causes: Mapping[str, str], consequence: str = "") -> IndexUnreachableError:
    return IndexUnreachableError(
        f"{'; '.join(causes.values())}{consequence}: check the network, the indexes in "
        "matrix.yaml, and the one that pip's configuration, UV_DEFAULT_INDEX or PIP_INDEX_URL names"
    )


def _offers_of(flavour: Flavour, asked: Mapping[str, list[Wheel]]) -> Offers:
    """Prefer what can be installed from any index to what the first one withholds."""
    offers: Offers = {}
    for withheld, index in product((False, True), flavour.indexes):
        here: Offers = {}
        for wheel in asked[index]:
            if bool(wheel.withheld) is withheld and not wheel.version.is_prerelease:
                here.setdefault(wheel.release, []).append(wheel)
        for release, wheels in here.items():
            offers.setdefault(release, wheels)
    return offers


def select_releases(
    matrix: Matrix, offers: Iterable[Offers], unreachable: Mapping[str, str]
) -> Selection:
    """Select the releases that become cells.

    A yanked release is no promise, since installers pass it over; and it stands for a minor only
    where there is no other, as does one without a wheel.

    Args:
        matrix: Names range, sample, history and declared floor.
        offers: What each flavour can be installed from.
        unreachable: Why indexes did not answer: what nobody has, they may have.

    Raises:
        ConfigError: If there is nothing to select, or the history names what no index has.
        IndexUnreachableError: If there is nothing to select on the indexes that answer.
    """
    files: dict[Version, list[Wheel]] = {}
    for release, wheels in chain.from_iterable(each.items() for each in offers):
        files.setdefault(release, []).extend(wheels)
    known = sorted(files)
    current = [release for release in known if not all(file.yanked for file in files[release])]
    # Last what can be installed, oldest first: of those that are alike, the last is chosen.
    by_use = sorted(known, key=lambda r: (not all(file.withheld for file in files[r]), r))
    in_range = _in_range(matrix, known)
    promised = [release for release in current if release >= matrix.declared]
    if unreachable and not (promised and in_range):
        raise _unreachable(unreachable, "; the others have no release that the matrix asks for")
    if not promised:
        hint = f"no release of {matrix.package} is at or above the declared {matrix.declared}"
        raise ConfigError(matrix.declared_in.name, [f"{hint}; lower it"])
    if not in_range:
        hint = f"versions: {str(matrix.versions)!r} matches none of {known[0]} to {known[-1]}"
        raise ConfigError(matrix.source.name, [f"{hint}; widen it"])
    within = frozenset(in_range)
    patches = _newest_patches(release for release in by_use if release in within)
    sampled = in_range if matrix.sample == "all" else patches
    history = _history(matrix, by_use)
    unfound = [text for text, release in history.items() if release is None]
    if unfound and not unreachable:
        raise ConfigError(matrix.source.name, _not_offered(matrix, unfound))
    if unreachable and matrix.declared not in files:
        unfound.append(str(matrix.declared))
    chosen = sorted({promised[0], *sampled, *filter(None, history.values())})
    covered = [r for r in current if r in within or chosen[0] <= r < matrix.declared]
    left_out = [release for release in promised if release not in {*within, *chosen}]
    return Selection(promised[0], chosen, covered, unfound, left_out)


def selects(matrix: Matrix, release: Version, known: Iterable[Version]) -> bool:
    """Tell whether a matrix is about a release, be it in range or history.

    Args:
        matrix: Names range, history and declared floor.
        release: The release.
        known: All releases there are.
    """
    named = any(is_named(text, release) for text in matrix.history)
    return named or release in _in_range(matrix, [*known, release])


def _in_range(matrix: Matrix, known: Sequence[Version]) -> list[Version]:
    """List what `versions` matches, and what is promised below that: it cannot be hidden."""
    lowest = min((release for release in known if matrix.versions.contains(release)), default=None)
    return [
        release
        for release in known
        if matrix.versions.contains(release)
        or (lowest is not None and matrix.declared <= release < lowest)
    ]


def _newest_patches(releases: Iterable[Version]) -> list[Version]:
    """Keep the last of each minor."""
    return list({(release.major, release.minor): release for release in releases}.values())


def _history(matrix: Matrix, known: Sequence[Version]) -> dict[str, Version | None]:
    """Find the release that each entry of the history stands for, if an index has it."""
    last = {
        text: release for text, release in product(matrix.history, known) if is_named(text, release)
    }
    return {text: last.get(text) for text in matrix.history}


def is_named(text: str, release: Version) -> bool:
    """Tell whether an entry of the history names a release: by itself, or by its minor."""
    wanted = Version(text)
    is_minor = len(wanted.release) == 2  # noqa: PLR2004 - major and minor
    return release == wanted or (is_minor and release.release[:2] == wanted.release)


def _not_offered(matrix: Matrix, unfound: Iterable[str]) -> list[str]:
    return [
        f"history[{matrix.history.index(text)}]: no index has a release {text}; remove it"
        for text in unfound
    ]
