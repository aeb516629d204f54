"""The table of device/README.md is that of the committed results, and says how its figures were taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from convert.report.readme_table import with_block
from tests.bench.figures import BEGIN, README, RESULTS, block, newest

PAGE = Path(__file__).parents[2] / "docs/pages/many-devices.md"


def test_the_table_is_that_of_the_results() -> None:
    assert with_block(README.read_text(), block(), BEGIN) == README.read_text(), "run `make figures`"


def test_the_time_of_a_summary_is_named_as_the_best_of_its_runs(tmp_path: Path) -> None:
    for file in RESULTS.glob("*.json"):
        shutil.copyfile(file, tmp_path / file.name)
    result = newest("logbook")
    result["runs"]["summary"] |= {"seconds_each": [4.04, 1.96], "rss_mb": 20.2}
    (tmp_path / "logbook-2999-01-01.json").write_text(json.dumps(result))
    assert "| 2.0 s, best of 2 (to 4.0 s); 20 MB |" in block(tmp_path)


def test_faces_that_are_counted_at_each_size_are_named_as_such(tmp_path: Path) -> None:
    for file in RESULTS.glob("*.json"):
        shutil.copyfile(file, tmp_path / file.name)
    result = newest("faces-by-size")
    result["n"] = 1200
    (tmp_path / "faces-by-size-2999-01-01.json").write_text(json.dumps(result))
    large = [row for row in result["rows"] if row["size_px"] >= 90]
    pairs = f"{sum(row['both'] for row in large):,} pairs"
    assert len(large) > 3
    assert f": 1,200 faces at {len(large)} sizes, {pairs} of face and size that are found |" in block(tmp_path)


def test_the_sentence_on_the_time_of_a_summary_has_its_fastest_and_its_slowest_run() -> None:
    each = newest("logbook")["runs"]["summary"]["seconds_each"]
    words = f"takes {min(each):.1f} to {max(each):.1f} s (three runs"
    assert len(each) == 3
    assert words in " ".join(PAGE.read_text().split())
