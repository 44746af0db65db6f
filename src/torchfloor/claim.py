"""What a search for the floor has found -> sentences that claim no more than it proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torchfloor.errors import NoEvidenceError
from torchfloor.search import conclude

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.version import Version

    from torchfloor.plan import Cell
    from torchfloor.search import Finding, Known

__all__ = ["Floor", "claim"]

_MOST = 5
"""Releases that are listed one by one."""


class Floor(NamedTuple):
    """What a search has come to.

    Attributes:
        release: The measured floor, or None.
        lines: What is proved, and what is not, in sentences.
        holds: Whether something was found for the declared floor, and nothing against it.
    """

    release: str | None
    lines: tuple[str, ...]
    holds: bool


def claim(
    every: Sequence[Cell],
    cells: Sequence[Cell],
    known: Sequence[Known],
    declared: Version,
    *,
    silent: bool = False,
) -> Floor:
    """Say what is proved, and never more.

    Args:
        every: A cell for each release of the range, oldest first.
        cells: Those of them that can run here.
        known: What is known of these.
        declared: The declared floor.
        silent: Whether an index that may have more of these releases did not answer.

    Raises:
        NoEvidenceError: If nothing is known of any.
    """
    found = conclude(known)
    if found.newest is None:
        msg = "Every cell that was tried errored, so nothing is known; .compat/logs/ tells why."
        raise NoEvidenceError(msg)
    if found.floor is None:
        newest = cells[found.newest]
        told = (
            f"{newest.package} {newest.release}, the newest that could be tested, is incompatible"
        )
        hint = "so nothing below it is a floor; mend it, or narrow the range with --versions"
        return Floor(None, (f"No floor: {told}, {hint}.",), holds=False)
    floor = cells[found.floor]
    proved = _proved(every, cells, known, found, silent=silent)
    lines = [proved, *_doubts(cells, known, found)]
    against, holds = _against_declared(cells, known, found, declared)
    return Floor(floor.release, (*lines, *against), holds)


def _against_declared(
    cells: Sequence[Cell], known: Sequence[Known], found: Finding, declared: Version
) -> tuple[list[str], bool]:
    """Say what the floor means for the declared one, and whether this holds."""
    assert found.floor is not None  # noqa: S101 - the caller has looked
    floor, claimed = cells[found.floor], f"{cells[0].package}>={declared}"
    below = cells[found.below] if found.below is not None else None
    if below is not None and below.version >= declared:
        advice = f"declare {floor.package}>={floor.release}, or mend it"
        return [f"{claimed} does not hold: {below.release} is incompatible; {advice}."], False
    words = {cell.version: word for cell, word in zip(cells, known, strict=True)}
    if not any(word == "compatible" for release, word in words.items() if release >= declared):
        return [f"{claimed} is not proved: no release at or above it was found compatible."], False
    if words.get(declared) == "errored":
        return [f"{claimed} is not proved: {declared} itself errored."], False
    if floor.version < declared:
        return [f"{claimed} is declared; it could be {floor.release}."], True
    return [], True


def _proved(
    every: Sequence[Cell],
    cells: Sequence[Cell],
    known: Sequence[Known],
    found: Finding,
    *,
    silent: bool,
) -> str:
    """Say what the floor is, and by what right: by all releases above it, or by some."""
    assert found.floor is not None  # noqa: S101 - the caller has looked
    floor = cells[found.floor]
    tested = [c for c, word in zip(cells, known, strict=True) if word == "compatible"]
    works = [cell.release for cell in tested if cell.version >= floor.version]
    above = [cell.release for cell in every if cell.version >= floor.version]
    if works == above and silent:
        right = "without gap among the releases of the indexes that answered"
    elif works == above:
        right = "verified without gap: every release of the range from there on was tested"
    else:
        rest = (
            f"{len(above) - len(works)} of the {len(above)} releases from there on are not proved"
        )
        right = f"bisected: {rest}, and that what works keeps on working is assumed"
    lower = "" if found.below is not None else " or lower"
    oldest = (
        f"{cells[found.below].release} is incompatible"
        if found.below is not None
        else "nothing lower was tested and found incompatible"
    )
    shown = works if len(works) <= _MOST else [*works[: _MOST - 1], "…", works[-1]]
    are = "are" if len(works) > 1 else "is"
    return (
        f"Measured floor: {floor.package} {floor.release}{lower} ({right}); {oldest}; "
        f"{', '.join(shown)} {are} compatible."
    )


def _doubts(cells: Sequence[Cell], known: Sequence[Known], found: Finding) -> Iterator[str]:
    """Name what a reader might take for proved."""
    assert found.newest is not None  # noqa: S101 - the caller has looked
    errored = [cell.release for cell in cells[found.newest + 1 :]]
    if errored and all(word == "errored" for word in known[found.newest + 1 :]):
        yield (
            f"The newest, {' and '.join(errored)}, errored: the floor holds up to "
            f"{cells[found.newest].release} as far as is known."
        )
    if found.between:
        between = ", ".join(cells[place].release for place in found.between)
        yield f"Nothing is known of {between}, so the floor may be lower."
    if found.against:
        works = ", ".join(cells[place].release for place in found.against)
        yield (
            f"What works does not keep on working here: {works} compatible, though below one that "
            "is not. Only `nox -s compat` proves all."
        )
