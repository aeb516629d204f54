"""For how long the next frame may be awaited: one rule for the journal, the live page and the bench."""

from __future__ import annotations

import pytest

from device.config import Settings
from device.output.arrivals import PATIENCE_S, Arrivals, patience_s
from device.output.live.sink import page_options
from device.output.tally import start_tally
from device.vision.search import MAX_FORGET_S


@pytest.mark.parametrize(("fps", "expected_s"), [(30.0, 2.0), (1.5, 2.0), (1.0, 3.0), (0.1, 30.0)])
def test_two_seconds_and_three_frames_are_awaited(fps: float, expected_s: float) -> None:
    assert patience_s(fps) == pytest.approx(expected_s)
    settings = Settings("synthetic", fps=fps, live="127.0.0.1:8080")
    assert page_options(settings).patience_s == patience_s(fps), "as the journal's tallies"
    assert start_tally(0).patience_ns == PATIENCE_S * 1e9


def test_a_face_is_present_for_as_long_as_its_track_is_kept() -> None:
    arrivals, step_ns = Arrivals(), round(0.8 * MAX_FORGET_S * 1e9)
    for n in range(3):
        arrivals = arrivals.add(n * step_ns, processed=True)
    last_ns, longest_ns = 2 * step_ns, round(MAX_FORGET_S * 1e9)
    assert arrivals.is_present(last_ns, last_ns + longest_ns, 0)
    assert not arrivals.is_present(last_ns, last_ns + longest_ns + 1, 0)
