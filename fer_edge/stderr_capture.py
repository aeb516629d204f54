"""Silence on stderr for libraries that talk there past Python, and their words after all when something goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fer_edge.errors import FerEdgeError

_SHOWN_BYTES = 4000


@contextmanager
def suppressed_stderr() -> Iterator[None]:
    """Keeps off stderr what is written there while the block runs, by C++ too; for the whole process, so keep it short.

    When the block fails with anything but one of our own sentences, the end of what was written is shown.
    """
    sys.stderr.flush()
    # in memory: a device's disk may be read-only, or full
    with os.fdopen(os.memfd_create("stderr"), "w+b") as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except FerEdgeError:
            raise
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read()[-_SHOWN_BYTES:])
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
