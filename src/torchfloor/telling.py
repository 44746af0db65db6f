"""Changes of many cells -> few lines: what cells share is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torchfloor.differences import Kind

__all__ = ["Group", "Line", "name_places", "tell"]

_TITLES: dict[str, tuple[Kind, ...]] = {
    "Worse, but no regression": (
        "incompatible",
        "lost",
        "unknown",
        "vanished",
        "untested",
        "lowered",
    ),
    "Better": ("compatible", "gained", "tested", "raised"),
    "New": ("new",),
    "Different": ("path", "numbers", "operator", "interface"),
    "Times": ("slower", "faster"),
}
_REGRESSIONS = "Regressions at or above the declared floor"
_NAMED = 6
"""Names that a line gives before it counts."""
_APART = 3
"""Lines of one kind whose names differ, before they become one line."""
_MOST = 20
"""Lines of a group."""
_CELLS = 3
"""Cells that a line names before it counts."""


class _Told(Protocol):
    """What is told: a change; see `torchfloor.changes.Change`."""

    @property
    def cell(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def text(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def figures(self) -> tuple[str, ...]: ...
    @property
    def regression(self) -> bool: ...


class Line(msgspec.Struct, frozen=True):
    """What changed alike in some cells.

    Attributes:
        where: The cells, in words.
        text: What changed.
        cells: Their identifiers.
    """

    where: str
    text: str
    cells: tuple[str, ...]


class Group(msgspec.Struct, frozen=True):
    """Lines of the same weight.

    Attributes:
        title: What they have in common.
        lines: The most important first.
        more: Lines that are left out.
    """

    title: str
    lines: tuple[Line, ...]
    more: int = 0


def tell(changes: Iterable[_Told], every: Sequence[str]) -> tuple[Group, ...]:
    """Condense changes to lines.

    Args:
        changes: The changes, most important first.
        every: The cells that were compared.

    Returns:
        Groups of lines, none of them empty.
    """
    grouped: dict[str, dict[tuple[Kind, str], list[_Told]]] = {
        title: {} for title in (_REGRESSIONS, *_TITLES)
    }
    for change in changes:
        alike = grouped[_title(change)]
        alike.setdefault((change.kind, change.text), []).append(change)
    groups = []
    for title, alike in grouped.items():
        lines = [line for told in alike.values() for line in _lines(told, every)]
        if lines:
            groups.append(Group(title, tuple(lines[:_MOST]), max(0, len(lines) - _MOST)))
    return tuple(groups)


def _title(change: _Told) -> str:
    if change.regression:
        return _REGRESSIONS
    return next(title for title, kinds in _TITLES.items() if change.kind in kinds)


def _lines(told: Sequence[_Told], every: Sequence[str]) -> list[Line]:
    """Tell the same of many cells once; where only the names differ, with all of them."""
    same: dict[tuple[str, ...], list[_Told]] = {}
    for change in told:
        same.setdefault(change.names, []).append(change)
    if len(same) <= _APART:
        return [_line(changes, _name(_measured(changes)), every) for changes in same.values()]
    names = list(dict.fromkeys(name for names in same for name in names))
    return [_line(told, f"some of {_name(names)}", every)]


def _line(changes: Sequence[_Told], names: str, every: Sequence[str]) -> Line:
    cells = tuple(dict.fromkeys(change.cell for change in changes))
    text = f"{changes[0].text}{f': {names}' if names else ''}"
    return Line(name_places(cells, every), text, cells)


def _measured(changes: Sequence[_Told]) -> Sequence[str]:
    """Return the names that changes share; with their figures, if it is one change."""
    first = changes[0]
    if len(changes) > 1 or not first.figures:
        return first.names
    return [f"{n} ({f})" for n, f in zip(first.names, first.figures, strict=True)]


def _name(names: Sequence[str]) -> str:
    told, more = names[:_NAMED], len(names) - _NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def name_places(cells: Sequence[str], every: Sequence[str]) -> str:
    """Name cells: `x`, `x and y`, `5 cells (x … z)`, `all 23 cells`."""
    if len(cells) > 1 and set(cells) == set(every):
        return f"all {len(cells)} cells"
    if len(cells) <= _CELLS:
        return " and ".join(filter(None, (", ".join(cells[:-1]), cells[-1])))
    return f"{len(cells)} cells ({cells[0]} … {cells[-1]})"
