"""See from outside which entry points were called and which operators ran.

Nothing here asks the code under test. A profile function sees every call that the interpreter
makes, so a reference that was captured at import is seen as well as one looked up when called.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, ModuleType

OPERATOR_PREFIX = "aten::"


@dataclass
class Seen:
    """What one block of code was seen to do; filled when the block ends.

    Attributes:
        path: the first of the named paths whose entry point was called, "" if none was.
        entry_points: dotted names of the entry points called, in the order they were named.
        operators: distinct operators that ran, in order of first appearance.
    """

    path: str = ""
    entry_points: list[str] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)


@contextmanager
def observing(package: str, paths: Mapping[str, Sequence[str]]) -> Iterator[Seen]:
    """Watch a block.

    Args:
        package: operators are recorded where this is ``torch``.
        paths: for each path's name, best first, the dotted entry points that mean it. Names that
            do not exist on this release are never seen.

    Yields:
        What was seen, complete after the block.
    """
    seen = Seen()
    spy = _Spy([name for names in paths.values() for name in names])
    torch = sys.modules.get("torch") if package == "torch" else None
    # The spy starts last and ends first: the profiler's own calls are none of its business.
    with _recording(torch, seen.operators), spy.watching():
        yield seen
    seen.entry_points.extend(spy.called())
    seen.path = _first_path(paths, seen.entry_points)


def _first_path(paths: Mapping[str, Sequence[str]], called: Sequence[str]) -> str:
    return next((path for path, names in paths.items() if set(names) & set(called)), "")


def resolve(dotted: str) -> object | None:
    """Return the object a dotted name stands for, or None where there is no such thing."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return found
    return None


class _Spy:
    """Counts calls of named entry points, whoever makes them and by whatever reference."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(dict.fromkeys(names))
        self._called: set[str] = set()
        self._builtins: dict[object, str] = {}
        self._codes: dict[object, str] = {}

    def called(self) -> list[str]:
        """Return the names called, in the order they were given."""
        return [name for name in self._names if name in self._called]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look the names up now (a patched one counts as it is), then watch."""
        for name in self._names:
            self._add(name, resolve(name))
        before = sys.getprofile()
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _add(self, name: str, target: object | None) -> None:
        if target is None:
            return
        # An instance with __call__ (a wrapper, a mock) runs that method's code.
        method = inspect.getattr_static(type(target), "__call__", None)
        code = getattr(target, "__code__", getattr(method, "__code__", None))
        if code is None:
            self._builtins.setdefault(target, name)
        else:
            self._codes.setdefault(code, name)

    def _on_event(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            name = self._codes.get(frame.f_code)
        elif event == "c_call":
            name = self._builtins.get(arg)
        else:
            return
        if name is not None:
            self._called.add(name)


@contextmanager
def _recording(torch: ModuleType | None, operators: list[str]) -> Iterator[None]:
    """Append the names of the operators that a block runs, in order of first appearance.

    This drives the profiler beneath ``torch.profiler`` directly: it is the same in every release
    since 1.8, and spares the five seconds that the newest take to import compilers the first time
    ``torch.profiler.profile`` is entered.
    """
    if torch is None:
        yield
        return
    profiler = torch.autograd.profiler.profile()
    _quietly(profiler.__enter__)
    try:
        yield
    finally:
        _quietly(profiler.__exit__, None, None, None)
    names = (str(event.name) for event in profiler.function_events)
    operators.extend(dict.fromkeys(name for name in names if name.startswith(OPERATOR_PREFIX)))


def _quietly(call: Callable[..., object], *arguments: object) -> None:
    """Call the profiler where its own warnings, turned into errors, cannot fail a probe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(*arguments)
