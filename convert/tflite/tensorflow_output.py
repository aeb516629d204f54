"""Suppressing TensorFlow's output on stdout and stderr unless something fails."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from fer_edge.stderr_capture import suppressed_stderr


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Suppresses TensorFlow's messages on both streams; they are shown when the block raises an unexpected error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with suppressed_stderr(), redirect_stdout(io.StringIO()):
        yield
