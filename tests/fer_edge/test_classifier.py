"""The classifier on the real interpreter: every kernel path and thread count, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.classifier import KERNELS, Classifier, find_runtime, softmax
from fer_edge.errors import BundleRefused, UsageError


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    from fer_edge.drawn import face_box, face_frame
    from fer_edge.preprocess import face_crop

    return np.stack([face_crop(face_frame(t), face_box(t)) for t in np.linspace(0, 20, 12)])


def test_kernel_paths_agree_within_int8_steps(bundle_path: Path, faces: np.ndarray) -> None:
    step = Bundle.load(bundle_path).spec["quantization"]["output"]["scale"]
    paths = {kernels: Classifier(bundle_path / "model.tflite", kernels=kernels).logits(faces) for kernels in KERNELS}
    spread = paths["default"].max() - paths["default"].min()
    assert spread > 5 * step, "the faces are told apart"
    for name, logits in paths.items():
        assert np.abs(logits - paths["default"]).max() <= max(4 * step, 0.05 * spread), name


def test_threads_and_batches_change_nothing(bundle_path: Path, faces: np.ndarray) -> None:
    model = bundle_path / "model.tflite"
    one = Classifier(model)
    together = one.logits(faces)
    assert np.array_equal(together, np.concatenate([one.logits(f[None]) for f in faces]))
    assert np.array_equal(together, Classifier(model, threads=2).logits(faces))
    assert one.logits(faces[:0]).shape == (0, 7)


def test_probabilities_sum_to_one_and_temperature_softens(bundle_path: Path, faces: np.ndarray) -> None:
    classifier = Classifier(bundle_path / "model.tflite")
    hard, soft = classifier.probabilities(faces), classifier.probabilities(faces, temperature=3.0)
    np.testing.assert_allclose(hard.sum(1), 1, atol=1e-6)
    assert (soft.max(1) < hard.max(1)).all() and np.array_equal(soft.argmax(1), hard.argmax(1))
    assert np.isfinite(softmax(np.array([[1e4, -1e4]], np.float32))).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((1, 47, 48), np.uint8),
        np.zeros((1, 48, 48), np.float32),
        np.zeros((1, 48, 48, 1), np.uint8),
    ],
)
def test_other_arrays_are_refused(bad: np.ndarray, bundle_path: Path) -> None:
    with pytest.raises(UsageError, match="uint8 faces"):
        Classifier(bundle_path / "model.tflite").logits(bad)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"nonsense" * 100)
    with pytest.raises(BundleRefused, match=r"x\.tflite"):
        Classifier(tmp_path / "x.tflite")


def test_runtimes_by_name() -> None:
    assert find_runtime().name == "litert"
    assert find_runtime("litert").version.startswith("2.")
    with pytest.raises(UsageError, match="no runtime"):
        find_runtime("onnx")
