"""A fortieth of `python -m tests.system.endurance`: the loop's memory does not grow with the number of frames."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.system.dated_result import ROOT
from tests.system.endurance import FromMemory, verdict


def test_the_loops_memory_does_not_grow() -> None:
    command = [sys.executable, "-m", "tests.system.endurance", "--idle", "25000", "--faces", "1250"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["frames"]["processed"] == 26_250 and result["wrong"] == []


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        ({"rss_max_mb": 105.2}, "grew from 100.0 to 105.2 MB"),
        ({"descriptors": [9, 10]}, "descriptors went [9, 10]"),
        ({"threads": [2, 3]}, "threads went [2, 3]"),
        ({"frames": {"read": 109, "with_face": 10}}, "of 110 frames"),
        ({"frames": {"read": 110, "with_face": 8}}, "8 frames with a face, of 10"),
        ({}, None),
    ],
)
def test_growth_is_reported_as_wrong(seen: dict[str, object], problem: str | None) -> None:
    result = {"rss_settled_mb": 100.0, "rss_max_mb": 104.9, "descriptors": [9], "threads": [2], "drops": {}}
    result |= {"frames": {"read": 110, "with_face": 10}, **seen}
    wrong = verdict(result, 100, 10)
    assert [problem in sentence for sentence in wrong] == [True] if problem else wrong == []


def test_the_requested_numbers_of_idle_frames_and_faces_are_run() -> None:
    from device.clock import SystemClock

    source = FromMemory(2_000, 200, SystemClock())
    source.open()
    shown = [any(frame.gray is picture for picture in source._somebody) for frame in iter_frames(source)]
    assert (len(shown), sum(shown)) == (2_200, 200)


def iter_frames(source: FromMemory):
    for _ in range(source.total):
        yield source.read()
