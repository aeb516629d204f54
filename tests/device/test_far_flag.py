"""The flag --far of run, label, predict and bench: a face too small for the search of the whole picture is found in tiles."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import journal_events, write_video

from fer_edge.cli import main
from fer_edge.synthetic_face import face_box, face_frame

WIDTH_PX, HEIGHT_PX, SMALL_PX, CORNER_PX = 960, 540, 80, (600, 300)


def far_scene(t_s: float) -> np.ndarray:
    """A picture uint8 (540, 960) in which the drawn face has 22 px."""
    small = cv2.resize(face_frame(t_s), (SMALL_PX, SMALL_PX * 3 // 4), interpolation=cv2.INTER_AREA)
    x, y = CORNER_PX
    beyond = (y, HEIGHT_PX - y - small.shape[0], x, WIDTH_PX - x - SMALL_PX)
    return cv2.copyMakeBorder(small, *beyond, cv2.BORDER_REPLICATE)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "far.avi", (far_scene(2 + n / 10) for n in range(12)), code="MJPG")


def is_on_the_face(xywh: list[int]) -> bool:
    """Whether a box lies within 10 px of the drawn face."""
    true = [CORNER_PX[0], CORNER_PX[1], 0, 0] + np.array(face_box(2.0)) * SMALL_PX / 640
    return bool(np.abs(np.array(xywh) - true).max() < 10)


def test_predict_finds_a_far_face_with_the_flag(
    tmp_path: Path, blazeface: object, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "far.png"), far_scene(2.0))
    assert main(["predict", str(tmp_path / "far.png")]) == 6
    capsys.readouterr()
    assert main(["predict", "--json", "--far", "20", str(tmp_path / "far.png")]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert is_on_the_face(face["xywh"])


def test_run_reads_a_far_face_with_the_flag(
    tmp_path: Path, video: Path, blazeface: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    readings = {}
    for name, more in (("near", []), ("far", ["--far", "20"])):
        monkeypatch.setenv("FER_EDGE_RUNTIME", str(tmp_path / name / "run"))
        assert (
            main(
                ["run", "--camera", str(video), "--per-frame", "--log", str(tmp_path / name), "--bundle", "nano", *more]
            )
            == 0
        )
        readings[name] = [event.body["xywh"] for event in journal_events(tmp_path / name) if event.kind == "reading"]
    assert readings["near"] == [] and len(readings["far"]) >= 10
    assert is_on_the_face(readings["far"][0])


def test_label_has_rows_of_a_far_face_with_the_flag(
    tmp_path: Path, video: Path, blazeface: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    rows = {}
    for name, more in (("near", []), ("far", ["--far", "20"])):
        assert main(["label", str(video), "--bundle", "nano", "--out", str(tmp_path / name), *more]) == 0
        with (tmp_path / name / "far.avi.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
        beside = json.loads((tmp_path / name / "far.avi.csv.json").read_text())
        assert beside["made_by"]["settings"]["far_px"] == (20 if more else None)
    assert rows["near"] == [] and len(rows["far"]) >= 10


def test_bench_measures_the_far_search_with_the_flag(blazeface: object, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--bundle", "nano", "--seconds", "0.1", "--threads", "1", "--json"]
    assert main([*words, "--far", "60"]) == 0
    scenes = {scene["scene"] for scene in json.loads(capsys.readouterr().out)["loop"]["scenes"]}
    assert scenes == {"face", "still", "far"}


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--camera", "synthetic", "--duration", "1"],
        ["label", "film.mp4", "--out", "labels"],
        ["predict", "picture.png"],
        ["bench", "--seconds", "0.1"],
    ],
)
def test_a_face_too_small_to_read_is_refused_by_each_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--far", "8"])
    assert "--far: “8” is not a whole number of 16 or more" in capsys.readouterr().err
