"""A limit on how much memory a run takes beyond what it has when its networks are loaded.

A camera, a broker or a file may name any size: a picture of 16,000 × 16,000 pixels takes 1.8 GB. FFmpeg, OpenCV and paho-mqtt
allocate what is named before a caller can ask. With the limit such an allocation fails: the picture or the connection is lost,
and the run goes on, where the kernel would have ended it.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_edge.limits import RUN_GROWTH_BYTES, RUN_GROWTH_BYTES_PER_CORE

_DATA = re.compile(r"^VmData:\s+(\d+) kB$", re.M)


@contextmanager
def limited_memory_growth() -> Iterator[None]:
    """The limit of `limit_memory_growth` during the block; afterwards it is as it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory_growth()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def limit_memory_growth() -> int | None:
    """Limits this process's data (RLIMIT_DATA) to what it has now and what a run may need besides; returns the limit in bytes.

    None where the kernel does not report the data, or a lower limit is set already.
    """
    try:
        found = _DATA.search(Path("/proc/self/status").read_text())
    except OSError:
        return None
    if found is None:
        return None
    cores = os.cpu_count() or 1  # each may have a decoder's thread, with its stack and its pictures
    limit = int(found[1]) * 1024 + RUN_GROWTH_BYTES + cores * RUN_GROWTH_BYTES_PER_CORE
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if any(now != resource.RLIM_INFINITY and now <= limit for now in (soft, hard)):
        return None
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    return limit
