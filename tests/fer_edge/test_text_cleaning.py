"""What others wrote is printed in one line, without anything that a terminal obeys."""

from __future__ import annotations

import json

import pytest

from fer_edge.console import message, output
from fer_edge.json_fields import json_text
from fer_edge.text_cleaning import clean, clean_lines, spreadsheet_text


def test_data_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    values = ["happy"] * 300_000
    output(json_text(values))
    assert json.loads(capsys.readouterr().out) == values


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


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_a_text_that_a_spreadsheet_would_calculate_is_marked_as_text(text: str) -> None:
    assert spreadsheet_text(text) == "'" + clean(text)


def test_other_texts_are_cells_as_they_are() -> None:
    assert spreadsheet_text("happy") == "happy" and spreadsheet_text("a-b=c") == "a-b=c" and spreadsheet_text("") == ""


def test_all_that_is_printed_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    message("the file \x1b[2J.jpg")
    output("label \x9b31m\nnext line")
    output(json_text({"file": "\x1b]0;\u202e\ud800 ü"}))
    printed = capsys.readouterr()
    assert printed.err == "fer-edge: the file \\x1b[2J.jpg\n"
    assert printed.out.splitlines() == ["label \\x9b31m", "next line", '{"file": "\\u001b]0;\\u202e\\ud800 ü"}']
    assert json.loads(printed.out.splitlines()[2]) == {"file": "\x1b]0;\u202e\ud800 ü"}


def test_nan_is_never_printed_as_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"p": float("nan")})
