"""One cell's record -> its story: what a reader who opens the cell wants to know, in sections."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from torchfloor.report.model import LEFT_OUT
from torchfloor.report.row import Row, show_number
from torchfloor.space import in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torchfloor.record import Identity, Record

__all__ = ["Section", "Story", "tell_stories"]

_UNITS = ((1.0, "s"), (1e-3, "ms"))
_VERDICTS = {True: "passed", False: "failed"}
_WAYS = 64
"""Columns that are kept: most cells of a matrix say the same, but for their numbers."""
_SAID_OF_MATCH = attrgetter("capability", "subject", "dtype", "tolerance", "passed")
_SAID_OF_RAW = attrgetter("capability", "dtype", "verdict", "tolerance", "message")


class Section(msgspec.Struct, frozen=True):
    """A part of a story: a table, or a text as it was printed.

    Attributes:
        title: What it is about.
        columns: Headings; empty where each row is a name and what it is.
        rows: The table.
        text: Lines of a log, or of a command.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    text: str = ""


class Story(msgspec.Struct, frozen=True):
    """All that is known of one cell.

    Attributes:
        row: The cell, as the main table shows it.
        sections: The parts that have something to say.
    """

    row: Row
    sections: tuple[Section, ...]


def tell_stories(rows: Iterable[Row], records: Iterable[Record]) -> Iterator[Story]:
    """Tell of cells what their records say.

    Args:
        rows: The cells, as the report shows them.
        records: The evidence; a cell may have none.

    Yields:
        A story for each row, in order.
    """
    by_cell = {record.cell: record for record in records}
    for row in rows:
        yield Story(row, tuple(_sections(row, by_cell.get(row.cell))))


def _sections(row: Row, record: Record | None) -> Iterator[Section]:
    told = [] if record is None else [*_failure(record)]
    if row.outcome not in LEFT_OUT:
        told.append(Section("Run it again", text=f'nox -s "compat({row.cell})" -- --fresh'))
    told += [] if record is None else [*_evidence(record), *_origin(record)]
    yield from (section for section in told if section.rows or section.text)


def _failure(record: Record) -> list[Section]:
    failure = record.failure
    if failure is None:
        return []
    facts = (("stage", failure.stage), ("message", failure.message))
    return [Section("What went wrong", rows=facts), Section("End of the log", text=failure.log)]


def _evidence(record: Record) -> list[Section]:
    """Show what the probes found, and where."""
    baseline = record.ratios[0].baseline if record.ratios else ""
    timings = ("input", "call", "median", "fastest", "middle half", "rounds")
    return [
        Section("Environment", rows=_environment(record)),
        Section(
            "Capabilities",
            ("capability", "call", "dtype", "largest error", "tolerance", "result"),
            _matches(record),
        ),
        Section(
            f"Time / {baseline}",
            ("input", "call", "median", "middle half", "time"),
            _ratios(record),
        ),
        Section("Timings, single-threaded", timings, _timings(record)),
        Section("Paths", ("call", "path", "entry points", "operators"), _paths(record)),
        Section(
            "The unguarded operator",
            ("capability", "dtype", "verdict", "largest error", "tolerance", "message"),
            _raw(record),
        ),
        Section("Probes that did not pass", ("probe", "outcome", "message"), _probes(record)),
        Section("Its interface", rows=tuple((note.key, note.value) for note in record.notes)),
    ]


def _paths(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (seen.subject, seen.path, ", ".join(seen.entry_points), ", ".join(seen.operators))
        for seen in record.paths
    )


def _matches(record: Record) -> tuple[tuple[str, ...], ...]:
    if not record.matches:
        return ()
    shared = _match_columns(tuple(map(_SAID_OF_MATCH, record.matches)))
    capabilities, subjects, dtypes, tolerances, results = shared
    errors = map(show_number, [match.error for match in record.matches])
    return tuple(zip(capabilities, subjects, dtypes, errors, tolerances, results, strict=True))


@lru_cache(maxsize=_WAYS)
def _match_columns(said: tuple[Any, ...]) -> tuple[tuple[str, ...], ...]:
    capabilities, subjects, dtypes, tolerances, passed = zip(*said, strict=True)
    results = tuple(_VERDICTS[it] for it in passed)
    return capabilities, subjects, dtypes, tuple(map(show_number, tolerances)), results


def _raw(record: Record) -> tuple[tuple[str, ...], ...]:
    if not record.raw:
        return ()
    shared = _raw_columns(tuple(map(_SAID_OF_RAW, record.raw)))
    capabilities, dtypes, verdicts, tolerances, messages = shared
    errors = [
        show_number(entry.error) if entry.verdict in {"right", "wrong"} else ""
        for entry in record.raw
    ]
    return tuple(zip(capabilities, dtypes, verdicts, errors, tolerances, messages, strict=True))


@lru_cache(maxsize=_WAYS)
def _raw_columns(said: tuple[Any, ...]) -> tuple[tuple[str, ...], ...]:
    capabilities, dtypes, verdicts, tolerances, messages = zip(*said, strict=True)
    return capabilities, dtypes, verdicts, tuple(map(show_number, tolerances)), messages


def _probes(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (probe.probe, probe.outcome, "\n".join(filter(None, (probe.message, probe.detail))))
        for probe in record.probes
        if probe.outcome != "passed"
    )


def _ratios(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            ratio.group,
            ratio.candidate,
            f"{ratio.median:.2f}×",
            f"{ratio.low:.2f}–{ratio.high:.2f}×",
            _duration(ratio.seconds),
        )
        for ratio in record.ratios
    )


def _timings(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            timing.group,
            timing.name,
            _duration(timing.median),
            _duration(timing.min),
            _duration(timing.iqr),
            str(timing.rounds),
        )
        for timing in record.timings
    )


def _duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _origin(record: Record) -> list[Section]:
    """Show where the evidence comes from."""
    return [
        Section("Wheel", rows=_wheel(record.identity)),
        Section("Packages", rows=_packages(record)),
        Section("Provenance", rows=_provenance(record)),
    ]


def _wheel(identity: Identity | None) -> tuple[tuple[str, ...], ...]:
    if identity is None:
        return ()
    return _facts(
        ("file", identity.wheel),
        ("sha256", identity.sha256),
        ("size", in_bytes(identity.size) if identity.size else None),
        ("uploaded", identity.uploaded),
        ("index", identity.index),
        ("build", identity.build),
        ("CUDA it was built with", identity.cuda),
        ("revision", identity.git),
    )


def _environment(record: Record) -> tuple[tuple[str, ...], ...]:
    found = record.environment
    if found is None:
        return ()
    return _facts(
        ("Python", found.python),
        ("platform", found.platform),
        ("processor", f"{found.machine.cpu}, {found.machine.cores} cores"),
        ("threads", found.threads),
        ("device", f"{found.device} {found.device_name}".strip()),
        ("driver", found.driver),
    )


def _packages(record: Record) -> tuple[tuple[str, ...], ...]:
    return tuple(record.environment.packages.items()) if record.environment else ()


def _provenance(record: Record) -> tuple[tuple[str, ...], ...]:
    made = record.provenance
    return _facts(
        ("started", f"{made.started:%Y-%m-%d %H:%M:%S} UTC"),
        ("finished", f"{made.finished:%Y-%m-%d %H:%M:%S} UTC"),
        *((f"seconds of {stage}", seconds) for stage, seconds in made.seconds.items()),
        ("download", in_bytes(made.download) if made.download else None),
        ("installed", in_bytes(made.disk) if made.disk else None),
        ("digest of subject", made.subject),
        ("digest of probes", made.probes),
        ("digest of matrix", made.matrix),
        ("torchfloor", made.torchfloor),
    )


def _facts(*pairs: tuple[str, object]) -> tuple[tuple[str, ...], ...]:
    """Keep what is known."""
    return tuple((name, str(value)) for name, value in pairs if value not in {None, ""})
