"""Mixed precision: the cost in size and time of layers that stay in float."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fer_edge.bundle_provenance import MixedPrecisionRecord
from fer_edge.classifier import Classifier

ROUNDS, BLOCK = 20, 8  # rounds of BLOCK images, with one model and then with the other


def cost_sentence(cost: MixedPrecisionRecord) -> str:
    """The cost in words."""
    more = cost.mixed_bytes - cost.int8_bytes
    return (
        f"{', '.join(cost.layers)} in float: {more:+,} bytes ({cost.mixed_bytes:,}), {cost.time_ratio:.2f} times the time;"
        f" the labels agree with those of all int8 on {cost.agreement * 100:.2f} % of the images"
    )


def mixed_precision_cost(
    int8_content: bytes,
    mixed_content: bytes,
    layers: Sequence[str],
    images: np.ndarray,
) -> MixedPrecisionRecord:
    """The cost of `mixed_content`, with `layers` in float, over `int8_content`, on images uint8 (N, side, side).

    Times are processor time, both models in turn, on the default kernels; `time_ratio` is the median of ROUNDS.
    """
    models = [Classifier(content) for content in (int8_content, mixed_content)]
    block = images[:BLOCK]
    for model in models:
        model.logits(block)  # an interpreter's first run sets things up
    ratios = []
    for turn in range(ROUNDS):
        spent = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):  # the first one has the colder cache
            began = time.process_time()
            models[which].logits(block)
            spent[which] = time.process_time() - began
        ratios.append(spent[1] / spent[0])
    first, second = (model.logits(images).argmax(1) for model in models)
    return MixedPrecisionRecord(
        layers=tuple(layers),
        int8_bytes=len(int8_content),
        mixed_bytes=len(mixed_content),
        time_ratio=float(np.median(ratios)),
        agreement=float(np.mean(first == second)),
    )
