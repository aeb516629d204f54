"""A model's logits on each runtime and kernel path: measured on this machine, or read from files of other machines."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.parity.differences import MeasuredRuntime
from convert.progress_bar import progress_bar
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import Classifier, Runtime, find_runtime
from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.record_logits import RecordedLogits, images_sha256
from fer_edge.runtime_name import runtime_name

ClassifierOn = Callable[[Runtime, str], Classifier]  # a model's classifier on a runtime and its kernels

# What `--compare` chooses, each a runtime and its kernels. The reference kernels take 25 times as long as the default ones.
SETS: dict[str, tuple[tuple[str, str], ...]] = {
    "one": (("litert", "default"),),
    "usual": (("litert", "default"), ("litert", "builtin")),
    "all": (
        ("litert", "default"),
        ("litert", "builtin"),
        ("litert", "reference"),
        ("tensorflow", "default"),
        ("tflite-runtime", "default"),
    ),
}


@dataclass(frozen=True, slots=True)
class RuntimeLogits:
    """The float32 logits (N, K) of a model on one runtime."""

    ran_on: MeasuredRuntime
    logits: np.ndarray

    @property
    def name(self) -> str:
        """The runtime's name in reports, golden vectors and bundle.json."""
        r = self.ran_on
        return runtime_name(r.runtime, r.version, r.kernels, r.machine)


def measured_here(classifier_on: ClassifierOn, images: np.ndarray, which: str = "usual") -> Iterator[RuntimeLogits]:
    """The logits on each runtime of SETS[`which`] that is installed.

    `images` is uint8 (N, side, side). The first runtime is the one that the device uses. Raises UsageError when not even
    that is installed.
    """
    for i, (runtime, kernels) in enumerate(SETS[which]):
        try:
            with quiet_tensorflow():  # TensorFlow writes to stderr while it is imported
                found = find_runtime(runtime)
            classifier = classifier_on(found, kernels)
        except UsageError as error:
            if i == 0:
                raise
            message(f"{runtime} is not measured: {error}")
            continue
        yield logits_on_runtime(classifier, images)


def logits_on_runtime(classifier: Classifier, images: np.ndarray) -> RuntimeLogits:
    """The logits of one classifier, with a progress bar on a terminal."""
    runtime = classifier.runtime
    logits = logits_of(classifier, images, f"{runtime.id}, {classifier.kernels}")
    measured = MeasuredRuntime(runtime.name, runtime.version, classifier.kernels, platform.machine())
    return RuntimeLogits(measured, logits)


def measured_elsewhere(files: Sequence[Path], model: bytes, images: np.ndarray) -> Iterator[RuntimeLogits]:
    """The logits in files of `python -m fer_edge.record_logits`, from other machines and environments.

    Raises UsageError when one is of another model or of other images.
    """
    for path in files:
        recorded_logits = RecordedLogits.load(path)
        for what, recorded, expected in (
            ("model", recorded_logits.model_sha256, hashlib.sha256(model).hexdigest()),
            ("images", recorded_logits.images_sha256, images_sha256(images)),
        ):
            if recorded != expected:
                raise UsageError(
                    f"{path} holds logits of other {what} ({recorded[:12]}…, not {expected[:12]}…); record them again"
                )
        measured = MeasuredRuntime(
            recorded_logits.runtime, recorded_logits.version, recorded_logits.kernels, recorded_logits.machine
        )
        yield RuntimeLogits(measured, recorded_logits.logits)


def logits_of(model: Classifier, images: np.ndarray, what: str) -> np.ndarray:
    """The logits float32 (N, K) of images uint8 (N, side, side); `what` stands beside the progress bar."""
    chunks = np.array_split(images, max(1, len(images) // 64))
    return np.concatenate([model.logits(chunk) for chunk in progress_bar(chunks, title=what, unit="×64")])
