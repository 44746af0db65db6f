"""Digests of what evidence was made from: when one changes, the evidence is stale."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

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


class Digests(msgspec.Struct, frozen=True):
    """The inputs of a cell, each as a digest.

    Attributes:
        subject: Of the subject's files.
        probes: Of the probes and of the plugin.
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
        self._subject = digest_of(matrix.subject)
        self._probes = digest_of(matrix.probes, INCELL)

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


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file
