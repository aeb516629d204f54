"""The float model as the reference for another one: on the same interpreter, with the same lowest probability."""

from __future__ import annotations

import numpy as np

from convert.sources.opened_model import OpenedModel
from fer_edge.classifier import SMALLEST_FLOAT32, Classifier, softmax


class LogProbabilities(Classifier):
    """A classifier of logits whose `logits` are the logarithms of its probabilities, none below that of `tiny`.

    So a float model is compared with a file whose output tensor has no smaller steps than that.
    """

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """The logarithms, float32 (N, K), for faces uint8 (N, side, side)."""
        return np.log(np.maximum(softmax(super().logits(faces)), np.float32(self.smallest_probability)))


def reference_for(float_model: OpenedModel, model: Classifier, threads: int = 1) -> Classifier:
    """The float classifier to compare `model` with: if `model` outputs probabilities, with the same lowest one."""
    if model.output_kind == "logits":
        return float_model.classifier(threads=threads)
    kind = LogProbabilities if float_model.output.kind == "logits" else Classifier
    return kind(
        float_model.content,
        threads=threads,
        input_range=float_model.input_range,
        output_kind=float_model.output.kind,
        smallest_probability=least_probability(model),
    )


def least_probability(model: Classifier) -> float | None:
    """The lowest probability of `model` that is compared: four steps of its last quantized tensor; None for logits.

    One of a single step is off by up to half of itself, and its logarithm says nothing about the network.
    """
    if model.output_kind == "logits":
        return None
    smallest = model.smallest_probability
    return smallest if smallest == SMALLEST_FLOAT32 else 8 * smallest
