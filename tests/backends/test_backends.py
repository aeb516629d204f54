"""Training on another backend of Keras 3, where there is no TensorFlow: the same command, and a model Keras loads again.

`make test-backends` runs this in an environment with JAX and without TensorFlow; `make test` leaves the folder out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.train.presets import PRESETS
from convert.train.processes import Processes
from fer_edge.errors import UsageError

ROOT = Path(__file__).parents[2]
Running = subprocess.Popen[str]
BACKENDS = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """280 training and 56 validation images in class folders: a bar at an angle of the class's own."""
    root = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    for split, n in (("train", 280), ("validation", 56)):
        for i in range(n):
            k = i % 4
            image = rng.normal(110, 10, (48, 48))
            angle = np.pi * k / 4
            cv2.line(image, (24, 24), (int(24 + 20 * np.cos(angle)), int(24 + 20 * np.sin(angle))), 230, 4)
            folder = root / split / f"angle-{k}"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{i:04d}.png"), np.clip(image, 0, 255).astype(np.uint8))
    return root


def started(backend: str, tree: Path, out: Path, *more: str, more_environment: dict[str, str] | None = None) -> Running:
    """A training that runs."""
    command = [sys.executable, "-m", "convert.train", "--preset", "nano-short", "--data", tree, "--out", out]
    command += ["--classes", "own", "--precision", "float32", "--epochs", "3", *more]
    # the runs compile the same programs: each is compiled once
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(tree.with_name("compiled"))}
    environment = {**os.environ, "KERAS_BACKEND": backend, **compiled, **(more_environment or {})}
    pipe = subprocess.PIPE
    return subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def train(backend: str, tree: Path, out: Path, *more: str, more_environment: dict[str, str] | None = None) -> str:
    """What the training printed on stderr."""
    process = started(backend, tree, out, *more, more_environment=more_environment)
    _, messages = process.communicate()
    assert process.returncode == 0, messages
    return messages


@pytest.fixture(scope="module")
def teachers(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each backend, by its name."""
    folder = tmp_path_factory.mktemp("teachers")
    for backend in BACKENDS:
        train(backend, tree, folder / backend)
    return {backend: folder / backend for backend in BACKENDS}


def test_there_is_a_backend_to_try() -> None:
    assert BACKENDS, "neither jax nor torch is installed; `make test-backends` makes an environment with one"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_student_is_trained_and_its_teacher_loaded(
    backend: str, tree: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    train(backend, tree, tmp_path / "student", "--teacher", str(teachers[backend]))
    for run, count in ((teachers[backend], 0), (tmp_path / "student", 1)):
        history = json.loads((run / "history.json").read_text())
        assert len(history["epochs"]) == 3 and len(history["teachers"]) == count
        assert history["labels"] == [f"angle-{k}" for k in range(4)]
        assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"]
        script = "import keras, sys; m = keras.models.load_model(sys.argv[1]); print(m.output_shape[-1], m.dtype)"
        loaded = subprocess.run(
            [sys.executable, "-c", script, str(run / "model.keras")],
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": backend},
            check=True,
            capture_output=True,
            text=True,
        )
        assert loaded.stdout.split() == ["4", "float32"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_resumed(backend: str, tree: Path, teachers: dict[str, Path]) -> None:
    finished = (teachers[backend] / "checkpoint.npz").stat().st_mtime_ns
    train(backend, tree, teachers[backend], "--resume")
    assert (teachers[backend] / "checkpoint.npz").stat().st_mtime_ns == finished, "nothing was left to do"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_student_is_trained_in_one_compiled_step(
    backend: str, tree: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """Its views, its teacher's answers and the step on the device: the losses of a run with views from the host."""
    losses = {}
    for where in ("host", "device"):
        more = ("--teacher", str(teachers[backend]), "--views-on", where, "--epochs", "2")
        train(backend, tree, tmp_path / where, *more)
        history = json.loads((tmp_path / where / "history.json").read_text())
        losses[where] = [epoch["loss"] for epoch in history["epochs"]]
    assert losses["device"] == pytest.approx(losses["host"], rel=0.02)


@pytest.mark.skipif("jax" not in BACKENDS, reason="keras.distribution is implemented for JAX only")
def test_two_devices_train_as_one(tree: Path, tmp_path: Path) -> None:
    """Two virtual devices, each with half of every batch: the same losses to 1e-4."""
    losses = []
    for devices in (1, 2):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        more = ("--views-on", "device", "--epochs", "2", "--learning-rate", "0.003")
        messages = train("jax", tree, tmp_path / str(devices), *more, more_environment=flags)
        assert ("2 devices" in messages) == (devices == 2)
        history = json.loads((tmp_path / str(devices) / "history.json").read_text())
        losses.append([epoch["loss"] for epoch in history["epochs"]])
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def two_started(tree: Path, outs: Sequence[Path], *more: str, of_second: Sequence[str] = ()) -> Iterator[list[Running]]:
    """Two processes that train together; none is left at the end."""
    known = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    two = []
    try:
        for index, out in enumerate(outs):
            words = ["--views-on", "device", *more, *(of_second if index else ())]
            environment = {**known, "KERAS_DISTRIBUTION_PROCESS_ID": str(index)}
            two.append(started("jax", tree, out, *words, more_environment=environment))
        yield two
    finally:
        for process in two:
            process.kill()
            process.communicate()


ON_JAX = pytest.mark.skipif("jax" not in BACKENDS, reason="keras.distribution is implemented for JAX only")


@ON_JAX
@pytest.mark.parametrize(("preset", "teachers_see"), [("nano-short", "views"), ("edge-short", "images")])
def test_two_processes_train_as_one(
    tree: Path, teachers: dict[str, Path], tmp_path: Path, preset: str, teachers_see: str
) -> None:
    """As on two hosts, each with half of every batch: the same losses to 1e-4; the first one alone writes and prints."""
    assert PRESETS[preset].teachers_see == teachers_see
    more = ["--preset", preset, "--teacher", str(teachers["jax"]), "--epochs", "2", "--learning-rate", "0.003"]
    train("jax", tree, tmp_path / "one", "--views-on", "device", *more)
    outs = [tmp_path / "first", tmp_path / "second"]
    with two_started(tree, outs, *more) as two:
        printed = [process.communicate(timeout=600) for process in two]
        assert [process.returncode for process in two] == [0, 0], printed
    assert "2 devices of 2 processes" in printed[0][1] and "validation accuracy" in printed[0][0]
    assert not any("epoch" in text for text in printed[1]) and not outs[1].exists()
    one, first = (json.loads((folder / "history.json").read_text()) for folder in (tmp_path / "one", outs[0]))
    for key in ("loss", "val_loss"):
        losses = [[epoch[key] for epoch in history["epochs"]] for history in (one, first)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-4 if key == "loss" else 1e-3)
    assert (outs[0] / "model.keras").is_file() and (outs[0] / "checkpoint.npz").is_file()


@ON_JAX
def test_two_processes_are_stopped_by_sigterm_and_resumed(tree: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "run"] * 2
    with two_started(tree, outs, "--epochs", "30") as two:
        assert two[0].stderr is not None
        assert any(line.startswith("epoch   1") for line in two[0].stderr), "it is printed after the checkpoint"
        for process in two:
            process.terminate()
        assert [process.wait(timeout=60) for process in two] == [-signal.SIGTERM] * 2
    with two_started(tree, outs, "--epochs", "30", "--resume", "--early-stopping", "1") as two:
        printed = [process.communicate(timeout=600) for process in two]
        assert [process.returncode for process in two] == [0, 0], printed
    assert "epoch" in printed[0][1] and "epoch   1" not in printed[0][1]


@ON_JAX
def test_a_process_of_another_run_ends_with_a_sentence(tree: Path, tmp_path: Path) -> None:
    """Though JAX would wait for the first one, which waits for this one."""
    with two_started(tree, [tmp_path / "run"] * 2, of_second=["--seed", "7"]) as (_, second):
        _, messages = second.communicate(timeout=120)
        assert second.returncode == 2 and "another data set, recipe" in messages


@ON_JAX
def test_a_process_without_the_first_one_ends_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="no process listens on"):
        Processes(2, 1, ("127.0.0.1", free_port())).join(patience_s=0)
