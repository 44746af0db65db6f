"""Paths -> the uses in all their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchfloor.garbage import uncollected
from torchfloor.usage.checks import Relevance
from torchfloor.usage.project import Project
from torchfloor.usage.sources import UnreadableError, find_sources, read_source
from torchfloor.usage.uses import read_uses

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torchfloor.usage.uses import Use

__all__ = ["Usage", "read_usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a code base uses of a dependency.

    Attributes:
        project: The code base, which the conditions of uses refer to.
        files: How many files were looked at.
        uses: In the order of files and lines.
        asked: Names that conditions ask about.
        unread: What could not be read, and why.
    """

    project: Project
    files: int
    uses: list[Use]
    asked: set[str]
    unread: list[str]


def read_usage(paths: Iterable[Path], root: str, package: str) -> Usage:
    """Read what files and folders use of a dependency.

    Args:
        paths: Files and folders, as `find_sources` takes them.
        root: The name under which the dependency is imported.
        package: The distribution it belongs to.

    Raises:
        ConfigError: If a path does not exist, is a notebook, or holds no Python file.
    """
    files, unread = find_sources(paths)
    project = Project(root, files)
    relevance = Relevance(project, package)
    usage = Usage(project, len(files), [], set(), unread)
    with uncollected():
        for file in files:
            try:
                _read_file(file, usage, relevance)
            except UnreadableError as error:
                project.unread[file] = str(error)
            except RecursionError:
                project.unread[file] = "nested too deeply"
    unread += [f"{file}: {why}" for file, why in project.unread.items()]
    return usage


def _read_file(file: Path, usage: Usage, relevance: Relevance) -> None:
    project = usage.project
    module = project.module(file)
    if module is None and project.root.encode() not in read_source(file):
        del project.unread[file]  # damaged, but no business of the dependency's
    if module is not None:
        uses, asked = read_uses(module, project, relevance)
        module.tree = None
        usage.uses.extend(uses)
        usage.asked.update(asked)
