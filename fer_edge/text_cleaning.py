"""Text that was written by others, made safe to print: a label, a file's name, a target's answer, a field of a file.

A terminal obeys escape sequences, and a reader is misled by line breaks and by characters that reverse the order of others.
"""

from __future__ import annotations

DEFAULT_LIMIT = 200  # characters
CELL_CHARS = 32_767  # the most that a cell of a spreadsheet holds


def clean(text: str, limit: int = DEFAULT_LIMIT) -> str:
    r"""The text in one line of at most `limit` characters, each character that cannot be printed written as an escape.

    >>> clean("happy\x1b[2J\u202e")
    'happy\\x1b[2J\\u202e'
    """
    cut = text[: limit + 1]
    if not cut.isprintable():
        cut = "".join(sign if sign.isprintable() else _escape(sign) for sign in cut)
    return cut if len(cut) <= limit else f"{cut[: limit - 1]}…"


def clean_lines(text: str, limit: int = 4000) -> str:
    """The text with its line breaks, each line cleaned."""
    return "\n".join(clean(line, limit) for line in text.split("\n"))


def may_hold_password(name: str) -> bool:
    """Whether the name of what is not there may be a mistyped address with a password: it has a colon before an @.

    >>> may_hold_password("http:/user:secret@camera/1"), may_hold_password("a@b.png")
    (True, False)
    """
    return ":" in name.rpartition("@")[0]


def spreadsheet_text(text: str) -> str:
    """The text as a cell of a CSV file, cleaned; one that a spreadsheet would take for a formula begins with an apostrophe."""
    return clean(
        f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")) else text, CELL_CHARS
    )


def _escape(sign: str) -> str:
    if sign.isspace() and sign not in "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "  # a no-break space, and other spaces of typesetters
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
