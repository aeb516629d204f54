"""The time that the metrics add to a frame."""

from __future__ import annotations

from tests.bench.metrics_cost import measure


def test_counting_adds_little_to_a_frames_time() -> None:
    result = measure(60)
    assert result["readings"] >= 50 and 0 < result["counting_percent"] < 3, result
