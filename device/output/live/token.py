"""The token that authorises a browser to see the live page. It is printed once, and no log ever holds it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from fer_edge.errors import UsageError

_BYTES = 24  # 32 letters; 192 bits
_MIN_LETTERS = 20  # of a token that the user chose


def new_token() -> str:
    """A new token."""
    return secrets.token_urlsafe(_BYTES)


def read_or_create_token(path: Path) -> str:
    """The token in the file, which is created with a new token where it is missing.

    Raises UsageError when others than the owner could read it, or when it holds no valid token.
    """
    if not os.path.lexists(path):
        try:
            _create_file(path)
        except OSError as error:
            raise UsageError(f"the token cannot be written to {path} ({error.strerror}); name another file") from error
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())  # of the opened file, not of what the name may refer to by now
            text = file.read(1000).decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"the token in {path} cannot be read ({error.strerror}); name a file that you own") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise UsageError(f"{path} can be read by others; `chmod 600 {path}`, and use another token")
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", text) or len(text) < _MIN_LETTERS:
        raise UsageError(
            f"{path} holds no token: {_MIN_LETTERS} or more letters, digits and . _ ~ + / = - on one line; delete it, and "
            "a new one is created"
        )
    return text


def is_in_system_log(stream: TextIO, journal_stream: str) -> bool:
    """Whether `stream` is connected to systemd's log; `journal_stream` is $JOURNAL_STREAM (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:  # a stream in memory
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def matches(given: str, token: str) -> bool:
    """Whether the two are equal, compared in constant time."""
    return hmac.compare_digest(given.encode(), token.encode())


def cookie_value(token: str) -> str:
    """The value that a browser stores in place of the token: it opens this page again and does not reveal the token."""
    return hmac.new(token.encode(), b"fer-edge: the live page's cookie", hashlib.sha256).hexdigest()


def _create_file(path: Path) -> None:
    """Creates the file with a new token, whole or not at all; one that another process created meanwhile stays."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{new_token()}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
