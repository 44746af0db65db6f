"""Results -> docs/benchmarks.md. Every figure in it is computed from docs/benchmarks.json."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.results import (
    BARE,
    COLLECTOR,
    COMPUTE_NORMS,
    FORMULA,
    LONG_ROWS,
    PRODUCT,
    READING,
    ROWS,
    compare,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.results import Measured, Results, Seconds, Spread, TimedSet, Times

__all__ = ["render_page"]

_INTRODUCTION = """\
How long gradnorms takes, against other ways to the same. Generated from
[`benchmarks.json`](benchmarks.json), which `nox -s bench` wrote; do not edit."""
_BOUNDS = f"""\
Right norms cost at least one reading of the gradients, and a call for each tensor that is too large
to be copied into a matrix with others. On one thread `{BARE}` is not far from mere reading, so that
on large tensors there is only overhead to lose: calls from Python for each tensor instead of one
for the list, shorter sums, and combining and checking them. On several threads `{BARE}` still uses
one for each tensor, and rows use all.

What is shown here are parts of a solution and others that were tried, over `{BARE}`. Longer rows
can be wrong by more than 1e-6, and so can products of long tensors with themselves."""
_PARTS = {
    READING: "reading every element, and nothing else",
    ROWS: "as short as `compute_norms` takes them, not combined",
    LONG_ROWS: "of up to 768 elements, not combined",
    PRODUCT: "of each gradient with itself",
}
_METHOD = f"""\
- The implementations take turns: each is called once a round (often enough to last two
  milliseconds), in an order shuffled every round, after a warm-up and without garbage collection.
- A *ratio* is the time of an implementation over that of `{BARE}` in the same round:
  the median of all rounds, and the quartiles in brackets. Below 1 it is faster, above 1 slower.
- *GB/s* is the size of the gradients over the median time. `{READING}` of each gradient only
  reads them: what the machine can do, so its best round counts.
- The {FORMULA} is what there was before. For norms: every gradient copied to float64, then
  `{BARE}`. For gradient health moreover all gradients copied into one tensor,
  three masks over it (NaN, infinite, zero), and every result read back.
- `torch.nn.utils.clip_grad_norm_` and `get_total_norm` give one norm of all gradients, not one
  of each. `clip_grad_norm_` is called with an infinite limit and so changes nothing, but it
  multiplies every gradient by 1 all the same: it reads them twice and writes them once.
- *Memory* is the highest running sum of what torch's CPU allocator reports to torch's profiler,
  in a process in which nothing is timed; a call that allocates a known amount proves the method
  on every release."""


def render_page(results: Results) -> str:
    """Render the page.

    Args:
        results: What was measured.

    Returns:
        Markdown, ending in a line break.

    Raises:
        RecordError: If samples do not belong together.
    """
    sections = [
        "# Benchmarks",
        _INTRODUCTION,
        _provenance(results),
        _chart(),
        f"## Norms: `{COMPUTE_NORMS}` over `{BARE}`",
        _overview(results, _over_bare(COMPUTE_NORMS)),
        "## Gradient health",
        f"`{COLLECTOR}(parameters, return_enhanced=True)` over `{BARE}`, which only takes norms:",
        _overview(results, _collector_ratio),
        f"How many times as fast as the {FORMULA}:",
        _overview(results, _speedup),
        f"The most memory a call takes, as a share of the gradients ({_memory_set(results)}):",
        _memory(results),
        "## What bounds it",
        _BOUNDS,
        *(
            part
            for name, meaning in _PARTS.items()
            for part in (f"`{name}`, {meaning}:", _overview(results, _over_bare(name)))
        ),
        f"Microseconds that `{BARE}` takes for each tensor; where they are small, mostly calls:",
        _overview(results, _microseconds_a_tensor),
        "## How it was measured",
        _METHOD,
        "## All implementations",
        *(_details(times) for measured in results.releases for times in measured.times),
    ]
    return "\n\n".join(sections) + "\n"


def _provenance(results: Results) -> str:
    machine = results.machine
    system = f"{machine.system} {machine.architecture}"
    builds = ", ".join(_build(measured) for measured in results.releases)
    sets = "; ".join(_describe(each) for each in results.releases[0].times[0].sets)
    lines = (
        f"Measured on {results.made}: {machine.cpu}, {machine.cores} logical processors, {system}.",
        f"torch {builds}.",
        f"gradnorms of revision {results.revision}, digest `{results.subject}`.",
        f"Gradients, all float32: {sets}.",
        "ResNet-like: the parameters of a ResNet-50, every layer 76/64 times as wide.",
    )
    return "\n".join(f"- {line}" for line in lines)


def _describe(timed: TimedSet) -> str:
    size = f"{timed.elements:,} elements, {timed.bytes / 1e6:,.1f} MB"
    return f"{timed.name} ({timed.tensors} tensors, {size})"


def _build(measured: Measured) -> str:
    facts = measured.facts
    return f"{facts.release}{facts.build} (Python {facts.python}, path *{facts.path}*)"


def _chart() -> str:
    return (
        "<picture>\n"
        '  <source media="(prefers-color-scheme: dark)" srcset="benchmarks-dark.svg">\n'
        f'  <img alt="Time of each way to norms, over that of {BARE}" src="benchmarks-light.svg">\n'
        "</picture>"
    )


def _overview(results: Results, show: Callable[[TimedSet], str]) -> str:
    """Show one figure of every release, number of threads and set."""
    header = ["torch", "threads", *(each.name for each in results.releases[0].times[0].sets)]
    rows = [
        [times.facts.release, str(times.facts.threads), *(show(each) for each in times.sets)]
        for measured in results.releases
        for times in measured.times
    ]
    return _table(header, rows)


def _over_bare(name: str) -> Callable[[TimedSet], str]:
    return lambda timed: _spread(compare(timed.norms[name], timed.norms[BARE]))


def _microseconds_a_tensor(timed: TimedSet) -> str:
    return _number(1e6 * statistics.median(timed.norms[BARE]) / timed.tensors)


def _collector_ratio(timed: TimedSet) -> str:
    return _spread(compare(timed.collector[COLLECTOR], timed.collector[BARE]))


def _speedup(timed: TimedSet) -> str:
    return _spread(compare(timed.collector[FORMULA], timed.collector[COLLECTOR]))


def _spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    """Write a number with three digits, and no exponent."""
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0  # noqa: PLR2004 - as it rounds
    return f"{value:,.{decimals}f}"


def _memory_set(results: Results) -> str:
    return results.releases[0].memory.set


def _memory(results: Results) -> str:
    rows = [
        [
            measured.facts.release,
            *(f"{100 * measured.memory.share(name):.1f} %" for name in (COLLECTOR, FORMULA)),
        ]
        for measured in results.releases
    ]
    return _table(["torch", f"`{COLLECTOR}`", FORMULA], rows)


def _details(times: Times) -> str:
    facts = times.facts
    count = f"{facts.threads} thread" + ("s" if facts.threads != 1 else "")
    megabytes = f"{times.reading.bytes / 1e6:,.0f} MB"
    parts = [
        f"<details>\n<summary>torch {facts.release}, {count}</summary>",
        f"Reading one tensor of {megabytes}: {_number(times.reading.bandwidth / 1e9)} GB/s.",
        "Norms:",
        _all_times(times.sets, lambda timed: timed.norms),
        "Gradient health:",
        _all_times(times.sets, lambda timed: timed.collector),
        "</details>",
    ]
    return "\n\n".join(parts)


def _all_times(
    sets: Iterable[TimedSet], samples_of: Callable[[TimedSet], Mapping[str, Seconds]]
) -> str:
    rows = [row for timed in sets for row in _rows(timed, samples_of(timed))]
    return _table(["gradients", "implementation", "ratio", "milliseconds", "GB/s"], rows)


def _rows(timed: TimedSet, samples: Mapping[str, Seconds]) -> list[list[str]]:
    """Show a set's implementations, the fastest first."""
    return [
        [
            timed.name,
            name if name == FORMULA else f"`{name}`",
            _spread(compare(seconds, samples[BARE])),
            _milliseconds(statistics.median(seconds)),
            _number(timed.bytes / _representative(name, seconds) / 1e9),
        ]
        for name, seconds in sorted(samples.items(), key=lambda item: statistics.median(item[1]))
    ]


def _milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.3f}" if value < 1 else _number(value)


def _representative(name: str, seconds: Seconds) -> float:
    """Return the time that stands for all: of a mere reading the best, else the median."""
    return min(seconds) if name == READING else statistics.median(seconds)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
