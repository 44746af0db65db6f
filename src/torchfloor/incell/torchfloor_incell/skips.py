"""Whose decision a skip was: the project's, or the release's, which proves nothing."""

from __future__ import annotations

import traceback
import unittest
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)


def is_skipped_by_package(
    excinfo: pytest.ExceptionInfo[Any], probes: Iterable[Path], is_packages: Callable[[Path], bool]
) -> bool:
    """Tell whether the package under test raised the exception of a skip when a probe called it.

    A mark or a decorator of the package is the probe's own choice: no probe runs yet when it skips.
    What helpers of the project decide, in the subject, too, is the project's choice.

    Args:
        excinfo: what ended a probe, or the import of a module of probes.
        probes: the folders of the probes.
        is_packages: tells whether a file is one of the package's.
    """
    error: BaseException | None = excinfo.value
    folders = set(probes)
    while isinstance(error, _SKIPS):
        callers = list(_callers(error, folders, is_packages))
        if callers:
            return callers[-1] == "package" and "probe" in callers
        # Of a TestCase's skip, pytest makes one of its own while it handles that.
        error = error.__context__
    return False


def _callers(
    error: BaseException, folders: set[Path], is_packages: Callable[[Path], bool]
) -> Iterator[str]:
    """Name whose code called, outermost first; what is neither a probe's nor the package's not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if is_packages(file):
            yield "package"
        elif not folders.isdisjoint((*file.parents, *_resolve(file).parents)):
            yield "probe"


_resolve = lru_cache(maxsize=None)(Path.resolve)
