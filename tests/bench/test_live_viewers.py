"""The bench of live viewers: they connect and receive data as planned, and its figures are those of paired rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.live_viewers import Round, measure, summed


def test_viewers_connect_receive_and_disconnect(bundle_path: Path) -> None:
    result = measure(bundle_path, 1, 0.6, 3)
    assert [(one["viewers"], one["frames"] > 0) for one in result["rounds"][:2]] == [(0, True), (3, True)]
    received = result["taken"]
    assert received["streams"] >= 3 and received["messages"] >= 6 and received["bytes"] > 3000


def test_each_pair_is_compared_by_itself() -> None:
    rounds = [
        Round(0, 100, 1.0, 0.5, 0.6),
        Round(20, 90, 1.0, 0.5, 0.6),
        Round(0, 50, 1.0, 0.3, 0.3),
        Round(20, 50, 1.0, 0.3, 0.3),
    ]
    result = summed([*rounds, Round(0, 1, 1.0, 1.0, 1.0)])
    assert result["pairs"] == 2 and result["viewers"] == 20
    assert (result["cost"], result["cost_least"], result["cost_most"]) == pytest.approx((0.05, 0.0, 0.1))
    assert result["fps"] == [75.0, 70.0]
