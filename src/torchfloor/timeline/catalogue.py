"""An index -> the releases of a package, and the one wheel of each that is read."""

from __future__ import annotations

import hashlib
import os
import time
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from torchfloor.addresses import without_credentials
from torchfloor.errors import ConfigError
from torchfloor.index import DEFAULT, IndexUnreachableError
from torchfloor.wheels import Wheel, list_wheels

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchfloor.timeline.store import Store

__all__ = ["Catalogue", "Offer", "key_of", "list_offers"]

_MAX_AGE = 3600
"""Seconds for which an index is not asked again, as with the plan."""
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "PIP_CONFIG_FILE")
_CALL = "the call"


class Offer(msgspec.Struct, frozen=True):
    """A release, and the wheel that is read of it; its source, where it has no wheel."""

    release: str
    wheel: Wheel


class Catalogue(msgspec.Struct, frozen=True):
    """What an index offers of a package.

    Attributes:
        index: Its name, without credentials.
        offers: Every release that is not yanked, oldest first.
        asked: When, in seconds since 1970.
    """

    index: str
    offers: tuple[Offer, ...]
    asked: float


def list_offers(  # noqa: PLR0913 - each is an option of the command
    package: str,
    index: str,
    root: Path,
    store: Store,
    *,
    versions: str = "",
    pre: bool = False,
    refresh: bool = False,
) -> tuple[Catalogue, tuple[str, ...]]:
    """List the releases of a package, each with the wheel to read.

    Args:
        package: The distribution.
        index: As in matrix.yaml.
        root: The folder that a folder of wheels is relative to.
        store: Keeps the answer of an index.
        versions: Narrows the releases (PEP 440).
        pre: Whether pre-releases count.
        refresh: Whether to ask an index again that was asked within the last hour.

    Returns:
        The catalogue, narrowed, and notes for the reader.

    Raises:
        ConfigError: If `versions` is no specifier or matches nothing, or there is no such package.
        IndexUnreachableError: If the index does not answer, and never has.
    """
    try:
        wanted = SpecifierSet(versions)
    except InvalidSpecifier:
        mistake = f"--versions: {versions!r} is no PEP 440 specifier; write something like '>=2.0'"
        raise ConfigError(_CALL, [mistake]) from None
    catalogue, notes = _ask(package, index, root, store, refresh=refresh)
    if not catalogue.offers:
        hint = (
            f"{catalogue.index} has no wheel of {package!r}; name the distribution with --package"
        )
        raise ConfigError(_CALL, [hint])
    offers = []
    for offer in catalogue.offers:
        release = Version(offer.release)
        if (pre or not release.is_prerelease) and wanted.contains(release, prereleases=True):
            offers.append(offer)
    if not offers:
        known = catalogue.offers
        span = f"{known[0].release} to {known[-1].release}"
        hint = f"--versions: {versions!r} matches no release of {package} ({span}); widen it"
        if not versions:
            hint = f"{package} has pre-releases only ({span}); add --pre"
        raise ConfigError(_CALL, [hint])
    return msgspec.structs.replace(catalogue, offers=tuple(offers)), notes


def key_of(wheel: Wheel) -> str:
    """Return what a wheel is kept under: its sha256, or its address where there is none."""
    if wheel.sha256:
        return wheel.sha256
    said = f"{without_credentials(wheel.url)}\0{wheel.size}"
    return f"url-{hashlib.sha256(said.encode()).hexdigest()}"


def _ask(
    package: str, index: str, root: Path, store: Store, *, refresh: bool
) -> tuple[Catalogue, tuple[str, ...]]:
    """Ask the index, unless it was asked lately; what it said before is better than nothing."""
    local = index != DEFAULT and "://" not in index
    place = str((root / index).resolve()) if local else index
    name = without_credentials(index)
    # What names the default index; asking pip for its address takes longer than all the rest.
    said = [place, *(os.environ.get(variable, "") for variable in _INDEX_VARIABLES)]
    key = hashlib.sha256("\0".join(said).encode()).hexdigest()
    kept = None if local else store.get("catalogue", key, package, Catalogue)
    age = time.time() - kept.asked if kept else _MAX_AGE
    if kept and not refresh and 0 <= age < _MAX_AGE:
        return kept, ()
    try:
        wheels = list_wheels(package, index, root)
    except IndexUnreachableError as error:
        if kept is None:
            msg = f"{error}: check the network, and the index that pip and uv are configured to use"
            raise IndexUnreachableError(msg) from None
        asked = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept.asked))
        return kept, (f"{error}; its releases are those it listed on {asked}",)
    offers = _choose_all(wheel for wheel in wheels if not wheel.yanked)
    catalogue = Catalogue(name, offers, time.time())
    if not local and offers:
        store.put("catalogue", key, {package: catalogue})
    return catalogue, ()


def _choose_all(wheels: Iterable[Wheel]) -> tuple[Offer, ...]:
    best: dict[Version, tuple[tuple[object, ...], Wheel]] = {}
    for wheel in wheels:
        release, rank = wheel.release, _rank(wheel)
        if release not in best or rank < best[release][0]:
            best[release] = (rank, wheel)
    releases = sorted(best.items(), key=itemgetter(0))
    return tuple(Offer(str(release), wheel) for release, (_, wheel) in releases)


def _rank(wheel: Wheel) -> tuple[object, ...]:
    """Rank the files of a release, the one to read first.

    A release has a source here only if it has no wheel. Python files and stubs are the same on
    every platform, but for what is only built on some: Windows leaves out most, and telephones and
    browsers get what nobody else does. Wheels for Python 2 may hold other sources. Of the rest,
    the smallest has the shortest directory; where the index tells no sizes, names decide.
    """
    if wheel.is_source:
        return (wheel.filename,)
    _, _, pythons, _, platform = f"-{wheel.filename}".removesuffix(".whl").rsplit("-", 4)
    return (
        pythons.startswith(("cp2", "py2")) and "py3" not in pythons,
        not platform.startswith(("any", "linux", "manylinux", "musllinux", "macosx")),
        wheel.size if wheel.size is not None else 0,
        "linux" not in platform,
        wheel.filename,
    )
