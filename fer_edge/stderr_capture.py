"""Suppresses what native libraries write to stderr, and shows it when the block fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fer_edge.errors import FerEdgeError

_SHOWN_BYTES = 4000


@contextmanager
def suppressed_stderr() -> Iterator[None]:
    """Suppresses stderr while the block runs, C++ libraries included, for the whole process: keep the block short.

    When the block fails with anything but a FerEdgeError, the end of what was written is shown.
    """
    sys.stderr.flush()
    # in memory: a device's disk may be read-only, or full
    with os.fdopen(os.memfd_create("stderr"), "w+b") as captured:
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except FerEdgeError:
            raise
        except BaseException:
            captured.seek(0)
            os.write(stderr, captured.read()[-_SHOWN_BYTES:])
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
