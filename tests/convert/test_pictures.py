"""Whole pictures by class: found, right, reported, with intervals by picture or by person, and bad files named."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import write_image
from fakes import FixedFaces

from convert.crops.synthetic_scenes import paste_face, scenes
from convert.data.loader import load
from convert.evaluate.__main__ import main
from convert.evaluate.metrics import Interval, wilson_interval
from convert.evaluate.person_names import person_of
from convert.evaluate.pictures import (
    NONE,
    FaceReader,
    PictureOutcome,
    evaluate_pictures,
    picture_report,
)
from convert.report.pictures_markdown import pictures_markdown
from convert.sources.opened_model import open_bundle
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import BEGIN_EVIDENCE
from fer_edge.detection.types import Face
from fer_edge.errors import DataError
from fer_edge.labels import LABELS
from fer_edge.quality import Quality
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_frame

EMPTY = np.full((240, 320), 120, np.uint8)


def reader(*faces: Face, happy_from: float = 0.5, quality: float = 1.0) -> FaceReader:
    """A reader that finds `faces` in each picture; a bright picture is happy, another sad, the brighter the surer."""

    def read(gray: np.ndarray, face: Face) -> tuple[np.ndarray, Quality]:
        bright = float(gray.mean()) / 255
        return np.array([bright, 1 - bright], np.float32), Quality(quality, "dark")

    return FaceReader("fake", ("happy", "sad"), FixedFaces(*faces), read, (happy_from, 0.5))


ONE = Face((10, 10, 50, 50), 0.9)


def tree(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    """A folder with these pictures by name."""
    for name, gray in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, gray)
    return root


@pytest.mark.parametrize(
    ("source", "person"),
    [
        ("happy/Anna_Smith_0003.jpg", "Anna_Smith"),
        ("a.zip/happy/Bo_1.png", "Bo"),
        ("happy/0003.jpg", None),
        ("happy/_1.jpg", None),
        ("happy/Anna_Smith.jpg", None),
        ("happy/Vida_0003.jpg", "Vida"),
        ("happy/Winston_20230101_3.jpg", "Winston_20230101"),
        ("happy/P01_0003.jpg", "P01"),
        ("happy/S005_001_3.png", "S005_001"),
    ],
)
def test_the_person_stands_before_the_last_underscore_and_a_number(source: str, person: str | None) -> None:
    assert person_of(source) == person


@pytest.mark.parametrize(
    "name",
    [
        "IMG_20230101_100211",
        "img_0003",
        "MVIMG_20230101_100211",
        "PXL_20230101_100211123",
        "DSC_0003",
        "DSCN_0003",
        "_DSC_0003",
        "DSC01234_2",
        "VID_20230101_100211_001",
        "WIN_20230101_10_02_11",
        "P_20230101_100211",
        "IMG20230101100211_01",
        "20230101_100211",
        "2023-01-01_3",
        "17_0003",
        "image_0003",
    ],
)
def test_what_a_camera_writes_is_no_person(name: str) -> None:
    assert person_of(f"happy/{name}.jpg") is None


def test_pictures_of_a_telephone_have_intervals_by_picture(tmp_path: Path) -> None:
    """Fourteen days are not fourteen persons."""
    bright = np.full((240, 320), 230, np.uint8)
    days = tree(tmp_path, {f"happy/IMG_202301{day:02}_1{day:02}211.jpg": bright for day in range(1, 15)})
    report = evaluate_pictures(reader(ONE), days)
    assert report.persons is None and "Wilson" in report.intervals and report.pictures == 14


def test_each_class_is_scored_with_its_thresholds_and_bad_files_are_named(tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "set",
        {
            "happy/1.png": np.full((240, 320), 230, np.uint8),
            "happy/2.png": np.full((240, 320), 160, np.uint8),
            "sad/1.png": np.full((240, 320), 20, np.uint8),
            "sad/2.png": np.full((240, 320), 240, np.uint8),
            "none/1.png": np.full((240, 320), 10, np.uint8),
            "bored/1.png": EMPTY,
        },
    )
    (folder / "sad" / "broken.jpg").write_bytes(b"no picture")
    report = evaluate_pictures(reader(ONE, Face((0, 0, 90, 90), 0.5), happy_from=0.7), folder)
    assert (report.pictures, report.several, report.left_out) == (5, 5, {"bored": 1})
    (bad,) = report.unreadable
    assert "sad/broken.jpg" in bad and "no readable image" in bad
    happy, sad, none = (report.classes[name] for name in ("happy", "sad", NONE))
    values = [
        (share.n, share.share.value) if share and share.share else None
        for scores in (happy, sad, none)
        for share in (scores.found, scores.right_of_found, scores.reported_of_found, scores.right_of_reported)
    ]
    assert values[:4] == [(2, 1.0), (2, 1.0), (2, 0.5), (1, 1.0)], "160 of 255 is under the threshold of happy"
    assert values[4:8] == [(2, 1.0), (2, 0.5), (2, 1.0), (2, 0.5)]
    assert values[8:] == [(1, 1.0), None, (1, 1.0), None], "a face in a picture without one"
    assert report.all_faces is not None and report.all_faces.found.n == 4
    assert report.right_by_label["sad"].share == wilson_interval(1, 2), "a picture without a face was called sad"
    assert report.right_by_label["happy"].share == wilson_interval(1, 2)


def test_a_poor_crop_is_unsure_and_a_weak_box_is_no_face_as_on_a_device(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"happy/1.png": np.full((240, 320), 230, np.uint8)})
    reported = evaluate_pictures(reader(ONE, quality=0.4), folder).classes["happy"].reported_of_found
    assert reported.share is not None and reported.share.value == 0.0
    weak = FixedFaces(Face((10, 10, 50, 50), BEGIN_EVIDENCE - 0.01))
    weak.name = "blazeface-zoomed"
    found = evaluate_pictures(replace(reader(), detector=weak), folder).classes["happy"].found
    assert found.share is not None and found.share.value == 0.0


def test_a_picture_without_a_found_face_is_not_found(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"happy/1.png": EMPTY, "none/1.png": EMPTY})
    report = evaluate_pictures(reader(), folder)
    happy = report.classes["happy"]
    assert happy.found.share is not None and happy.found.share.value == 0.0
    assert happy.right_of_found is not None and happy.right_of_found.share is None and report.right_by_label == {}
    assert "| happy | 0.0 (0.0–79.3), n 1 |  |  |  |" in pictures_markdown(report)


def test_intervals_are_by_person_where_there_are_enough_names() -> None:
    """Twenty people with ten equal pictures each show no more than twenty pictures do."""

    def outcomes(named: bool) -> list[PictureOutcome]:
        return [
            PictureOutcome("happy", f"Person{n}" if named else f"/{n}-{k}", 1, *[reported] * 2)
            for n in range(20)
            for k in range(10)
            for reported in ["happy" if n % 2 else "sad"]
        ]

    by_person, by_picture = (picture_report(reader(), outcomes(named)) for named in (True, False))
    assert by_person.persons == 20 and "persons" in by_person.intervals
    assert by_picture.persons is None and "Wilson" in by_picture.intervals
    spans = []
    for report in (by_person, by_picture):
        found = report.classes["happy"].right_of_found
        assert found is not None and found.share is not None and found.n == 200 and found.share.value == 0.5
        assert found.share.low is not None and found.share.high is not None
        spans.append(found.share.high - found.share.low)
    assert spans[0] == pytest.approx(2 * 1.96 * (0.25 / 20) ** 0.5, rel=0.1) and spans[1] < 0.4 * spans[0]


def test_few_persons_give_no_interval_and_shares_of_0_and_100_percent_one_over_persons() -> None:
    """Of one person ten pictures say nothing of others; of twelve whose pictures are all right, as much as twelve pictures."""
    outcomes = [PictureOutcome("happy", f"Person{n}", 1, "happy", "happy") for n in range(12) for _ in range(5)]
    outcomes += [PictureOutcome("sad", "Anna", 1, *["sad" if k < 7 else "happy"] * 2) for k in range(10)]
    report = picture_report(reader(), outcomes)
    assert report.persons == 13 and report.intervals.endswith(
        "of 0 and 100 % Wilson's, over persons; none from fewer than 5 persons, or where all of them have the same share"
    )
    of_one, of_twelve, of_all = (
        scores.right_of_found for scores in (report.classes["sad"], report.classes["happy"], report.all_faces) if scores
    )
    assert of_one and of_one.n == 10 and of_one.share == Interval(0.7, None, None)
    twelve = wilson_interval(12, 12)
    assert of_twelve and of_twelve.n == 60 and of_twelve.share == Interval(1.0, twelve.low, twelve.high)
    assert of_all and of_all.share and of_all.share.low is not None and of_all.share.low < of_all.share.value < 1
    four = picture_report(reader(), [*outcomes, *(PictureOutcome("sad", f"B{n}", 1, "sad", "sad") for n in range(3))])
    five = picture_report(reader(), [*outcomes, *(PictureOutcome("sad", f"B{n}", 1, "sad", "sad") for n in range(4))])
    limits = [r.classes["sad"].found.share and r.classes["sad"].found.share.low for r in (four, five)]
    assert limits == [None, wilson_interval(5, 5).low], "FEWEST_PERSONS"
    halves = [PictureOutcome("happy", f"P{n}", 1, *[label] * 2) for n in range(12) for label in ("happy", "sad")]
    of_halves = picture_report(reader(), halves).classes["happy"].right_of_found
    assert of_halves and of_halves.share == Interval(0.5, None, None), "every draw is the same"
    text = pictures_markdown(report)
    assert f"({report.intervals})" in text and "| sad | 100.0 (–), n 10 | 70.0 (–), n 10 |" in text


def test_a_folder_without_a_class_or_a_readable_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its folders are bored"):
        evaluate_pictures(reader(), tree(tmp_path / "a", {"bored/1.png": EMPTY}))
    (tmp_path / "b" / "happy").mkdir(parents=True)
    (tmp_path / "b" / "happy" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can be read"):
        evaluate_pictures(reader(), tmp_path / "b")


def test_the_command_prints_a_table_or_json_and_writes_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blazeface: object
) -> None:
    folder = tree(
        tmp_path / "set", {f"happy/Ann_{n}.png": face_frame(3.0 + n / 10) for n in range(3)} | {"none/1.png": EMPTY}
    )
    (folder / "happy" / "torn.png").write_bytes(cv2.imencode(".png", EMPTY)[1].tobytes()[:40])
    (folder / "happy" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    (folder / "happy" / "gone.jpg").symlink_to("/nonexistent.jpg")
    for name in (b"torn\xe9.png", b"not\xe9s.txt"):
        (folder / "happy" / os.fsdecode(name)).write_bytes(b"\x89PNG\r\n\x1a\n" if name.endswith(b"g") else b"text")
    words = [str(shipped_path("nano")), "--pictures", str(folder)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "| happy | 100.0 (43.9–100.0), n 3 |" in shown.out and "| none | 0.0 " in shown.out
    assert "happy/torn.png" in shown.err and "2 files could not be read: " in shown.out
    sentence = "3 other files left out: "
    (others,) = re.findall(f"{sentence}.*", shown.err)
    assert "happy/phone.HEIC" in others and "happy/gone.jpg" in others and f"\n{others}.\n" in shown.out
    assert main([*words, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [name.partition(":")[0] for name in values["other_files"]] == [
        "happy/not\udce9s.txt",
        "happy/phone.HEIC",
        "happy/gone.jpg",
    ]
    assert values == json.loads((tmp_path / "out" / "pictures.json").read_text())
    assert values["classes"]["happy"]["found"] == {
        "n": 3,
        "share": {"value": 1.0, "low": pytest.approx(0.4385, abs=1e-4), "high": 1.0},
    }
    assert (tmp_path / "out" / "pictures.md").read_text().startswith("# nano on whole pictures")


@pytest.mark.parametrize(
    "more",
    [
        ["--samples", "--out", "x"],
        ["--votes", "v.csv"],
        ["--history", "h.json"],
        ["--split", "test"],
        ["--seed", "0"],
        ["--threads", "1"],
        ["--kernels", "default"],
    ],
)
def test_options_of_data_sets_are_refused(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pictures", str(tmp_path), *more]) == 2
    assert f"{more[0]}: only with --data" in capsys.readouterr().err


def test_a_stated_prior_changes_what_is_reported_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blazeface: object
) -> None:
    folder = tree(tmp_path, {f"neutral/Ann_{n}.png": face_frame(1.0 + n) for n in range(8)})
    words = [str(shipped_path("edge-mixed")), "--pictures", str(folder), "--json"]
    right = []
    for more in ([], ["--prior", "neutral=0.90"]):
        assert main([*words, *more]) == 0
        values = json.loads(capsys.readouterr().out)
        right.append((values.get("prior"), values["classes"]["neutral"]["right_of_found"]["share"]["value"]))
    (no_prior, before), (prior, after) = right
    assert after > before and (no_prior, prior) == (None, "neutral=0.9")
    assert main([*words[:-1], "--prior", "neutral=0.9"]) == 0
    assert "weighted by the prior neutral=0.9." in capsys.readouterr().out
    assert main([*words, "--prior", "calm=0.5"]) == 2
    assert "the prior names “calm”" in capsys.readouterr().err


def test_a_trusted_saved_model_is_evaluated_on_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has an operator that reads files, so it is refused without --trust-model."""
    import keras
    import tensorflow as tf

    folder = tree(tmp_path / "pictures", {"happy/1.png": EMPTY})
    module = tf.Module()
    module.network = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(7)])
    module.classify = tf.function(module.network, input_signature=[tf.TensorSpec((None, 48, 48, 1), tf.float32)])
    module.read = tf.function(lambda: tf.io.read_file("/nowhere"))
    module.read.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.classify)
    arguments = [str(tmp_path / "saved"), "--pictures", str(folder), "--json"]
    assert main(arguments) == 2
    assert "give --trust-model" in capsys.readouterr().err
    assert main([*arguments, "--trust-model"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 1


def test_scenes_of_fer2013_are_found_and_as_often_right_as_their_crops(
    fer2013: Path, tmp_path: Path, blazeface: object
) -> None:
    bundle, part = Bundle.load(shipped_path("nano")), load(fer2013).part("validation")
    rows: list[int] = []
    for scene in scenes(part, 210, 150, 0):
        path = tmp_path / LABELS[part.y[scene.row]] / f"{scene.row}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, scene.gray)
        rows.append(scene.row)
    (tmp_path / NONE).mkdir()
    for n in range(5):
        write_image(tmp_path / NONE / f"{n}.png", paste_face(np.full((48, 48), 40 * n, np.uint8), 150, (0, 0)))
    report = evaluate_pictures(FaceReader.of(open_bundle(bundle)), tmp_path)
    assert report.all_faces is not None and report.all_faces.found.share is not None
    assert report.all_faces.found.n == 210 and report.all_faces.found.share.value >= 0.9
    assert Counter(part.y[rows].tolist()) == {
        LABELS.index(k): v.found.n for k, v in report.classes.items() if k != NONE
    }
    right = report.all_faces.right_of_found
    own = float(np.mean(bundle.classify(part.x[rows, :, :, 0]).argmax(1) == part.y[rows]))
    assert right is not None and right.share is not None and abs(right.share.value - own) <= 0.1
    reported = report.all_faces.right_of_reported
    assert reported is not None and reported.share is not None and reported.share.value > right.share.value
    none = report.classes[NONE].found
    assert none.n == 5 and none.share is not None and none.share.value == 0
