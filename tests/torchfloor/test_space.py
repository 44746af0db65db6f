"""Downloads and disk: estimated before anything runs, and refused when they cannot fit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.torchfloor.builders import PROVENANCE, make_cell, make_record, make_wheel

from torchfloor import space
from torchfloor.errors import SpaceError
from torchfloor.space import Download, check_space, estimate_downloads, needed_space

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchfloor.plan import Cell

GIGA = 10**9
LOCK = """
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "{package}"
version = "1.0"
wheels = [{{ url = "https://files.invalid/a.whl", size = 999 }}]

[[packages]]
name = "numpy"
version = "1.0"
sdist = {{ url = "https://files.invalid/numpy.tar.gz", size = 70 }}
wheels = [{{ url = "https://files.invalid/x.whl", size = 5 }}, {{ url = "y.whl", size = {size} }}]

[[packages]]
name = "from-source"
version = "1.0"
sdist = {{ url = "https://files.invalid/s.tar.gz", size = 3 }}
"""


def resolver(**values: object) -> Callable[..., None]:
    """Return what stands in for `subprocess.run`: a resolver that writes a lock."""

    def run(command: list[str], **_options: Any) -> None:  # noqa: ANN401
        lock = Path(command[command.index("--output-file") + 1])
        lock.write_text(LOCK.format(**({"package": "dep", "size": 7} | values)), "utf-8")

    return run


def failing(error: Exception) -> Callable[..., None]:
    def run(*_command: object, **_options: object) -> None:
        raise error

    return run


CELL = make_cell(wheel=make_wheel("1.0", size=100))


@pytest.mark.parametrize(
    ("cell", "run", "download"),
    [
        (CELL, resolver(), Download(110, exact=True)),
        (CELL, resolver(size=0), Download(108, exact=True)),
        (make_cell(), resolver(), Download(10, exact=False)),
        (CELL, failing(subprocess.TimeoutExpired("uv", 1)), Download(100, exact=False)),
        (CELL, failing(subprocess.CalledProcessError(1, "uv")), Download(100, exact=False)),
        (
            make_cell(package="Some_Dep", wheel=make_wheel("1.0", size=100)),
            resolver(package="some-dep"),
            Download(110, exact=True),
        ),
    ],
)
def test_a_download_is_the_wheel_and_what_the_resolver_puts_beside_it(
    monkeypatch: pytest.MonkeyPatch, cell: Cell, run: Callable[..., None], download: Download
) -> None:
    monkeypatch.setattr("subprocess.run", run)
    assert space.resolve_download(cell, {}) == download


def test_a_cell_that_ran_downloads_what_it_did_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        space, "resolve_download", lambda _cell, _environment: Download(1, exact=False)
    )
    other = make_cell("1.1", wheel=make_wheel("1.1", sha256="cd" * 32))
    record = make_record(provenance=msgspec.structs.replace(PROVENANCE, download=5000))
    estimated = estimate_downloads([CELL, other], [record])
    assert estimated == [Download(5000, exact=True), Download(1, exact=False)]


def test_wheels_without_digests_are_never_taken_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        space, "resolve_download", lambda _cell, _environment: Download(1, exact=False)
    )
    cell = make_cell(wheel=make_wheel("1.0", sha256=None))
    record = make_record(cell, provenance=msgspec.structs.replace(PROVENANCE, download=5000))
    assert estimate_downloads([cell], [record]) == [Download(1, exact=False)]


@pytest.mark.parametrize(
    ("sizes", "jobs", "least", "most"),
    [
        ([], 1, 0, 0),
        ([1, 5, 2], 1, 5, 20),
        ([1, 5, 2], 2, 7, 25),
        ([1, 5, 2], 9, 8, 30),
    ],
)
def test_what_is_needed_is_the_largest_cells_at_a_time(
    sizes: list[int], jobs: int, least: int, most: int
) -> None:
    downloads = [Download(size * GIGA, exact=True) for size in sizes]
    assert least * GIGA <= needed_space(downloads, jobs) <= most * GIGA


def test_more_cells_at_a_time_need_more() -> None:
    downloads = [Download(GIGA, exact=True)] * 3
    assert needed_space(downloads, 1) < needed_space(downloads, 2) < needed_space(downloads, 3)
    assert needed_space(downloads, 3) == needed_space(downloads, 4)


def test_a_disk_that_is_too_small_is_refused_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torchfloor.host.free_space", lambda _folder: 3 * GIGA)
    check_space(3 * GIGA, tmp_path)
    with pytest.raises(SpaceError, match=r"10\.0 GB are needed, and 3\.0 GB are free, so 7\.0"):
        check_space(10 * GIGA, tmp_path)


def test_what_lies_on_disk_once_counts_once_in_whole_blocks(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_bytes(b"x" * 5000)
    (tmp_path / "again").hardlink_to(tmp_path / "in/file")
    (tmp_path / "other").write_bytes(b"y" * 10)
    assert space.size_on_disk(space.files_of(tmp_path).values()) == 3 * 4096


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.0 MB"), (16 * 2**20, "16.8 MB"), (GIGA, "1.0 GB"), (0.04e12, "40.0 GB")],
)
def test_bytes_are_written_for_a_reader(size: int, words: str) -> None:
    assert space.in_bytes(size) == words
