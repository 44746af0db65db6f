"""The files of one release, and a dotted name -> what the name is there."""

from __future__ import annotations

import ast
import contextlib
import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torchfloor.timeline.answer import Answer, Class, Module, decorated, signatures_of
from torchfloor.timeline.classes import Classes
from torchfloor.timeline.files import Files, prefixes
from torchfloor.timeline.flow import UNBOUND, Bound, Copied, Maybe, follow, nothing_exported
from torchfloor.timeline.getter import answers_for
from torchfloor.timeline.keys import copied_modules
from torchfloor.timeline.knowledge import Knowledge
from torchfloor.timeline.signature import read_documented
from torchfloor.timeline.source import Source, SourceError
from torchfloor.timeline.syntax import Function, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packaging.version import Version

    from torchfloor.timeline.flow import Outcome

__all__ = ["Answer", "Release"]

_MAX_DEPTH = 60
"""Re-exports that are followed for one name; a chain that long leads nowhere."""
_MOST_SHOWN = 5
_MAX_STEPS = 20_000
"""Names that are looked up on the way to one; only files made to waste time need more."""


class Release:
    """The API of one release.

    Args:
        members: Names of the wheel's Python files, stubs and compiled modules.
        read: Returns the content of some of them, by name.
        version: Which release it is; None stands for a new one.
    """

    def __init__(
        self,
        members: Iterable[str],
        read: Callable[[Iterable[str]], dict[str, bytes]],
        version: Version | None = None,
    ) -> None:
        self._files = Files(members, read)
        self._knowledge = Knowledge(version)
        # A weak way back, so that all is let go of as soon as the release has been read.
        named = partial(Release._named, weakref.proxy(self))
        self._classes = Classes(named, self._knowledge)
        self._answers: dict[tuple[str, str], Answer] = {}
        self._pending: set[tuple[str, str]] = set()
        self._circles = 0
        self._steps = 0

    def prefetch(self, names: Iterable[str]) -> None:
        """Read the files that names are likely to need at once, rather than one by one."""
        self._files.prefetch(names)

    def look_up(self, name: str) -> Answer:
        """Say what a dotted name is; what cannot be parsed makes it undecided.

        Raises:
            ArchiveError: If a file is damaged.
            RemoteError: If a file cannot be had.
        """
        self._steps = 0
        try:
            return self._look_up(name)
        except SourceError as error:
            return Answer("undecided", why=str(error))
        except RecursionError:
            return Answer("undecided", why="the wheel's files refer to each other without an end")

    def _look_up(self, name: str) -> Answer:
        first, *rest = name.split(".")
        if not self._files.exists(first):
            others = ", ".join(sorted(self._files.below(""))[:_MOST_SHOWN])
            why = f"the wheel holds no module {first}" + (f", but {others}" if others else "")
            return Answer("absent", why=why)
        answer = self._module_answer(first)
        for position, part in enumerate(rest, start=1):
            answer = self._attribute(answer, part, ".".join([first, *rest[:position]]))
            if answer.status != "present":
                return answer
        return answer

    def names_of(self, module: str, depth: int = 3) -> set[str]:
        """List the names that a module's files spell out, and those they copy from others."""
        names: set[str] = set()
        for stub in (False, True):
            with contextlib.suppress(SourceError):
                source = self._files.source(module, stub=stub)
                if source is not None:
                    names |= source.names()
                    for copied in copied_modules(source) if depth else ():
                        names |= self.names_of(copied, depth - 1)
        names |= self._files.below(module)
        return names

    def _attribute(self, owner: Answer, name: str, place: str) -> Answer:
        if isinstance(owner.thing, Module):
            return self.member(owner.thing.name, name)
        if isinstance(owner.thing, Class):
            return self._classes.member(owner.thing, name)
        if owner.kind in {"function", "method"}:
            return Answer(
                "undecided",
                why=f"{place} is a {owner.kind}: a run gives it its attributes",
                file=owner.file,
            )
        why = owner.why or f"it gets its value when {owner.file} runs"
        why = f"what {place} has is not known: {why}"
        return Answer("undecided", why=why, file=owner.file)

    def member(self, module: str, name: str) -> Answer:
        """Say what a name is in a module."""
        key = (module, name)
        if key in self._answers:
            return self._answers[key]
        self._steps += 1
        if key in self._pending or len(self._pending) > _MAX_DEPTH or self._steps > _MAX_STEPS:
            if inner := self._submodule(module, name):
                return inner
            self._circles += 1
            why = f"{module} and what it imports need each other to define {name}"
            return Answer("undecided", why=why)
        circles = self._circles
        self._pending.add(key)
        try:
            answer = self._member(module, name)
        finally:
            self._pending.discard(key)
        # What was cut short by a circle may be decided when it is asked for by itself.
        if circles == self._circles or not self._pending:
            self._answers[key] = answer
        return answer

    def _member(self, module: str, name: str) -> Answer:
        try:
            source, stub = self._files.source(module, stub=False), self._files.stub_of(module)
        except SourceError as error:
            return Answer("undecided", why=str(error))
        if source is None:
            return self._unwritten(module, name, stub)
        outcomes = follow(source, name, self._exported, partial(self._has, source))
        if UNBOUND not in outcomes and not any(isinstance(o, Maybe) for o in outcomes):
            answer = self._agree([self._bound(source, name, outcome) for outcome in outcomes])
            return self._unless_shadowed(answer, f"{module}.{name}")
        if inner := self._submodule(module, name):
            return self._overbound(source, name, outcomes, stub, inner) or inner
        return self._not_bound(source, name, outcomes, stub)

    def _overbound(
        self,
        source: Source,
        name: str,
        outcomes: tuple[Outcome, ...],
        stub: Source | None,
        inner: Answer,
    ) -> Answer | None:
        """Say what a name is that may be bound to something else than the file of that name."""
        listed = self._in_stub(stub, name)
        if listed is not None and listed.kind == "function" and outcomes != (UNBOUND,):
            return listed
        bound = [self._bound(source, name, o) for o in outcomes if isinstance(o, Bound)]
        if any(answer.thing != inner.thing for answer in bound):
            why = f"it is a module, or what {source.file} binds under a condition"
            return Answer("present", "attribute", why=why, file=source.file)
        return None

    def _unless_shadowed(self, answer: Answer, place: str) -> Answer:
        """Doubt another module's place where a file of that name lies: the last import wins."""
        thing = answer.thing
        if not isinstance(thing, Module) or thing.name == place or not self._files.exists(place):
            return answer
        why = f"{place} is {thing.name}, or the file of that name once that is imported"
        return replace(answer, why=why, thing=None)

    def _not_bound(  # noqa: PLR0911 - one for each reason
        self, source: Source, name: str, outcomes: tuple[Outcome, ...], stub: Source | None
    ) -> Answer:
        """Say what a name is that the file itself does not surely bind."""
        set_by_c = self._knowledge.is_set_by_c(source.module, name)
        maybes = [outcome.why for outcome in outcomes if isinstance(outcome, Maybe)]
        if name in (source.exports.names or ()) and (maybes or answers_for(source, name)):
            for_types = replace(source, is_stub=True)  # imports that a run makes when asked
            listed = self._in_stub(stub, name) or self._in_stub(for_types, name)
            return listed or Answer(
                "present", "attribute", why=f"{source.file} lists it in __all__", file=source.file
            )
        if maybes or answers_for(source, name):
            if listed := self._in_stub(stub, name):
                return listed
            if (
                stub is not None
                and self._knowledge.is_complete(source.module, name)
                and not set_by_c
                and outcomes == _just(outcomes)
            ):
                why = (
                    f"{stub.file} is written from the table of all operators, and does not list it"
                )
                return Answer("absent", why=why, file=stub.file)
            missing = next((m for m in maybes if m.startswith(_NO_STUB)), None)
            if missing and all(m.startswith(_NO_STUB) for m in maybes) and stub is None:
                return Answer("no-stub", why=missing.removeprefix(_NO_STUB), file=source.file)
            why = "; ".join(dict.fromkeys(m.removeprefix(_NO_STUB) for m in maybes))
            return Answer(
                "undecided",
                why=why or f"{source.file} answers for it in __getattr__",
                file=source.file,
            )
        if outcomes == (UNBOUND,) and (
            source.declares(name) or self._knowledge.is_set_by_c(source.module, name)
        ):
            why = f"{source.file} does not define it; compiled code may"
            return Answer("undecided", why=why, file=source.file)
        if outcomes == (UNBOUND,):
            return Answer("absent", why=f"{source.file} does not define it", file=source.file)
        bound = next(o for o in outcomes if o is not UNBOUND)
        assert isinstance(bound, Bound | Copied)  # noqa: S101 - what may be was told above
        under = source.condition_of(bound.node)
        why = f"{source.file}, line {bound.node.lineno}, defines it only under {under}"
        return Answer("undecided", why=why, file=source.file)

    def _unwritten(self, module: str, name: str, stub: Source | None) -> Answer:
        """Say what a name is in a module without Python source: compiled, or a bare folder."""
        if inner := self._submodule(module, name):
            return inner
        if listed := self._in_stub(stub, name):
            return listed
        if stub is None and not self._files.is_compiled(module):
            return Answer("absent", why=f"{module} is a folder without it")
        if stub is None:
            return Answer("no-stub", why=f"{module} is compiled, and the wheel holds no stub of it")
        if self._knowledge.is_complete(module, name):
            why = f"{stub.file} lists all names of its kind, and not this one"
            return Answer("absent", why=why, file=stub.file)
        why = f"{module} is compiled; {stub.file} does not list it, and may be incomplete"
        return Answer("undecided", why=why, file=stub.file)

    def _in_stub(self, stub: Source | None, name: str) -> Answer | None:
        if stub is None:
            return None
        outcomes = follow(stub, name, self._exported)
        bound = [outcome for outcome in outcomes if outcome is not UNBOUND]
        if not bound or any(isinstance(outcome, Maybe) for outcome in bound):
            return None
        if self._knowledge.is_doubtful(stub.module, name):
            why = f"{stub.file} lists it, as it has listed names of its kind that were not there"
            return Answer("undecided", why=why, file=stub.file)
        return self._agree([self._bound(stub, name, outcome) for outcome in bound])

    def _has(self, source: Source, place: list[str], name: str) -> bool | None:
        """Tell what `hasattr(a.b, "name")` comes to in a file."""
        try:
            owner = self._named(source, place)
        except SourceError:
            return None
        if owner is None or not isinstance(owner.thing, Module):
            return None
        status = self.member(owner.thing.name, name).status
        return {"present": True, "absent": False}.get(status)

    def _exported(self, module: str, name: str, *, star: bool) -> bool | Maybe:  # noqa: PLR0911 - one for each reason
        """Tell whether `from module import *`, or else a loop over all its names, gives a name."""
        if not self._files.exists(module):
            if any(self._files.is_compiled(above) for above in prefixes(module, ".")):
                return Maybe(f"{_NO_STUB}{module} is compiled, and the wheel holds no stub of it")
            return Maybe(f"it may come from {module}, which is another package")
        try:
            source = self._files.source(module, stub=False)
        except SourceError as error:
            return Maybe(str(error))
        if source is None:
            return self._exported_by_compiled(module, name, star=star)
        listed = source.exports.names if star else None
        if listed is not None and (name in listed or self._lists_by_module(source, name)):
            return True
        closed = source.exports.complete and name not in source.exports.possible
        closed = closed and self._lists_by_module(source, name) is False
        hidden = listed is None and star and name.startswith("_")
        if hidden or (listed is not None and closed):
            return False
        answer = self.member(module, name)
        if answer.status == "absent":
            return False
        if listed is None and answer.status == "present":
            return True
        if listed is None:
            return Maybe((_NO_STUB if answer.status == "no-stub" else "") + answer.why)
        return Maybe(f"the __all__ of {source.file} is put together when it runs")

    def _lists_by_module(self, source: Source, name: str) -> bool | None:
        """Tell whether a module whose `__all__` is added to a file's own lists a name."""
        known = True
        for parts in source.exports.modules:
            owner = self._named(source, list(parts))
            inner = None
            if owner is not None and isinstance(owner.thing, Module):
                inner = self._files.source(owner.thing.name, stub=False)
            exports = inner.exports if inner else None
            if inner and exports and exports.names is not None and name in exports.names:
                return True
            deeper = self._lists_by_module(inner, name) if inner and inner is not source else None
            if deeper:
                return True
            known = known and deeper is False and bool(exports and exports.complete)
        return False if known else None

    def _exported_by_compiled(self, module: str, name: str, *, star: bool) -> bool | Maybe:
        if star and name.startswith("_"):
            return False
        answer = self.member(module, name)
        if answer.status == "present":
            return answer.thing is None or not isinstance(answer.thing, Module)
        if answer.status == "absent":
            return False
        return Maybe((_NO_STUB if answer.status == "no-stub" else "") + answer.why)

    def _bound(self, source: Source, name: str, outcome: Outcome) -> Answer:  # noqa: PLR0911 - a line for each kind
        """Say what a statement binds."""
        if isinstance(outcome, Copied):
            return self._promised(self.member(outcome.module, name), source)
        assert isinstance(outcome, Bound)  # noqa: S101 - the other outcomes bind nothing
        node = outcome.node
        if isinstance(node, Function) and node.name == name:
            why = decorated(outcome.overloads)
            signatures = signatures_of(outcome.overloads)
            return Answer("present", "function", signatures, why, source.file)
        if isinstance(node, ast.ClassDef) and node.name == name:
            found = Class(node, source)
            return Answer(
                "present", "class", self._classes.constructor(found), file=source.file, thing=found
            )
        if isinstance(node, ast.Import) and outcome.alias:
            target = outcome.alias.name
            target = target if outcome.alias.asname else target.partition(".")[0]
            return (
                self._module_answer(target)
                if self._files.exists(target)
                else _foreign(target, source)
            )
        if isinstance(node, ast.ImportFrom) and outcome.alias:
            module = source.absolute(node)
            if not self._files.exists(module):
                return _foreign(module, source)
            return self._promised(self.member(module, outcome.alias.name), source)
        return self._assigned(source, name, node)

    def _promised(self, answer: Answer, source: Source) -> Answer:
        """An import that were not fulfilled would break the whole package: so it is."""
        if answer.status == "present":
            return answer
        return Answer("present", "attribute", why=answer.why, file=source.file)

    def _assigned(self, source: Source, name: str, node: ast.stmt) -> Answer:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        plain = isinstance(node, ast.AnnAssign) or (
            isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets)
        )
        if value is not None and plain:
            found = self._valued(source, value, name)
            if found is not None:
                return found
        return Answer("present", "attribute", file=source.file)

    def _valued(self, source: Source, value: ast.expr, name: str) -> Answer | None:
        """Follow an alias (`norm = _norm`), or read what a documented value says of itself."""
        if isinstance(value, ast.Call):
            for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    documented = read_documented(argument.value, name)
                    if documented:
                        return Answer("present", "function", (documented,), file=source.file)
            return None
        parts = dotted(value)
        if not parts or parts == [name]:
            return None
        answer = self.member(source.module, parts[0]) if not source.is_stub else None
        for part in parts[1:]:
            if answer is None or answer.status != "present":
                return None
            answer = self._attribute(answer, part, ".".join(parts))
        return answer if answer and answer.status == "present" else None

    def _agree(self, answers: list[Answer]) -> Answer:
        """Bring alternatives together: all of them bind the name, so it is there."""
        first = max(
            answers, key=lambda answer: (answer.kind != "attribute", len(answer.signatures))
        )
        signatures = tuple(dict.fromkeys(s for answer in answers for s in answer.signatures))
        things = {answer.thing for answer in answers}
        return Answer(
            first.status,
            first.kind,
            signatures,
            first.why,
            first.file,
            first.thing if len(things) == 1 else None,
        )

    def _named(self, source: Source, parts: list[str]) -> Answer | None:
        """Say what an expression in a file names."""
        if source.is_stub and (stub := self._in_stub(source, parts[0])):
            answer = stub
        elif source.is_stub:
            imported = replace(source, is_stub=False)  # its imports are for its own use
            outcomes = follow(imported, parts[0], nothing_exported)
            if len(outcomes) != 1 or not isinstance(outcomes[0], Bound):
                return None
            answer = self._bound(imported, parts[0], outcomes[0])
        else:
            answer = self.member(source.module, parts[0])
        for part in parts[1:]:
            if answer.status != "present":
                return None
            answer = self._attribute(answer, part, part)
        return answer

    def _module_answer(self, module: str) -> Answer:
        files = self._files.own_files(module)
        return Answer("present", "module", file=files[0] if files else "", thing=Module(module))

    def _submodule(self, module: str, name: str) -> Answer | None:
        inner = f"{module}.{name}"
        return self._module_answer(inner) if self._files.exists(inner) else None


_NO_STUB = "\0"
"""Marks, within this module, a reason that is a missing stub."""


def _just(outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Keep what a missing stub or a computed name leaves open."""
    return tuple(o for o in outcomes if isinstance(o, Maybe) or o is UNBOUND)


def _foreign(module: str, source: Source) -> Answer:
    why = f"it comes from {module or 'a module'}, which is another package"
    return Answer("present", "attribute", why=why, file=source.file)
