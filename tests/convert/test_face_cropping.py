"""Face crops of whole pictures: what the device's own code would cut out, put where the pictures were, or left out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import class_tree, packed, write_image
from fakes import FixedFaces
from processes import ROOT
from small_disk import mounted

from convert.data.__main__ import main
from convert.data.detector_mappings import DETECTOR_MAPPINGS
from convert.data.face_cropping import FaceCropper, write_crops
from convert.data.loader import load
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.detection.types import Detector, Face, largest_first
from fer_edge.face_crop import face_crop
from fer_edge.synthetic_face import face_box, face_frame

pytestmark = pytest.mark.usefixtures("blazeface")
WALL = np.full((480, 640), 120, np.uint8)  # with no one before it


def head(t_s: float, side_px: int) -> np.ndarray:
    """The drawn face with what is around it: uint8 (side_px, side_px), the face three fifths of the width."""
    x, y, w, _ = face_box(t_s)
    around = w // 3
    frame = cv2.copyMakeBorder(face_frame(t_s), *[around] * 4, cv2.BORDER_REPLICATE)
    return cv2.resize(
        frame[y : y + w + 2 * around, x : x + w + 2 * around], (side_px, side_px), None, 0, 0, cv2.INTER_AREA
    )


def pair() -> np.ndarray:
    """A small face at the left, which the detector is surer of, and a larger one at the right: uint8 (240, 390)."""
    picture = np.full((240, 390), 120, np.uint8)
    picture[:150, :150], picture[:, 150:] = head(0, 150), head(1, 240)
    return picture


def picture_tree(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    """A folder with these images."""
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / name, image)
    return root


def drivers(root: Path) -> Path:
    """Two own classes: three faces in each, one picture without a face, one with a face of 14 px, one file cut off."""
    tree = picture_tree(
        root,
        {f"{name}/{t}.png": face_frame(t + k) for k, name in enumerate(("alert", "drowsy")) for t in (1, 4, 7)}
        | {"alert/nobody.png": WALL, "drowsy/far.png": cv2.resize(face_frame(1), (48, 36), None, 0, 0, cv2.INTER_AREA)},
    )
    (tree / "drowsy" / "broken.png").write_bytes((tree / "drowsy" / "4.png").read_bytes()[:300])
    return tree


def expected(gray: np.ndarray, detector: Detector, side: int = 48) -> np.ndarray:
    """The crop of the largest face, as the device makes it with the mapping of new bundles."""
    face = largest_first(detector.detect(gray))[0]
    return face_crop(gray, face.xywh, side, DETECTOR_MAPPINGS[detector.name], face.eyes)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def read(path: Path) -> np.ndarray:
    """An image file as it is, whatever its depth and channels."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def test_pictures_become_class_folders_of_crops(
    tmp_path: Path, blazeface: Detector, capfd: pytest.CaptureFixture[str]
) -> None:
    tree, out = drivers(tmp_path / "set"), tmp_path / "new" / "crops"
    assert main([str(tree), "--classes", "own", "--crop", str(out), "--detector", blazeface.name, "--json"]) == 0
    stdout, stderr = capfd.readouterr()
    report = json.loads(stdout)
    assert report["classes"] == {
        "alert": {"found": 3, "no_face": 1, "too_small": 0},
        "drowsy": {"found": 3, "no_face": 0, "too_small": 1},
    }
    assert (report["no_face"], report["too_small"]) == (["alert/nobody.png"], ["drowsy/far.png"])
    assert report["skipped"] == ["drowsy/broken.png: no readable image in its 300 bytes"]
    assert report["detector"] == blazeface.name and report["side"] == 48
    assert "1 picture left out, no face found by blazeface-short-range: alert/nobody.png" in stderr
    assert "1 picture left out, a face of less than 24 px: drowsy/far.png" in stderr
    assert "1 picture left out, that cannot be read: drowsy/broken.png: no readable image" in stderr
    assert f"6 face crops in {out}" in stderr
    assert files(out) == [f"{name}/{t}.png" for name in ("alert", "drowsy") for t in (1, 4, 7)]
    for name in files(out):
        crop = read(out / name)
        assert crop.dtype == np.uint8 and np.array_equal(crop, expected(read(tree / name), blazeface)), name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "set"] and list(out.parent.iterdir()) == [out]
    samples = load(out, classes="own")
    assert samples.labels == ("alert", "drowsy") and np.bincount(samples.y).tolist() == [3, 3]
    assert np.array_equal(samples.x[0, :, :, 0], read(out / samples.source[0])), "read again as they are"


def test_the_counts_are_printed_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = drivers(tmp_path / "set")
    assert main([str(tree), "--classes", "drowsy,alert", "--crop", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["found", "no", "face", "too", "small"]
    assert [line.split() for line in lines[1:]] == [
        ["alert", "3", "1", "0"],
        ["drowsy", "3", "0", "1"],
        ["all", "6", "1", "1"],
    ]


def test_the_largest_face_is_cut_out_and_not_the_most_certain(tmp_path: Path, blazeface: Detector) -> None:
    surest, other = blazeface.detect(pair())
    assert surest.xywh[2] < other.xywh[2], "so that the choice is one"
    write_crops(
        picture_tree(tmp_path / "set", {"happy/two.png": pair()}), tmp_path / "out", FaceCropper.of(blazeface.name)
    )
    crop = read(tmp_path / "out" / "happy" / "two.png")
    assert np.array_equal(crop, face_crop(pair(), other.xywh, 48, DETECTOR_MAPPINGS[blazeface.name], other.eyes))


@pytest.mark.parametrize("name", ["colour.png", "alpha.png", "deep.tif", "photo.jpg"])
def test_a_picture_of_any_mode_is_read_as_gray(name: str, tmp_path: Path, blazeface: Detector) -> None:
    gray = face_frame(2)
    tinted = np.dstack([gray // 2, gray, np.minimum(gray, 220) + 30])
    kinds = {
        "colour.png": tinted,
        "alpha.png": np.dstack([tinted, np.full_like(gray, 200)]),
        "deep.tif": gray.astype(np.uint16) * 257,
        "photo.jpg": tinted,
    }
    tree = picture_tree(tmp_path / "set", {f"sad/{name}": kinds[name]})
    write_crops(tree, tmp_path / "out", FaceCropper.of(blazeface.name))
    crop = read(tmp_path / "out" / "sad" / f"{Path(name).stem}.png")
    picture = cv2.imread(str(tree / "sad" / name), cv2.IMREAD_GRAYSCALE)
    assert picture is not None and picture.shape == (480, 640)
    assert np.array_equal(crop, expected(picture, blazeface))


def test_parts_are_preserved_and_a_zip_gives_the_same_crops(tmp_path: Path) -> None:
    names = ("Train/alert", "Train/drowsy", "val/alert", "test/drowsy")
    tree = picture_tree(tmp_path / "set", {f"{name}/a.png": face_frame(t) for t, name in enumerate(names)})
    write_crops(tree, tmp_path / "out", cutter := FaceCropper.of(), "own")
    assert files(tmp_path / "out") == [
        "test/drowsy/a.png",
        "train/alert/a.png",
        "train/drowsy/a.png",
        "validation/alert/a.png",
    ]
    write_crops(packed(tree, tmp_path / "set.zip", top="my faces"), tmp_path / "again", cutter, "own")
    assert files(tmp_path / "again") == files(tmp_path / "out")
    for name in files(tmp_path / "out"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert load(tmp_path / "out", classes="own").split_rule == "as the set names them"


def test_pictures_of_the_same_name_get_different_files(tmp_path: Path) -> None:
    names = ["happy/anna/1.png", "happy/ben/1.bmp", "happy/ben/1.png", "Joy/1-2.png", "happy/A.png", "happy/a.pgm"]
    tree = picture_tree(tmp_path / "set", {name: face_frame(t) for t, name in enumerate(names)})
    cropped = write_crops(tree, tmp_path / "out", FaceCropper.of())
    assert cropped.counts == {"happy": {"found": 6, "no_face": 0, "too_small": 0}}
    written = files(tmp_path / "out")
    assert len({name.casefold() for name in written}) == 6, written
    assert written == [f"happy/{n}.png" for n in ("1-2", "1-3", "1-4", "1", "A", "a-2")]
    assert len({(tmp_path / "out" / name).read_bytes() for name in written}) == 6


def test_the_mapping_of_a_bundle_is_used(tmp_path: Path, bundle_path: Path, blazeface: Detector) -> None:
    bundle, picture = Bundle.load(bundle_path), face_frame(3)
    tree = picture_tree(tmp_path / "set", {"happy/a.png": picture})
    command = [str(tree), "--crop", str(tmp_path / "out"), "--bundle", str(bundle_path)]
    assert main([*command, "--detector", blazeface.name]) == 0
    (face,) = blazeface.detect(picture)
    crop = read(tmp_path / "out" / "happy" / "a.png")
    assert np.array_equal(crop, face_crop(picture, face.xywh, bundle.side, bundle.mapping(blazeface.name), face.eyes))
    probabilities = bundle.classify_faces(picture, [face], blazeface.name)
    assert np.array_equal(bundle.classify(crop[None]), probabilities), "what the device says of the picture"


def test_a_box_of_another_network_has_that_networks_mapping(bundle_path: Path) -> None:
    face = Face((60, 40, 90, 90), 0.9, detector="blazeface-short-range")
    detector = FixedFaces(face)
    detector.name = "blazeface-zoomed"
    picture, bundle = face_frame(0), Bundle.load(bundle_path)
    outcome, crop = FaceCropper(detector, bundle.spec.input.mappings, bundle.side).crop(picture)
    assert outcome == "found" and crop is not None
    assert np.array_equal(crop, bundle.crop(picture, face, detector.name))
    assert bundle.mapping("blazeface-short-range") != bundle.mapping(detector.name)


def test_the_haar_cascade_has_a_mapping_of_its_own(tmp_path: Path) -> None:
    picture = face_frame(0)
    out, haar = tmp_path / "out", find_detector("haar")
    tree = picture_tree(tmp_path / "set", {"happy/a.png": picture})
    assert main([str(tree), "--crop", str(out), "--detector", "haar"]) == 0
    assert np.array_equal(read(out / "happy" / "a.png"), expected(picture, haar))


def test_other_classes_are_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = picture_tree(tmp_path / "set", {"Joy/a.png": face_frame(0), "yawning/b.png": face_frame(1)})
    assert main([str(tree), "--crop", str(tmp_path / "out")]) == 0
    assert "classes left out: yawning 1" in capsys.readouterr().err
    assert files(tmp_path / "out") == ["happy/a.png"]


def test_pictures_left_out_are_counted_and_the_first_ten_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walls = {f"happy/wall-{i:02d}.png": WALL for i in range(12)}
    tree = picture_tree(tmp_path / "set", walls | {"happy/face.png": face_frame(0)})
    assert main([str(tree), "--crop", str(tmp_path / "out"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "12 pictures left out" in err and "happy/wall-09.png; …" in err and "wall-10" not in err
    assert json.loads(out)["no_face"] == sorted(walls)


def test_an_existing_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_crops(picture_tree(tmp_path / "set", {"sad/a.png": face_frame(0)}), tmp_path / "out", FaceCropper.of())
    assert files(tmp_path / "out") == ["sad/a.png"]


def test_an_empty_folder_stays_the_same_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a link names, a mount point, or the folder that the shell is in; and after an error it is empty again."""
    tree = picture_tree(tmp_path / "set", {"sad/a.png": face_frame(0)})
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with mounted(tmp_path / "disk", "256k") as disk:
        write_crops(tree, disk, FaceCropper.of())
        assert files(disk) == ["sad/a.png"]
    write_crops(tree, tmp_path / "link", FaceCropper.of())
    assert (tmp_path / "link").is_symlink() and files(tmp_path / "there") == ["sad/a.png"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main([str(nobody(tmp_path / "walls")), "--crop", "."]) == 6
    assert list(Path().iterdir()) == []
    assert main([str(tree), "--crop", "."]) == 0
    assert files(Path()) == ["sad/a.png"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_terminated_command_leaves_no_crops(number: int, tmp_path: Path) -> None:
    """As when the connection of ssh breaks, or by `docker stop`."""
    tree = picture_tree(tmp_path / "set", {f"sad/{n:03d}.png": face_frame(n / 10) for n in range(200)})
    command = [sys.executable, "-m", "convert.data", str(tree), "--crop", str(tmp_path / "out"), "--detector", "haar"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        end_s = time.monotonic() + 60
        while not list(tmp_path.glob(".out.*/sad/*.png")):
            assert process.poll() is None and time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(number)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_names_of_any_length_are_written(tmp_path: Path) -> None:
    names = [f"{'é' * 120}{number}.{kind}" for number, kind in ((1, "jpg"), (1, "png"), (2, "png"))]
    tree = picture_tree(tmp_path / "set", {f"sad/{name}": face_frame(0) for name in names})
    write_crops(tree, tmp_path / "out", FaceCropper.of())
    assert len(files(tmp_path / "out")) == 3


def test_a_folder_with_files_is_never_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, out = drivers(tmp_path / "set"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    wrong = {
        out: "not empty",
        out / "thesis.txt": "not empty",
        tree: "not empty",
        tree / "crops": "inside the data set",
    }
    for place, words in wrong.items():
        assert main([str(tree), "--classes", "own", "--crop", str(place)]) == 2
        assert words in capsys.readouterr().err
    assert files(out) == ["thesis.txt"] and not (tree / "crops").exists()


def nobody(folder: Path) -> Path:
    return picture_tree(folder, {"happy/a.png": WALL, "sad/b.png": WALL})


def unreadable(folder: Path) -> Path:
    tree = nobody(folder)
    for file in tree.rglob("*.png"):
        file.write_bytes(b"no picture")
    return tree


def half_in_parts(folder: Path) -> Path:
    return picture_tree(folder, {"happy/a.png": face_frame(0), "test/sad/b.png": face_frame(1)})


def own_classes(folder: Path) -> Path:
    return picture_tree(folder, {"alert/a.png": face_frame(0), "drowsy/b.png": face_frame(1)})


def pixel_rows_csv(folder: Path) -> Path:
    folder.mkdir()
    (folder / "set.csv").write_text("emotion,pixels\n3," + " ".join(["9"] * 2304) + "\n")
    return folder


@pytest.mark.parametrize(
    ("build", "code", "words"),
    [
        (nobody, 6, "found no face to cut out of the 2 pictures in"),
        (unreadable, 2, "none of the images in"),
        (half_in_parts, 2, "some pictures are in train, validation or test, and some in no part"),
        (own_classes, 2, "its classes are alert, drowsy; `--classes own` takes the set's own classes"),
        (pixel_rows_csv, 2, "is a folder with pixel rows; whole pictures stand in class folders"),
        (lambda folder: folder, 2, "does not exist"),
    ],
)
def test_a_set_without_crops_is_refused_and_nothing_is_written(
    build: Callable[[Path], Path], code: int, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = build(tmp_path / "set")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert main([str(tree), "--crop", str(tmp_path / "out")]) == code
    out, err = capfd.readouterr()
    assert not out and [line for line in err.splitlines() if line.startswith("fer-edge: ")] and words in err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--detector", "haar"], "need --crop, the folder"),
        (["--bundle", "models/paper"], "need --crop, the folder"),
        (["--crop", "OUT", "--sheet", "a.png"], "--sheet shows a data set"),
        (["--crop", "OUT", "--bundle", "nowhere"], "there is no bundle nowhere"),
    ],
)
def test_contradicting_arguments_are_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = class_tree(tmp_path / "set", {"": {"happy": 3, "sad": 3}})
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in arguments]
    assert main([str(tree), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
