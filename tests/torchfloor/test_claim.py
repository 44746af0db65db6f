"""What a search for the floor claims: no more than it proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.version import Version
from tests.torchfloor.builders import make_cell

from torchfloor.claim import Floor, claim
from torchfloor.errors import NoEvidenceError

if TYPE_CHECKING:
    from torchfloor.search import Known

WORDS: dict[str, Known] = {"C": "compatible", "I": "incompatible", "E": "errored", "?": None}


def claimed(known: str, declared: str = "1.0", extra: tuple[str, ...] = ()) -> Floor:
    """Claim from a letter for each of the releases 1.0, 1.1 …; `extra` cannot run here."""
    cells = [make_cell(f"1.{place}") for place in range(len(known))]
    absent = [make_cell(release, status="unavailable", reason="no wheel") for release in extra]
    every = sorted([*cells, *absent], key=lambda cell: cell.version)
    return claim(every, cells, [WORDS[letter] for letter in known], Version(declared))


def test_a_floor_with_untested_releases_above_is_bisected_and_says_what_is_assumed() -> None:
    found = claimed("?IC?C", declared="1.2")
    told = (
        "Measured floor: dep 1.2 (bisected: 1 of the 3 releases from there on are not proved, "
        "and that what works keeps on working is assumed); 1.1 is incompatible; 1.2, 1.4 are "
        "compatible."
    )
    assert found == Floor("1.2", (told,), holds=True)


def test_a_floor_with_every_release_above_tested_is_verified_without_gap() -> None:
    (line,) = claimed("?ICCC", declared="1.2").lines
    assert "Measured floor: dep 1.2 (verified without gap: every release of the range" in line


@pytest.mark.parametrize(
    ("known", "extra"), [("ICEC", ()), ("ICC?", ()), ("ICCE", ()), ("ICC", ("1.1.5",))]
)
def test_what_errored_or_has_no_wheel_is_a_gap(known: str, extra: tuple[str, ...]) -> None:
    assert "bisected: 1 of the" in claimed(known, "1.1", extra).lines[0]


def test_where_everything_works_the_floor_may_be_lower_still() -> None:
    (line,) = claimed("CC").lines
    assert line.startswith("Measured floor: dep 1.0 or lower (verified without gap")
    assert "; nothing lower was tested and found incompatible; 1.0, 1.1 are compatible." in line


def test_what_errored_next_below_the_floor_is_named() -> None:
    assert claimed("IEEC", "1.3").lines[1] == (
        "Nothing is known of 1.1, 1.2, so the floor may be lower."
    )


def test_what_works_below_something_that_does_not_is_named() -> None:
    assert claimed("CICC", "1.2").lines[1] == (
        "What works does not keep on working here: 1.0 compatible, though below one that is not. "
        "Only `nox -s compat` proves all."
    )


def test_a_declared_floor_that_is_too_low_does_not_hold() -> None:
    found = claimed("IICC")
    assert not found.holds
    assert found.lines[-1] == (
        "dep>=1.0 does not hold: 1.1 is incompatible; declare dep>=1.2, or mend it."
    )


def test_a_declared_floor_that_could_be_lower_holds_and_is_told() -> None:
    found = claimed("ICCC", declared="1.3")
    assert (found.holds, found.lines[-1]) == (True, "dep>=1.3 is declared; it could be 1.1.")


def test_a_range_above_the_declared_floor_says_nothing_against_it() -> None:
    assert claimed("CC", declared="0.5").holds


@pytest.mark.parametrize("declared", ["1.0", "2.0"])
def test_where_the_newest_does_not_work_there_is_no_floor(declared: str) -> None:
    found = claimed("??I", declared)
    assert (found.release, found.holds) == (None, False)
    assert found.lines[0].startswith("No floor: dep 1.2, the newest that could be tested, is incom")
    assert "1.1, the newest" in claimed("?IE", declared).lines[0]


def test_where_everything_errored_nothing_is_claimed() -> None:
    with pytest.raises(NoEvidenceError, match="nothing is known"):
        claimed("EE")


def test_long_lists_are_shortened() -> None:
    assert "1.0, 1.1, 1.2, 1.3, …, 1.8 are compatible" in claimed("CCCCCCCCC").lines[0]


def test_while_an_index_is_silent_nothing_is_verified_without_gap() -> None:
    cells = [make_cell("1.0"), make_cell("1.1")]
    (line,) = claim(cells, cells, ["compatible"] * 2, Version("1.0"), silent=True).lines
    assert "(without gap among the releases of the indexes that answered)" in line
    assert "verified" not in line


@pytest.mark.parametrize(("known", "declared"), [("CCEE", "1.2"), ("CC", "2.0"), ("ICE", "1.2")])
def test_where_nothing_at_or_above_the_declared_floor_works_nothing_is_proved(
    known: str, declared: str
) -> None:
    found = claimed(known, declared)
    assert not found.holds
    assert found.lines[-1] == (
        f"dep>={declared} is not proved: no release at or above it was found compatible."
    )
    assert not any("it could be" in line for line in found.lines)


def test_newest_releases_that_errored_are_named() -> None:
    assert claimed("CCEE").lines[1] == (
        "The newest, 1.2 and 1.3, errored: the floor holds up to 1.1 as far as is known."
    )
    assert not any("newest" in line for line in claimed("ICEC", "1.1").lines)


@pytest.mark.parametrize("known", ["CECC", "IECC"])
def test_a_declared_release_that_errored_is_not_proved(known: str) -> None:
    found = claimed(known, "1.1")
    assert not found.holds
    assert found.lines[-1] == "dep>=1.1 is not proved: 1.1 itself errored."
