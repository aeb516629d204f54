"""Layers left in float: the int8 file with them, and what that costs in size and in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convert.quantize.range_search import Choices, int8
from convert.tflite.compaction import pack
from convert.tflite.graph import Graph
from fer_edge.classifier import RAW_RANGE, Classifier
from fer_edge.errors import UsageError

ROUNDS, BLOCK = 20, 8  # of images, with one file and then with the other


@dataclass(frozen=True, slots=True)
class Price:
    """What leaving `layers` in float costs. Times are the processor's, both files in turn, on the runtime's default kernels."""

    layers: tuple[str, ...]
    int8_bytes: int
    mixed_bytes: int
    time_ratio: float  # of one image with these layers in float, over all in int8: the median of ROUNDS
    agreement: float  # of the labels that both give to the images

    def to_json(self) -> dict[str, Any]:
        """The price as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """The price in words."""
        more = self.mixed_bytes - self.int8_bytes
        return (
            f"{', '.join(self.layers)} in float: {more:+,} bytes ({self.mixed_bytes:,}), {self.time_ratio:.2f} times the time;"
            f" the labels agree with those of all int8 on {self.agreement * 100:.2f} % of the images"
        )


def keep_float(
    content: bytes,
    images: np.ndarray,
    names: Sequence[str],
    choices: Choices | None = None,
    pixels: tuple[float, float] = RAW_RANGE,
) -> bytes:
    """The packed TFLite file of a float one, int8 but for the layers named (conv_3, dense_1: `python -m convert.layers`).

    `images` uint8 (N, side, side) choose the ranges. With the last layer among them the answers are float32. Raises
    UsageError when the model has no such layer, or when all of them are named.
    """
    own = [op.name for op in Graph(content).layers()]
    if not names:
        raise UsageError(f"no layer to keep in float is named; the model's are {', '.join(own)}")
    if set(own) <= set(names):
        raise UsageError("all layers are to stay in float; take the float model itself")
    return pack(int8(content, images, choices, pixels=pixels, keep_float=names))


def price(
    int8_content: bytes,
    kept_content: bytes,
    names: Sequence[str],
    images: np.ndarray,
    pixels: tuple[float, float] = RAW_RANGE,
    threads: int = 1,
) -> Price:
    """What `kept_content`, with the layers `names` in float, costs over `int8_content`, on images uint8 (N, side, side)."""
    both = [Classifier(c, threads=threads, input_range=pixels) for c in (int8_content, kept_content)]
    block = images[:BLOCK]
    for model in both:
        model.logits(block)  # the first run of an interpreter sets things up
    ratios = []
    for turn in range(ROUNDS):
        spent = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):  # whoever goes first has the colder cache
            began = time.process_time()
            both[which].logits(block)
            spent[which] = time.process_time() - began
        ratios.append(spent[1] / spent[0])
    first, second = (model.logits(images).argmax(1) for model in both)
    return Price(
        tuple(names), len(int8_content), len(kept_content), float(np.median(ratios)), float(np.mean(first == second))
    )
