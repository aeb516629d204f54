"""The division of an archive among calls that know nothing of each other: a batch array of Slurm, a matrix of CI."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from device.recorded.files import Recording
from fer_edge.errors import UsageError

_MOST_SHARDS = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, from 1.

    >>> str(Shard.parse("2/8"))
    '2/8'
    """

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """Raises UsageError unless the text is `i/n` with 1 ≤ i ≤ n."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count <= _MOST_SHARDS:
            raise UsageError(f"--shard must be i/n with 1 ≤ i ≤ n ≤ {_MOST_SHARDS}, for example 2/8, not {text}")
        return Shard(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, recording: Recording) -> bool:
        """Whether the recording belongs to this part.

        The first 8 bytes of the SHA-256 of its name, modulo `count`, decide: a recording stays in its part when others are
        added or removed.
        """
        digest = hashlib.sha256(os.fsencode(recording.name)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
