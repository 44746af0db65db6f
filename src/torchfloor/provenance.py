"""Digests of what evidence was made from: when one changes, the evidence is stale."""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from torchfloor import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.version import Version

    from torchfloor.matrix import Matrix
    from torchfloor.record import Provenance, Record

__all__ = ["INCELL", "Digests", "Inputs", "digest_of"]

INCELL = Path(__file__).with_name("incell")
"""The folder that a cell finds the plugin in."""

_LENGTH = 16
_MODULES = {".py", ".pyc", ".pyd", ".so"}
"""How the name of a module ends that is no folder."""


class Digests(msgspec.Struct, frozen=True):
    """The inputs of a cell, each as a digest.

    Attributes:
        subject: Of the subject's files, and of what it imports from beside it.
        probes: Of the probes, of what they import from beside the subject, and of the plugin.
        matrix: Of what the matrix says about the cell.
    """

    subject: str
    probes: str
    matrix: str

    def equal(self, provenance: Provenance) -> bool:
        """Tell whether evidence was made from these inputs."""
        return (self.subject, self.probes, self.matrix) == (
            provenance.subject,
            provenance.probes,
            provenance.matrix,
        )


class Inputs:
    """The digests of a matrix's cells; files are read once."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        root = matrix.subject.parent
        subject = (matrix.subject, *_imported(matrix.subject, root, {matrix.subject}))
        probes = _package_of(matrix.probes)
        self._subject = digest_of(*subject)
        self._probes = digest_of(probes, INCELL, *_imported(probes, root, {*subject}))

    def of(self, release: Version, flavour: str) -> Digests:
        """Return the digests of one cell; a flavour the matrix no longer has equals none."""
        known = self._matrix.flavours.get(flavour)
        device = known.needs or "cpu" if known else "gone"
        said = [self._matrix.package, device, *self._matrix.companions_of(release)]
        return Digests(
            subject=self._subject,
            probes=self._probes,
            matrix=_shorten("\n".join([*said, *install.IN_CELL]).encode()),
        )

    def made(self, record: Record) -> bool:
        """Tell whether a record was made from these inputs, and is not stale."""
        return self.of(record.version, record.flavour).equal(record.provenance)


def digest_of(*roots: Path) -> str:
    """Digest the names and contents of files, whatever folder they lie in.

    Args:
        roots: Files or folders.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for root in roots:
        for file in _files(root):
            name = file.relative_to(root.parent).as_posix()
            head = f"{name}\0{file.stat().st_size}\0"
            digest.update(head.encode(errors="surrogateescape"))
            digest.update(file.read_bytes())
    return digest.hexdigest()[:_LENGTH]


def _shorten(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def _files(root: Path) -> list[Path]:
    """List the files of a folder in order, also those behind links to other folders."""
    if root.is_file():
        return [root]
    found: list[Path] = []
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        here = Path(folder)
        folders[:] = [name for name in folders if _leads_on(here, name)]
        found += [here / name for name in files if (here / name).is_file()]
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    """Pass over no folder that cannot be read: what is in it counts all the same."""
    raise error


def _package_of(folder: Path) -> Path:
    """Return the outermost package that a folder is a part of: pytest imports all of them."""
    while (folder / "__init__.py").exists() and (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return folder


def _leads_on(folder: Path, name: str) -> bool:
    """Tell whether to look into a folder: not where a link leads back to one it lies in."""
    path = folder / name
    if path.is_symlink():
        return path.resolve() not in {parent.resolve() for parent in path.parents}
    return name != "__pycache__"


def _imported(start: Path, root: Path, known: set[Path]) -> list[Path]:
    """List the modules and packages below a root that code imports from there, and they in turn.

    Found is what an import statement names, or a text, as `pytest_plugins` and `import_module` do.

    Args:
        start: The code: a file or a folder.
        root: The folder that it imports from.
        known: What is not to be listed.
    """
    beside = {path for path in root.glob("*") if _is_module(path)} - known
    found: list[Path] = []
    todo = [start]
    while todo and beside:
        names = {name for file in _files(todo.pop()) for name in _names_in(file, beside)}
        new = sorted(path for path in beside if _name_of(path) in names)
        beside.difference_update(new)
        found += new
        todo += new
    return sorted(found)


def _name_of(module: Path) -> str:
    return module.name.partition(".")[0]


def _is_module(path: Path) -> bool:
    return path.is_dir() if not path.suffix else path.suffix in _MODULES


def _names_in(file: Path, wanted: set[Path]) -> Iterator[str]:
    """Name the modules that a file may import, if some that are wanted may be among them."""
    content = file.read_bytes() if file.suffix == ".py" else b""
    named = {_name_of(path) for path in wanted if _name_of(path).encode() in content}
    if not named:
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # In a newer syntax than this Python's, say: each of them may be meant.
        yield from named
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.partition(".")[0]
