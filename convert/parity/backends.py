"""What a model answers on each runtime and kernel path: one column of logits each, measured here or brought from elsewhere.

The same int8 file answers differently on each by a step or two of its output: XNNPACK, the plain kernels and the reference
kernels round in other places, and tflite-runtime 2.14 has no XNNPACK for int8.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import Classifier, find_runtime
from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.record_logits import RecordedLogits, images_sha256
from fer_edge.runtime_name import runtime_name

# What `--columns` chooses, each a runtime and its kernels. The reference kernels take 25 times as long as the default ones.
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
class Column:
    """The float32 logits (N, K) that a model gave on one runtime, kernel path and processor, and what each of them was."""

    runtime: str
    version: str
    kernels: str
    machine: str  # x86_64, aarch64
    logits: np.ndarray

    @property
    def name(self) -> str:
        """As reports, golden vectors and bundle.json call it."""
        return runtime_name(self.runtime, self.version, self.kernels, self.machine)


def here(made: Any, images: np.ndarray, which: str = "usual") -> Iterator[Column]:
    """The columns of SETS[`which`] whose runtimes are installed; `made(runtime, kernels)` gives a Classifier.

    `images` is uint8 (N, side, side). The first column is the one that the loop runs on. Raises UsageError when not even
    that can be had.
    """
    for i, (runtime, kernels) in enumerate(SETS[which]):
        try:
            with quiet_tensorflow():  # it talks while it is imported
                found = find_runtime(runtime)
            classifier = made(found, kernels)
        except UsageError as error:
            if i == 0:
                raise
            message(f"no column of {runtime}: {error}")
            continue
        yield column(classifier, images)


def column(classifier: Classifier, images: np.ndarray) -> Column:
    """The column of one classifier, with a bar where somebody watches."""
    found = classifier.runtime
    logits = logits_of(classifier, images, f"{found.id}, {classifier.kernels}")
    return Column(found.name, found.version, classifier.kernels, platform.machine(), logits)


def brought(files: Sequence[Path], model: bytes, images: np.ndarray) -> Iterator[Column]:
    """The columns in files of `python -m fer_edge.record_logits`, from other machines and environments.

    Raises UsageError when one is of another model or of other images.
    """
    for path in files:
        answers = RecordedLogits.load(path)
        for what, theirs, ours in (
            ("model", answers.model_sha256, hashlib.sha256(model).hexdigest()),
            ("images", answers.images_sha256, images_sha256(images)),
        ):
            if theirs != ours:
                raise UsageError(
                    f"{path} holds answers to other {what} ({theirs[:12]}…, not {ours[:12]}…); make it again"
                )
        yield Column(answers.runtime, answers.version, answers.kernels, answers.machine, answers.logits)


def logits_of(model: Classifier, images: np.ndarray, what: str) -> np.ndarray:
    """The logits float32 (N, K) of images uint8 (N, side, side)."""
    from tqdm import tqdm

    chunks = np.array_split(images, max(1, len(images) // 64))
    bar = tqdm(chunks, desc=what, unit="×64", leave=False, disable=not sys.stderr.isatty())
    return np.concatenate([model.logits(chunk) for chunk in bar])
