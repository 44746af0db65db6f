"""The command `torchfloor timeline`: asks, shows how far it is, and says what came of it."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Self

from packaging.utils import canonicalize_name

from torchfloor.errors import ConfigError, NoEvidenceError
from torchfloor.timeline.read import list_names, read_timelines
from torchfloor.timeline.show import describe, describe_all

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from torchfloor.timeline.model import Reading, Timeline

__all__ = ["ask", "tell"]

_CALL = "the call"


def ask(options: argparse.Namespace) -> Reading:
    """Read the timelines that a call asks for.

    Args:
        options: The words of the call.

    Returns:
        What was read.

    Raises:
        ConfigError: If a name is none, or no release has ever had it.
        NoEvidenceError: If no release could be read.
        IndexUnreachableError: If the index does not answer, and never has.
    """
    package = _package(options)
    with _Progress() as progress:
        reading = read_timelines(
            package,
            options.names,
            index=options.index,
            versions=options.versions,
            pre=options.pre,
            refresh=options.refresh,
            allow_full=options.allow_full,
            on_release=progress,
            say=progress.say,
        )
    for note in reading.notes:
        print(f"torchfloor: {note}", file=sys.stderr)  # noqa: T201 - the command's output
    _check(reading, options)
    return reading


def tell(reading: Reading, *, every: bool) -> Iterator[str]:
    """Yield the lines of an answer.

    Args:
        reading: What was read.
        every: Whether each release gets a line.
    """
    for position, timeline in enumerate(reading.timelines):
        if position:
            yield ""
        yield from describe_all(timeline) if every else describe(timeline)


def _package(options: argparse.Namespace) -> str:
    wrong = [n for n in options.names if not all(part.isidentifier() for part in n.split("."))]
    if wrong:
        raise ConfigError(
            _CALL, [f"{n!r} is no dotted name; write torch.optim.Adam" for n in wrong]
        )
    if options.package:
        return str(canonicalize_name(options.package))
    firsts = sorted({name.partition(".")[0] for name in options.names})
    if len(firsts) > 1:
        hint = f"names of {' and '.join(firsts)}: ask for one at a time, or name the --package"
        raise ConfigError(_CALL, [hint])
    return str(canonicalize_name(firsts[0]))


def _check(reading: Reading, options: argparse.Namespace) -> None:
    """Refuse an answer that would say nothing."""
    sightings = [seen for timeline in reading.timelines for seen in timeline.sightings]
    if all(seen.status == "unread" for seen in sightings):
        reasons = dict.fromkeys(seen.why for seen in sightings)
        shown = "\n".join(f"  {reason}" for reason in list(reasons)[:5])
        msg = f"No release of {reading.package} could be read:\n{shown}"
        raise NoEvidenceError(msg)
    missing = [t for t in reading.timelines if _is_unknown({s.status for s in t.sightings})]
    if missing:
        raise ConfigError(_CALL, [_unknown(timeline, reading, options) for timeline in missing])


def _is_unknown(statuses: set[str]) -> bool:
    return "absent" in statuses and not statuses & {"present", "undecided"}


def _unknown(timeline: Timeline, reading: Reading, options: argparse.Namespace) -> str:
    hint = _correction(timeline.name, reading, options.index)
    hint = f"did you mean {hint}?" if hint else timeline.sightings[-1].why
    return f"{timeline.name}: no release that was read has it; {hint}"


def _correction(name: str, reading: Reading, index: str) -> str:
    """Spell a name as the newest release would; nothing if no such name is near."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        owner = ".".join(parts[:end])
        known = list_names(reading.package, owner, index=index, release=reading.releases[-1])
        if known and parts[end] not in known:
            close = difflib.get_close_matches(parts[end], known, n=1)
            return ".".join([owner, close[0], *parts[end + 1 :]]) if close else ""
    return ""


class _Progress:
    """A bar on a terminal; nothing elsewhere, and none where all is known at once."""

    def __init__(self) -> None:
        self._bar: Callable[[int, int], None] | None = None

    def __enter__(self) -> Self:
        """Wait for the first release."""
        self._stop: Callable[[], None] = lambda: None
        return self

    def __exit__(self, *_error: object) -> None:
        """Take the bar away."""
        self._stop()

    def __call__(self, finished: int, total: int) -> None:
        """Show how many releases are finished."""
        if self._bar is None and finished < total and sys.stderr.isatty():
            self._start(total)
        if self._bar is not None:
            self._bar(finished, total)

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        print(f"torchfloor: {line}", file=sys.stderr)  # noqa: T201 - the command's output

    def _start(self, total: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
        from rich.progress import Progress  # noqa: PLC0415

        shown = Progress(console=Console(stderr=True), transient=True)
        task = shown.add_task("Reading releases", total=total)
        shown.start()
        self._stop = shown.stop
        self._bar = lambda finished, _total: shown.update(task, completed=finished)
