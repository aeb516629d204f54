"""The step from a frame to readings, with the real detectors and classifier, on the drawn face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FixedFaces

from device.camera.frame import Frame
from device.config import Settings
from device.vision.pipeline import Pipeline
from device.vision.prior import MIN_PROBABILITY
from device.vision.readings import Reading
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.detection.types import Face
from fer_edge.face_crop import CropMapping, face_crop
from fer_edge.reader import Reader
from fer_edge.synthetic_face import face_frame
from fer_edge.thresholds import LabelThresholds

BLACK = np.zeros((480, 640), np.uint8)
STEP_NS = 100_000_000


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.load(bundle_path)


def seen(pipeline: Pipeline, pictures: list[np.ndarray], settings: Settings | None = None) -> list[list[Reading]]:
    """The readings of each of the pictures, ten a second."""
    state, readings_by_frame = SearchState(), []
    for number, gray in enumerate(pictures):
        state, frame = pipeline.process(state, Frame(number, number * STEP_NS, gray), settings or Settings())
        readings_by_frame.append(list(frame.readings))
    return readings_by_frame


def test_every_face_the_largest_first_each_classified_on_its_own_crop(bundle: Bundle) -> None:
    faces = [Face((10, 20, 60, 60), 0.9), Face((300, 100, 200, 180), 0.6), Face((500, 300, 90, 90), 0.7)]
    frame = Frame(3, 77, face_frame(1.0))
    _, result = Pipeline(FixedFaces(*faces), bundle).process(SearchState(), frame, Settings())
    assert [reading.face for reading in result.readings] == [faces[1], faces[2], faces[0]]
    for reading in result.readings:
        crop = face_crop(frame.gray, reading.face.xywh, bundle.side, bundle.mapping("fixed"))
        (alone,) = bundle.classify(crop[None])
        assert np.array_equal(reading.probs, alone)
        assert reading.label == bundle.labels[int(alone.argmax())]
        assert reading.probs.dtype == np.float32 and abs(float(reading.probs.sum()) - 1) < 1e-5
        assert (reading.frame, reading.mono_ns) == (3, 77)
        assert reading.steady_probs is not None and np.allclose(reading.steady_probs, alone, atol=1e-6), (
            "the first frame"
        )
        assert reading.quality is not None and 0 <= reading.quality <= 1
    assert sorted(reading.track or 0 for reading in result.readings) == [1, 2, 3]


@pytest.mark.parametrize("size", [380, 384, 500, 1000])
@pytest.mark.parametrize("tilt", [0, 40])
def test_a_picture_is_read_as_the_loop_reads_the_frame(bundle: Bundle, size: int, tilt: int) -> None:
    spec = replace(bundle.spec, input=replace(bundle.spec.input, mappings={"fixed": CropMapping(level=0.7)}))
    own, gray = replace(bundle, spec=spec), face_frame(9.9, 1920, 1080)
    face = Face((500, 40, size, size), 0.9, eyes=((700.0, 300.0), (800.0, 300.0 + tilt)))
    pipeline = Pipeline(FixedFaces(face), own)
    crop, side_px = pipeline.crop(gray, face)
    assert side_px == size
    assert np.array_equal(own.crop(gray, face, "fixed"), crop)
    ((reading,),) = seen(pipeline, [gray])
    (prediction,) = Reader(own, detector=pipeline.detector).read(gray)
    assert list(prediction.probabilities.values()) == reading.probs.tolist()
    assert (prediction.quality, prediction.label) == (reading.quality, reading.steady)


def test_an_unchanged_empty_frame_is_not_searched_again(bundle: Bundle) -> None:
    pipeline, state = Pipeline(find_detector(), bundle), SearchState()
    idle = []
    for number in range(120):
        state, result = pipeline.process(state, Frame(number, number * STEP_NS, BLACK), Settings())
        assert result.readings == ()
        idle.append(result.idle)
    assert [number for number, was in enumerate(idle) if not was] == [0, 100], "at first, and once in sweep_s"


def test_a_face_beyond_the_frame_edge_is_read(bundle: Bundle) -> None:
    detector = FixedFaces(Face((-30, -20, 100, 100), 0.8), Face((600, 440, 120, 90), 0.8))
    (readings,) = seen(Pipeline(detector, bundle), [face_frame(0.0)])
    assert len(readings) == 2


def test_the_same_state_and_frame_give_the_same_readings(bundle: Bundle) -> None:
    pipeline = Pipeline(find_detector(), bundle)
    state, _ = pipeline.process(SearchState(), Frame(0, 0, face_frame(2.0)), Settings())
    frame = Frame(1, STEP_NS, face_frame(2.1))
    (after, one), _, (again, two) = (
        pipeline.process(s, f, Settings())
        for s, f in ((state, frame), (SearchState(), Frame(5, 5, BLACK)), (state, frame))
    )
    assert len(one.readings) == len(two.readings) == 1
    assert one.readings[0].face == two.readings[0].face
    assert np.array_equal(one.readings[0].probs, two.readings[0].probs)
    assert [track.id for track in after.tracks] == [track.id for track in again.tracks] == [1]


def test_the_synthetic_face_keeps_one_track(bundle: Bundle) -> None:
    readings_by_frame = seen(Pipeline(find_detector(), bundle), [face_frame(n / 10) for n in range(60)])
    assert [len(readings) for readings in readings_by_frame] == [1] * 60
    assert {reading.track for (reading,) in readings_by_frame} == {1}
    assert {reading.face.detector for (reading,) in readings_by_frame} == {"blazeface-zoomed"}


def test_a_scene_cut_resets_tracks_and_smoothing(bundle: Bundle) -> None:
    pipeline = Pipeline(find_detector(), bundle)
    before, after = [face_frame(n / 10) for n in range(20)], face_frame(7.5)
    readings_by_frame = seen(pipeline, [*before, BLACK, after])
    assert readings_by_frame[-2] == [] and readings_by_frame[-1][0].track == 2
    (first_readings,) = seen(pipeline, [after])
    assert np.array_equal(readings_by_frame[-1][0].steady_probs, first_readings[0].steady_probs)


def test_the_settings_control_the_pipeline(bundle: Bundle) -> None:
    pipeline, frame = Pipeline(find_detector(), bundle), face_frame(2.0)
    ((reading,),) = seen(pipeline, [frame])
    assert seen(pipeline, [frame], Settings(min_score=0.99)) == [[]]
    ((unsure,),) = seen(pipeline, [frame], Settings(unsure_below=1.0))
    assert (unsure.steady, unsure.why, unsure.label) == ("unsure", "confidence", reading.label)
    dark = (frame // 12).astype(np.uint8)
    ((poor,),) = seen(Pipeline(FixedFaces(reading.face), bundle), [dark])
    assert (poor.steady, poor.why) == ("unsure", "dark")
    ((trusted,),) = seen(
        Pipeline(FixedFaces(reading.face), bundle), [dark], Settings(min_quality=0.0, unsure_below=0.0)
    )
    assert trusted.steady == trusted.label and trusted.why == ""


def test_poor_crops_do_not_count_for_the_estimated_prior(bundle: Bundle) -> None:
    """A dark face, which the model answers for with confidence, and which the setting `min_quality` leaves out."""
    pipeline, dark = Pipeline(find_detector(), bundle), (face_frame(2.0) // 12).astype(np.uint8)
    ((found,),) = seen(pipeline, [face_frame(2.0)])
    for min_quality, counted in ((0.0, 1), (0.5, 0)):
        settings, poor = Settings(prior="estimate", min_quality=min_quality), Pipeline(FixedFaces(found.face), bundle)
        state, result = poor.process(SearchState(), Frame(0, STEP_NS, dark), settings)
        (reading,) = result.readings
        assert float(reading.probs.max()) >= MIN_PROBABILITY and reading.quality is not None and reading.quality < 0.5
        assert state.prior is not None and len(state.prior.rows) == counted


def test_the_bundles_threshold_is_the_default(bundle: Bundle) -> None:
    spec = replace(bundle.spec, thresholds=bundle.spec.thresholds._replace(unsure_below=1.0, labels=None))
    ((reading,),) = seen(Pipeline(find_detector(), replace(bundle, spec=spec)), [face_frame(2.0)])
    assert (reading.steady, reading.why) == ("unsure", "confidence")


def test_a_label_that_is_never_reported_is_unsure_and_the_setting_says_it_all_the_same(bundle: Bundle) -> None:
    pipeline, frame = Pipeline(find_detector(), bundle), face_frame(2.0)
    ((alone,),) = seen(pipeline, [frame], Settings(unsure_below=0.0))
    for below, expected in ((None, "unsure"), (0.0, alone.label)):
        by_label = LabelThresholds(0.8, None, dict.fromkeys(bundle.labels, 0.0) | {alone.label: below})
        spec = replace(bundle.spec, thresholds=bundle.spec.thresholds._replace(unsure_below=0.0, labels=by_label))
        own = Pipeline(pipeline.detector, replace(bundle, spec=spec))
        ((reading,),) = seen(own, [frame])
        assert (reading.steady, reading.label) == (expected, alone.label)
        ((forced,),) = seen(own, [frame], Settings(unsure_below=0.0))
        assert forced.steady == alone.label


def test_the_callback_is_called_after_each_stage(bundle: Bundle) -> None:
    pipeline = Pipeline(find_detector(), bundle)
    laps: list[str] = []
    pipeline.process(SearchState(), Frame(0, 0, face_frame(2.0)), Settings(), laps.append)
    assert laps == ["gate", "detect", "crop", "classify", "smooth"]
    laps.clear()
    pipeline.process(SearchState(), Frame(0, 0, BLACK), Settings(), laps.append)
    assert laps == ["gate", "detect"]
