"""One cell's record -> its story: what a reader who opens the cell wants to know, in sections."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from torchfloor.report.model import LEFT_OUT
from torchfloor.report.row import Row, show_numbers
from torchfloor.space import in_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchfloor.record import Identity, Record

__all__ = ["Part", "Section", "Story", "tell_parts", "tell_story", "tell_unproved"]

_UNITS = ((1.0, "s"), (1e-3, "ms"))
_WAYS = 64
"""Columns of tolerances that are kept: most cells of a matrix have the same."""


_Sides = tuple[tuple[str, ...], ...]
"""A table's columns, as neighbouring cells share them; empty if it has no rows."""


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


class Part(NamedTuple):
    """A section on its side.

    Attributes:
        title: As the section's.
        columns: As the section's.
        sides: The table, column by column.
        text: As the section's.
    """

    title: str
    columns: tuple[str, ...] = ()
    sides: _Sides = ()
    text: str = ""


class Story(msgspec.Struct, frozen=True):
    """All that is known of one cell.

    Attributes:
        row: The cell, as the main table shows it.
        sections: The parts that have something to say.
    """

    row: Row
    sections: tuple[Section, ...]


def tell_story(row: Row, record: Record | None) -> Story:
    """Tell of a cell what its record says.

    Args:
        row: The cell, as the report shows it.
        record: Its evidence, if there is any: all of it.
    """
    parts = tell_unproved(row) if record is None else tell_parts(record)
    return Story(row, tuple(map(_turn, parts)))


def _turn(part: Part) -> Section:
    return Section(part.title, part.columns, tuple(zip(*part.sides, strict=True)), part.text)


def tell_parts(record: Record) -> list[Part]:
    """Tell the same story, column by column."""
    told = [*_failure(record), _again(record.cell), *_evidence(record), *_origin(record)]
    return [part for part in told if part.sides or part.text]


def tell_unproved(row: Row) -> list[Part]:
    """Tell of a cell that has no record how it comes to one, where it can have one."""
    return [] if row.outcome in LEFT_OUT else [_again(row.cell)]


def _again(cell: str) -> Part:
    return Part("Run it again", text=f'nox -s "compat({cell})" -- --fresh')


def _failure(record: Record) -> list[Part]:
    failure = record.failure
    if failure is None:
        return []
    facts = (("stage", "message"), (failure.stage, failure.message))
    return [Part("What went wrong", sides=facts), Part("End of the log", text=failure.log)]


def _evidence(record: Record) -> list[Part]:
    """Show what the probes found, and where."""
    baseline = record.ratios[0].baseline if record.ratios else ""
    timings = ("input", "call", "median", "fastest", "middle half", "rounds")
    return [
        Part("Environment", sides=_environment(record)),
        Part(
            "Capabilities",
            ("capability", "call", "dtype", "largest error", "tolerance", "result"),
            _matches(record),
        ),
        Part(
            f"Time / {baseline}",
            ("input", "call", "median", "middle half", "time"),
            _ratios(record),
        ),
        Part("Timings, single-threaded", timings, _timings(record)),
        Part("Paths", ("call", "path", "entry points", "operators"), _paths(record)),
        Part(
            "The unguarded operator",
            ("capability", "dtype", "verdict", "largest error", "tolerance", "message"),
            _raw(record),
        ),
        Part("Probes that did not pass", ("probe", "outcome", "message"), _probes(record)),
        Part("Its interface", sides=_notes(record)),
    ]


def _sides(*columns: Sequence[str]) -> _Sides:
    return tuple(map(tuple, columns)) if columns[0] else ()


def _paths(record: Record) -> _Sides:
    return _sides(
        [seen.subject for seen in record.paths],
        [seen.path for seen in record.paths],
        [", ".join(seen.entry_points) for seen in record.paths],
        [", ".join(seen.operators) for seen in record.paths],
    )


def _matches(record: Record) -> _Sides:
    return _sides(
        [match.capability for match in record.matches],
        [match.subject for match in record.matches],
        [match.dtype for match in record.matches],
        show_numbers([match.error for match in record.matches]),
        _tolerances(tuple([match.tolerance for match in record.matches])),
        ["passed" if match.passed else "failed" for match in record.matches],
    )


def _raw(record: Record) -> _Sides:
    errors = show_numbers([entry.error for entry in record.raw])
    return _sides(
        [entry.capability for entry in record.raw],
        [entry.dtype for entry in record.raw],
        [entry.verdict for entry in record.raw],
        [
            error if entry.verdict in {"right", "wrong"} else ""
            for entry, error in zip(record.raw, errors, strict=True)
        ],
        _tolerances(tuple([entry.tolerance for entry in record.raw])),
        [entry.message for entry in record.raw],
    )


@lru_cache(maxsize=_WAYS)
def _tolerances(numbers: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(show_numbers(numbers))


def _probes(record: Record) -> _Sides:
    told = [probe for probe in record.probes if probe.outcome != "passed"]
    return _sides(
        [probe.probe for probe in told],
        [probe.outcome for probe in told],
        ["\n".join(filter(None, (probe.message, probe.detail))) for probe in told],
    )


def _notes(record: Record) -> _Sides:
    return _sides([note.key for note in record.notes], [note.value for note in record.notes])


def _ratios(record: Record) -> _Sides:
    return _sides(
        [ratio.group for ratio in record.ratios],
        [ratio.candidate for ratio in record.ratios],
        [f"{ratio.median:.2f}×" for ratio in record.ratios],
        [f"{ratio.low:.2f}–{ratio.high:.2f}×" for ratio in record.ratios],
        [_duration(ratio.seconds) for ratio in record.ratios],
    )


def _timings(record: Record) -> _Sides:
    return _sides(
        [timing.group for timing in record.timings],
        [timing.name for timing in record.timings],
        [_duration(timing.median) for timing in record.timings],
        [_duration(timing.min) for timing in record.timings],
        [_duration(timing.iqr) for timing in record.timings],
        [str(timing.rounds) for timing in record.timings],
    )


def _duration(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _origin(record: Record) -> list[Part]:
    """Show where the evidence comes from."""
    return [
        Part("Wheel", sides=_wheel(record.identity)),
        Part("Packages", sides=_packages(record)),
        Part("Provenance", sides=_provenance(record)),
    ]


def _wheel(identity: Identity | None) -> _Sides:
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


def _environment(record: Record) -> _Sides:
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


def _packages(record: Record) -> _Sides:
    if record.environment is None:
        return ()
    packages = record.environment.packages
    return _sides(tuple(packages), tuple(packages.values()))


def _provenance(record: Record) -> _Sides:
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


def _facts(*pairs: tuple[str, object]) -> _Sides:
    """Keep what is known."""
    return tuple(zip(*[(name, str(it)) for name, it in pairs if it not in {None, ""}], strict=True))
