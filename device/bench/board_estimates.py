"""Estimated times of a network on boards where it was not measured: its multiply-adds over published throughput.

An estimate, not a measurement: of the network alone, without reading, resizing and writing. A network much smaller than the
published ones may take longer, because the overhead of each layer has more weight.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Of one image, counted in the files whose hashes fer_edge.detection.download holds; convert.tflite.inspection.multiply_adds_of
DETECTORS = {
    "blazeface-short-range": 30_760_960,
    "blazeface-back": 188_749_824,
    "blazeface-full-range": 105_671_232,
}

# One thread takes so many times longer than four: from YuNet on a Pi 4, 54 ms on one thread and 37 on four
# (github.com/TonyCongqianWang/cv_facedetection_eval), to the number of threads.
ONE_THREAD_FACTORS = (1.5, 4.0)
PUBLISHED_THREADS = 4  # of all published times below

XNNPACK = "XNNPACK's README, table of February 2022 (github.com/google/XNNPACK)"
NCNN_3 = "ncnn (github.com/Tencent/ncnn/issues/3451)"
NCNN_4 = "ncnn (github.com/Tencent/ncnn/issues/3485)"
ARM = "Arm's model cards for ExecuTorch with XNNPACK on a Pi 5"


@dataclass(frozen=True, slots=True)
class PublishedTime:
    """The published time of a network on a board with four threads; int8 is None if only float was published."""

    board: str
    network: str
    multiply_adds: float  # as in the network's paper
    float_ms: float
    int8_ms: float | None
    source: str


PUBLISHED = (
    PublishedTime("Pi 3 B+", "MobileNetV1", 569e6, 114, 46, XNNPACK),
    PublishedTime("Pi 3 B+", "MobileNetV2", 300e6, 79, 30, XNNPACK),
    PublishedTime("Pi 3 B+", "MobileNetV3 large", 219e6, 67, None, XNNPACK),
    PublishedTime("Pi 3 B+", "MobileNetV3 small", 56e6, 22, None, XNNPACK),
    PublishedTime("Pi 3 B+", "ResNet-18", 1.8e9, 282, 166.5, NCNN_3),
    PublishedTime("Pi 4", "MobileNetV1", 569e6, 72, 24, XNNPACK),
    PublishedTime("Pi 4", "MobileNetV1", 569e6, 77, 29, XNNPACK),
    PublishedTime("Pi 4", "MobileNetV2", 300e6, 41, 17, XNNPACK),
    PublishedTime("Pi 4", "MobileNetV2", 300e6, 46, 20, XNNPACK),
    PublishedTime("Pi 4", "MobileNetV3 large", 219e6, 40, None, XNNPACK),
    PublishedTime("Pi 4", "MobileNetV3 small", 56e6, 15, None, XNNPACK),
    PublishedTime("Pi 4", "ResNet-18", 1.8e9, 176, 98, NCNN_4),
    PublishedTime("Pi 5", "MobileNetV2", 300e6, 10.89, 4.01, ARM),
    PublishedTime("Pi 5", "ResNet-18", 1.8e9, 31.6, 8.75, ARM),
    PublishedTime("Pi 5", "SqueezeNet 1.0", 820e6, 20.2, 5.09, ARM),
    PublishedTime("Pi 5", "GoogLeNet", 1.5e9, 90.8, 25.3, ARM),
    PublishedTime("Pi 5", "WideResNet-50-2", 11.4e9, 292, 49.4, ARM),
)


@dataclass(frozen=True, slots=True)
class BoardModel:
    """A board to estimate: from the published times of the board `like`, scaled by the ratio of clocks, lowest and highest."""

    name: str
    name_prefix: str  # of the name that the board reports
    like: str
    clock: tuple[float, float] = (1.0, 1.0)


BOARD_MODELS = (
    BoardModel("Pi Zero 2 W", "Raspberry Pi Zero 2", "Pi 3 B+", (1.0 / 1.4, 1.0 / 1.4)),  # the same cores, at 1.0 GHz
    BoardModel("Pi 3", "Raspberry Pi 3", "Pi 3 B+", (1.2 / 1.4, 1.0)),  # a 3 B has 1.2 GHz, a 3 B+ 1.4
    BoardModel("Pi 4", "Raspberry Pi 4", "Pi 4"),
    BoardModel("Pi 5", "Raspberry Pi 5", "Pi 5"),
)


@dataclass(frozen=True, slots=True)
class EstimatedNetwork:
    """A network to estimate: `multiply_adds` of one image; `kind` is int8 or float."""

    network: str
    kind: str
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated range in ms for one image on a board with that number of threads."""

    board: str
    network: str
    kind: str
    multiply_adds: int
    threads: int
    low_ms: float
    high_ms: float
    estimate: bool = True  # marks the figures wherever they are copied

    def to_json(self) -> dict[str, Any]:
        """The fields, times with three digits."""
        return asdict(self) | {"low_ms": float(f"{self.low_ms:.3g}"), "high_ms": float(f"{self.high_ms:.3g}")}


def throughput(board: str, kind: str) -> tuple[float, float]:
    """The lowest and highest published multiply-adds per second of a board, for float or int8 on four threads.

    If a network's int8 time was not published, it is estimated from float by the smallest gain of the board's networks.
    Otherwise the small networks, which are slow for their size, would be missing.
    """
    rows = [row for row in PUBLISHED if row.board == board]
    if kind == "int8":
        gain = min(row.float_ms / row.int8_ms for row in rows if row.int8_ms is not None)
        times_ms = [row.float_ms / gain if row.int8_ms is None else row.int8_ms for row in rows]
    else:
        times_ms = [row.float_ms for row in rows]
    rates = [row.multiply_adds / ms * 1e3 for row, ms in zip(rows, times_ms, strict=True)]
    return min(rates), max(rates)


def estimate_times(networks: tuple[EstimatedNetwork, ...]) -> tuple[Estimate, ...]:
    """The estimates of each network on each board of BOARD_MODELS, with one thread and with four."""
    rows = []
    for model in BOARD_MODELS:
        for network in networks:
            low_rate, high_rate = throughput(model.like, network.kind)
            low_ms = network.multiply_adds / (high_rate * model.clock[1]) * 1e3
            high_ms = network.multiply_adds / (low_rate * model.clock[0]) * 1e3
            one = (1, low_ms * ONE_THREAD_FACTORS[0], high_ms * ONE_THREAD_FACTORS[1])
            for threads, low, high in (one, (PUBLISHED_THREADS, low_ms, high_ms)):
                rows.append(
                    Estimate(model.name, network.network, network.kind, network.multiply_adds, threads, low, high)
                )
    return tuple(rows)


def published_sources() -> tuple[str, ...]:
    """The sources of the published times."""
    return tuple(dict.fromkeys(row.source for row in PUBLISHED))


def board_model_name(board: str) -> str | None:
    """The name in BOARD_MODELS of the board that reports the name `board`; None for any other."""
    return next((model.name for model in BOARD_MODELS if board.startswith(model.name_prefix)), None)
