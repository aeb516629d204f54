"""What commands print: data on stdout, messages for people on stderr; both cleaned, for files hold texts of others."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from fer_edge.text_cleaning import clean_lines


def open_closed_streams() -> None:
    """Opens the null device for each standard stream that is closed (`>&-`), so that its number becomes that of no other file.

    What is printed there is dropped, as with `>/dev/null`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def message(sentence: str) -> None:
    """Writes a sentence to stderr, with the program's name before it. Where stderr is full or closed, it is dropped."""
    notice(f"fer-edge: {sentence}")


def notice(text: str) -> None:
    """Writes a text to stderr without the program's name: what a command does at the moment. It may be dropped likewise."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{clean_lines(text)}\n")
        sys.stderr.flush()


def reporter(quiet: bool) -> Callable[[str], None]:
    """The function for sentences that report no trouble: `message`, or one that drops them."""
    return (lambda _: None) if quiet else message


def output(text: str) -> None:
    """Prints a text on stdout, whole, and flushes it. Raises OSError."""
    sys.stdout.write(f"{clean_lines(text, sys.maxsize)}\n")
    sys.stdout.flush()


def result_output(text: str) -> None:
    """Prints as `output`, for a command that does more than print: a reader that went away (`… | head`) does not end it."""
    try:
        output(text)
    except BrokenPipeError:
        discard_stdout()


def print_any_text() -> None:
    """Lets stdout replace the characters that its encoding lacks, as stderr does: on a terminal that is not UTF-8.

    With PYTHONUNBUFFERED, stdout gets a buffer again, which `output` flushes: Python reports nothing there where a full disk
    took only a part of a text.
    """
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout.buffer, io.RawIOBase):
        sys.stdout = open(  # noqa: SIM115 – it stays open as long as the process
            sys.stdout.fileno(), "w", buffering=1, encoding=sys.stdout.encoding, closefd=False
        )
    sys.stdout.reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """Directs stdout to nowhere, after it could not be written: Python would try again at its end, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
