"""The cost of one face: weights, multiply-adds, bytes, and milliseconds on this machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from convert.tflite.graph import Graph
from convert.tflite.inspection import multiply_adds, parameter_count
from fer_edge.classifier import Classifier
from fer_edge.hardware import board_name

WARM_UP, TIMED = 10, 100


@dataclass(frozen=True, slots=True)
class InferenceCost:
    """The cost of one image. Parameters and multiply-adds are counted in the TFLite file."""

    parameters: int
    multiply_adds: int
    tflite_bytes: int
    ms_median: float  # one image through the classifier, one thread
    ms_low: float  # the 10th and the 90th percentile of the same
    ms_high: float
    images_timed: int
    host: str  # the processor
    host_is_pi: bool
    load: float  # the load average of the last minute when timing ended; above 1, other processes were running


def measure_cost(graph: Graph, tflite_bytes: int, classifier: Classifier, faces: np.ndarray) -> InferenceCost:
    """The cost of the model `graph`, timed on `faces` uint8 (N, side, side) by its one-thread `classifier`."""
    times_ms = []
    for i in range(WARM_UP + TIMED):
        face = faces[i % len(faces)][None]
        start = time.perf_counter()
        classifier.logits(face)
        times_ms.append((time.perf_counter() - start) * 1e3)
    low, median, high = np.quantile(times_ms[WARM_UP:], (0.1, 0.5, 0.9))
    host, is_pi = board_name()
    return InferenceCost(
        parameters=parameter_count(graph),
        multiply_adds=multiply_adds(graph),
        tflite_bytes=tflite_bytes,
        ms_median=float(median),
        ms_low=float(low),
        ms_high=float(high),
        images_timed=TIMED,
        host=host,
        host_is_pi=is_pi,
        load=os.getloadavg()[0],
    )
