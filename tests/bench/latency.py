"""Latency of several TFLite models on one thread in ms, measured in turns so that other load affects all alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.evaluate.inference_cost import WARM_UP
from fer_edge.classifier import make_interpreter

ROUNDS, CALLS = 15, 40


@dataclass(frozen=True, slots=True)
class Latency:
    """The time of one image: setting the input, running the network, reading the output."""

    ms_median: float  # of all calls
    ms_p95: float
    calls: int
    ratio: float  # the median over the reference's median
    ratio_low: float  # the same within one round: the lowest and the highest of the rounds
    ratio_high: float


def take_turns(
    models: Mapping[str, Path], reference: str, rounds: int = ROUNDS, calls: int = CALLS, seed: int = 0
) -> dict[str, Latency]:
    """The latency of each model by name, its ratio being to the one called `reference`.

    In each round every model runs `calls` times; the order turns by one each round, so that none always follows the same.
    """
    rng = np.random.default_rng(seed)
    ready = {name: _ready(path, rng) for name, path in models.items()}
    for run in ready.values():
        for _ in range(WARM_UP):
            run()
    times_ms = {name: np.empty((rounds, calls)) for name in ready}
    order = list(ready)
    for i in range(rounds):
        for name in order:
            run, row = ready[name], times_ms[name][i]
            run()  # the caches still hold the model before
            for j in range(calls):
                began = time.perf_counter()
                run()
                row[j] = (time.perf_counter() - began) * 1e3
        order = [*order[1:], order[0]]
    base = times_ms[reference]
    return {name: _latency(own, base) for name, own in times_ms.items()}


def _latency(times_ms: np.ndarray, base_ms: np.ndarray) -> Latency:
    in_rounds = np.median(times_ms, 1) / np.median(base_ms, 1)
    return Latency(
        ms_median=float(np.median(times_ms)),
        ms_p95=float(np.quantile(times_ms, 0.95)),
        calls=times_ms.size,
        ratio=float(np.median(times_ms) / np.median(base_ms)),
        ratio_low=float(in_rounds.min()),
        ratio_high=float(in_rounds.max()),
    )


def _ready(path: Path, rng: np.random.Generator) -> Any:
    """A call that runs the model once on one thread, on noise over its input's range; times do not depend on pixels."""
    interpreter = make_interpreter(path, threads=1)
    (input_tensor,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    if np.issubdtype(input_tensor["dtype"], np.integer):
        limits = np.iinfo(input_tensor["dtype"])
        value = rng.integers(limits.min, limits.max, input_tensor["shape"], endpoint=True).astype(input_tensor["dtype"])
    else:
        value = rng.uniform(-1, 1, input_tensor["shape"]).astype(input_tensor["dtype"])

    def run() -> None:
        interpreter.set_tensor(input_tensor["index"], value)
        interpreter.invoke()
        interpreter.get_tensor(output["index"])

    return run
