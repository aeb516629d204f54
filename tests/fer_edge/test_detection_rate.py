"""The detectors on real faces: a photograph, the data set's faces in scenes, and frames of every shape."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import wheel_member

from convert.crops.synthetic_scenes import find_pasted_face, scenes
from convert.data.samples import Samples
from fer_edge.detection.blazeface import MIN_SCORE
from fer_edge.detection.registry import DETECTORS, find_detector
from fer_edge.detection.two_stage import TwoStageDetector
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import UsageError

BLAZEFACE = [name for name in DETECTORS if name != "haar"]
FACE = (224, 124)  # centre of the astronaut's face in px of the photograph, by eye
EYES = ((202, 102), (247, 104))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A photograph of NASA's (public domain), gray uint8 (512, 512), one face of about 100 px."""
    path = wheel_member(
        "scikit-image",
        "0.26.0",
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    )
    if path is None:
        pytest.skip("no scikit-image picture")
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def centre(face: Face) -> np.ndarray:
    x, y, w, h = face.xywh
    return np.array([x + w / 2, y + h / 2])


@pytest.mark.parametrize("name", DETECTORS)
def test_the_face_in_a_photograph_is_detected(name: str, blazeface: object, astronaut: np.ndarray) -> None:
    detector = find_detector(name)
    (face,) = detector.detect(astronaut)
    assert detector.name == name
    assert np.abs(centre(face) - FACE).max() < 15 and 80 < face.xywh[2] < 125 and 80 < face.xywh[3] < 125
    assert all(isinstance(n, int) for n in face.xywh) and MIN_SCORE <= face.score <= 1
    if name == "haar":
        assert face.eyes is None
    else:
        assert face.eyes is not None and np.abs(np.array(face.eyes) - EYES).max() < 12


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize(("size", "left", "top"), [(512, 120, 0), (400, 90, 0), (900, 50, 30)])
def test_boxes_are_in_the_grid_of_the_frame(
    name: str, size: int, left: int, top: int, blazeface: object, astronaut: np.ndarray
) -> None:
    frame = np.full((top + size + 10, left + size + 40), 90, np.uint8)
    frame[top : top + size, left : left + size] = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA)
    face = max(find_detector(name).detect(frame), key=lambda f: f.xywh[2])
    zoom = size / 512
    assert np.abs(centre(face) - (np.array(FACE) * zoom + (left, top))).max() < 18 * zoom
    assert 80 * zoom < face.xywh[2] < 130 * zoom


def test_two_faces_give_two_boxes(blazeface: Detector, astronaut: np.ndarray) -> None:
    head = astronaut[0:240, 100:340]
    left, right = sorted(blazeface.detect(np.hstack([head, head[:, ::-1]])), key=lambda f: f.xywh[0])
    assert np.abs(centre(left) - (124, 124)).max() < 15 and np.abs(centre(right) - (356, 124)).max() < 15
    assert left.eyes is not None and left.eyes[0][0] < left.eyes[1][0]


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (3, 2000), (2000, 3), (90, 50), (128, 128)])
@pytest.mark.parametrize("fill", ["black", "noise"])
def test_a_frame_without_a_face_gives_no_box(name: str, shape: tuple[int, int], fill: str, blazeface: object) -> None:
    frame = np.zeros(shape, np.uint8)
    if fill == "noise":
        frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert find_detector(name).detect(frame) == []


def test_a_frame_does_not_affect_the_next(blazeface: Detector, astronaut: np.ndarray) -> None:
    tall, wide = astronaut[:, 100:350], astronaut[40:240]
    first = find_detector("blazeface-short-range").detect(wide)
    blazeface.detect(tall)
    assert blazeface.detect(wide) == first != []


@pytest.mark.parametrize("side", [128, 256])
def test_threads_do_not_change_the_boxes(side: int, blazeface: object, astronaut: np.ndarray) -> None:
    frame = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
    one, two = (find_detector("blazeface-back", threads=n).detect(frame) for n in (1, 2))
    assert [f.xywh for f in one] == [f.xywh for f in two] != []


@pytest.mark.parametrize(
    ("name", "size_px", "least", "most"),
    [
        # of 300 faces: .12, .83 and .95; the network sees nothing beyond arm's length
        ("blazeface-short-range", 60, 0.0, 0.05),
        ("blazeface-short-range", 180, 0.68, 0.9),
        ("blazeface-short-range", 240, 0.85, 1.0),
        ("blazeface-back", 90, 0.75, 1.0),
    ],
)
def test_the_share_of_the_data_sets_faces_that_is_detected(
    name: str, size_px: int, least: float, most: float, blazeface: object, fer2013_samples: Samples
) -> None:
    detector = find_detector(name)
    part = fer2013_samples.part("validation")
    found = [find_pasted_face(scene, detector) is not None for scene in scenes(part, 150, size_px, seed=3)]
    assert least <= np.mean(found) <= most


def test_every_box_has_its_centre_in_the_frame(blazeface: Detector, astronaut: np.ndarray) -> None:
    """Whatever is cut off: `face_crop` can then always cut it."""
    seen = 0
    for left in range(150, 260, 6):
        frame = astronaut[60:, left:]
        for face in blazeface.detect(frame):
            x, y = centre(face)
            assert -1 <= x <= frame.shape[1] and -1 <= y <= frame.shape[0]
            seen += 1
    assert seen > 3


def test_the_best_installed_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blazeface: Detector
) -> None:
    assert isinstance(find_detector(), TwoStageDetector) and find_detector().name == "blazeface-zoomed"
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path))
    assert find_detector().name == "haar"


@pytest.mark.parametrize("name", BLAZEFACE)
def test_a_detector_that_is_not_installed_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path))
    with pytest.raises(UsageError, match=f"{name}” is not installed; `fer-edge detectors install`"):
        find_detector(name)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no detector “yunet”; choose one of blazeface-zoomed, .*, haar"):
        find_detector("yunet")


def test_opencv_without_haar_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(UsageError, match="has no Haar cascades"):
        find_detector("haar")


def test_a_missing_cascade_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    if not Path("/usr/share/opencv4/haarcascades").is_dir():
        with pytest.raises(UsageError, match="apt install opencv-data"):
            find_detector("haar")
    else:
        assert find_detector("haar").name == "haar"
