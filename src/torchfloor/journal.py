"""What the plugin wrote inside a cell, line by line -> the parts of a record."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from torchfloor.output import printable
from torchfloor.record import Match, Note, PathSeen, Probe, Ratio, RawMatch, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Broken", "Journal", "Readback", "read_journal", "read_timings"]

T = TypeVar("T")
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
    """An import that failed before the first probe."""

    stage: str
    message: str
    traceback: str = ""


class Journal(msgspec.Struct, frozen=True):
    """One pass of probes, as far as it came.

    Attributes:
        readback: The cell's facts, if it came that far.
        broken: The import that failed, if one did.
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
    probes: tuple[Probe, ...] = ()
    unfinished: str = ""
    finished: bool = False
    paths: tuple[PathSeen, ...] = ()
    matches: tuple[Match, ...] = ()
    raw: tuple[RawMatch, ...] = ()
    notes: tuple[Note, ...] = ()
    ratios: tuple[Ratio, ...] = ()


def read_journal(file: Path, mend: Callable[[str], str] = str) -> Journal:
    """Read a journal; a line that a crash cut short is left out.

    Args:
        file: The JSON-lines file; it need not exist.
        mend: Applied to its text first.

    Returns:
        What it tells.
    """
    lines = _lines(mend(_read(file)))
    probes = _all(lines, "probe", Probe)
    started = [str(line.get("probe")) for line in lines["start"]]
    return Journal(
        readback=_last(lines, "readback", Readback),
        broken=_last(lines, "broken", Broken),
        probes=probes,
        unfinished=next(iter(sorted(set(started) - {p.probe for p in probes})), ""),
        finished=bool(lines["finish"]),
        paths=tuple(dict.fromkeys(_all(lines, "path", PathSeen))),
        matches=_grouped(_all(lines, "match", Match), _merge_matches),
        raw=_grouped(_all(lines, "raw", RawMatch), _merge_raw),
        notes=tuple(dict.fromkeys(_all(lines, "note", Note))),
        ratios=_all(lines, "ratio", Ratio),
    )


def _read(file: Path) -> str:
    """Read a journal as far as any honest one goes; a longer one has no end, and so is no pass."""
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return content.read(_LONGEST).decode("utf-8", errors="replace")


def _lines(journal: str) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for text in journal.splitlines():
        try:
            line = _clean(json.loads(text))
        except (ValueError, RecursionError):
            continue
        if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
            continue
        if line["kind"] == "note" and not isinstance(line.get("value"), str):
            line["value"] = json.dumps(line.get("value"), ensure_ascii=False)
        lines[line["kind"]].append(line)
    return lines


def _clean(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Make every text in a JSON value printable: a release decides what is in there."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): _clean(each) for key, each in value.items()}
    return value


def _all(lines: dict[str, list[dict[str, Any]]], kind: str, into: type[T]) -> tuple[T, ...]:
    """Convert what is right; a probe whose end is not stays unfinished."""
    found = []
    for line in lines[kind]:
        with contextlib.suppress(msgspec.ValidationError):
            found.append(msgspec.convert(line, into))
    return tuple(found)


def _last(lines: dict[str, list[dict[str, Any]]], kind: str, into: type[T]) -> T | None:
    found = _all(lines, kind, into)
    return found[-1] if found else None


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
        passed=all(entry.passed for entry in group),
        digest=hashlib.sha256(digests.encode()).hexdigest()[:16],
    )


def _merge_raw(group: list[RawMatch]) -> RawMatch:
    worst = min(group, key=lambda entry: (_SEVERITY.index(entry.verdict), -entry.excess))
    return msgspec.structs.replace(worst, cases=sum(entry.cases for entry in group))


def read_timings(file: Path) -> tuple[Timing, ...]:
    """Read pytest-benchmark's JSON, which is not there if no benchmark ran.

    Args:
        file: What `--benchmark-json` named.

    Returns:
        The statistics; none from a file that was cut short.
    """
    if not file.exists() or not file.stat().st_size:
        return ()
    try:
        benchmarks = msgspec.json.decode(file.read_bytes())["benchmarks"]
    except msgspec.DecodeError:  # cut short: the pass was stopped while it was written
        return ()
    return tuple(
        Timing(
            name=entry["name"],
            group=entry["group"] or "",
            **{key: entry["stats"][key] for key in ("rounds", "min", "median", "iqr")},
        )
        for entry in benchmarks
    )
