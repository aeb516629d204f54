"""What others wrote is printed in one line, without anything that a terminal obeys."""

from __future__ import annotations

import pytest

from fer_edge.text_cleaning import clean, clean_lines


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("happy", "happy"),
        ("traurig – müde 😀 悲", "traurig – müde 😀 悲"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31mred", "\\x9b31mred"),  # the escape sequence's one-byte form
        ("one\ntwo\r\tthree", "one\\x0atwo\\x0d\\x09three"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("a\u2028b\udcff", "a\\u2028b\\udcff"),
        ("one\u00a0two", "one two"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_what_a_terminal_obeys_is_written_as_an_escape(text: str, printed: str) -> None:
    assert clean(text) == printed
    assert clean(text).isprintable()


@pytest.mark.parametrize("sign", ["x", "\x1b", "\U000e0041"])
def test_a_long_text_is_cut_after_the_escapes_are_written(sign: str) -> None:
    assert len(clean(sign * 10_000)) == 200
    assert clean(sign * 10_000, 20)[-1] == "…" and len(clean(sign * 10_000, 20)) == 20


def test_line_breaks_of_our_own_stay() -> None:
    assert clean_lines("one\ntwo\x1b[2J") == "one\ntwo\\x1b[2J"
