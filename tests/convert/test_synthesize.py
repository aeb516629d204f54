"""`python -m convert.synthesize`: images from a model's own statistics, in a file that quantization reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import SMALL_NETWORK

from convert.quantize.synthetic_images import CHECK_IMAGES, FILE_NAME, IMAGES, SyntheticImages
from convert.synthesize import main
from convert.train.networks import build_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with batch normalisation."""
    path = tmp_path_factory.mktemp("float") / "model.keras"
    build_network(SMALL_NETWORK).save(path)
    return path


def made(model: Path, out: Path, *flags: str) -> SyntheticImages:
    assert main([str(model), "--out", str(out), *flags]) == 0
    return SyntheticImages.load(out, model)


def test_steps_and_seed_are_those_of_the_command(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = made(model, tmp_path / "two.npz", "--steps", "2")
    assert capsys.readouterr().out == (
        f"{tmp_path / 'two.npz'}: {IMAGES} images to calibrate on and {CHECK_IMAGES} to check with\n"
    )
    side = images.calibrate.shape[1]
    assert images.calibrate.shape == (IMAGES, side, side) and images.check.shape == (CHECK_IMAGES, side, side)
    assert (images.settings["steps"], images.settings["seed"]) == (2, 0)
    longer = made(model, tmp_path / "three.npz", "--steps", "3")
    other = made(model, tmp_path / "seed.npz", "--steps", "2", "--seed", "4")
    assert (longer.settings["steps"], other.settings["seed"]) == (3, 4)
    for different in (longer, other):
        assert not np.array_equal(different.calibrate, images.calibrate)
        assert not np.array_equal(different.check, images.check)


def of_layers(*layers: str, channels: int = 1) -> Any:
    import keras

    known = {
        "conv": lambda: keras.layers.Conv2D(4, 3),
        "norm": keras.layers.BatchNormalization,
        "flat": keras.layers.Flatten,
        "dense": lambda: keras.layers.Dense(7),
        "nested": lambda: keras.Sequential(
            [keras.Input((24, 24, channels)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
        ),
    }
    return keras.Sequential([keras.Input((24, 24, channels)), *(known[name]() for name in layers)])


@pytest.mark.parametrize("layers", [("conv", "norm", "flat", "dense"), ("conv", "norm", "flat", "norm", "dense")])
def test_an_ordinary_sequential_model_has_images(layers: tuple[str, ...], tmp_path: Path) -> None:
    of_layers(*layers).save(tmp_path / "model.keras")
    assert made(tmp_path / "model.keras", tmp_path / "images.npz", "--steps", "1").calibrate.shape[1:] == (24, 24)


@pytest.mark.parametrize(
    ("layers", "channels", "code", "says"),
    [
        (("flat", "norm", "dense"), 1, 6, "the model has no batch normalisation of channels to synthesize images from"),
        (("nested", "flat", "dense"), 1, 6, "no batch normalisation of channels outside the models within it"),
        (("conv", "norm", "flat", "dense"), 3, 2, "are synthesized for models of gray pictures, and this one takes 3"),
    ],
)
def test_a_model_without_usable_statistics_gets_a_sentence(
    layers: tuple[str, ...], channels: int, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_layers(*layers, channels=channels).save(tmp_path / "model.keras")
    assert main([str(tmp_path / "model.keras"), "--steps", "1"]) == code
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_the_images_lie_beside_the_model_by_default(model: Path) -> None:
    assert main([str(model), "--steps", "1"]) == 0
    assert SyntheticImages.load(model.with_name(FILE_NAME), model).settings["steps"] == 1
