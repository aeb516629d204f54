"""The token: who has it may see the live page from other machines. It is said once, and no log ever holds it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TextIO

from fer_edge.errors import UsageError

_BYTES = 24  # 32 letters; 192 bits
_FEWEST = 20  # letters of one that somebody made up


def new_token() -> str:
    """A new token."""
    return secrets.token_urlsafe(_BYTES)


def read_or_create_token(path: Path) -> str:
    """The token in the file, which is made, with a new one, where there is none.

    Raises UsageError when others than its owner could read it, or when what it holds is no token.
    """
    try:
        _create_file(path)
        with path.open("rb") as file:
            found = os.fstat(file.fileno())  # of what was opened, not of what the name may mean by now
            text = file.read(1000).decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"the token in {path} cannot be read ({error.strerror}); name a file of yours") from error
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise UsageError(f"{path} can be read by others; `chmod 600 {path}`, and think of another token")
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", text) or len(text) < _FEWEST:
        raise UsageError(
            f"{path} holds no token: {_FEWEST} or more letters, digits and . _ ~ + / = - on one line; remove the file, and "
            "one is made"
        )
    return text


def is_in_system_log(stream: TextIO, journal_stream: str) -> bool:
    """Whether what is said on `stream` ends in systemd's log; `journal_stream` is $JOURNAL_STREAM (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # no file: one in memory
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"


def matches(given: str, token: str) -> bool:
    """Whether they are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode(), token.encode())


def cookie_value(token: str) -> str:
    """What a browser keeps in the token's place: it opens this page again, and the token cannot be had from it."""
    return hmac.new(token.encode(), b"fer-edge: the live page's cookie", hashlib.sha256).hexdigest()


def _create_file(path: Path) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(number, "w") as file:
        file.write(f"{new_token()}\n")
