"""One trained model for all tests of the host, and the images that it was trained on."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_NETWORK, samples_csv

from convert.data.samples import Samples


@pytest.fixture(scope="session")
def bars() -> Samples:
    """Seven directions of stripes in noise, 20 gray levels either way; 350 to train, 140 to validate, 140 to test."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:48, :48]
    x, y = [], np.arange(630) % 7
    for k in y:
        angle = np.pi * k / 7
        phase = rng.uniform(0, 2 * np.pi)
        stripes = 20 * np.sin((u * np.cos(angle) + v * np.sin(angle)) * 0.6 + phase)
        x.append(np.clip(120 + stripes + rng.normal(0, 25, (48, 48)), 0, 255))
    split = np.repeat(["train", "validation", "test"], [350, 140, 140])
    return Samples(np.array(x, np.uint8)[..., None], y.astype(np.int64), split, tuple(f"bar {i}" for i in range(630)))


@pytest.fixture(scope="session")
def data(bars: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bars as FER2013's CSV."""
    return samples_csv(bars, tmp_path_factory.mktemp("csv"))


@pytest.fixture(scope="session")
def trained(bars: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run of SMALL_NETWORK on the bars, for reading only.

    It is trained once, by whichever worker process of pytest needs it first.
    """
    from convert.train.presets import PRESETS
    from convert.train.trainer import train

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "run").exists():
            # enough steps for the moving statistics, which begin at a variance of 1, to forget that
            recipe = replace(PRESETS["paper"], epochs=20, batch=7, learning_rate=2e-3)
            history = train(bars, folder / "unfinished", SMALL_NETWORK, recipe)
            assert history.best.val_accuracy > 0.5
            (folder / "unfinished").rename(folder / "run")
    return folder / "run"
