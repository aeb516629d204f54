"""What flows through a TFLite file: the values of every tensor on images, as they are and summed up by channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convert.tflite.graph import Graph
from fer_edge.classifier import RAW_RANGE, Classifier, find_runtime
from fer_edge.stderr_capture import suppressed_stderr

PLACES = 16  # of an image's H × W that are remembered; neighbours tell much the same
MOST = 2_000_000  # values of one tensor that are remembered


@dataclass(frozen=True, slots=True)
class Seen:
    """What a float tensor held over images: all channels at some places, and each channel's extremes and mean overall."""

    samples: np.ndarray  # float32 (M, C)
    low: np.ndarray  # float32 (C,)
    high: np.ndarray  # float32 (C,)
    mean: np.ndarray  # float32 (C,)

    def scaled(self, factors: np.ndarray) -> Seen:
        """The same of a tensor whose channels are multiplied by positive `factors` (C,)."""
        return Seen(self.samples * factors, self.low * factors, self.high * factors, self.mean * factors)


class Tensors:
    """A TFLite file on the runtime's plain kernels, every tensor of which can be read after each image."""

    def __init__(self, content: bytes, pixels: tuple[float, float] = RAW_RANGE) -> None:
        ours = Classifier(content, input_range=pixels)  # what it takes for a pixel, and that it is a classifier at all
        self._steps, self._channels = ours.input_values, ours.channels
        module = find_runtime().module
        with suppressed_stderr():
            self._interpreter = module.Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        self._index = self._interpreter.get_input_details()[0]["index"]

    def of(self, image: np.ndarray, tensors: list[int]) -> dict[int, np.ndarray]:
        """The tensors of that number for one image uint8 (side, side), as they are stored."""
        given = np.repeat(self._steps[image][None, :, :, None], self._channels, axis=3)
        self._interpreter.set_tensor(self._index, given)
        self._interpreter.invoke()
        return {tensor: self._interpreter.get_tensor(tensor) for tensor in tensors}


def by_channel(values: np.ndarray) -> np.ndarray:
    """A tensor (1, …, C) as (places, C)."""
    return values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)


def observe(
    content: bytes, images: np.ndarray, pixels: tuple[float, float] = RAW_RANGE, seed: int = 0
) -> dict[int, Seen]:
    """What each activation of a float TFLite file held over `images` uint8 (N, side, side), by the tensor's number.

    Tensors of as many places are remembered at the same ones, so that what is added up can be told row by row.
    """
    graph = Graph(content)
    tensors = graph.activations()
    rows: dict[int, list[np.ndarray]] = {t: [] for t in tensors}
    extremes: dict[int, list[np.ndarray]] = {}
    for values in _places(content, images, tensors, pixels, seed):
        for t, (all_of, some) in values.items():
            rows[t].append(some)
            now = [all_of.min(0), all_of.max(0), all_of.mean(0, dtype=np.float64)]
            before = extremes.get(t)
            extremes[t] = (
                now
                if before is None
                else [np.minimum(before[0], now[0]), np.maximum(before[1], now[1]), before[2] + now[2]]
            )
    return {
        t: Seen(np.concatenate(rows[t]), low, high, (total / len(images)).astype(np.float32))
        for t, (low, high, total) in extremes.items()
    }


def _places(
    content: bytes, images: np.ndarray, tensors: list[int], pixels: tuple[float, float], seed: int
) -> Iterator[dict[int, tuple[np.ndarray, np.ndarray]]]:
    rng = np.random.default_rng(seed)
    running = Tensors(content, pixels)
    for image in images:
        picked: dict[int, np.ndarray] = {}
        found = {}
        for t, values in running.of(image, tensors).items():
            table = by_channel(values)
            places, channels = table.shape
            if places not in picked:
                picked[places] = rng.permutation(places)[:PLACES]
            fewer = max(1, MOST // (len(images) * channels))
            found[t] = table, table[picked[places][:fewer]].copy()
        yield found
