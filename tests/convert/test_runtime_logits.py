"""Runtime logits: which runtimes are measured, and that recorded logits are of this model and of these images."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.parity.differences import MeasuredRuntime
from convert.parity.runtime_logits import SETS, logits_on_runtime, measured_elsewhere, measured_here
from fer_edge.classifier import Classifier
from fer_edge.errors import UsageError
from fer_edge.record_logits import RecordedLogits, images_sha256
from fer_edge.shipped_bundles import shipped_path

MODEL = shipped_path("nano") / "model.tflite"
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 48, 48)).astype(np.uint8)


def classifier_on(runtime: object, kernels: str) -> Classifier:
    return Classifier(MODEL, runtime, kernels=kernels)  # type: ignore[arg-type]


def test_each_kernel_path_is_a_runtime_and_their_logits_are_alike() -> None:
    rows = list(measured_here(classifier_on, IMAGES, "all"))
    paths = [(row.ran_on.runtime, row.ran_on.kernels) for row in rows]
    assert paths[:4] == list(SETS["all"][:4]), "tflite-runtime is measured where it is installed"
    assert rows[0].name.endswith(f", default, {platform.machine()}")
    step = Classifier(MODEL).interpreter.get_output_details()[0]["quantization"][0]
    for row in rows:
        assert row.logits.shape == (12, 7) and row.logits.dtype == np.float32
        assert np.abs(row.logits - rows[0].logits).max() <= 8 * step, "noise is nearer to borders than faces are"


def test_a_runtime_that_is_not_installed_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    found = {row.ran_on.runtime for row in measured_here(classifier_on, IMAGES[:1], "all")}
    messages = capsys.readouterr().err
    for runtime in {name for name, _ in SETS["all"]} - {"litert"}:
        assert (f"{runtime} is not measured:" in messages) == (runtime not in found)


def test_the_logits_of_one_classifier_name_its_runtime() -> None:
    classifier = Classifier(MODEL, kernels="builtin")
    row = logits_on_runtime(classifier, IMAGES)
    assert row.ran_on == MeasuredRuntime("litert", classifier.runtime.version, "builtin", platform.machine())
    np.testing.assert_array_equal(row.logits, classifier.logits(IMAGES))


@pytest.fixture
def recorded() -> RecordedLogits:
    logits = Classifier(MODEL).logits(IMAGES)
    model = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    return RecordedLogits(
        logits, "litert", "2.3.0", "default", "aarch64", "3.11.2", "2.4.6", model, images_sha256(IMAGES)
    )


def test_logits_of_another_machine_are_a_runtime(recorded: RecordedLogits, tmp_path: Path) -> None:
    recorded.save(tmp_path / "a.npz")
    (row,) = measured_elsewhere([tmp_path / "a.npz"], MODEL.read_bytes(), IMAGES)
    assert row.ran_on == MeasuredRuntime("litert", "2.3.0", "default", "aarch64")
    assert row.name == "litert 2.3.0, default, aarch64" and np.array_equal(row.logits, recorded.logits)


@pytest.mark.parametrize("what", ["model", "images"])
def test_recorded_logits_of_something_else_are_refused(what: str, recorded: RecordedLogits, tmp_path: Path) -> None:
    replace(recorded, **{f"{what}_sha256": "0" * 64}).save(tmp_path / "a.npz")
    with pytest.raises(UsageError, match=f"other {what}"):
        list(measured_elsewhere([tmp_path / "a.npz"], MODEL.read_bytes(), IMAGES))
