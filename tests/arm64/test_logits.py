"""The shipped models on arm64's own wheels, against this machine's answers to the same images: every column, both models.

`make test-arm64` runs this folder; `make test` leaves it out. Emulated processes are judged by what they say, never by how
long they take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from convert.data.loader import load
from fer_edge.bundle import Bundle
from fer_edge.classifier import find_runtime
from fer_edge.golden import Golden
from fer_edge.record_logits import RecordedLogits, record_logits
from fer_edge.shipped_bundles import SHIPPED, shipped_path
from tests.arm64.runtimes import COLUMNS, Arm64, answers_on
from tests.arm64.sysroot import machine

PER_CLASS, SEED = 50, 0
FEWER = {("edge", "reference"): 10}  # a class: half a second each, emulated

# Of labels, where the bits may differ. Measured: 96.9 % (nano, LiteRT's plain kernels) to 99.7 % (edge, tflite-runtime).
MIN_AGREEMENT = 0.94


@dataclass(frozen=True, slots=True)
class Case:
    """A model on a column."""

    model: str
    column: Arm64

    @property
    def exact(self) -> bool:
        """Whether the answers must be this machine's own, to the last bit."""
        return self.column.runtime == "litert" and self.column.kernels != "builtin"

    @property
    def host_kernels(self) -> str:
        """The kernels here whose answers these are held against; tflite-runtime 2.14 has no XNNPACK for int8."""
        return self.column.kernels if self.column.runtime == "litert" else "builtin"


CASES = [Case(model, column) for model in SHIPPED for column in COLUMNS]


@pytest.fixture(scope="module")
def images(fer2013: Path) -> np.ndarray:
    """Test images, so many of each class one after the other: uint8 (350, 48, 48). Nothing is chosen by them."""
    test = load(fer2013).part("test")
    rng = np.random.default_rng(SEED)
    rows = np.stack(
        [rng.choice(np.flatnonzero(test.y == k), PER_CLASS, replace=False) for k in range(len(test.labels))]
    )
    return test.take(rows.T.ravel()).x[..., 0]  # one of each class, then the next one of each


@pytest.fixture(scope="module")
def begun(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Future[RecordedLogits]]]:
    """The answers on arm64 of every case: emulated processes, as many at a time as there are CPUs, the long ones first."""
    folder = tmp_path_factory.mktemp("answers")
    for space in sorted({column.space for column in COLUMNS}):
        machine(space)  # fetched one after the other
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = {}
        for case in CASES:
            file = folder / f"{case.model}-{case.column.name}.npy"
            np.save(file, _shown(case, images))
            futures[case] = pool.submit(
                answers_on, case.column, shipped_path(case.model), file, file.with_suffix(".npz")
            )
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def figures() -> Iterator[list[str]]:
    """Lines that are printed at the end: what each column gave."""
    lines: list[str] = []
    yield lines
    print("\n" + "\n".join(lines))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.model}-{case.column.name}")
def test_logits_agree_with_those_of_this_machine(
    case: Case, begun: dict[Case, Future[RecordedLogits]], images: np.ndarray, figures: list[str]
) -> None:
    there = begun[case].result()
    here = record_logits(shipped_path(case.model), _shown(case, images), find_runtime("litert"), case.host_kernels)
    assert (there.machine, there.runtime, there.kernels) == ("aarch64", case.column.runtime, case.column.kernels)
    assert (there.model_sha256, there.images_sha256) == (here.model_sha256, here.images_sha256)
    apart = np.abs(there.logits - here.logits) / _step(case.model)
    rms, agreement = float(np.sqrt((apart**2).mean())), float((there.logits.argmax(1) == here.logits.argmax(1)).mean())
    figures.append(
        f"{case.model}: {there.runtime_name} (Python {there.python}) against {here.runtime_name}, {len(apart)} images: labels "
        f"{agreement:.2%}, largest {apart.max():.1f} and RMS {rms:.2f} output steps, {(apart > 0.5).mean():.1%} of logits apart"
    )
    assert there.logits.argmax(1).std() > 1, "the classes are told apart"
    if case.exact:
        assert there.version == here.version, "another LiteRT here than tests/arm64/sysroot.py fetches: pin this one"
        assert np.array_equal(there.logits, here.logits), figures[-1]
    else:
        limit = Golden.load(shipped_path(case.model) / "golden.npz").other_limits.rms_steps
        assert agreement >= MIN_AGREEMENT and rms <= limit, f"{figures[-1]}; {limit:.2f} are allowed"


def _shown(case: Case, images: np.ndarray) -> np.ndarray:
    """The first images: as many of each class."""
    classes = len(images) // PER_CLASS
    return images[: classes * FEWER.get((case.model, case.column.kernels), PER_CLASS)]


def _step(model: str) -> float:
    """What one step of the output is, as a logit."""
    scale: float = Bundle.load(shipped_path(model)).spec.quantization.output.scale
    return scale
