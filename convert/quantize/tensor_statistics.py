"""The values of every tensor of a TFLite model on images, and their statistics by channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.tflite.graph import Graph
from fer_edge.classifier import RAW_RANGE, Classifier, find_runtime
from fer_edge.stderr_capture import suppressed_stderr

POSITIONS = 16  # of an image's H × W that are sampled; neighbours hold much the same
MOST = 2_000_000  # samples of one tensor


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """The values of a float tensor over images: all channels at sampled positions, and each channel's extremes and mean."""

    samples: np.ndarray  # float32 (M, C)
    low: np.ndarray  # float32 (C,)
    high: np.ndarray  # float32 (C,)
    mean: np.ndarray  # float32 (C,)

    def scaled(self, factors: np.ndarray) -> TensorStatistics:
        """The statistics of the tensor with its channels multiplied by positive `factors` (C,)."""
        return TensorStatistics(self.samples * factors, self.low * factors, self.high * factors, self.mean * factors)


def make_reading_interpreter(content: bytes) -> Any:
    """An interpreter on the runtime's kernels without delegates that keeps all tensors."""
    module = find_runtime().module
    with suppressed_stderr():
        interpreter = module.Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter


class TensorReader:
    """A TFLite model on the runtime's kernels without delegates, every tensor of which can be read after each image."""

    def __init__(self, content: bytes, pixels: tuple[float, float] = RAW_RANGE) -> None:
        classifier = Classifier(content, input_range=pixels)  # its input table; and it checks that this is a classifier
        self._steps, self._channels = classifier.input_values, classifier.channels
        self._interpreter = make_reading_interpreter(content)
        self._index = self._interpreter.get_input_details()[0]["index"]

    def read(self, image: np.ndarray, tensors: list[int]) -> dict[int, np.ndarray]:
        """The tensors with these indices for one image uint8 (side, side), as they are stored."""
        pixels = np.repeat(self._steps[image][None, :, :, None], self._channels, axis=3)
        self._interpreter.set_tensor(self._index, pixels)
        self._interpreter.invoke()
        return {tensor: self._interpreter.get_tensor(tensor) for tensor in tensors}


def by_channel(values: np.ndarray) -> np.ndarray:
    """A tensor (1, …, C) as (positions, C)."""
    return values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)


def collect_statistics(graph: Graph, images: np.ndarray) -> dict[int, TensorStatistics]:
    """The statistics of each activation of a float model over `images` uint8 (N, side, side), by the tensor's index.

    Tensors of equal H × W are sampled at the same positions, so that sums of two can be computed row by row.
    """
    tensors = graph.activations()
    rows: dict[int, list[np.ndarray]] = {t: [] for t in tensors}
    totals: dict[int, list[np.ndarray]] = {}  # low, high, sum of means
    for values in _sampled(graph, images, tensors):
        for t, (every, sampled) in values.items():
            rows[t].append(sampled)
            now = [every.min(0), every.max(0), every.mean(0, dtype=np.float64)]
            before = totals.get(t)
            totals[t] = (
                now
                if before is None
                else [np.minimum(before[0], now[0]), np.maximum(before[1], now[1]), before[2] + now[2]]
            )
    return {
        t: TensorStatistics(np.concatenate(rows[t]), low, high, (total / len(images)).astype(np.float32))
        for t, (low, high, total) in totals.items()
    }


def _sampled(
    graph: Graph, images: np.ndarray, tensors: list[int]
) -> Iterator[dict[int, tuple[np.ndarray, np.ndarray]]]:
    """For each image every tensor as (positions, C), all of it and its sampled rows."""
    rng = np.random.default_rng(0)
    reader = TensorReader(graph.to_bytes())
    for image in images:
        picked: dict[int, np.ndarray] = {}
        found = {}
        for t, values in reader.read(image, tensors).items():
            table = by_channel(values)
            positions, channels = table.shape
            if positions not in picked:
                picked[positions] = rng.permutation(positions)[:POSITIONS]
            fewer = max(1, MOST // (len(images) * channels))
            found[t] = table, table[picked[positions][:fewer]].copy()
        yield found
