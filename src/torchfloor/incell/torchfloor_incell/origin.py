"""Whether what was imported is what was to be: modules against the RECORD of their wheel."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import sys
import sysconfig
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution

_SITE = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]


def installed(package: str) -> Distribution | None:
    """Return a distribution of this very environment, wherever else there may be one."""
    return next(iter(importlib.metadata.distributions(name=package, path=_SITE)), None)


class Origin:
    """Holds modules against the RECORD that the wheel of the package under test brought along.

    Args:
        package: the distribution, and the name that it is imported by.
        subject: path of the code that uses it, if there is any.
    """

    def __init__(self, package: str, subject: Path | None = None) -> None:
        self._package = package
        self._subject = subject
        self._site = Path()
        self._digests: dict[str, str] = {}
        self._held: set[str] = set()
        distribution = installed(package) if package else None
        if distribution is not None:
            self._site = _resolve(Path(str(distribution.locate_file(""))))
            self._digests = _digests_of(distribution)

    def faults(self) -> list[str]:
        """Say which of the modules loaded since the last call are not the wheel's own, and why.

        Held are the files that RECORD lists, by their digests, and all else that goes by the
        package's name. A module without a file was made by code that has one.
        """
        if not self._package:  # probes that are run by hand
            return []
        if not self._digests:
            return [f"{self._package} is not installed in this cell by a wheel with a RECORD"]
        loaded = {name: _spec_of(module) for name, module in list(sys.modules.items())}
        # A package may have put something else in the place of its own module.
        loaded[self._package] = loaded.get(self._package) or PathFinder.find_spec(self._package)
        new = {name: spec for name, spec in loaded.items() if spec and name not in self._held}
        self._held.update(new)
        faults = (self._fault_of(name, file) for name in new for file in _places_of(new[name]))
        return [fault for fault in faults if fault]

    def brings(self, file: Path) -> bool:
        """Tell whether a file is one of the wheel's."""
        return self._place(file) in self._digests

    def _fault_of(self, name: str, file: Path) -> str:
        place = self._place(file)
        beside = self._hidden_by(name, place)
        if beside:
            return (
                f"{file} was imported as {name}, and hides {beside}, which lies beside the "
                "subject: rename that"
            )
        if place in self._digests:
            return "" if _has_digest(file, self._digests[place]) else self._describe(file, place)
        is_ours = name == self._package or name.startswith(f"{self._package}.")
        if not is_ours or self._is_added(name, file, place):
            return ""
        return (
            f"{file} was imported as {name}, and the wheel of {self._package} has no such file: "
            "rename or remove it, or leave out the companion that it comes from"
        )

    def _hidden_by(self, name: str, place: str) -> str:
        """Return what beside the subject an installed module of the same name hides; "" if none.

        The project would see its own. The package itself is what is tested, whatever lies there;
        and a mere folder is no module, unless it is the package's wheel that takes its place.
        """
        if self._subject is None or not place or name in (self._package, self._subject.stem):
            return ""
        spec = PathFinder.find_spec(name, [str(self._subject.parent)]) if "." not in name else None
        if spec is None or not (spec.has_location or place in self._digests):
            return ""
        return next((str(each) for each in _places_of(spec)), "")

    def _is_added(self, name: str, file: Path, place: str) -> bool:
        """Tell a folder of a namespace, and a module that another distribution adds to a package.

        The package itself must be in the wheel.
        """
        is_whole = name == self._package
        if file.is_dir():
            listed = any(each.startswith(f"{place}/") for each in self._digests)
            return listed if is_whole else bool(place)
        return not is_whole and any(_has_digest(file, each) for _, each in self._others(place))

    def _describe(self, file: Path, place: str) -> str:
        for other, _ in self._others(place):
            return f"{file} was overwritten by {other}, which installs that file, too: leave it out"
        return (
            f"{file} is not as the RECORD of its wheel says: something has written into it, or its "
            "digest is wrong or missing there"
        )

    def _others(self, place: str) -> Iterator[tuple[str, str]]:
        """Yield name and digest of each other distribution that lists a file as its own."""
        for other in importlib.metadata.distributions(path=[str(self._site)]):
            digests = _digests_of(other)
            if place in digests and digests != self._digests:
                yield str(other.metadata["Name"]), digests[place]

    def _place(self, file: Path) -> str:
        """Return a file as RECORD names it, relative to site-packages; "" outside of that."""
        # Installers may make a file a link into their cache, but no folder.
        path = _resolve(file.parent) / file.name
        return path.relative_to(self._site).as_posix() if self._site in path.parents else ""


_resolve = lru_cache(maxsize=None)(Path.resolve)


def _digests_of(distribution: Distribution) -> dict[str, str]:
    """Return `algorithm=digest` by file; "" where RECORD has none."""
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows if row}


def _has_digest(file: Path, digest: str) -> bool:
    algorithm, _, wanted = digest.partition("=")
    if algorithm not in hashlib.algorithms_guaranteed:
        return False
    found = hashlib.new(algorithm, file.read_bytes()).digest()
    return base64.urlsafe_b64encode(found).decode().rstrip("=") == wanted.rstrip("=")


def files_of(module: object) -> list[Path]:
    """Return the file that a module was loaded from, or the folders of a namespace."""
    spec = _spec_of(module)
    return _places_of(spec) if spec is not None else []


def _spec_of(module: object) -> ModuleSpec | None:
    """Return what a module was loaded by, without a word to modules that load when spoken to."""
    try:
        spec: ModuleSpec | None = object.__getattribute__(module, "__dict__").get("__spec__")
    except AttributeError:
        return None
    return spec


def _places_of(spec: ModuleSpec) -> list[Path]:
    """Return the file of a module, or the folders of a namespace; nothing of what is built in."""
    if spec.has_location and spec.origin:
        return [Path(spec.origin)]
    return [Path(folder) for folder in spec.submodule_search_locations or ()]
