"""TensorFlow's output on stdout and stderr, held back unless something fails."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from fer_edge.stderr_capture import suppressed_stderr


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keeps TensorFlow's own chatter off both streams; what its libraries wrote is shown when the block fails unforeseen."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with suppressed_stderr(), redirect_stdout(io.StringIO()):
        yield
