"""Time to the first line and memory of a run, by `python -m tests.bench.startup`."""

from __future__ import annotations

from tests.bench.startup import measure, verdict


def test_a_run_logs_within_a_second_and_keeps_its_memory_limit() -> None:
    told = measure(3)
    assert verdict(told) == [], told
    assert 0 < told["first_line_s"]["least"] <= told["first_reading_s"]["least"] and told["rss_mb"]["least"] > 20
