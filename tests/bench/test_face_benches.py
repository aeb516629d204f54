"""The benches of detection, smoothing, quality and frame age, on a few faces: their results are complete and plausible."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from convert.data.samples import Samples
from device.config import Settings
from device.vision import motion_gate
from device.vision.pipeline import Pipeline
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.shipped_bundles import shipped_path
from fer_edge.thresholds import StatedPrior
from tests.bench import faces_by_size, frame_age, frame_cost, image_quality, smoothing, steadiness


@pytest.fixture(scope="module")
def nano() -> Bundle:
    return Bundle.load(shipped_path("nano"))


def test_the_loop_reads_at_least_the_faces_that_the_network_finds(
    fer2013_samples: Samples, nano: Bundle, tmp_path: Path, blazeface: object
) -> None:
    for size_px in (90, 180):
        folder = tmp_path / str(size_px)
        folder.mkdir()
        row = faces_by_size.measure(fer2013_samples, nano, size_px, 25, 0, folder)
        assert (row.size_px, row.n) == (size_px, 25)
        assert row.at_all >= row.at_once >= row.network_found > 0.6 and row.frames >= row.network_found
        assert row.loop > row.own - 0.25 and row.both >= 15


def test_smoothing_removes_most_flips_and_follows_changes(
    fer2013_samples: Samples, nano: Bundle, blazeface: object
) -> None:
    part = fer2013_samples.part("validation")
    rows = smoothing.stratified_rows(part.y, 18, 0)
    result = smoothing.measure(nano, part.x[rows, :, :, 0], 0, smoothing.Settings())
    assert result.changes >= 4 and result.flips_alone > 5
    assert result.fewer >= 0.7 and result.late_s[1] <= 0.5 and result.never <= 1


def test_a_face_sequence_has_no_jump(fer2013_samples: Samples) -> None:
    frames = list(smoothing.sequence(fer2013_samples.x[:2, :, :, 0], np.random.default_rng(0)))
    assert len(frames) == 2 * smoothing.HOLD_S * smoothing.FPS
    thumbnails = [motion_gate.thumbnail(frame) for frame in frames]
    assert not any(motion_gate.is_scene_cut(motion_gate.thumbnail_difference(a, b)) for a, b in pairwise(thumbnails))


def test_clips_of_a_face_are_found_and_mostly_said(fer2013_samples: Samples, nano: Bundle, blazeface: object) -> None:
    part = fer2013_samples.part("validation")
    clips = steadiness.read_clips(nano, part, 6, 0, StatedPrior("neutral", 0.5))
    assert [clip.label for clip in clips].count("neutral") == 3
    single = steadiness.measure(clips, steadiness.with_single_threshold(nano), 0)
    assert single.clips == 6 and single.found > 0.9 and single.minutes == pytest.approx(0.4, abs=0.05)
    assert single.flips_a_minute[0] < single.flips_alone and 0 <= single.unsure[0] < 0.9
    always = steadiness.measure(clips, nano, 0, smoothing.Settings(unsure_below=0.0, min_quality=0.0))
    assert always.unsure[0] == 0 and always.unsure_by_reason == {}
    never = steadiness.measure(clips, nano, 0, smoothing.Settings(unsure_below=1.0))
    assert never.unsure[0] > 0.95


def test_a_clip_moves_and_its_light_changes(fer2013_samples: Samples) -> None:
    frames = list(steadiness.clip(fer2013_samples.x[0, :, :, 0], np.random.default_rng(0)))
    assert len(frames) == steadiness.CLIP_S * steadiness.FPS and frames[0].shape == steadiness.SCENE
    thumbnails = [motion_gate.thumbnail(frame) for frame in frames]
    assert not any(motion_gate.is_scene_cut(motion_gate.thumbnail_difference(a, b)) for a, b in pairwise(thumbnails))
    assert np.ptp([frame.mean() for frame in frames]) > 5


def test_bad_images_have_a_low_quality(fer2013_samples: Samples, nano: Bundle) -> None:
    rows = {row["what"]: row for row in image_quality.measure(nano, fer2013_samples.part("validation"), 60, 0)}
    assert rows["as it is"]["unsure"] < 0.1 and rows["as it is"]["accuracy"] > 0.5
    for bad in ("light × 0.2", "blur, sigma 3 px", "12 px a side"):
        assert rows[bad]["unsure"] > 0.9 and rows[bad]["accuracy"] < rows["as it is"]["accuracy"]


def test_the_bench_scenes_show_the_number_of_faces_they_claim(nano: Bundle, blazeface: object) -> None:
    shown = frame_cost.scenes()
    assert {name: frames[0].shape for name, frames in shown.items()} == {
        "one": (480, 640),
        "eight": (480, 640),
        "4K": (2160, 3840),
        "nobody": (480, 640),
    }
    counts = {name: len(find_detector().detect(frames[5])) for name, frames in shown.items()}
    assert counts == {"one": 1, "eight": 8, "4K": 1, "nobody": 0}


def test_the_cost_of_a_frame_is_that_of_its_parts(nano: Bundle, blazeface: object, tmp_path: Path) -> None:
    work = frame_cost.Work(Pipeline(find_detector(), nano), Settings(fps=frame_cost.FPS), tmp_path)
    cost = work.done(frame_cost.scenes()["one"][:4])
    assert cost["all"] == pytest.approx(sum(cost[part] for part in ("far", "near", "classifier", "beside")))
    assert all(cost[part] > 0 for part in ("far", "near", "classifier", "beside"))
    assert work.searcher.calls >= 1 and work.refiner.calls >= 3 and work.classifier.calls >= 3
    assert 0 < cost["searches"] < 1 and cost["looks"] > 0.5


def test_a_live_run_reads_new_frames_and_keeps_its_cpu_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blazeface: object
) -> None:
    command = ["--bundle", str(shipped_path("nano")), "--seconds", "2", "--out", str(tmp_path)]
    assert frame_age.main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads(next(tmp_path.glob("frame-age-*.json")).read_text()) == result
    assert all(row["n"] > 5 and row["p95_ms"] > 0 for row in result["ages"])
    held = result["ages"][-1]
    assert held["held_ms"] == 80 and held["p95_ms"] < held["bound_ms"], "frames taken late are fresh ones"
    unlimited, *limited = result["budgets"]
    assert unlimited["dropped"] == 0
    for row in limited:
        assert row["took"] < row["budget"] * 1.6, "two seconds are few"
