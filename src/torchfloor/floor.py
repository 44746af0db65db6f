"""`nox -s floor`: the measured floor, by search instead of a full sweep, each step explained."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from torchfloor import screen
from torchfloor.claim import Floor, claim
from torchfloor.errors import ConfigError, NoEvidenceError, TorchfloorError
from torchfloor.output import one_line
from torchfloor.rendering import refresh
from torchfloor.search import Known, conclude, most_tests, next_step
from torchfloor.static import known_static, read_names
from torchfloor.unasked import explain, tell_indexes
from torchfloor.workspace import plan_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torchfloor.plan import Cell, Plan
    from torchfloor.search import Goal, Step
    from torchfloor.static import NameHistory
    from torchfloor.workspace import Workspace

__all__ = ["find_floor"]

_CALL = "nox -s floor"
_GOALS: dict[Goal, str] = {
    "newest": "the newest: a floor holds up to it",
    "predicted": "where the timeline predicts the floor",
    "below": "next below where the floor may be",
    "between": "between what works and what does not",
    "above": "the floor's neighbour above, to see that it keeps on working",
}


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in the words after `--` the way other mistakes are told."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(_CALL, [f"{message}; {self.format_usage().strip()}"])


def find_floor(workspace: Workspace, words: Sequence[str], say: Callable[[str], None]) -> Floor:
    """Search the lowest release that works, running one cell after the other.

    Args:
        workspace: Holds the matrix, and the records that need not be made again.
        words: `--versions SPEC`, `--flavour NAME`, `--fresh`, `--discard`.
        say: Told in lines what is done, and why.

    Returns:
        What was found.

    Raises:
        ConfigError: If the words are wrong, or the range holds no release.
        NoEvidenceError: If no release of the range can run here, or none told anything.
        TorchfloorError: If the indexes, the disk or the workspace are of no use.
    """
    parser = _Parser(prog=_CALL, usage=f"{_CALL} -- [--versions SPEC] [--flavour NAME] [--fresh]")
    parser.add_argument("--versions", default="")
    parser.add_argument("--flavour", default="", choices=["", *workspace.matrix.flavours])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--discard", action="store_true")
    options = parser.parse_args(list(words))
    workspace.sweep()
    every, cells = _cells(workspace, options.versions, options.flavour)
    for line in (*(f"Index: {told}." for told in tell_indexes(every)), *_apart(cells)):
        say(line)
    usable = [cell for cell in cells if cell.status == "planned"]
    if not usable:
        msg = "No release of this range can run on this machine, so nothing would be proved."
        raise NoEvidenceError(msg)
    search = _Search(workspace, usable, say, fresh=options.fresh, discard=options.discard)
    searched = workspace.matrix.flavours[usable[0].flavour]
    silent = bool(explain(searched, every.causes, "nothing"))
    return claim(cells, usable, search.run(), workspace.matrix.declared, silent=silent)


def _cells(workspace: Workspace, versions: str, flavour: str) -> tuple[Plan, list[Cell]]:
    """List a cell for every release of the range, patches too, oldest first, and their plan."""
    plan, matrix = workspace.plan(pinned=True), workspace.matrix
    spec = _range(versions or f">={plan.releases[0]},<={plan.releases[-1]}")
    every = plan_after(replace(matrix, versions=spec, sample="all", history=()), plan)
    name = flavour or _main_flavour(every)
    # A cell that the matrix has keeps its Python, and so its record.
    own = {(cell.release, cell.flavour): cell for cell in plan.cells}
    return every, [
        own.get((cell.release, cell.flavour), cell)
        for cell in every.with_credentials(matrix).cells
        if cell.flavour == name and spec.contains(cell.version)
    ]


def _range(versions: str) -> SpecifierSet:
    try:
        return SpecifierSet(versions)
    except InvalidSpecifier:
        hint = f"--versions: {versions!r} is no PEP 440 specifier; write something like '>=2.0'"
        raise ConfigError(_CALL, [hint]) from None


def _main_flavour(plan: Plan) -> str:
    """Return the first flavour that can run here, or the first."""
    planned = (cell.flavour for cell in plan.cells if cell.status == "planned")
    return next(planned, plan.cells[0].flavour)


def _apart(cells: Sequence[Cell]) -> list[str]:
    """Name the releases that cannot run here: they are stepped around, and cost nothing."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.status != "planned":
            reasons.setdefault(f"{cell.status}: {cell.reason}", []).append(cell.release)
    return [f"Stepped around: {', '.join(names)}: {why}." for why, names in reasons.items()]


class _Search:
    """One search, from what is known already to what it finds."""

    def __init__(
        self,
        workspace: Workspace,
        cells: Sequence[Cell],
        say: Callable[[str], None],
        *,
        fresh: bool,
        discard: bool,
    ) -> None:
        self.workspace, self.cells, self.say = workspace, cells, say
        self.fresh, self.discard = fresh, discard
        self.known: list[Known] = [None if fresh else self._current(cell) for cell in cells]
        self.spent = 0

    def _current(self, cell: Cell) -> Known:
        record = self.workspace.current_record(cell)
        return record.outcome if record else None

    def run(self) -> list[Known]:
        """Test one release after the other, until nothing is left to find out."""
        package, newest = self.cells[0].package, self.cells[-1]
        span = f"{self.cells[0].release} to {newest.release}"
        count = len(self.cells)
        self.say(
            f"Searching the floor of {package} ({newest.flavour}) among {count} "
            f"release{'s' if count != 1 else ''}, {span}: at most {most_tests(count)} "
            "installations, beside those that go wrong and are stepped around."
        )
        proved = sum(word is not None for word in self.known)
        if proved:
            self.say(f"Current records tell of {proved} of them already, which cost nothing.")
        hints = self._predict()
        number = 0
        while step := next_step(self.known, self.spent, hints):
            number += 1
            self._test(step, number)
        refresh(self.workspace, self.say, ending=True)
        return self.known

    def _predict(self) -> list[int]:
        """Find where wheels let expect the floor: the names' beginning, then other changes."""
        if not self.workspace.matrix.names:
            self.say("Nothing is predicted: matrix.yaml lists no `names` to read from wheels.")
            return []
        names = self._read_names()
        begun = [(Version(name.first), name) for name in names if name.first]
        if not begun:
            self.say("Nothing is predicted: no wheel of this range has any of the names.")
            return []
        first, name = min(begun, key=lambda pair: pair[0])
        told = next((c.text for c in name.changes if c.release == str(first)), "there")
        self.say(f"The timeline predicts {first}: {name.name} {told} (read from wheels, not run).")
        changes = (c for each in names for c in each.changes if c.kind != "annotation")
        # The first of them is where the name begins: before it, nothing can change.
        expected = sorted({Version(change.release) for change in changes})
        return list(dict.fromkeys(p for version in expected for p in self._place(version)))

    def _read_names(self) -> tuple[NameHistory, ...]:
        """Read the names from the range's wheels, or take what was published."""
        versions = f">={self.cells[0].release},<={self.cells[-1].release}"
        try:
            return read_names(self.workspace.matrix, versions).names
        except TorchfloorError as error:
            self.say(f"Wheels cannot be read ({error}).")
        published = known_static(self.workspace.matrix)
        return published.names if published else ()

    def _place(self, version: Version) -> list[int]:
        """Return the place of the first release at or above a version, if there is one."""
        return [p for p, cell in enumerate(self.cells) if cell.version >= version][:1]

    def _test(self, step: Step, number: int) -> None:
        cell = self.cells[step.place]
        self.say(f"Step {number}: {cell.package} {cell.release}, {_GOALS[step.goal]}.")
        storage = screen.show_space(self.workspace, [cell], 1, discard=self.discard)

        def say(text: str) -> None:
            self.say(f"  {cell.id}: {text}")

        record = self.workspace.obtain(cell, storage, say, fresh=self.fresh)
        refresh(self.workspace, say)
        self.known[step.place] = record.outcome
        self.spent += record.outcome != "errored"
        why = record.failure
        reason = f": {one_line(f'{why.stage}: {why.message}')}" if why else ""
        if record.outcome == "errored":
            reason += " (says nothing about the release: stepped around)"
        self.say(f"  {cell.release} is {record.outcome}{reason}.")
        self.say(f"  {self._standing()}")

    def _standing(self) -> str:
        """Say where the floor may still be."""
        found = conclude(self.known)
        if found.floor is None:
            if found.newest is None:
                return "Nothing is known yet."
            return f"There is no floor: {self.cells[found.newest].release} does not work."
        low = self.cells[found.below].release if found.below is not None else None
        high = self.cells[found.floor].release
        left = [self.known[place] for place in found.between].count(None)
        if not left:
            return f"So the floor is {high}" + ("." if low else " or lower.")
        above = f"above {low}, " if low else ""
        counted = f"{left} release{'s' if left != 1 else ''}"
        return f"So the floor is {above}at most {high}: {counted} below it left to look at."
