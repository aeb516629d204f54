"""The targets of the released models, checked against the reports that were committed with them.

A target that is not reached yet is a strict expected failure: it is listed at the end of `make test`, and the line goes when
the model passes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.train.history import TrainingHistory

MODELS = Path(__file__).parents[1] / "models"


def read(name: str) -> dict[str, Any]:
    """A model's row in the comparison with the peers, on PrivateTest."""
    report = json.loads((MODELS / "peers" / "peers.json").read_text())
    entries: dict[str, Any] = {entry["name"]: entry for entry in report["entries"]}
    return {**entries[name], **entries[name]["standings"]["test"], "entries": report["entries"]}


def best_peer(row: dict[str, Any]) -> float:
    return max(e["standings"]["test"]["accuracy"]["value"] for e in row["entries"] if not e["ours"])


Check = Callable[[dict[str, Any]], bool]
TARGETS: dict[str, tuple[str, Check]] = {
    "edge: at most 1.7 MB": ("edge", lambda r: r["bytes"] <= 1_700_000),
    "edge: at most 200 M multiply-adds": ("edge", lambda r: r["multiply_adds"] <= 200e6),
    "edge: accuracy 71.8 %": ("edge", lambda r: r["accuracy"]["value"] >= 0.718),
    "edge: macro AUC .935": ("edge", lambda r: r["macro_auc"]["value"] >= 0.935),
    "edge: weakest recall 47 %": ("edge", lambda r: r["weakest_recall"]["value"] >= 0.47),
    "edge: time at most 1.3 of fer's": ("edge", lambda r: r["latency"]["ratio"] <= 1.3),
    "edge: three points above every peer": ("edge", lambda r: r["accuracy"]["value"] >= best_peer(r) + 0.03),
    "large: at most 4.5 MB": ("large", lambda r: r["bytes"] <= 4_500_000),
    "large: at most 360 M multiply-adds": ("large", lambda r: r["multiply_adds"] <= 360e6),
    "large: accuracy 73.0 %": ("large", lambda r: r["accuracy"]["value"] >= 0.730),
    "large: macro AUC .940": ("large", lambda r: r["macro_auc"]["value"] >= 0.940),
    "large: weakest recall 50 %": ("large", lambda r: r["weakest_recall"]["value"] >= 0.50),
    "nano: at most 93,000 bytes": ("nano", lambda r: r["bytes"] <= 93_000),
    "nano: at most 30 M multiply-adds": ("nano", lambda r: r["multiply_adds"] <= 30e6),
    "nano: accuracy 69.0 %": ("nano", lambda r: r["accuracy"]["value"] >= 0.690),
    "nano: macro AUC .920": ("nano", lambda r: r["macro_auc"]["value"] >= 0.920),
    "nano: weakest recall 44 %": ("nano", lambda r: r["weakest_recall"]["value"] >= 0.44),
    "nano: time at most half of fer's": ("nano", lambda r: r["latency"]["ratio"] <= 0.5),
}
# of the eight classes of FER+, in its own report
BY_VOTES: dict[str, Check] = {
    "3,502 images of eight classes": lambda r: r["scores"]["n"] == 3502 and len(r["scores"]["classes"]) == 8,
    "the labels are those of the votes": lambda r: "FER+" in r["data"]["labels_from"],
    "at most 1.7 MB": lambda r: r["subject"]["file_bytes"] <= 1_700_000,
    "accuracy 85.0 %": lambda r: r["scores"]["accuracy"]["value"] >= 0.850,
    "macro AUC .970": lambda r: r["scores"]["macro_auc"]["value"] >= 0.970,
}
# models/README.md says what is not reached yet, and why.
NOT_YET: set[str] = set()


def of_parity(name: str) -> dict[str, Any]:
    """Float against int8 on both test parts, of the worst column measured."""
    report = json.loads((MODELS / name / "parity.json").read_text())
    return {**report["parts"]["together"], "verdict": report["verdict"]}


def recalls_within(row: dict[str, Any], points: float) -> bool:
    """Each class's recall within so many points of float's, or two of its images, whichever is more."""
    return all(abs(c["recall"]["difference"]) <= max(points / 100, 2 / c["n"]) + 1e-9 for c in row["classes"].values())


def areas_within(row: dict[str, Any], macro: float, each: float) -> bool:
    changes = [c["auc"]["difference"] for c in row["classes"].values()]
    return abs(row["macro_auc"]["difference"]) <= macro and max(map(abs, changes)) <= each


PARITY: dict[str, tuple[str, Check]] = {
    "edge: parity passed": ("edge", lambda r: r["verdict"] == "pass"),
    "edge: int8 within .3 points": ("edge", lambda r: abs(r["accuracy"]["difference"]) <= 0.003),
    "edge: each recall within a point": ("edge", lambda r: recalls_within(r, 1.0)),
    "edge: AUC within .001, each within .003": ("edge", lambda r: areas_within(r, 0.001, 0.003)),
    "edge: the same label on 98.5 %": ("edge", lambda r: r["agreement"] >= 0.985),
    "large: parity passed": ("large", lambda r: r["verdict"] == "pass"),
    "large: int8 within .3 points": ("large", lambda r: abs(r["accuracy"]["difference"]) <= 0.003),
    "large: the same label on 98.5 %": ("large", lambda r: r["agreement"] >= 0.985),
    "edge-votes: parity passed": ("edge-votes", lambda r: r["verdict"] == "pass"),
    "edge-votes: int8 within .3 points": ("edge-votes", lambda r: abs(r["accuracy"]["difference"]) <= 0.003),
    "edge-votes: the same label on 98.5 %": ("edge-votes", lambda r: r["agreement"] >= 0.985),
    "nano: parity passed": ("nano", lambda r: r["verdict"] == "pass"),
    "nano: int8 within .5 points": ("nano", lambda r: abs(r["accuracy"]["difference"]) <= 0.005),
    "nano: each recall within 1.5 points": ("nano", lambda r: recalls_within(r, 1.5)),
    "nano: AUC within .002, each within .005": ("nano", lambda r: areas_within(r, 0.002, 0.005)),
    "nano: the same label on 97 %": ("nano", lambda r: r["agreement"] >= 0.97),
}


def targets(names: dict[str, tuple[str, Check]]) -> list[Any]:
    """Each target by its name, those not reached yet as strict expected failures."""
    not_yet = pytest.mark.xfail(strict=True, reason="not reached yet")
    return [pytest.param(name, marks=not_yet) if name in NOT_YET else name for name in names]


@pytest.mark.parametrize("target", targets(TARGETS))
def test_a_released_model_reaches_its_target(target: str) -> None:
    name, reached = TARGETS[target]
    assert reached(read(name))


@pytest.mark.parametrize("target", BY_VOTES)
def test_the_model_of_ferplus_classes_reaches_its_target(target: str) -> None:
    assert BY_VOTES[target](json.loads((MODELS / "edge-votes" / "report" / "report.json").read_text()))


@pytest.mark.parametrize(("name", "points"), [("edge", 0.3), ("nano", 0.5)])
def test_quantization_without_data_is_as_accurate(name: str, points: float) -> None:
    """On PublicTest, by `python -m tests.bench.quantization_variants`, whose model is the released one."""
    rows = {row["name"]: row for row in json.loads((MODELS / "choices" / f"{name}.json").read_text())["rows"]}
    calibration = json.loads((MODELS / name / "bundle.json").read_text())["provenance"]["calibration"]
    by_error = calibration["ranges"].get("round_by_error", False)
    released = rows["weights rounded by layer error" if by_error else "int8, per channel"]
    synthetic = next(row for label, row in rows.items() if label.endswith("synthetic images"))
    assert released["bytes"] == (MODELS / name / "model.tflite").stat().st_size, "run it again for the released model"
    assert abs(synthetic["accuracy_points"] - released["accuracy_points"]) <= points


def test_what_is_said_of_the_quantization_variants_is_in_their_tables() -> None:
    page = " ".join((MODELS.parent / "tests/bench/README.md").read_text().split())
    (edge, nano) = (
        {row["name"]: row for row in json.loads((MODELS / "choices" / f"{name}.json").read_text())["rows"]}
        for name in ("edge", "nano")
    )

    def changed(name: str) -> tuple[str, str]:
        return f"{(1 - edge[name]['agreement']) * 100:.2f}", f"{(1 - nano[name]['agreement']) * 100:.2f}"

    for name, sentence in {
        "int8, per channel": "label of {} % (`edge`) and {} % (`nano`) of the images",
        "int8, per tensor": "with a scale per tensor it is {} and {} %",
        "TensorFlow's converter, min–max ranges": "own ranges change {} and {} % of the labels",
        "without bias correction": "Without bias correction it is {} and {} %",
        "without range search": "without the range search {} and {} %",
        "without channel equalization": "without equalization {} and {} %",
    }.items():
        assert sentence.format(*changed(name)) in page, name
    (a, b), (c, d) = changed("dynamic range"), changed("16×8")
    assert f"change fewer labels ({a} and {b} %; {c} and {d} %)" in page
    assert f"({edge['16×8']['ratio']:.0f} and {nano['16×8']['ratio']:.0f} times float32's time)" in page
    smaller = [1 - rows["int8, per tensor"]["bytes"] / rows["int8, per channel"]["bytes"] for rows in (edge, nano)]
    assert f"a smaller file (by {smaller[0] * 100:.0f} and {smaller[1] * 100:.0f} %)" in page


@pytest.mark.parametrize("target", targets(PARITY))
def test_parity_of_int8_and_float_is_within_its_target(target: str) -> None:
    name, reached = PARITY[target]
    assert reached(of_parity(name))


def test_the_comparison_names_the_outside_labels_of_each_of_our_models() -> None:
    ours = [e for e in json.loads((MODELS / "peers" / "peers.json").read_text())["entries"] if e["ours"]]
    known = {e["name"]: TrainingHistory.read(MODELS / e["name"] / "history.json").known_outside_labels for e in ours}
    assert [name for name, labels in known.items() if labels] == ["edge", "nano", "large"]
    for entry in ours:
        _, _, declared = entry["trained_on"].partition("outside labels: ")
        assert declared == (known[entry["name"]] or "")


@pytest.mark.parametrize(
    "name",
    [
        "edge",
        "edge-mixed",
        pytest.param("large", marks=pytest.mark.xfail(strict=True, reason="not reached by large: up to -1.4 points")),
    ],
)
def test_detected_crops_cost_at_most_a_point(name: str) -> None:
    """On all faces of PublicTest, at 90 px and above, by the default detector (`python -m convert.crops`)."""
    report = MODELS / name / "report"
    all_faces = report / "crops-all-faces.json"
    table = json.loads((all_faces if all_faces.exists() else report / "crops.json").read_text())
    rows = [row for row in table["rows"] if row["detector"] == "blazeface-zoomed" and row["size_px"] >= 90]
    assert table["n"] == 3589 and [row["size_px"] for row in rows] == [90, 120, 180, 240, 300, 400, 460]
    assert {row["size_px"]: row["difference"]["value"] for row in rows if row["difference"]["value"] < -0.01} == {}


def test_a_face_that_fills_the_frame_is_found() -> None:
    """In 99 % of the pictures and more, on PublicTest's faces that FER+'s raters call one."""
    rows = json.loads((MODELS / "edge-mixed" / "report" / "crops-close-ups.json").read_text())["rows"]
    assert {row["size_px"]: row["some_face_share"] >= 0.99 for row in rows} == {300: True, 400: True, 460: True}


def test_few_clearly_neutral_faces_get_another_label_from_the_default() -> None:
    """On PrivateTest: of the faces that at least 70 % of the votes that count call neutral, with the bundle's thresholds."""
    report = json.loads((MODELS / "edge-mixed" / "report" / "votes" / "report.json").read_text())
    rows = {row["label"]: row for row in report["clear"]["reported"]}
    assert rows["neutral"]["wrong"] <= 0.03 and rows["neutral"]["right"] >= 0.75
    assert report["clear"]["scores"]["balanced_accuracy"]["value"] >= 0.85
