"""Whose decision a skip was: a probe's, or that of the code it tests, which proves nothing."""

from __future__ import annotations

import traceback
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)


def is_skipped_by_tested(
    excinfo: pytest.ExceptionInfo[Any], probes: Iterable[Path], is_tested: Callable[[Path], bool]
) -> bool:
    """Tell whether tested code, which a probe has called, raised the exception of a skip.

    A mark or a decorator of the tested package is the probe's own choice: no probe runs yet when it
    skips.

    Args:
        excinfo: what ended a probe, or the import of a module of probes.
        probes: the folders of the probes.
        is_tested: tells whether a file is the package's under test or the subject's.
    """
    if not isinstance(excinfo.value, _SKIPS):
        return False
    folders = set(probes)
    by_probe = by_tested = False
    for frame, _ in traceback.walk_tb(excinfo.tb):
        file = Path(frame.f_code.co_filename)
        if is_tested(file):
            by_tested = by_probe
        elif not folders.isdisjoint(file.parents):
            by_probe, by_tested = True, False
    return by_tested
