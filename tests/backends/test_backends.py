"""Training on another backend of Keras 3, where there is no TensorFlow: the same command, and a model Keras loads again.

`make test-backends` runs this in an environment with JAX and without TensorFlow; `make test` leaves the folder out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
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


def train(backend: str, tree: Path, out: Path, *more: str) -> None:
    command = [sys.executable, "-m", "convert.train", "--preset", "nano", "--data", tree, "--out", out]
    command += ["--classes", "own", "--precision", "float32", "--epochs", "3", *more]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    ran = subprocess.run([*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_there_is_a_backend_to_try() -> None:
    assert BACKENDS, "neither jax nor torch is installed; `make test-backends` makes an environment with one"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_student_is_trained_and_its_teacher_loaded(backend: str, tree: Path, tmp_path: Path) -> None:
    train(backend, tree, tmp_path / "teacher")
    train(backend, tree, tmp_path / "student", "--teacher", str(tmp_path / "teacher"))
    for run, teachers in (("teacher", 0), ("student", 1)):
        history = json.loads((tmp_path / run / "history.json").read_text())
        assert len(history["epochs"]) == 3 and len(history["teachers"]) == teachers
        assert history["labels"] == [f"angle-{k}" for k in range(4)]
        assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"]
        script = "import keras, sys; m = keras.models.load_model(sys.argv[1]); print(m.output_shape[-1], m.dtype)"
        loaded = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / run / "model.keras")],
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": backend},
            check=True,
            capture_output=True,
            text=True,
        )
        assert loaded.stdout.split() == ["4", "float32"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_resumed(backend: str, tree: Path, tmp_path: Path) -> None:
    train(backend, tree, tmp_path / "run")
    finished = (tmp_path / "run" / "checkpoint.npz").stat().st_mtime_ns
    train(backend, tree, tmp_path / "run", "--resume")
    assert (tmp_path / "run" / "checkpoint.npz").stat().st_mtime_ns == finished, "nothing was left to do"
