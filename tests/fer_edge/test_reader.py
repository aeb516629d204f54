"""`Reader`: the faces of a picture in memory, as `fer-edge predict --json` prints them, without a file."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fer_edge
from fer_edge.bundle import Bundle
from fer_edge.cli import main
from fer_edge.detection.haar import HaarDetector
from fer_edge.detection.registry import find_detector
from fer_edge.errors import UsageError
from fer_edge.events import UNSURE
from fer_edge.label_priors import stated_prior, training_prior
from fer_edge.labels import LABELS
from fer_edge.reader import Prediction, Reader
from fer_edge.synthetic_face import face_frame
from fer_edge.thresholds import StatedPrior

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reader(bundle_path: Path, blazeface: object) -> Reader:
    return Reader(bundle_path)


def two_faces() -> np.ndarray:
    """A scene with two drawn faces of different sizes."""
    small = cv2.resize(face_frame(4.0), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    scene = np.full((480, 1200), 120, np.uint8)
    scene[:, :640] = face_frame(1.0)
    scene[60 : 60 + len(small), 700 : 700 + small.shape[1]] = small
    return scene


def test_a_stated_prior_weights_the_probabilities(bundle_path: Path, reader: Reader) -> None:
    stated = Reader(bundle_path, prior="neutral=0.6")
    (plain,), (weighted,) = (each.read(face_frame(2.0)) for each in (reader, stated))
    shares = dict(zip(reader.bundle.labels, stated_prior(reader.bundle.spec, StatedPrior("neutral", 0.6)), strict=True))
    training = dict(zip(reader.bundle.labels, training_prior(reader.bundle.spec), strict=True))
    expected = {label: p * shares[label] / training[label] for label, p in plain.probabilities.items()}
    total = sum(expected.values())
    assert weighted.probabilities == pytest.approx({label: p / total for label, p in expected.items()}, abs=1e-5)


@pytest.mark.parametrize(
    ("prior", "says"),
    [("often", "a prior must be a label and its share"), ("calm=0.3", "the prior names “calm”")],
)
def test_a_prior_that_cannot_be_used_is_refused_at_once(bundle_path: Path, prior: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Reader(bundle_path, prior=prior)


SCENES = {
    "one face": lambda: face_frame(2.0),
    "another moment": lambda: face_frame(5.0),
    "dark": lambda: (face_frame(2.0) // 10).astype(np.uint8),
    "two faces": two_faces,
    "no face": lambda: np.full((240, 320), 90, np.uint8),
    "one pixel": lambda: np.zeros((1, 1), np.uint8),
}


def row_of(path: Path, prediction: Prediction) -> dict[str, Any]:
    """The row of `predict --json`, from the public attributes."""
    return {
        "image": str(path),
        "reported": prediction.label,
        "why": prediction.why,
        "label": prediction.best_label,
        "p": {label: round(p, 4) for label, p in prediction.probabilities.items()},
        "xywh": None if prediction.xywh is None else list(prediction.xywh),
        "score": None if prediction.face is None else round(prediction.face.score, 3),
        "quality": prediction.quality,
    }


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("is_crop", [False, True])
def test_a_picture_is_read_as_predict_reads_its_file(
    name: str, is_crop: bool, reader: Reader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, path = SCENES[name](), tmp_path / "picture.png"
    cv2.imwrite(str(path), image)
    code = main(["predict", "--json", "--bundle", str(reader.bundle.path), *(["--crop"] if is_crop else []), str(path)])
    found = reader.read(image, is_crop=is_crop)
    assert isinstance(found, tuple) and code == (0 if found else 6)
    assert [row_of(path, prediction) for prediction in found] == json.loads(capsys.readouterr().out)["faces"]
    assert len(found) == (1 if is_crop else {"two faces": 2, "no face": 0, "one pixel": 0}.get(name, 1))


def test_a_prediction_has_box_label_probabilities_and_quality(reader: Reader) -> None:
    (face,) = reader.read(face_frame(2.0))
    assert face.xywh is not None and [type(v) for v in face.xywh] == [int] * 4
    assert tuple(face.probabilities) == LABELS and sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.best_label == max(face.probabilities, key=lambda label: face.probabilities[label])
    assert face.label == (UNSURE if face.why else face.best_label) and 0 <= face.quality <= 1
    assert (face,) == reader.read(face_frame(2.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.label = "happy"  # type: ignore[misc]


def test_a_dark_face_is_unsure_and_has_its_best_label_all_the_same(reader: Reader) -> None:
    (face,) = reader.read(SCENES["dark"]())
    assert (face.label, face.why) == (UNSURE, "dark") and face.best_label in LABELS


def test_a_coloured_picture_is_read_as_its_gray(reader: Reader) -> None:
    gray = face_frame(2.0)
    tinted = np.stack([gray, gray // 2 + 60, 255 - gray // 3], axis=2).astype(np.uint8)
    assert reader.read(tinted) == reader.read(cv2.cvtColor(tinted, cv2.COLOR_BGR2GRAY))
    assert reader.read(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)) == reader.read(gray)
    assert reader.read(gray[:, ::-1]) == reader.read(gray[:, ::-1].copy()), "a view with other strides"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((48, 48), np.float32), "not float32 of 48×48"),
        (np.zeros((48, 48, 1), np.uint8), "not uint8 of 48×48×1"),
        (np.zeros((48, 48, 4), np.uint8), "not uint8 of 48×48×4"),
        (np.zeros((2, 48, 48, 3), np.uint8), "not uint8 of 2×48×48×3"),
        (np.zeros(48, np.uint8), "not uint8 of 48"),
        (np.zeros((0, 48), np.uint8), "not uint8 of 0×48"),
        (np.array(3, np.uint8), "not uint8 of no size"),
        (None, "not NoneType; cv2.imread gives None for a file that it cannot read"),
        ("me.jpg", "not str; cv2.imread reads a file"),
        ([[1, 2], [3, 4]], "not list"),
    ],
)
@pytest.mark.parametrize("is_crop", [False, True])
def test_anything_else_is_refused_with_a_sentence(image: Any, words: str, is_crop: bool, reader: Reader) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        reader.read(image, is_crop=is_crop)


def test_bundle_and_detector_can_be_named_or_given(bundle_path: Path, blazeface: object) -> None:
    image, haar = face_frame(2.0), HaarDetector()
    named = Reader(bundle="nano", detector="haar")
    given = Reader(bundle=Bundle.load("nano"), detector=haar)
    assert (named.bundle.name, named.detector.name) == ("nano", "haar") and given.detector is haar
    assert named.read(image) == given.read(image) != ()
    assert Reader().bundle == Bundle.load()
    with pytest.raises(UsageError, match="there is no detector “hoar”"):
        Reader(detector="hoar")
    with pytest.raises(UsageError, match="there is no bundle nowhere"):
        Reader(bundle="nowhere")


def test_far_faces_are_searched_for_by_the_detector_that_can(reader: Reader) -> None:
    small = cv2.resize(face_frame(4.0), None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(np.random.default_rng(0).normal(120, 30, (1080, 1920)), (0, 0), 9).astype(np.uint8)
    image[700 : 700 + len(small), 1300 : 1300 + small.shape[1]] = small
    assert reader.read(image) == ()
    (face,) = reader.read(image, far_px=40)
    assert face.xywh is not None and 1300 <= face.xywh[0] <= 1300 + small.shape[1]
    with pytest.raises(UsageError, match="leave out --far"):
        Reader(detector="haar").read(image, far_px=40)


@pytest.mark.parametrize("far_px", [0, 1, -1, 15, 40.0, float("nan"), "40"])
def test_a_size_of_far_faces_that_is_none_is_refused(far_px: Any, reader: Reader) -> None:
    with pytest.raises(UsageError, match="far_px must be a whole number of 16 or more, not"):
        reader.read(face_frame(2.0), far_px=far_px)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_a_number_of_threads_that_is_none_is_refused(threads: Any) -> None:
    with pytest.raises(UsageError, match="threads must be a whole number of 1 or more, not"):
        find_detector(threads=threads)


def test_readers_in_several_threads_may_share_a_bundle_and_a_detector(bundle_path: Path, blazeface: object) -> None:
    bundle, detector = Bundle.load(bundle_path), find_detector()
    frames = [face_frame(at_s) for at_s in (0.0, 2.0, 4.0)]
    expected = [Reader(bundle, detector).read(frame) for frame in frames]

    def read_often(_: int) -> list[bool]:
        own = Reader(bundle, detector)
        return [own.read(frame) == answer for _ in range(30) for frame, answer in zip(frames, expected, strict=True)]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(answers) for answers in pool.map(read_often, range(4)))


def example() -> str:
    """The example in the package's docstring."""
    lines = (fer_edge.__doc__ or "").splitlines()
    first = next(number for number, line in enumerate(lines) if "import Reader" in line)
    return "\n".join(line.removeprefix("    ") for line in lines[first : first + 4])


def test_the_example_runs_and_leaves_no_file(tmp_path: Path, bundle_path: Path, blazeface: object) -> None:
    """In a process of its own whose every folder is empty before and after, but for the detector's files."""
    assert example() in (ROOT / "device/README.md").read_text(), "the documentation has the same example"
    assert len(example().replace("\n\n", "\n").splitlines()) == 3
    ast.parse(example())
    script = f"from fer_edge.synthetic_face import face_frame\nimage = face_frame(2.0)\n{example()}\n"
    names = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "cwd").mkdir()
    environment = os.environ | {name: str(tmp_path / name) for name in names} | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path / "cwd",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"\(\d+, \d+, \d+, \d+\) \w+ \{'angry': .*\} [01]\.\d+\n", ran.stdout), ran.stdout + ran.stderr
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
