"""Reading a file of unknown size up to a limit."""

from __future__ import annotations

from typing import Protocol

_PIECE_BYTES = 1 << 20


class Readable(Protocol):
    """What has a `read` like that of a binary file."""

    def read(self, size: int, /) -> bytes: ...


def read_bounded(file: Readable, largest_bytes: int) -> bytes:
    """The rest of a file, at most `largest_bytes` + 1 bytes: one more than allowed shows that it is too large.

    It is read in pieces. `file.read(n)` allocates n bytes first, which fails under a limit of memory however small the file is.
    """
    content = bytearray()
    while len(content) <= largest_bytes:
        piece = file.read(min(_PIECE_BYTES, largest_bytes + 1 - len(content)))
        if not piece:
            break
        content += piece
    return bytes(content)
