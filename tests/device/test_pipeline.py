"""The step from a frame to readings, with the real classifier and the real drawn face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import FixedFaces

from device.vision.frames import Frame
from device.vision.pipeline import Pipeline
from fer_edge.bundle import Bundle
from fer_edge.drawn import face_frame
from fer_edge.faces import Face, find_detector
from fer_edge.preprocess import face_crop


def test_every_face_the_largest_first_each_classified_on_its_own_crop(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    faces = [Face((10, 20, 60, 60), 0.9), Face((300, 100, 200, 180), 0.6), Face((500, 300, 90, 90), 0.7)]
    frame = Frame(3, 77, face_frame(1.0))
    readings = Pipeline(FixedFaces(*faces), bundle).readings(frame)
    assert [reading.face for reading in readings] == [faces[1], faces[2], faces[0]]
    for reading in readings:
        crop = face_crop(frame.gray, reading.face.xywh, bundle.side, bundle.mapping("fixed"))
        (alone,) = bundle.classify(crop[None])
        assert np.array_equal(reading.probs, alone)
        assert reading.label == bundle.labels[int(alone.argmax())]
        assert reading.probs.dtype == np.float32 and abs(float(reading.probs.sum()) - 1) < 1e-5
        assert (reading.frame, reading.mono_ns, reading.track, reading.quality) == (3, 77, None, None)


def test_no_face_no_reading(bundle_path: Path) -> None:
    pipeline = Pipeline(find_detector(), Bundle.load(bundle_path))
    assert pipeline.readings(Frame(0, 0, np.zeros((480, 640), np.uint8))) == []


def test_a_face_that_reaches_beyond_the_frame(bundle_path: Path) -> None:
    detector = FixedFaces(Face((-30, -20, 100, 100), 0.8), Face((600, 440, 120, 90), 0.8))
    readings = Pipeline(detector, Bundle.load(bundle_path)).readings(Frame(0, 0, face_frame(0.0)))
    assert len(readings) == 2


def test_the_same_frame_gives_the_same_readings(bundle_path: Path) -> None:
    pipeline = Pipeline(find_detector(), Bundle.load(bundle_path))
    frame = Frame(0, 0, face_frame(2.0))
    first, _, again = (pipeline.readings(f) for f in (frame, Frame(1, 1, face_frame(9.0)), frame))
    assert len(first) == len(again) == 1
    assert first[0].face == again[0].face
    assert np.array_equal(first[0].probs, again[0].probs)
