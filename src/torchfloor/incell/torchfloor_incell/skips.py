"""Whose decision a skip was: the project's, or the release's, which proves nothing."""

from __future__ import annotations

import traceback
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    if not isinstance(excinfo.value, _SKIPS):
        return False
    folders = set(probes)
    by_probe = by_package = False
    for frame, _ in traceback.walk_tb(excinfo.tb):
        file = Path(frame.f_code.co_filename)
        if is_packages(file):
            by_package = by_probe
        elif not folders.isdisjoint(file.parents):
            by_probe, by_package = True, False
    return by_package
