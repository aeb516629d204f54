"""Every preset is released or has a row in models/README.md, and that table is the one that the code writes."""

from __future__ import annotations

from pathlib import Path

from convert.report.preset_table import BEGIN, UNRELEASED, block
from convert.report.readme_table import with_block
from convert.train.presets import PRESETS

MODELS = Path(__file__).parents[2] / "models"


def test_every_preset_is_released_or_has_a_row() -> None:
    released = {name for name in PRESETS if (MODELS / name / "bundle.json").is_file()}
    assert released | UNRELEASED.keys() == PRESETS.keys()
    assert not released & UNRELEASED.keys()


def test_the_table_of_presets_is_that_of_the_networks() -> None:
    page = (MODELS / "README.md").read_text()
    assert with_block(page, block(), BEGIN) == page, "run `python -m convert.readme`"
