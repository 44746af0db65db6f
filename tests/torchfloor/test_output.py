"""What processes print, and what of it is kept: clean, bounded, and without anyone's secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.torchfloor.system import needs

from torchfloor.output import (
    bounded_files,
    installer_words,
    name_shortage,
    one_line,
    printable,
    tidy_log,
    without_addresses,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: ≥ 1 \N{HEAVY CHECK MARK}\n\tnext", "plain: ≥ 1 \N{HEAVY CHECK MARK}\n\tnext"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://host\x1b\\link", "link"),
        ("\x1b(Bascii\x1bcreset", "asciireset"),
        ("a bell\a, half a sequence\x1b", "a bell�, half a sequence�"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\x9b31m C1", "�31m C1"),
        ("half \udc80 of a character", "half � of a character"),
        ("turned \u202e round, no width\u200b", "turned � round, no width�"),
        ("no\u00a0break", "no break"),
    ],
)
def test_what_has_no_shape_is_not_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_quoted_in_a_sentence_is_in_one_line() -> None:
    assert one_line(" a\r\n\n::error::b\x0b\u2028c\t\x1b[2Jd ") == "a ::error::b c d"
    assert "##[" not in one_line("it says ##[error]b and #\x00#[set-env]")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("MemoryError", "memory"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 4.00 GiB", "memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried 4 GiB", "memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "memory"),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", "memory"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("OSError: [Errno 27] File too large", "disk"),
        ("AssertionError: result 0 is 3.0", ""),
        ("ValueError: memory format is wrong", ""),
    ],
)
def test_an_error_of_the_machine_is_told_from_one_of_the_release(text: str, short: str) -> None:
    assert name_shortage(text) == short


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("fetch: http://me:pa:ss@host:1/simple/dep/", "fetch: <index>/simple/dep/"),
        ("`dep @ https://token@host/a/dep-1.whl#sha256=ab`", "`dep @ <index>/a/dep-1.whl`"),
        ("(https://host/a/dep-1.whl?key=secret)", "(<index>/a/dep-1.whl)"),
        ("`https://host/get?file=dep-1.whl&key=secret`", "`https://host/get`"),
        ("https://me:pass@host/simple/dep/?token=secret why?", "<index>/simple/dep/ why?"),
        ("see https://me:p@ss@docs.invalid/page", "see https://docs.invalid/page"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_addresses_and_credentials_are_left_out(text: str, bare: str) -> None:
    assert without_addresses(text) == bare


def test_a_log_is_bounded_and_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"begin " + b"x" * 3_000_000 + b" end")
    tidy_log(log)
    text = log.read_text("utf-8")
    assert text.startswith("begin x")
    assert text.endswith("x end")
    assert "\n[1885898 bytes left out]\n" in text
    assert len(text) < 1_200_000


def test_a_log_is_made_clean(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[1mbold\x1b[0m \xff http://me:secret@host/page?key=secret\n")
    tidy_log(log)
    assert log.read_bytes() == "bold � http://host/page\n".encode()


def test_a_log_that_is_clean_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("fine ≥\n".encode())
    before = log.stat().st_mtime_ns
    tidy_log(log)
    assert log.stat().st_mtime_ns == before


@needs("resource")
@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("Resolved\nerror: Failed to fetch\n  Caused by: refused\n", "Failed to fetch; refused"),
        (
            "error: Failed to\n  fetch\n  cause: a\n  cause: Hash\n  mismatch\n\n  Expected:\n  a",
            "Failed to fetch; Hash mismatch; Expected: a",
        ),
        (
            "  × No solution found\n  ╰─▶ because of numpy\n      and more\n",
            "No solution found; because of numpy and more",
        ),
        ("error: No solution\n  cause: a\n\nhint: b is off\n", "No solution; a; b is off"),
        ("one\nlast words\n", "last words"),
        ("", "the installer said nothing"),
    ],
)
def test_the_installers_own_words_are_found(log: str, told: str) -> None:
    assert installer_words(log) == told


def test_what_is_started_meanwhile_can_write_no_endless_file() -> None:
    import resource  # noqa: PLC0415 - not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with bounded_files():
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == (2**30, before[1])
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
