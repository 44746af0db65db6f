"""What wheels say of a name against what cells observed of it: where they differ, one is wrong."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torchfloor.record import Record
    from torchfloor.static import Seen, StaticEvidence

__all__ = ["Agreement", "NameRow", "NameTable", "compare"]

_ABSENT = re.compile(
    r"cannot import name '(?P<import>\w+)' from '(?P<package>[\w.]+)'"
    r"|module '(?P<module>[\w.]+)' has no attribute '(?P<attribute>\w+)'"
)
_CONTAINERS = {"tuple", "list", "dict", "set"}
_MOST = 3
"""Overloads that a row shows."""
_STATUS = {
    "absent": "not there",
    "undecided": "undecided",
    "no-stub": "no stub",
    "unread": "unread",
}


class NameRow(msgspec.Struct, frozen=True):
    """A name in one release.

    Attributes:
        release: The release.
        status: What its wheel says: `there`, or why not.
        signature: As its wheel writes it, but for types; empty if none is written.
        changed: What is different from the release before, in words.
        run: What cells observed: `agrees`, what else, or empty if none ran.
        disagrees: Whether they observed something else than the wheel says.
    """

    release: str
    status: str
    signature: str
    changed: str
    run: str
    disagrees: bool


class NameTable(msgspec.Struct, frozen=True):
    """A name, release by release.

    Attributes:
        name: The dotted name.
        private: Whether some part of it begins with an underscore.
        rows: Oldest release first.
    """

    name: str
    private: bool
    rows: tuple[NameRow, ...]


class Agreement(msgspec.Struct, frozen=True):
    """Static evidence beside what was run.

    Attributes:
        index: Where the wheels are listed.
        read: The day they were read on.
        tables: One for each name.
        disagreements: In words; each is an error, in a stub, a reader or a probe.
    """

    index: str
    read: str
    tables: tuple[NameTable, ...]
    disagreements: tuple[str, ...]


class _Observed(NamedTuple):
    """What one cell's record says of a name.

    Attributes:
        there: Whether it exists; None if the record does not tell.
        signature: Its parameters, as read back; None if they were not.
        takes: Parameters it was called with.
        refuses: Parameters it did not take.
        returns: The type that came back, or empty.
    """

    there: bool | None
    signature: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    returns: str = ""


def compare(static: StaticEvidence, records: Iterable[Record], headline: str) -> Agreement:
    """Hold what wheels say against what cells observed.

    Compared is what a record tells of a name: whether it is there (from notes under the name
    itself, the unguarded operator's findings, the headline's entry points, and errors that name
    it), and its parameters (from a noted signature, and notes under `… parameter` and `x=`).
    Types are not compared: stubs are known to be loose about them.

    Args:
        static: What wheels say.
        records: Evidence of cells, stale or not: what was observed of a release stays so.
        headline: The subject whose entry points are observed for real.
    """
    by_release: dict[Version, list[Record]] = {}
    for record in records:
        by_release.setdefault(record.version, []).append(record)
    tables, disagreements = [], []
    for history in static.names:
        changed: dict[str, list[str]] = {}
        for change in (c for c in history.changes if c.kind != "annotation"):
            changed.setdefault(change.release, []).append(change.text)
        rows = []
        for seen in history.seen:
            ran = by_release.get(Version(seen.release), [])
            run, wrong = _hold(history.name, seen, ran, headline)
            disagreements += wrong
            rows.append(_row(seen, "; ".join(changed.get(seen.release, [])), run, bool(wrong)))
        private = any(part.startswith("_") for part in history.name.split("."))
        tables.append(NameTable(history.name, private, tuple(rows)))
    return Agreement(static.index, str(static.read), tuple(tables), tuple(disagreements))


def _row(seen: Seen, changed: str, run: str, disagrees: bool) -> NameRow:  # noqa: FBT001 - a field
    briefs = [_brief(text) for text in seen.signatures]
    signature = "; ".join(briefs[:_MOST]) + ("; …" if len(briefs) > _MOST else "")
    status = _STATUS.get(seen.status, "there")
    return NameRow(seen.release, status, signature, changed, run, disagrees)


def _hold(name: str, seen: Seen, records: Iterable[Record], headline: str) -> tuple[str, list[str]]:
    """Return what cells of a release observed in a word or two, and where they disagree."""
    words: list[str] = []
    wrong: list[str] = []
    for record in records:
        observed = _observe(name, record, headline)
        if observed.there is None:
            continue
        found = list(_differences(seen, observed))
        wrong += [f"{record.cell}: {name} {text}" for text in found]
        words.append("; ".join(found) or _agreed(seen, observed))
    return "; ".join(dict.fromkeys(words)), wrong


def _agreed(seen: Seen, observed: _Observed) -> str:
    if seen.status not in {"present", "absent"}:
        return "there" if observed.there else "not there"
    written = {head for text in seen.signatures if (head := _returned(text))}
    if observed.returns in _CONTAINERS and written and observed.returns not in written:
        return f"agrees, but returns a {observed.returns}: the stub writes {', '.join(written)}"
    return "agrees"


def _differences(seen: Seen, observed: _Observed) -> Iterator[str]:
    """Say in words where a cell observed something else than the wheel says."""
    if seen.status not in {"present", "absent"}:
        return
    if observed.there != (seen.status == "present"):
        there = f"is there when run, but not in {seen.file or seen.wheel} of its wheel"
        yield there if observed.there else f"is missing when run, but {seen.file} has it"
        return
    parsed = [_parse(text) for text in seen.signatures]
    known = [_names(each) for each in parsed if each is not None]
    if not known or len(known) < len(parsed):
        return
    written = " or ".join(_brief(text) for text in seen.signatures[:_MOST])
    if observed.signature is not None and observed.signature not in known:
        yield f"has the parameters {', '.join(observed.signature)} when run, but {written} in stub"
    open_ended = any(each.kwarg for each in parsed if each is not None)
    every = {parameter for names in known for parameter in names}
    for parameter in observed.takes:
        if parameter not in every and not open_ended:
            yield f"takes {parameter} when run, but its stub says {written}"
    for parameter in observed.refuses:
        if parameter in every:
            yield f"refuses {parameter} when run, but its stub says {written}"


def _observe(name: str, record: Record, headline: str) -> _Observed:
    """Gather what a record tells of a name."""
    said = next((note.value for note in record.notes if note.key == name), "")
    own = {note.key: note.value for note in record.notes if note.subject == name}
    takes = [value for key, value in own.items() if key.endswith(" parameter") and value]
    tried = {key[:-1]: value for key, value in own.items() if key.endswith("=")}
    parsed = _parse(said) if "(" in said else None
    return _Observed(
        there=_is_there(name, record, said, headline),
        signature=_names(parsed) if parsed is not None else None,
        takes=(*takes, *(key for key, value in tried.items() if value == "accepted")),
        refuses=tuple(key for key, value in tried.items() if value == "refused"),
        returns=own.get("returns", ""),
    )


def _is_there(name: str, record: Record, said: str, headline: str) -> bool | None:
    """Tell whether a name exists, from the plainest words there are."""
    if said:
        return said != "missing"
    verdicts = {entry.verdict for entry in record.raw if entry.subject == name}
    if verdicts & {"right", "wrong"}:
        return True
    if "missing" in verdicts or name in _named_absent(record):
        return False
    called = (seen.entry_points for seen in record.paths if seen.subject == headline)
    return True if any(name in names for names in called) else None


def _named_absent(record: Record) -> set[str]:
    """Find the names of which an error says that they are not there."""
    messages = [record.failure.message] if record.failure else []
    messages += [probe.message for probe in record.probes if probe.outcome == "failed"]
    found = (each.groupdict() for text in messages for each in _ABSENT.finditer(text))
    return {
        f"{each['package'] or each['module']}.{each['import'] or each['attribute']}"
        for each in found
    }


def _parse(text: str) -> ast.arguments | None:
    """Parse a signature such as `norm(x, *, ord=2) -> Tensor`, or return None."""
    function = _function(text)
    return function.args if function else None


def _function(text: str) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(f"def function{text[text.index('(') :]}: ...")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    (node, *others) = tree.body
    return node if isinstance(node, ast.FunctionDef) and not others else None


def _names(arguments: ast.arguments) -> tuple[str, ...]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return tuple(each.arg for each in named)


def _brief(text: str) -> str:
    """Leave the types out of a signature."""
    arguments = _parse(text)
    if arguments is None:
        return text
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg):
            each.annotation = None
    return f"({ast.unparse(arguments)})"


def _returned(text: str) -> str:
    """Return the container that a signature says it returns, in small letters, or nothing."""
    function = _function(text)
    if function is None or function.returns is None:
        return ""
    head = ast.unparse(function.returns).strip("'\"").partition("[")[0]
    name = head.rpartition(".")[2].lower()
    return name if name in _CONTAINERS else ""
