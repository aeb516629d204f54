"""An ablation leaves out each ingredient once, and nothing else with it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from builders import samples_csv

from convert.data.samples import Samples
from convert.train.presets import PRESETS
from tests.bench.ablation import VOTES_HEAD, Result, main, of_length, table, without_each


@pytest.mark.parametrize("preset", ["edge", "nano", "teacher"])
def test_an_ablation_leaves_out_one_ingredient_at_a_time(preset: str) -> None:
    own = asdict(PRESETS[preset])
    varied = {name: asdict(recipe) for name, recipe in without_each(PRESETS[preset])}
    assert varied.pop("as it is") == own
    changed = {name: {key for key in own if recipe[key] != own[key]} for name, recipe in varied.items()}
    for name in ("half the epochs", "twice the epochs"):
        assert changed.pop(name) == {"epochs", "warmup", "averaging"}
    two = {name for name, keys in changed.items() if len(keys) != 1}
    assert two <= {f"without teachers, {VOTES_HEAD}"}, changed
    for name in ("averaging", "weight decay", "flip", "scale"):
        assert f"without {name}" in varied
    assert ("at full size throughout" in varied) == bool(PRESETS[preset].progressive_sides)


def test_the_average_of_a_shorter_run_covers_the_same_share_of_it() -> None:
    short = of_length(PRESETS["edge"], 9)
    assert (short.epochs, short.warmup) == (9, 0.188) and short.averaging == pytest.approx(0.998**16, abs=1e-6)
    assert of_length(PRESETS["paper"], 9) == replace(PRESETS["paper"], epochs=9), "without an average and a warm-up"


def test_the_published_recipe_has_no_ingredients() -> None:
    added = {VOTES_HEAD, "half the epochs", "twice the epochs"}
    assert {name for name, _ in without_each(PRESETS["paper"])} == {"as it is", *added}


def test_the_table_compares_with_the_first_row() -> None:
    results = [Result("as it is", (0.70, 0.72)), Result("without flip", (0.69,))]
    assert table("edge, 14 epochs", results, 3589).splitlines()[2:] == [
        "| as it is | 71.00 ± 1.41 | +0.00 | 2 |",
        "| without flip | 69.00 | -2.00 | 1 |",
    ]


def test_a_row_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path), "--only", "without luck"]
    assert main(arguments) == 2
    assert "no row is named without luck; there are: as it is" in capsys.readouterr().err


def test_rows_train_once_and_are_read_again(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (105, 48, 48, 1), np.uint8)
    parts = np.repeat(["train", "validation", "test"], [70, 21, 14])
    small_set = samples_csv(Samples(x, np.arange(105) % 7, parts, tuple(f"noise {i}" for i in range(105))), tmp_path)
    arguments = ["--data", str(small_set), "--out", str(tmp_path / "runs"), "--preset", "nano", "--epochs", "2"]
    arguments += ["--seeds", "1", "--only", "half the epochs"]
    assert main(arguments) == 0
    written = (tmp_path / "runs" / "ablation.json").read_text()
    assert [row["recipe"] for row in json.loads(written)] == ["as it is", "half the epochs"]
    at = (tmp_path / "runs" / "as-it-is-0" / "model.keras").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (tmp_path / "runs" / "ablation.json").read_text() == written
    assert (tmp_path / "runs" / "as-it-is-0" / "model.keras").stat().st_mtime_ns == at
