"""Every table of a report keeps its columns when a name has the sign that ends a cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convert.data.samples import Samples
from convert.evaluate.metrics import wilson_interval
from convert.evaluate.pictures import PictureReport, PictureScores, Proportion
from convert.parity.parity_report import FILE_NAME, read_parity
from convert.parity.reference_free_report import reference_free_report
from convert.parity.runtime_logits import logits_on_runtime
from convert.report.parity_table import parity_table, report_table
from convert.report.pictures_markdown import pictures_markdown
from convert.report.table_cells import cell
from fer_edge.classifier import Classifier
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path

ODD = "a|b"
SHARE = Proportion(3, wilson_interval(2, 3))


def require_whole_tables(text: str) -> int:
    """The number of rows that name ODD; every row of a table has as many cells as its head."""
    named, columns = 0, None
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = line.replace(r"\|", "").count("|")
        columns = columns or cells
        assert cells == columns, line
        named += cell(ODD) in line
    return named


def test_a_cell_ends_at_its_end() -> None:
    assert cell("a|b|c") == r"a\|b\|c" and cell("happy") == "happy"


@pytest.mark.parametrize("name", ["edge", "edge-votes"])
def test_the_tables_of_a_parity_report_are_whole(name: str, tmp_path: Path) -> None:
    text = (shipped_path(name) / FILE_NAME).read_text().replace('"happy"', json.dumps(ODD))
    (tmp_path / FILE_NAME).write_text(text.replace('"litert 2.3.0, ', '"litert|2.3.0, '))
    report = read_parity(tmp_path)
    rows = require_whole_tables(parity_table(report))
    with_labels = report.confidence is not None and report.confidence.labels is not None
    assert rows == 2 * len(report.parts) + with_labels and with_labels
    assert r"| litert\|2.3.0, " in parity_table(report)


def test_the_tables_of_a_report_without_a_float_model_are_whole() -> None:
    rng = np.random.default_rng(0)
    labels = (ODD, *LABELS[1:])
    samples = Samples(
        rng.integers(0, 256, (70, 48, 48, 1)).astype(np.uint8),
        np.arange(70) % 7,
        np.array(["validation", "test"]).repeat(35),
        tuple(f"{i}.png" for i in range(70)),
        labels=labels,
    )
    classifier = Classifier(shipped_path("nano") / "model.tflite")
    report = reference_free_report([logits_on_runtime(classifier, samples.x[..., 0])], samples, labels)
    assert require_whole_tables(report_table(report)) >= 2


def test_the_tables_of_a_report_on_pictures_are_whole() -> None:
    scores = PictureScores(SHARE, SHARE, SHARE, SHARE)
    report = PictureReport("m", "haar", 3, None, "of Wilson", 0, {ODD: scores}, scores, {ODD: SHARE}, (), {})
    assert require_whole_tables(pictures_markdown(report)) == 2
