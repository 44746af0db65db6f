"""The files of one release, by module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchfloor.timeline.source import Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Files", "prefixes"]


class Files:
    """Finds, reads and parses the files of modules; each of them once.

    Args:
        members: Names of the wheel's Python files, stubs and compiled modules.
        read: Returns the content of some of them, by name.
    """

    def __init__(
        self, members: Iterable[str], read: Callable[[Iterable[str]], dict[str, bytes]]
    ) -> None:
        self._read = read
        self._files = {_importable(name): name for name in members}
        self._folders = {
            folder
            for parent in {path.rpartition("/")[0] for path in self._files}
            for folder in prefixes(parent, "/")
        }
        self._compiled = _compiled_modules(self._files)
        self._contents: dict[str, bytes] = {}
        self._sources: dict[str, Source] = {}

    def prefetch(self, names: Iterable[str]) -> None:
        """Read the files that names are likely to need at once, rather than one after the other."""
        wanted: set[str] = set()
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                wanted.update(self.own_files(".".join(parts[:end])))
        self._fetch(sorted(wanted))

    def below(self, module: str) -> set[str]:
        """List the modules right below one, or those at the top if it has no name."""
        path = module.replace(".", "/") + "/" if module else ""
        inner = (file.removeprefix(path) for file in self._files if file.startswith(path))
        return {name.partition("/")[0].partition(".")[0] for name in inner}

    def exists(self, module: str) -> bool:
        """Tell whether the wheel holds a module."""
        path = module.replace(".", "/")
        return bool(self.own_files(module)) or self.is_compiled(module) or (path in self._folders)

    def is_compiled(self, module: str) -> bool:
        """Tell whether it holds the module in compiled form."""
        return module in self._compiled

    def own_files(self, module: str) -> list[str]:
        """List the files of a module: a package comes before a module, source before stub."""
        path = module.replace(".", "/")
        places = (f"{path}/__init__.py", f"{path}.py", f"{path}/__init__.pyi", f"{path}.pyi")
        return [self._files[place] for place in places if place in self._files]

    def stub_of(self, module: str) -> Source | None:
        """Return the stub beside a source, if this Python can parse it: the source decides."""
        try:
            return self.source(module, stub=True)
        except SourceError:
            if self.source(module, stub=False) is None:
                raise
            return None

    def source(self, module: str, *, stub: bool) -> Source | None:
        """Return a module's source or stub, parsed; None where there is none.

        Raises:
            SourceError: If this Python cannot parse it.
        """
        for file in self.own_files(module):
            if file.endswith(".pyi") == stub:
                if file not in self._sources:
                    self._fetch([file])
                    self._sources[file] = Source.parse(file, module, self._contents[file])
                return self._sources[file]
        return None

    def _fetch(self, files: Iterable[str]) -> None:
        missing = [file for file in files if file not in self._contents]
        if missing:
            self._contents.update(self._read(missing))


def _importable(member: str) -> str:
    """Return where a member lies once installed: wheels may keep it under `NAME.data/purelib/`."""
    first, _, rest = member.partition("/")
    kind, _, inner = rest.partition("/")
    return inner if first.endswith(".data") and kind in {"purelib", "platlib"} else member


def prefixes(path: str, separator: str) -> list[str]:
    """List a path and all that lie above it: `a.b` gives `a` and `a.b`."""
    parts = path.split(separator)
    return [separator.join(parts[:end]) for end in range(1, len(parts) + 1)]


def _compiled_modules(files: Iterable[str]) -> frozenset[str]:
    found = set()
    for path in files:
        if path.endswith((".so", ".pyd")):
            folder, _, name = path.rpartition("/")
            module = name.partition(".")[0]
            found.add(".".join([*folder.split("/"), module]) if folder else module)
    return frozenset(found)
