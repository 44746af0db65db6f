"""What the plugin wrote inside a cell, line by line -> the parts of a record."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from torchfloor.files import read_bounded
from torchfloor.output import printable
from torchfloor.record import Match, Note, PathSeen, Probe, Ratio, RawMatch, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Broken", "Journal", "Readback", "read_journal", "read_timings"]

M = TypeVar("M", Match, RawMatch)

_LONGEST = 64 * 2**20
_SEVERITY = ("wrong", "refused", "missing", "right")


class Readback(msgspec.Struct, frozen=True):
    """What a cell really is, as the plugin read it back."""

    release: str
    module_version: str
    build: str
    cuda: str | None
    git: str | None
    python: str
    platform: str
    machine: str
    cpu: str
    cores: int
    threads: int
    device: str
    device_name: str
    driver: str
    packages: dict[str, str]


class Broken(msgspec.Struct, frozen=True):
    """What makes a cell no evidence of its release, or of the subject's: see `stage`."""

    stage: str
    message: str
    traceback: str = ""


class _Line(msgspec.Struct):
    kind: str


class _Begin(msgspec.Struct):
    pass


class _Start(msgspec.Struct):
    probe: str


class _Finish(msgspec.Struct):
    exitstatus: int


class _Noted(msgspec.Struct):
    subject: str
    key: str
    value: Any


_KINDS: dict[str, type[msgspec.Struct]] = {
    "begin": _Begin,
    "readback": Readback,
    "broken": Broken,
    "start": _Start,
    "probe": Probe,
    "path": PathSeen,
    "match": Match,
    "raw": RawMatch,
    "note": _Noted,
    "ratio": Ratio,
    "finish": _Finish,
}
"""What each kind of line holds; see `torchfloor_incell.journal`."""


class Journal(msgspec.Struct, frozen=True):
    """One pass of probes, as far as it came.

    Attributes:
        readback: The cell's facts, if it came that far.
        broken: The import that failed, or brought what is not the wheel's, if one did.
        damage: What happened to the journal itself, if that can be seen.
        probes: The finished probes, in order.
        unfinished: The probe that had started and not finished, or empty.
        finished: Whether pytest came to its end.
        paths: Paths that were observed.
        matches: Results against references, aggregated.
        raw: The same for unguarded operators.
        notes: Other facts.
        ratios: Interleaved timings.
    """

    readback: Readback | None = None
    broken: Broken | None = None
    damage: str = ""
    probes: tuple[Probe, ...] = ()
    unfinished: str = ""
    finished: bool = False
    paths: tuple[PathSeen, ...] = ()
    matches: tuple[Match, ...] = ()
    raw: tuple[RawMatch, ...] = ()
    notes: tuple[Note, ...] = ()
    ratios: tuple[Ratio, ...] = ()


def read_journal(file: Path, mend: Callable[[str], str] = str) -> Journal:
    """Read a journal: outside input, since whatever runs in a cell can write there.

    A line that a crash cut short, or that is none of the plugin's, is left out.

    Args:
        file: The JSON-lines file; it need not exist.
        mend: Applied to each text in it.

    Returns:
        What it tells.
    """
    text = _read(file)
    found = _findings(text or "", mend)
    probes = found[Probe]
    started = {start.probe for start in found[_Start]}
    return Journal(
        readback=next(iter(found[Readback][-1:]), None),
        broken=next(iter(found[Broken][-1:]), None),
        damage=_damage_of(text, found),
        probes=tuple(probes),
        unfinished=next(iter(sorted(started - {probe.probe for probe in probes})), ""),
        finished=bool(found[_Finish]),
        paths=tuple(dict.fromkeys(found[PathSeen])),
        matches=_grouped(found[Match], _merge_matches),
        raw=_grouped(found[RawMatch], _merge_raw),
        notes=tuple(dict.fromkeys(map(_as_note, found[_Noted]))),
        ratios=tuple(found[Ratio]),
    )


def _read(file: Path) -> str | None:
    """Read a journal as far as any honest one goes; a longer one has no end, and so is no pass.

    Returns:
        Its text; None if it is gone, or something else is in its place.
    """
    try:
        return read_bounded(file, _LONGEST, cut=True).decode(errors="replace")
    except OSError:
        return None


def _damage_of(text: str | None, found: Mapping[type, Sequence[object]]) -> str:
    """Say what happened to a journal, which is there and begun before anything is imported."""
    if text is None:
        return "the journal of the cell is gone: something in the cell has removed or replaced it"
    if not text:
        return (
            "the journal of the cell is empty: pytest did not start (see the log), or something in "
            "the cell has emptied it"
        )
    begun = any(found.get(kind) for kind in (Readback, Broken, _Begin))
    return "" if begun else "the journal of the cell lacks its beginning: something has cut it off"


def _findings(journal: str, mend: Callable[[str], str]) -> dict[type, list[Any]]:
    """Read what each line tells; a line that tells nothing costs only itself.

    No failure gets lost with it: the start of a probe without its end is a failure as well.
    """
    found: dict[type, list[Any]] = defaultdict(list)
    for text in journal.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            line = msgspec.json.encode(_clean(json.loads(text), mend))
            into = _KINDS.get(msgspec.json.decode(line, type=_Line).kind, _Line)
            found[into].append(msgspec.json.decode(line, type=into))
    return found


def _clean(value: Any, mend: Callable[[str], str]) -> Any:  # noqa: ANN401 - any JSON value
    """Mend every text in a JSON value, and make it printable: a release decides what it is."""
    if isinstance(value, str):
        return printable(mend(value))
    if isinstance(value, list):
        return [_clean(each, mend) for each in value]
    if isinstance(value, dict):
        return {printable(key): _clean(each, mend) for key, each in value.items()}
    return value


def _as_note(noted: _Noted) -> Note:
    text = (
        noted.value if isinstance(noted.value, str) else json.dumps(noted.value, ensure_ascii=False)
    )
    return Note(noted.subject, noted.key, text)


def _grouped(entries: Iterable[M], merge: Callable[[list[M]], M]) -> tuple[M, ...]:
    """Merge the entries of one subject, capability and dtype, in order of appearance."""
    groups: dict[tuple[str, str, str], list[M]] = defaultdict(list)
    for entry in entries:
        groups[entry.subject, entry.capability, entry.dtype].append(entry)
    return tuple(merge(group) for group in groups.values())


def _merge_matches(group: list[Match]) -> Match:
    worst = max(group, key=lambda entry: entry.excess)
    digests = "".join(entry.digest for entry in group)
    return msgspec.structs.replace(
        worst,
        cases=sum(entry.cases for entry in group),
        passed=all(entry.passed for entry in group) and worst.excess <= 1,
        failed=tuple(dict.fromkeys(name for entry in group for name in entry.failed)),
        digest=hashlib.sha256(digests.encode()).hexdigest()[:16],
    )


def _merge_raw(group: list[RawMatch]) -> RawMatch:
    worst = min(group, key=lambda entry: (_SEVERITY.index(entry.verdict), -entry.excess))
    return msgspec.structs.replace(worst, cases=sum(entry.cases for entry in group))


class _Statistics(msgspec.Struct):
    rounds: int
    min: float
    median: float
    iqr: float


class _Benchmark(msgspec.Struct):
    name: str
    group: str | None
    stats: _Statistics


class _Saved(msgspec.Struct):
    benchmarks: tuple[_Benchmark, ...]


def read_timings(file: Path) -> tuple[Timing, ...]:
    """Read pytest-benchmark's JSON, which is not there if no benchmark ran.

    Args:
        file: What `--benchmark-json` named.

    Returns:
        The statistics; none from a file that was cut short.
    """
    try:
        saved = msgspec.json.decode(read_bounded(file, _LONGEST), type=_Saved)
    except (OSError, ValueError, RecursionError):  # stopped while it was written, say
        return ()
    return tuple(
        Timing(name=entry.name, group=entry.group or "", **msgspec.structs.asdict(entry.stats))
        for entry in saved.benchmarks
    )
