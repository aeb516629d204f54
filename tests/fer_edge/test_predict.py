"""`fer-edge predict`: each face once, `unsure` as the loop says it, unreadable files named, and the exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.camera.frame import Frame
from device.config import Settings
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.cli import main
from fer_edge.detection.boxes import is_same_face
from fer_edge.detection.two_stage import NAME, each_face_once
from fer_edge.detection.types import Face
from fer_edge.events import UNSURE
from fer_edge.quality import Quality, unsure_reason
from fer_edge.reader import Reader
from fer_edge.synthetic_face import face_frame

SHAPE = (480, 640)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), face_frame(2.0))
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320), 90, np.uint8))
    (tmp_path / "text.png").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ((0, 0, 100, 100), (0, 0, 100, 100), True),
        ((0, 0, 100, 100), (50, 0, 100, 100), True),  # a third of what they cover together
        ((0, 0, 100, 100), (60, 0, 100, 100), False),
        ((0, 0, 200, 200), (70, 130, 60, 40), True),  # a mouth
        ((0, 0, 200, 200), (160, 160, 80, 80), False),  # a face before a shoulder
        ((0, 0, 100, 100), (100, 0, 100, 100), False),
    ],
)
def test_two_boxes_are_one_face_when_they_overlap_or_one_lies_in_the_other(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int], same: bool
) -> None:
    assert is_same_face(a, b) is is_same_face(b, a) is same


def test_of_two_boxes_of_a_face_the_refined_one_stays() -> None:
    searched = Face((100, 100, 120, 120), 0.95, detector="blazeface-back")
    refined = Face((110, 110, 110, 110), 0.8, detector=NAME)
    weaker = Face((116, 104, 110, 110), 0.7, detector=NAME)
    beside = Face((400, 100, 100, 100), 0.6, detector="blazeface-back")
    assert each_face_once([searched, weaker, beside, refined], SHAPE) == [refined, beside]


@pytest.mark.parametrize(
    ("probability", "quality", "reason"),
    [(0.9, 0.9, ""), (0.5, 0.5, ""), (0.49, 0.9, "confidence"), (0.9, 0.49, "blurred"), (0.2, 0.2, "blurred")],
)
def test_a_face_is_unsure_by_its_quality_or_its_probability(probability: float, quality: float, reason: str) -> None:
    assert unsure_reason(probability, Quality(quality, "blurred"), unsure_below=0.5, min_quality=0.5) == reason


@pytest.mark.parametrize("dimmed_by", [1, 6, 10])
@pytest.mark.parametrize("at_s", [1.0, 3.0, 5.0, 7.0])
def test_predict_says_what_the_loop_says(bundle_path: Path, blazeface: object, dimmed_by: int, at_s: float) -> None:
    reader = Reader(bundle_path)
    gray = (face_frame(at_s) // dimmed_by).astype(np.uint8)
    predictions = reader.read(gray)
    _, result = Pipeline(reader.detector, reader.bundle).process(SearchState(), Frame(0, 10**9, gray), Settings())
    assert [p.label for p in predictions] == [r.steady for r in result.readings]
    assert [p.why for p in predictions] == [r.why for r in result.readings]
    assert [p.quality for p in predictions] == [r.quality for r in result.readings]
    if dimmed_by == 10:
        assert {p.label for p in predictions} <= {UNSURE}


def test_an_unreadable_file_is_named_and_the_others_are_classified(
    pictures: Path, blazeface: object, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(pictures / "pipe.png")
    too_long = "x" * 300 + ".png"
    names = ["text.png", "face.png", "nowhere.png", ".", "pipe.png", too_long, "wall.png", "http:/u:secret@h"]
    assert main(["predict", *(str(pictures / name) for name in names)]) == 2
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [str(pictures / name) for name in ("face.png", "wall.png")]
    for sentence in ("text.png is not an image", "nowhere.png does not exist", f"{pictures} is a folder", "6 of 8"):
        assert sentence in err
    assert "what may be an address does not exist" in err and "secret" not in err
    assert "pipe.png is not a file; name an image" in err
    assert "x.png cannot be read: File name too long" in err


def test_only_our_own_sentence_is_printed_of_an_incomplete_picture(
    pictures: Path, blazeface: object, capfd: pytest.CaptureFixture[str]
) -> None:
    data = (pictures / "face.png").read_bytes()
    (pictures / "cut.png").write_bytes(data[: len(data) * 2 // 3])
    assert main(["predict", str(pictures / "cut.png")]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("fer-edge: ") for line in lines)


@pytest.mark.parametrize(
    ("names", "code"), [(["wall.png"], 6), (["wall.png", "face.png"], 0), (["wall.png", "text.png"], 2)]
)
def test_the_exit_code_says_whether_a_face_was_found(
    pictures: Path, blazeface: object, names: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *(str(pictures / name) for name in names)]) == code
    assert ("found no face" in capsys.readouterr().err) == (code == 6)


def test_json_has_what_is_said_and_why(pictures: Path, blazeface: object, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(pictures / "dark.png"), face_frame(2.0) // 10)
    cv2.imwrite(str(pictures / "flat.png"), np.full((60, 60), 128, np.uint8))
    assert main(["predict", "--json", "--crop", str(pictures / "flat.png")]) == 0
    (flat,) = json.loads(capsys.readouterr().out)["faces"]
    assert (flat["reported"], flat["why"]) == (UNSURE, "dark") and flat["label"] in flat["p"] and flat["quality"] < 0.5
    assert main(["predict", "--json", str(pictures / "face.png")]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["reported"] in (face["label"], UNSURE) and bool(face["why"]) == (face["reported"] == UNSURE)
    assert main(["predict", "--crop", str(pictures / "flat.png")]) == 0
    assert "unsure (dark), at most " in capsys.readouterr().out
