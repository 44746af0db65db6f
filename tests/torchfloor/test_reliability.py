"""docs/reliability.md promises nothing that no test proves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
ROWS = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
PROMISES = [row for row in ROWS if not row.startswith(("| fault ", "| --- "))]
LINK = re.compile(r"\[(test_\w+)\]\((\S+\.py)\)")


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_promises() -> None:
    assert PROMISES


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_promise_is_proved_by_a_test_that_exists(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 4
    assert all(cells)
    links = LINK.findall(cells[3])
    assert links
    for name, file in links:
        assert name in functions_of(PAGE.parent / file)
