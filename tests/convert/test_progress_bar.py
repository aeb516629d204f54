"""The progress of long work where stderr is a file: a line now and then, each of its own."""

from __future__ import annotations

import os
import subprocess
import sys

SLOW_WORK = """
import convert.progress_bar as bars
bars.FILE_DELAY_S = bars.FILE_INTERVAL_S = {seconds}
for _ in bars.progress_bar((n for n in range(2000)), title="scenes", unit="scene", total=2000):
    pass
"""


def lines(seconds: float) -> list[str]:
    """What 2000 steps write to a stderr that is no terminal, with so many seconds between two lines."""
    command = [sys.executable, "-c", SLOW_WORK.format(seconds=seconds)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


def test_in_a_file_each_state_is_a_line_with_the_time_left() -> None:
    found = lines(0.0)
    assert len(found) > 3 and "\r" not in "".join(found)
    assert all(line.startswith("scenes: ") and " of 2000 scene, " in line and line.endswith(" left") for line in found)


def test_quick_work_writes_nothing() -> None:
    assert lines(30.0) == []


def test_a_line_that_nobody_reads_is_dropped() -> None:
    read, write = os.pipe()
    os.close(read)
    code = SLOW_WORK.format(seconds=0.0) + "print('done')"
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=write, text=True, check=False)
    os.close(write)
    assert ended.stdout == "done\n"
