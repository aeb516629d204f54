"""The line of progress: on a terminal and in a log, and how long it says that is left."""

from __future__ import annotations

import io
import os
from contextlib import suppress

from fakes import FakeClock

from device.recorded.progress import Progress


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


def test_the_remaining_time_follows_from_the_recent_pace() -> None:
    clock, screen = FakeClock(), Screen(is_terminal=True)
    progress = Progress(screen, clock)
    progress.begin(1000)
    for count in range(0, 300, 10):  # half a second each
        clock.sleep(0.5)
        progress.show(count, "b.mp4")
    lines = screen.getvalue().split("\r\x1b[K")[1:]
    assert lines[0] == "0%, remaining time unknown, b.mp4"
    assert lines[-1] == "29%, 0:37 left, b.mp4"  # 710 at 290 in 15 s
    progress.message("a.mp4 was skipped")
    assert screen.getvalue().endswith("\r\x1b[Kfer-edge: a.mp4 was skipped\n")
    clock.sleep(0.4)
    progress.show(300, "b.mp4")
    assert screen.getvalue().endswith("was skipped\n"), "not yet time for another"


def test_a_log_gets_a_line_a_minute() -> None:
    clock, log = FakeClock(), Screen(is_terminal=False)
    progress = Progress(log, clock)
    progress.begin(10_000)
    for count in range(1, 601):
        clock.sleep(1.0)
        progress.show(count, "b.mp4")
    lines = log.getvalue().splitlines()
    assert len(lines) == 10 and lines[-1] == "6%, 2:36:40 left, b.mp4" and "\x1b" not in log.getvalue()


def test_a_line_that_nobody_reads_is_dropped() -> None:
    """As in `fer-edge label … 2>&1 | head`: the work goes on."""
    read, write = os.pipe()
    os.close(read)
    clock, stream = FakeClock(), os.fdopen(write, "w")
    progress = Progress(stream, clock)
    progress.message("a.mp4 was skipped")
    clock.sleep(100.0)
    progress.show(0.5, "b.mp4")
    with suppress(BrokenPipeError):
        stream.close()
