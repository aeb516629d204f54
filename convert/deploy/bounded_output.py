"""The output of a command that another machine controls: no more of it is read than a number of bytes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from fer_edge.bounded_read import read_bounded


class OutputTooLong(Exception):
    """A command wrote more than it may."""


@dataclass(frozen=True, slots=True)
class BoundedOutput:
    """stdout and stderr of a command that has ended, and its exit code."""

    stdout: str
    stderr: str
    code: int


def run_bounded(
    command: Sequence[str],
    stdin: bytes,
    limit_s: float | None,
    largest_bytes: int,
    environ: Mapping[str, str] | None = None,
) -> BoundedOutput:
    """The output of a command. Without `environ` it has the environment of this process.

    Raises OutputTooLong when it writes more than `largest_bytes` to stdout or stderr, and subprocess.TimeoutExpired after
    `limit_s`; it is ended then.
    """
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(command, stdin=file, stdout=pipe, stderr=pipe, env=environ) as process,
            ThreadPoolExecutor(2) as readers,
        ):
            assert process.stdout is not None and process.stderr is not None
            try:
                pipes = (process.stdout, process.stderr)
                reads = [readers.submit(_read, process, each, largest_bytes) for each in pipes]
                process.wait(limit_s)
            except BaseException:
                process.kill()
                raise
            stdout, stderr = (read.result() for read in reads)
    return BoundedOutput(stdout.decode(errors="replace"), stderr.decode(errors="replace"), process.returncode)


def _read(process: subprocess.Popen[bytes], pipe: IO[bytes], largest_bytes: int) -> bytes:
    """Everything that comes from the pipe. Ends the process and raises OutputTooLong when that is too much."""
    content = read_bounded(pipe, largest_bytes)
    if len(content) > largest_bytes:
        process.kill()
        raise OutputTooLong
    return content
