"""What the main table is about: one of the calls that probes observed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchfloor.record import Record

__all__ = ["choose_headline", "doubt_headline"]

_MOST = 6


def choose_headline(asked: str, records: Iterable[Record]) -> str:
    """Return the headline: what the matrix asks for, else what the newest release's cell saw first.

    Args:
        asked: The matrix's headline, or empty.
        records: The evidence.
    """
    if asked:
        return asked
    newest_first = sorted(records, key=lambda record: record.version, reverse=True)
    return next((subject for record in newest_first for subject in _observed(record)), "")


def doubt_headline(asked: str, records: Iterable[Record]) -> str:
    """Tell of a headline that is likely misspelt: cells are compatible, and none has seen it.

    Args:
        asked: The matrix's headline, or empty.
        records: The evidence.

    Returns:
        A sentence, or nothing if there is no doubt.
    """
    known: dict[str, None] = {}
    for record in records:
        if record.outcome == "compatible":
            known |= _observed(record)
            if asked in known:
                return ""
    if not asked or not known:
        return ""
    names = ", ".join([*known][:_MOST]) + (", …" if len(known) > _MOST else "")
    return f"No probe has seen the matrix's headline {asked}, only {names}: is it misspelt?"


def _observed(record: Record) -> dict[str, None]:
    subjects = [seen.subject for seen in record.paths]
    subjects += [match.subject for match in record.matches]
    return dict.fromkeys(filter(None, subjects))
