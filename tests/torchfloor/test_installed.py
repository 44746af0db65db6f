"""What is installed: whoever writes into what others share is found out, and nobody else is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from torchfloor.installed import note_installed, written_into
from torchfloor.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "lib/python3.11/site-packages/dep.py"
RECORD = """dep.py,sha256=dw5gdiTWiSZcpsRIhNCAfZsFTSPEc8EGxyvp3gi3N2w,4
dep-1.0.dist-info/METADATA,,
dep-1.0.dist-info/RECORD,,
"""
"""Of a module that says `good`."""


def install(cache: Path, environment: Path) -> Path:
    """Install a package the way uv does, and return the file that is shared with the cache."""
    file = environment / NAME
    info = file.with_name("dep-1.0.dist-info")
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dep\nVersion: 1.0\n", "utf-8")
    (info / "RECORD").write_text(RECORD, "utf-8")
    file.hardlink_to(cache)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of an environment, which has been noted."""
    (tmp_path / "cached").write_text("good", "utf-8")
    file = install(tmp_path / "cached", tmp_path / "cells/one/env")
    assert note_installed(tmp_path / "cells/one/env") == 3 * 4096
    return file


def append(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("!")


def change_slyly(file: Path) -> None:
    """Leave size and time as they were."""
    was = file.stat()
    file.write_text("evil", "utf-8")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def share(file: Path) -> None:
    file.with_name("shared").hardlink_to(file)


def replace(file: Path) -> None:
    file.with_name("new").write_text("evil", "utf-8")
    file.with_name("new").replace(file)


def share_what_its_wheel_is_wrong_about(file: Path) -> None:
    record = file.with_name("dep-1.0.dist-info") / "RECORD"
    record.write_text(RECORD.replace("dw5", "xxx").replace(",4", ",5"), "utf-8")
    share(file)


def share_what_its_wheel_says_nothing_about(file: Path) -> None:
    (file.with_name("dep-1.0.dist-info") / "RECORD").write_text("", "utf-8")
    share(file)


@pytest.mark.parametrize("act", [append, change_slyly])
def test_what_writes_into_a_shared_file_is_found_out(
    tmp_path: Path, file: Path, act: Callable[[Path], None]
) -> None:
    act(file)
    assert written_into(tmp_path / "cells/one/env") == [NAME]


@pytest.mark.parametrize(
    "act",
    [
        bool,
        share,
        share_what_its_wheel_is_wrong_about,
        share_what_its_wheel_says_nothing_about,
        replace,
        os.unlink,
        lambda file: file.chmod(0o700),
    ],
)
def test_what_harms_no_other_cell_is_nothing(
    tmp_path: Path, file: Path, act: Callable[[Path], object]
) -> None:
    act(file)
    assert written_into(tmp_path / "cells/one/env") == []


@pytest.mark.parametrize("note", ["", "{", "[]"])
def test_where_nothing_was_noted_nothing_has_run(tmp_path: Path, file: Path, note: str) -> None:
    append(file)
    (tmp_path / "cells/one/installed.json").write_text(note, "utf-8")
    assert written_into(tmp_path / "cells/one/env") == []


def test_a_cell_that_is_installed_from_what_another_has_written_into_notices(
    tmp_path: Path, file: Path
) -> None:
    append(file)
    new = tmp_path / "cells/two/env"
    install(tmp_path / "cached", new)
    note_installed(new)
    assert written_into(new) == []
    assert Storage(tmp_path).share_written(new) == [NAME]
    replace(new / NAME)
    assert Storage(tmp_path).share_written(new) == []
