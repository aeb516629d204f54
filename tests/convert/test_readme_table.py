"""The measured figures of both READMEs: released models only, those of other labels on a line of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders import external_history

from convert.data.ferplus import LABEL_RULE
from convert.report import summary_table
from convert.report.readme_table import block
from fer_edge.errors import UsageError

MODELS = Path(__file__).parents[2] / "models"
CLOSE_UPS = "crops-close-ups.json"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The reports of edge, nano and paper, as they are in models/, and the comparison with the peers of these three."""
    for name in ("edge", "nano", "paper"):
        (tmp_path / name).mkdir()
        for file in ("report", "parity.json", "history.json"):
            copy = shutil.copytree if file == "report" else shutil.copyfile
            copy(MODELS / name / file, tmp_path / name / file)
    (tmp_path / "peers").mkdir()
    values = json.loads((MODELS / "peers" / "peers.json").read_text())
    values["entries"] = [entry for entry in values["entries"] if entry["name"] != "large"]
    (tmp_path / "peers" / "peers.json").write_text(json.dumps(values))
    return tmp_path


def add_to_peers(models: Path, name: str) -> None:
    path = models / "peers" / "peers.json"
    values = json.loads(path.read_text())
    edge = next(entry for entry in values["entries"] if entry["name"] == "edge")
    values["entries"].append({**edge, "name": name, "bytes": 4_342_240})
    path.write_text(json.dumps(values))


def test_a_model_that_is_not_released_has_no_figures(models: Path) -> None:
    text = block(models)
    assert "| | **edge** | **nano** | **paper** |" in text and "`large`" not in text and "edge-votes" not in text


def test_large_is_a_column_once_it_is_released_and_compared(models: Path) -> None:
    shutil.copytree(models / "edge", models / "large")
    external_history().write(models / "large" / "history.json")
    with pytest.raises(UsageError, match="has no large; `make peers` measures it"):
        block(models)
    add_to_peers(models, "large")
    text = block(models)
    assert "| | **edge** | **nano** | **large** | **paper** |" in text and "| 4,342,240 |" in text
    assert "Epoch 20 of 22, seed 0." in text
    assert " `large`: trained outside `python -m convert.train` (PyTorch 2.11, one NVIDIA H200);" in text
    assert "; outside labels: FER+ votes (MIT)." in text


def test_a_model_of_other_labels_has_a_line_of_its_own(models: Path) -> None:
    shutil.copytree(models / "edge", models / "edge-votes")
    path = models / "edge-votes" / "report" / "report.json"
    values = json.loads(path.read_text())
    values["data"]["labels_from"] = LABEL_RULE
    path.write_text(json.dumps(values))
    text = block(models)
    (line,) = (line for line in text.splitlines() if line.startswith("- `edge-votes` is judged by other labels"))
    assert LABEL_RULE in line and "n = 3,589 of PrivateTest: accuracy 7" in line and "weakest recall fear" in line
    assert "**edge-votes**" not in text and "Its int8 − float on both test parts" in line


def test_the_short_table_has_a_row_for_each_released_model_and_one_for_the_peer(models: Path) -> None:
    lines = summary_table.block(models).splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:]] == [
        *(f"**[{name}](models/{name}/CARD.md)**" for name in ("edge", "nano", "paper")),
        "fer (TFLite)",
    ]
    entries = {e["name"]: e for e in json.loads((models / "peers" / "peers.json").read_text())["entries"]}
    edge, accuracy = entries["edge"], entries["edge"]["standings"]["test"]["accuracy"]["value"]
    assert (
        f"| {accuracy * 100:.1f} (" in lines[4]
        and f"| {edge['bytes']:,} | {edge['latency']['ratio']:.2f}× |" in lines[4]
    )
    assert lines[-1].endswith("|  | 93,160 | 1.00× |"), "of other packages, float is not known"


def test_the_default_has_the_time_of_the_network_that_it_shares(models: Path) -> None:
    shutil.copytree(models / "edge", models / "edge-mixed")
    lines = summary_table.block(models).splitlines()
    line = lines[4]
    assert line.startswith("| **[edge-mixed]") and line.endswith("| same network as `edge` |")
    assert "on 68.5 % against 68.5 % of the 3,477 images that have a majority ([" in lines[-1], "a copy of edge"
    assert "int8 − float: validation and test part together, 7,178 images." in lines[0]


def test_the_default_has_its_accuracy_without_images_that_are_also_in_training(models: Path) -> None:
    shutil.copytree(models / "edge", models / "edge-mixed")
    shutil.copyfile(MODELS / "edge-mixed/report" / CLOSE_UPS, models / "edge-mixed/report" / CLOSE_UPS)
    for name, value, by_votes in (("edge-mixed", 0.61, 0.62), ("edge", 0.63, 0.64)):
        for file, accuracy in (("report.json", value), ("votes/report.json", by_votes)):
            path = models / name / "report" / file
            values = json.loads(path.read_text())
            values["unseen"]["accuracy"] = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
            path.write_text(json.dumps(values))
    (line,) = (line for line in block(models).splitlines() if line.startswith("- `edge-mixed`, the default, against"))
    assert (
        "72.0 (70.5–73.4) % (without duplicates 61.0 (59.0–63.0) against 63.0 (61.0–65.0) %); on the majority" in line
    )
    assert " (without duplicates 62.0 (60.0–64.0) against 64.0 (62.0–66.0) %), balanced accuracy" in line
    last = summary_table.block(models).splitlines()[-1]
    assert (
        "Without the 288 images that are also in Training, the accuracies of the table are 61.0 % (`edge-mixed`) and"
        in last
    )


def test_it_says_what_is_reported_of_neutral_faces(models: Path) -> None:
    shutil.copytree(models / "edge", models / "edge-mixed")
    path = models / "edge-mixed" / "report" / "votes" / "report.json"
    values = json.loads(path.read_text())
    rows = values["clear"]["reported"]
    (neutral,) = (row for row in rows if row["label"] == "neutral")
    neutral.update(n=500, right=0.9, unsure=0.094, wrong=0.006)
    path.write_text(json.dumps(values))
    for text in (summary_table.block(models), summary_table.default_accuracy(models)):
        assert (
            "Of the 500 faces that at least 70 % of the votes that count call neutral, a device reports 90 % as `neu"
            in text
        )
        assert "9 % as `unsure` and 0.6 % as another label; with `edge`, " in text
    del values["clear"]
    path.write_text(json.dumps(values))
    with pytest.raises(UsageError, match="says nothing of clearly neutral faces"):
        summary_table.block(models)


def test_close_ups_say_how_often_a_face_is_found(models: Path) -> None:
    shutil.copytree(models / "edge", models / "edge-mixed")
    path = models / "edge-mixed" / "report" / CLOSE_UPS
    with pytest.raises(UsageError, match=r"crops-close-ups\.json is not a table"):
        block(models)
    rows = [{"size_px": 300, "some_face_share": 0.991, "found_share": 0.976}]
    path.write_text(json.dumps({"scene_px": [480, 640], "n": 1500, "rows": rows}))
    (line,) = (line for line in block(models).splitlines() if line.startswith("- Close-ups"))
    assert "at 300 px 99.1 % (97.6 %)" in line and "640×480 scenes, 1,500 a size" in line
