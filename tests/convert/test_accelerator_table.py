"""The table of the runs on an accelerator is the one that the committed histories give."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.report.accelerator_table import BEGIN, RUNS, block
from convert.report.readme_table import with_block
from convert.train.history import TrainingHistory

MODELS = Path(__file__).parents[2] / "models"


def test_the_page_has_the_table_of_the_histories() -> None:
    page = (MODELS / "README.md").read_text()
    assert with_block(page, block(MODELS), BEGIN) == page, "run `python -m convert.readme`"
    rows = [line for line in block(MODELS).splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in RUNS]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_names_its_hardware_and_its_outside_labels(name: str) -> None:
    run = TrainingHistory.read(MODELS / "accelerator" / f"{name}.json")
    assert run.hardware and run.framework and run.external is None
    assert bool(run.known_outside_labels) == (name != "teacher2")
    assert bool(run.teachers) == (not name.startswith("teacher"))
