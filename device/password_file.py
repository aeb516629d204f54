"""A password in a file of its own, which only the user of the run, or root's group, may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fer_edge.errors import UsageError

_MAX_PASSWORD_BYTES = 65_535  # the longest that MQTT can send; a camera's is shorter


def read_password(path: Path, whose: str, setting: str) -> str:
    """The present content of a password file, without its newline. `whose` and `setting` are for messages.

    Raises UsageError where the file cannot be read, is empty, or is readable by others. A file that root owns may be
    readable by its group.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_MAX_PASSWORD_BYTES + 2).decode()
    except OSError as error:
        raise UsageError(f"{whose} password in {path} cannot be read ({error.strerror}); correct {setting}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{whose} password in {path} is not UTF-8 text; write the file again") from error
    if status.st_mode & stat.S_IRWXO or (status.st_mode & stat.S_IRWXG and status.st_uid != 0):
        raise UsageError(
            f"{whose} password in {path} can be read by others (mode {stat.S_IMODE(status.st_mode):o}); `chmod 600 {path}`"
        )
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text or len(text.encode()) > _MAX_PASSWORD_BYTES:
        raise UsageError(f"{whose} password in {path} must be one line, the file's only one")
    return text
