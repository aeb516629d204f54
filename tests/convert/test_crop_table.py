"""What detection costs: nothing where the detector is exact, what is known where it is off, and the table on real faces."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import bar, write_image

from convert.crops.__main__ import main
from convert.crops.crop_table import crop_table_text, measure_crops
from convert.crops.detected_crops import CropExperiment, measure_detector
from convert.crops.sensitivity import SWEEP, sweep_mapping
from convert.crops.synthetic_scenes import scenes, stratified_rows
from convert.data.samples import Samples
from fer_edge.bundle import Bundle
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import NotEnoughData
from fer_edge.face_crop import CropMapping, crop_square

PX = 192  # four times the crop's side: enlarged and shrunk back, most crops keep their label
LEVEL_EYES = ((0.0, 0.0), (10.0, 0.0))
SHARES = (
    "found_share",
    "some_face_share",
    "accuracy_crop",
    "accuracy_detected",
    "accuracy_box",
    "same_label",
    "accuracy_all",
)


def samples(n: int = 42, part: str = "validation") -> Samples:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 7
    x = np.stack([bar(int(label), rng) for label in y])[..., None]
    return Samples(x, y.astype(np.int64), np.full(n, part), tuple(f"{i}.png" for i in range(n)))


def face_tree(folder: Path, some: Samples) -> Path:
    """The images of `some` as part/class/*.png in a folder."""
    for i, (image, label, part) in enumerate(zip(some.x, some.y, some.split, strict=True)):
        file = folder / str(part) / some.labels[label] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, image[:, :, 0])
    return folder


class KnowsWhere:
    """A detector that is told the true squares of the scenes to come, and answers with boxes made of them."""

    def __init__(
        self, name: str, experiment: CropExperiment, size_px: int, to_box: CropMapping, missed: int = 0
    ) -> None:
        true = [
            (*scene.xy, size_px, size_px) for scene in scenes(experiment.part, experiment.n, size_px, experiment.seed)
        ]
        self.boxes = [crop_square(xywh, to_box) for xywh in true]
        self.name, self.calls, self.missed = name, 0, missed

    def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002 - the protocol's signature
        left, top, side = self.boxes[self.calls % len(self.boxes)]
        self.calls += 1
        return [Face((left, top, side, side), 0.9, LEVEL_EYES)] if self.calls > self.missed else []


@pytest.fixture(scope="module")
def experiment(bundle_path: Path) -> CropExperiment:
    return CropExperiment.of(samples(), Bundle.load(bundle_path), n=42)


@pytest.fixture(scope="module")
def faces(fer2013_samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class tree of 120 of FER2013's PublicTest faces, which is read faster than all of it."""
    part = fer2013_samples.part("validation")
    return face_tree(tmp_path_factory.mktemp("faces"), part.take(stratified_rows(part.y, 120, seed=0)))


def test_the_crop_of_an_exact_box_costs_little_accuracy(experiment: CropExperiment) -> None:
    """The bundle knows no mapping for this detector: then the box is the crop."""
    row, faces = measure_detector(experiment, KnowsWhere("knows-where", experiment, PX, CropMapping(), missed=4), PX)
    assert (row.n, row.found, row.found_share, row.some_face_share) == (42, 38, 38 / 42, 38 / 42)
    assert [face is None for face in faces] == [True] * 4 + [False] * 38
    assert row.same_label is not None and row.same_label > 0.7
    assert row.accuracy_detected == row.accuracy_box
    assert row.accuracy_detected is not None and row.accuracy_all == pytest.approx(row.accuracy_detected * 38 / 42)
    assert row.difference is not None and row.accuracy_crop is not None
    assert row.difference.value == pytest.approx(row.accuracy_detected - row.accuracy_crop)
    assert row.difference.low is not None and row.difference.high is not None
    assert row.difference.low <= row.difference.value <= row.difference.high


def test_the_bundles_mapping_is_what_is_measured(experiment: CropExperiment) -> None:
    """A box half as wide and off the mark: the mapping of its name is applied, and the box itself is worth less."""
    known = experiment.bundle.mapping("haar")
    undone = KnowsWhere("haar", experiment, PX, CropMapping(1 / known.scale, -known.dx, -known.dy))
    exact = KnowsWhere("knows-where", experiment, PX, CropMapping())
    (mapped, _), (plain, _) = measure_detector(experiment, undone, PX), measure_detector(experiment, exact, PX)
    assert mapped.same_label is not None and plain.same_label is not None
    assert mapped.same_label > plain.same_label - 0.15


def test_a_detector_that_finds_no_face_has_no_accuracy(experiment: CropExperiment) -> None:
    row, faces = measure_detector(experiment, KnowsWhere("knows-where", experiment, PX, CropMapping(), missed=42), PX)
    assert row.found == 0 and row.accuracy_all == 0 and row.difference is None and row.accuracy_crop is None
    assert faces == [None] * 42
    table = measure_crops(experiment, [KnowsWhere("knows-where", experiment, PX, CropMapping(), missed=42)], [PX], True)
    assert table.sweep == () and f"{PX} px      0   0.0%" in crop_table_text(table)


def test_a_face_beside_the_pasted_one_is_some_face_and_not_found(experiment: CropExperiment) -> None:
    beside = KnowsWhere("beside", experiment, PX, CropMapping(1.0, 1.2, 0.0), missed=2)
    row, faces = measure_detector(experiment, beside, PX)
    assert (row.found, row.some_face_share, faces) == (0, 40 / 42, [None] * 42)


def test_the_sweep_includes_the_mapping_itself(experiment: CropExperiment) -> None:
    detector = KnowsWhere("knows-where", experiment, PX, CropMapping(), missed=4)
    row, faces = measure_detector(experiment, detector, PX)
    steps = sweep_mapping(experiment, detector.name, PX, faces)
    assert [(s.axis, s.by) for s in steps] == [(axis, by) for axis, values in SWEEP.items() for by in values]
    for step in steps:
        assert step.n == row.found and 0 <= step.accuracy <= 1
        if step.by == 0 or step.axis == "level":  # level eyes are as level afterwards
            assert step.accuracy == row.accuracy_detected


def test_the_sweep_has_no_levels_without_eyes(experiment: CropExperiment) -> None:
    faces: list[Face | None] = [
        Face((*scene.xy, PX, PX), 0.9) for scene in scenes(experiment.part, experiment.n, PX, experiment.seed)
    ]
    assert {step.axis for step in sweep_mapping(experiment, "knows-where", PX, faces)} == set(SWEEP) - {"level"}


def test_a_set_without_a_validation_part_is_refused(bundle_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="no validation part"):
        CropExperiment.of(samples(part="train"), Bundle.load(bundle_path))


def check(report: dict[str, Any]) -> None:
    """Checks what is true of any table."""
    for row in report["rows"]:
        assert 0 <= row["found"] <= row["n"] == report["n"] and row["found_share"] == row["found"] / row["n"]
        assert row["accuracy_all"] <= row["found_share"]
        assert all(row[name] is None or 0 <= row[name] <= 1 for name in SHARES)
        if row["found"]:
            d = row["difference"]
            assert d["value"] == pytest.approx(row["accuracy_detected"] - row["accuracy_crop"])
            assert d["low"] - 1e-6 <= d["value"] <= d["high"] + 1e-6


@dataclass(frozen=True)
class Swept:
    """The command with --sweep on one detector: its arguments, the file that it wrote, and its report."""

    command: list[str]
    out: Path
    report: dict[str, Any]


@pytest.fixture(scope="module")
def swept(faces: Path, blazeface: Detector, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """120 real faces, at 120 and 240 px."""
    out, printed = tmp_path_factory.mktemp("swept") / "crops.json", io.StringIO()
    command = ["--data", str(faces), "--bundle", str(bundle_path), "--detector", "blazeface-back"]
    command += ["--sizes", "240", "120", "--out", str(out)]
    with redirect_stdout(printed):
        assert main([*command, "--sweep", "--json"]) == 0
    report = json.loads(printed.getvalue())
    assert report == json.loads(out.read_text()) and list(out.parent.iterdir()) == [out]
    return Swept(command, out, report)


def test_the_command_measures_a_detector_on_real_faces(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    report, command, out = swept.report, swept.command, swept.out
    assert report["n"] == 120
    check(report)
    near, far = report["rows"][1], report["rows"][0]
    assert (far["size_px"], near["size_px"]) == (120, 240) and far["found_share"] > 0.75 and near["found_share"] > 0.9
    assert report["mappings"].keys() == {"blazeface-back"} and report["accuracy_crops"] > 0.3
    assert all(row["accuracy_box"] < row["accuracy_detected"] + 0.05 for row in report["rows"])
    steps = {(s["axis"], s["by"]): s["accuracy"] for s in report["sweep"]}
    assert {s["size_px"] for s in report["sweep"]} == {120} and {s["n"] for s in report["sweep"]} == {far["found"]}
    assert steps["margin", 0] == steps["turn", 0] == far["accuracy_detected"]

    assert main([*command, "--n", "20"]) == 0
    printed = capsys.readouterr().out
    assert "20 validation faces in 640×480 scenes" in printed and printed.count("blazeface-back") == 2
    assert json.loads(out.read_text())["sweep"] == []


def require_best_near_mapping(sweep: list[dict[str, Any]], detector: str) -> None:
    steps = {(s["axis"], s["by"]): s["accuracy"] for s in sweep if s["detector"] == detector}
    for axis, ends in (("right", (-0.2, 0.2)), ("down", (-0.2, 0.2)), ("margin", (-0.2, 0.4))):
        assert max(steps[axis, by] for by in ends) < steps[axis, 0] + 0.03, "the best lies near the mapping"


def test_the_best_mapping_lies_near_the_bundles_own(swept: Swept) -> None:
    require_best_near_mapping(swept.report["sweep"], "blazeface-back")


@pytest.mark.parametrize("detector", ["blazeface-zoomed", "blazeface-short-range", "blazeface-back"])
def test_the_best_mapping_lies_near_the_bundles_own_in_the_report(detector: str, bundle_path: Path) -> None:
    require_best_near_mapping(json.loads((bundle_path / "report" / "crops.json").read_text())["sweep"], detector)


def test_all_installed_detectors_are_measured(
    faces: Path,
    bundle_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path))
    command = ["--data", str(faces), "--bundle", str(bundle_path), "--n", "7", "--sizes", "180"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert [row["detector"] for row in json.loads(out)["rows"]] == ["haar"]
    assert err.count("left out: the detector “blazeface-") == 4
    check(json.loads(out))


def test_usual_sizes_that_do_not_fit_into_the_scenes_are_left_out(
    faces: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "--data",
        str(faces),
        "--bundle",
        str(bundle_path),
        "--n",
        "7",
        "--frame",
        "160x120",
        "--detector",
        "haar",
    ]
    assert main([*command, "--json"]) == 0
    assert [row["size_px"] for row in json.loads(capsys.readouterr().out)["rows"]] == [60, 90, 120]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "absent.zip"),
        (["--bundle", "absent"], "there is no bundle absent"),
        (["--sizes", "90", "500"], "--sizes 500 does not fit"),
        (["--frame", "320x240", "--sizes", "300"], "--sizes 300 does not fit into a 320×240 scene"),
        (["--frame", "48x48"], "--sizes 60 does not fit into a 48×48 scene"),
        (["--negatives", "5"], "--negatives: only with --detection-errors"),
        (["--detection-errors", "--far", "30"], "--far: no effect with --detection-errors"),
        (
            ["--detection-errors", "--frame", "640x480", "--sizes", "60", "--sweep"],
            "--sizes, --frame, --sweep: no effect",
        ),
        (["--detection-errors", "--detector", "all"], "--detection-errors measures one detector"),
        (["--out", "."], "cannot be written"),
        (["--out", "absent/crops.json"], "absent/crops.json cannot be written"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], word: str, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", "absent.zip", "--detector", "haar", "--bundle", str(bundle_path), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and word in err and len(err.splitlines()) == 1
