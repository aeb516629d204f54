"""An ablation leaves out each ingredient once, and nothing else with it."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from convert.train.presets import PRESETS
from tests.bench.ablation import without_each


@pytest.mark.parametrize("preset", ["edge", "nano", "teacher"])
def test_an_ablation_leaves_out_one_ingredient_at_a_time(preset: str) -> None:
    own = asdict(PRESETS[preset])
    varied = {name: asdict(recipe) for name, recipe in without_each(PRESETS[preset])}
    assert varied.pop("as it is") == own
    changed = {name: {key for key in own if recipe[key] != own[key]} for name, recipe in varied.items()}
    assert all(len(keys) == 1 for keys in changed.values()), changed
    for name in ("averaging", "weight decay", "flip", "scale"):
        assert f"without {name}" in varied
    assert ("at full size throughout" in varied) == bool(PRESETS[preset].progressive_sides)


def test_the_published_recipe_has_no_ingredients() -> None:
    assert [name for name, _ in without_each(PRESETS["paper"])] == ["as it is"]
