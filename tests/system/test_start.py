"""Time to the first line and memory of a run, by `python -m tests.bench.startup`."""

from __future__ import annotations

from tests.bench.startup import measure, verdict


def test_a_run_logs_within_a_second_and_keeps_its_memory_limit() -> None:
    times = measure(3)
    assert verdict(times) == [], times
    assert 0 < times["first_line_s"]["least"] <= times["first_reading_s"]["least"] and times["rss_mb"]["least"] > 20
