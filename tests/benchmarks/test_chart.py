"""The chart: the same for the same results, its text as text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from benchmarks.chart import draw
from tests.benchmarks.builders import make_measured

MEASURED = make_measured("2.1.0")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chart_is_the_same_for_the_same_results(theme: str) -> None:
    assert draw(MEASURED, theme, "digest") == draw(MEASURED, theme, "digest")


def test_text_stays_text() -> None:
    root = ET.fromstring(draw(MEASURED, "light", "digest"))  # noqa: S314 - our own
    words = ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")]
    assert "few, 1 thread" in words
    assert "few, 2 threads" in words
    assert {"compute_norms", "telemetry formula", "1.00", "20.00"} <= set(words)


def test_it_tells_what_it_was_drawn_from_and_neither_day_nor_place() -> None:
    svg = draw(MEASURED, "light", "0123abcd")
    assert "drawn from 0123abcd" in svg
    assert not re.search(r"dc:date|Matplotlib v|/(home|root|tmp|work)/", svg)


def test_the_grounds_have_different_inks() -> None:
    assert "#e6edf3" in draw(MEASURED, "dark", "digest")
    assert "#e6edf3" not in draw(MEASURED, "light", "digest")
