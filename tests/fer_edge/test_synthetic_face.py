"""The drawn face: the same to the last bit everywhere, found as a face, moving, and changing what a classifier says."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.detection.types import Detector
from fer_edge.face_crop import face_crop
from fer_edge.synthetic_face import PERIOD_S, face_box, face_frame

TIMES_S = (0.0, 1.7, 3.1, 5.3, 7.9, 11.2, 14.6, 18.4)
# Seen alike with numpy 1.26.4 and 2.4 on Python 3.11 and 3.13, with and without AVX. Golden vectors rest on it.
PIXELS = "eac5f063ef885def4a64682e615af3bb51c28165b5dd1d05936abe75edb108f1"


def test_its_pixels_are_the_same_everywhere() -> None:
    digest = hashlib.sha256()
    for t_s in TIMES_S:
        digest.update(face_frame(t_s).tobytes())
        digest.update(face_frame(t_s, 320, 240).tobytes())
    assert digest.hexdigest() == PIXELS


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 720), (240, 320), (64, 48), (1, 1)])
def test_frames_of_any_size(size: tuple[int, int]) -> None:
    width, height = size
    for t_s in (0.0, 3.0, 1e6):
        frame = face_frame(t_s, width, height)
        assert frame.shape == (height, width) and frame.dtype == np.uint8


def test_frames_are_not_shared() -> None:
    first = face_frame(1.0)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(face_frame(1.0), kept)


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 720)])
def test_blazeface_detects_the_face_in_its_place(blazeface: Detector, size: tuple[int, int]) -> None:
    found = 0
    for t_s in np.arange(0, 20, 0.2).tolist():
        faces = blazeface.detect(face_frame(t_s, *size))
        x, y, w, h = face_box(t_s, *size)
        near = [f for f in faces if np.hypot(*_between(f.xywh, (x, y, w, h))) < 0.2 * w and 0.7 < f.xywh[2] / w < 1.3]
        found += len(faces) == 1 and len(near) == 1
    assert found >= 95, f"{found} of 100 frames have exactly this face"


def _between(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[float, float]:
    return a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2


def test_the_face_moves_smoothly_inside_the_frame() -> None:
    boxes = [face_box(t_s) for t_s in np.arange(0, 40, 0.1).tolist()]
    assert all(min(x, 640 - x - w, y, 480 - y - h) >= 0 for x, y, w, h in boxes)
    assert max(b[0] for b in boxes) - min(b[0] for b in boxes) > 150
    assert max(b[1] for b in boxes) - min(b[1] for b in boxes) > 60
    assert max(np.hypot(*_between(a, b)) for a, b in pairwise(boxes)) < 20


def test_the_expressions_repeat() -> None:
    crops = [face_crop(face_frame(t_s), face_box(t_s)).astype(int) for t_s in TIMES_S]
    mouths, brows = [c[32:44, 12:36] for c in crops], [c[8:22, 6:42] for c in crops]
    assert np.std(mouths, axis=0).max() > 25 and np.std(brows, axis=0).max() > 25
    again = face_crop(face_frame(PERIOD_S + 3.1), face_box(PERIOD_S + 3.1)).astype(int)
    assert np.abs(again - crops[2]).mean() < 6 < np.abs(again - crops[3]).mean(), "the same smile after a period"


def test_a_classifier_changes_its_answer(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    times = np.arange(0, 20, 0.5).tolist()
    crops = np.stack([face_crop(face_frame(t), face_box(t), bundle.side) for t in times])
    labels = {bundle.labels[int(row.argmax())] for row in bundle.classify(crops)}
    assert len(labels) >= 2, labels
