"""What a model answers to fixed images: from a bundle and from a bare file, kept in a file and read again."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.face_crop import face_crop
from fer_edge.record_logits import RecordedLogits, images_sha256, main, read_images, record_logits
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_box, face_frame

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nano() -> Path:
    return shipped_path("nano")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.stack([face_crop(face_frame(t), face_box(t)) for t in np.linspace(0, 20, 6)])


@pytest.fixture(scope="module")
def answers(nano: Path, crops: np.ndarray) -> RecordedLogits:
    return record_logits(nano, crops, kernels="reference")


def test_logits_are_recorded_with_their_runtime(answers: RecordedLogits, nano: Path, crops: np.ndarray) -> None:
    classifier = Bundle.load(nano).make_classifier(kernels="reference")
    assert np.array_equal(answers.logits, classifier.logits(crops)) and answers.logits.std() > 0.1
    assert answers.runtime_name == f"{classifier.runtime.id}, reference, {platform.machine()}"
    assert answers.model_sha256 == json.loads((nano / "bundle.json").read_text())["files"]["model.tflite"]["sha256"]
    assert answers.images_sha256 == images_sha256(crops) != images_sha256(crops[::-1])
    assert (answers.python, answers.numpy) == (platform.python_version(), np.__version__)


def test_a_model_file_gives_the_logits_of_its_bundle(answers: RecordedLogits, nano: Path, crops: np.ndarray) -> None:
    bare = record_logits(nano / "model.tflite", crops, kernels="reference")
    assert np.array_equal(bare.logits, answers.logits) and replace(bare, logits=answers.logits) == answers


def test_a_recording_is_read_back(answers: RecordedLogits, tmp_path: Path) -> None:
    path = tmp_path / "new" / "y.npz"
    answers.save(path)
    read = RecordedLogits.load(path)
    assert np.array_equal(read.logits, answers.logits) and read.logits.dtype == np.float32
    assert replace(read, logits=answers.logits) == answers
    assert [p.name for p in path.parent.iterdir()] == ["y.npz"]


@pytest.mark.parametrize(
    "fault", ["missing", "empty", "cut", "text", "npy", "no origin", "other origin", "float64", "flat"]
)
def test_a_file_that_is_not_a_recording_is_refused(fault: str, answers: RecordedLogits, tmp_path: Path) -> None:
    path = tmp_path / "y.npz"
    answers.save(path)
    whole = path.read_bytes()
    origin = str(np.load(path)["origin"])
    match fault:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("logits")
        case "npy":
            with path.open("wb") as file:
                np.save(file, answers.logits)
        case "no origin":
            np.savez(path, logits=answers.logits)
        case "other origin":
            np.savez(path, logits=answers.logits, origin=origin.replace("kernels", "colonels"))
        case "float64":
            np.savez(path, logits=answers.logits.astype(np.float64), origin=origin)
        case "flat":
            np.savez(path, logits=answers.logits.ravel(), origin=origin)
    with pytest.raises(UsageError, match=r"y\.npz (does not exist|holds).*(writes it|make it again)"):
        RecordedLogits.load(path)


def test_a_file_without_images_is_refused(tmp_path: Path, crops: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", crops)
    assert np.array_equal(read_images(tmp_path / "x.npy"), crops)
    np.savez(tmp_path / "two.npz", crops, crops)
    (tmp_path / "text.npy").write_text("pixels")
    (tmp_path / "cut.npy").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    others = ("two.npz", "text.npy", "cut.npy", "empty.npy", "pickled.npy")
    for name, said in (("none.npy", "does not exist"), *((other, "not a .npy file") for other in others)):
        with pytest.raises(UsageError, match=said):
            read_images(tmp_path / name)


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, crops: np.ndarray) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        record_logits(tmp_path / "none.tflite", crops)
    with pytest.raises(UsageError, match="not a bundle"):
        record_logits(tmp_path, crops)
    (tmp_path / "text.tflite").write_text("model")
    with pytest.raises(BundleRefused, match="not a TFLite model"):
        record_logits(tmp_path / "text.tflite", crops)


def test_the_command_writes_a_file_and_a_message(nano: Path, crops: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", crops)
    command = [
        sys.executable,
        "-m",
        "fer_edge.record_logits",
        nano,
        "--images",
        tmp_path / "x.npy",
        "--out",
        tmp_path / "y.npz",
    ]
    ran = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "" and "default, " in ran.stderr and "6 images" in ran.stderr
    assert np.array_equal(RecordedLogits.load(tmp_path / "y.npz").logits, record_logits(nano, crops).logits)


def test_the_command_ends_with_2_for_images_of_another_size(
    nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 40, 40), np.uint8))
    assert main([str(nano), "--images", str(tmp_path / "x.npy"), "--out", str(tmp_path / "y.npz")]) == 2
    assert "(N, 48, 48)" in capsys.readouterr().err and not (tmp_path / "y.npz").exists()
