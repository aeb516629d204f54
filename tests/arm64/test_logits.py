"""The shipped models on arm64's own wheels against this machine's logits of the same images: each configuration and model.

`make test-arm64` runs this folder; `make test` leaves it out. Emulated processes are judged by their
output, never by their run time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from convert.data.samples import Samples
from fer_edge.bundle import Bundle
from fer_edge.classifier import find_runtime
from fer_edge.golden_vectors import Golden
from fer_edge.record_logits import RecordedLogits, record_logits
from fer_edge.shipped_bundles import SHIPPED, shipped_path
from tests.arm64.runtimes import CONFIGURATIONS, Configuration, record_logits_on
from tests.arm64.sysroot import machine

PER_CLASS, SEED = 50, 0
FEWER = {("edge", "reference"): 10}  # per class: emulated, an image takes half a second

# Of labels, where logits may differ. Measured: 96.9 % (nano, LiteRT's plain kernels) to 99.7 % (edge, tflite-runtime).
MIN_AGREEMENT = 0.94


@dataclass(frozen=True, slots=True)
class Case:
    """A model and a configuration."""

    model: str
    configuration: Configuration

    @property
    def exact(self) -> bool:
        """Whether the logits must be bit-identical to this machine's."""
        return self.configuration.runtime == "litert" and self.configuration.kernels != "builtin"

    @property
    def host_kernels(self) -> str:
        """The kernels of this machine to compare with; tflite-runtime 2.14 has no XNNPACK for int8."""
        return self.configuration.kernels if self.configuration.runtime == "litert" else "builtin"


CASES = [Case(model, configuration) for model in SHIPPED for configuration in CONFIGURATIONS]


@pytest.fixture(scope="module")
def images(fer2013_samples: Samples) -> np.ndarray:
    """Test images, the same number of each class in turn: uint8 (350, 48, 48). No threshold is chosen on them."""
    test = fer2013_samples.part("test")
    rng = np.random.default_rng(SEED)
    rows = np.stack(
        [rng.choice(np.flatnonzero(test.y == k), PER_CLASS, replace=False) for k in range(len(test.labels))]
    )
    return test.take(rows.T.ravel()).x[..., 0]  # one of each class, then the next one of each


@pytest.fixture(scope="module")
def begun(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Future[RecordedLogits]]]:
    """The logits on arm64 of every case, from emulated processes, as many at a time as there are CPUs."""
    folder = tmp_path_factory.mktemp("logits")
    for space in sorted({configuration.space for configuration in CONFIGURATIONS}):
        machine(space)  # fetched one after the other
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = {}
        for case in CASES:
            file = folder / f"{case.model}-{case.configuration.name}.npy"
            np.save(file, _shown(case, images))
            futures[case] = pool.submit(
                record_logits_on, case.configuration, shipped_path(case.model), file, file.with_suffix(".npz")
            )
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def figures() -> Iterator[list[str]]:
    """Lines printed at the end: the result of each configuration."""
    lines: list[str] = []
    yield lines
    print("\n" + "\n".join(lines))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model}-{case.configuration.name}")
def test_logits_agree_with_those_of_this_machine(
    case: Case, begun: dict[Case, Future[RecordedLogits]], images: np.ndarray, figures: list[str]
) -> None:
    on_target = begun[case].result()
    on_host = record_logits(shipped_path(case.model), _shown(case, images), find_runtime("litert"), case.host_kernels)
    assert (on_target.machine, on_target.runtime, on_target.kernels) == (
        "aarch64",
        case.configuration.runtime,
        case.configuration.kernels,
    )
    assert (on_target.model_sha256, on_target.images_sha256) == (on_host.model_sha256, on_host.images_sha256)
    apart = np.abs(on_target.logits - on_host.logits) / _step(case.model)
    rms, agreement = (
        float(np.sqrt((apart**2).mean())),
        float((on_target.logits.argmax(1) == on_host.logits.argmax(1)).mean()),
    )
    figures.append(
        f"{case.model}: {on_target.runtime_name} (Python {on_target.python}) against {on_host.runtime_name},"
        f" {len(apart)} images: labels {agreement:.2%}, largest {apart.max():.1f} and RMS {rms:.2f} output steps,"
        f" {(apart > 0.5).mean():.1%} of logits apart"
    )
    assert on_target.logits.argmax(1).std() > 1, "all logits name one class"
    if case.exact:
        assert on_target.version == on_host.version, (
            "tests/arm64/sysroot.py fetches another LiteRT version than this machine has: pin this one"
        )
        assert np.array_equal(on_target.logits, on_host.logits), figures[-1]
    else:
        limit = Golden.load(shipped_path(case.model) / "golden.npz").other_limits.rms_steps
        assert agreement >= MIN_AGREEMENT and rms <= limit, f"{figures[-1]}; {limit:.2f} are allowed"


def _shown(case: Case, images: np.ndarray) -> np.ndarray:
    """The first images, the same number of each class."""
    classes = len(images) // PER_CLASS
    return images[: classes * FEWER.get((case.model, case.configuration.kernels), PER_CLASS)]


def _step(model: str) -> float:
    """One quantization step of the output, in logits."""
    scale: float = Bundle.load(shipped_path(model)).spec.quantization.output.scale
    return scale
