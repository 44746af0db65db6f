"""What came from outside is text in Markdown, and nothing but text on GitHub."""

from __future__ import annotations

import pytest

from torchfloor.report.markup import code, escape


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("1 is not 2, by 1e-3", "1 is not 2, by 1e-3"),
        ("t.py::test_it: a_b _c_", r"t.py::test_it: a_b \_c\_"),
        ("<b>@octocat</b> closes #1", "`<b>@octocat</b>` closes `#1`"),
        ("fixes GH-1, resolves o/r#2", "fixes `GH-1,` resolves `o/r#2`"),
        ("![x](https://evil.invalid/p.png)", "`![x](https://evil.invalid/p.png)`"),
        ("see www.evil.invalid or $x$", "see `www.evil.invalid` or `$x$`"),
        ("# A heading", "`#` A heading"),
        ("a\n\n# A heading\n::error::b", "a `#` A heading ::error::b"),
        ("`@me", "`` `@me ``"),
        ("a`b``@me", "```a`b``@me```"),
        ("@me|@you", r"`@me`\|`@you`"),
        (r"\|@me", r"\\\|`@me`"),
        ("a&#64;me", "`a&#64;me`"),
        ("> a", r"\> a"),
        ("- a", r"\- a"),
        ("--- a", r"\--- a"),
        ("1. a", r"1\. a"),
        ("2.0.1", "2.0.1"),
        ("high-1", "high-1"),
        ("<!-- a ~~b~~ *c* [d]", r"\<!-- a \~\~b\~\~ \*c\* \[d\]"),
    ],
)
def test_text_is_inert_on_github(text: str, inert: str) -> None:
    assert escape(text) == inert


def test_a_name_is_code_and_ends_no_cell_of_a_table() -> None:
    assert code("a(b: int | None)") == r"`a(b: int \| None)`"
    assert code("a`b") == r"a\`b"
