"""Columns: which runtimes are asked, and that answers from elsewhere are of this model and these images."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.parity.backends import SETS, brought, here
from fer_edge.classifier import Classifier
from fer_edge.errors import UsageError
from fer_edge.record_logits import RecordedLogits, images_sha256
from fer_edge.shipped_bundles import shipped_path

MODEL = shipped_path("nano") / "model.tflite"
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 48, 48)).astype(np.uint8)


def made(runtime: object, kernels: str) -> Classifier:
    return Classifier(MODEL, runtime, kernels=kernels)  # type: ignore[arg-type]


def test_each_kernel_path_is_a_column_and_they_answer_alike() -> None:
    columns = list(here(made, IMAGES, "all"))
    names = [(c.runtime, c.kernels) for c in columns]
    assert names[:4] == list(SETS["all"][:4]), "tflite-runtime is where it is installed"
    assert columns[0].name.endswith(f", default, {platform.machine()}")
    step = Classifier(MODEL).interpreter.get_output_details()[0]["quantization"][0]
    for column in columns:
        assert column.logits.shape == (12, 7) and column.logits.dtype == np.float32
        assert np.abs(column.logits - columns[0].logits).max() <= 8 * step, "noise is nearer to borders than faces are"


def test_what_is_not_installed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = {c.runtime for c in here(made, IMAGES[:1], "all")}
    said = capsys.readouterr().err
    for runtime in {name for name, _ in SETS["all"]} - {"litert"}:
        assert (f"no column of {runtime}:" in said) == (runtime not in found)


@pytest.fixture
def answers() -> RecordedLogits:
    logits = Classifier(MODEL).logits(IMAGES)
    model = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    return RecordedLogits(
        logits, "litert", "2.3.0", "default", "aarch64", "3.11.2", "2.4.6", model, images_sha256(IMAGES)
    )


def test_answers_from_elsewhere_are_a_column(answers: RecordedLogits, tmp_path: Path) -> None:
    answers.save(tmp_path / "a.npz")
    (column,) = brought([tmp_path / "a.npz"], MODEL.read_bytes(), IMAGES)
    assert column.name == "litert 2.3.0, default, aarch64" and np.array_equal(column.logits, answers.logits)


@pytest.mark.parametrize("what", ["model", "images"])
def test_answers_to_something_else_are_refused(what: str, answers: RecordedLogits, tmp_path: Path) -> None:
    replace(answers, **{f"{what}_sha256": "0" * 64}).save(tmp_path / "a.npz")
    with pytest.raises(UsageError, match=f"other {what}"):
        list(brought([tmp_path / "a.npz"], MODEL.read_bytes(), IMAGES))
