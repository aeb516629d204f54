"""Data sets in all their containers, what is wrong with some, and what is err about them."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import bar, class_tree, packed, pixel_rows, pixel_text, write_image, write_pixel_csv

from convert.data.__main__ import main
from convert.data.loader import load, remarks
from convert.data.pixel_csv import CSV_LABELS
from convert.data.samples import Samples, also_in
from convert.data.summary import summarize
from fer_edge.errors import DataError, UsageError
from fer_edge.face_crop import crop_whole_image
from fer_edge.labels import LABELS

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def csv_rows(samples: Samples) -> list[tuple[str, str, str]]:
    """The rows that FER2013's CSV would have for these images."""
    return [
        (str(CSV_LABELS.index(LABELS[label])), pixel_text(image[:, :, 0]), USAGES[part])
        for image, label, part in zip(samples.x, samples.y, samples.split, strict=True)
    ]


def drawn_csv(path: Path, per_class: int = 3, header: str = "emotion,pixels,Usage", side: int = 48) -> Path:
    """A pixel CSV of bars: of each class the first image trains, the second validates, the others test."""
    rows = []
    for i, (label, gray) in enumerate(pixel_rows(per_class, side)):
        usage = ("Training", "PublicTest", "PrivateTest")[min(i % per_class, 2)]
        rows.append((str(CSV_LABELS.index(LABELS[label])), pixel_text(gray), usage))
    return write_pixel_csv(path, rows, header)


def drawn_tree(root: Path, per_class: int = 3) -> Path:
    """The same bars as `drawn_csv`, as Kaggle's tree of PNG files: PublicTest and PrivateTest both in `test`."""
    for i, (label, gray) in enumerate(pixel_rows(per_class)):
        usage = ("Training", "PublicTest", "PrivateTest")[min(i % per_class, 2)]
        folder = root / ("train" if usage == "Training" else "test") / LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{usage}_{i:08d}.png", gray)
    return root


def contents(samples: Samples) -> set[tuple[bytes, int, str]]:
    """What a set holds, whatever the order: pixels, label and part of each image."""
    return {(x.tobytes(), int(y), str(part)) for x, y, part in zip(samples.x, samples.y, samples.split, strict=True)}


# the real set


def test_fer2013_is_read_from_kaggles_zip(fer2013_samples: Samples) -> None:
    assert fer2013_samples.x.shape == (35887, 48, 48, 1)
    assert [len(fer2013_samples.part(part).y) for part in ("train", "validation", "test")] == [28709, 3589, 3589]
    assert fer2013_samples.source == tuple(sorted(fer2013_samples.source))
    assert not fer2013_samples.skipped and not fer2013_samples.left_out and not remarks(fer2013_samples)


def test_repeated_images_of_fer2013_are_counted_across_its_parts(fer2013_samples: Samples) -> None:
    summary = summarize(fer2013_samples).to_json()
    assert summary["counts"]["train"] == dict(
        zip(LABELS, [3995, 436, 4097, 7215, 4965, 4830, 3171], strict=True)
    )  # as counted in the zip's own folders
    identical = summary["identical"]
    assert (identical["groups"], identical["images"]) == (1516, 3369)
    assert identical["across"]["test"]["train"] == 288 == also_in(fer2013_samples, "test", "train").sum()
    assert identical["across"]["validation"]["train"] == 280 == also_in(fer2013_samples, "validation", "train").sum()
    assert summary["conflicting"]["groups"] == 57 == len(summary["conflicting"]["sets"])


def test_every_container_of_fer2013_gives_the_same_pixels(fer2013: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    with zipfile.ZipFile(fer2013) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::300]
        for name in names:
            archive.extract(name, tree)
    (tree / "train" / "happy" / ".DS_Store").write_bytes(b"left by a Mac")
    unpacked = load(tree)
    assert unpacked.source == tuple(names)
    rows = csv_rows(unpacked)
    spaced = " emotion, Usage, pixels"
    plain_csv = write_pixel_csv(tmp_path / "fer2013.csv", rows)
    with tarfile.open(tmp_path / "fer2013.tar.gz", "w:gz") as tar:
        tar.add(plain_csv, "fer2013/fer2013.csv")
    (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(plain_csv.read_bytes()))
    with zipfile.ZipFile(packed(tree, tmp_path / "mac.zip", top="archive"), "a") as mac:
        mac.writestr("__MACOSX/archive/train/happy/._Training_1.jpg", b"resource fork")
    with zipfile.ZipFile(tmp_path / "csv.zip", "w") as archive:
        archive.write(plain_csv, "deep/fer2013.csv")
    others = [
        load(packed(tree, tmp_path / "tree.zip")),
        load(tmp_path / "mac.zip"),
        load(plain_csv),
        load(write_pixel_csv(tmp_path / "icml_face_data.csv", rows, spaced)),
        load(tmp_path / "fer2013.tar.gz"),
        load(tmp_path / "fer2013.csv.gz"),
        load(tmp_path / "csv.zip"),
    ]
    for other in others:
        assert np.array_equal(other.x, unpacked.x), other.form
        assert np.array_equal(other.y, unpacked.y), other.form
        assert np.array_equal(other.split, unpacked.split), other.form


# drawn sets


def test_a_tree_and_a_csv_of_the_same_images_agree(tmp_path: Path) -> None:
    tree, table = load(drawn_tree(tmp_path / "tree")), load(drawn_csv(tmp_path / "fer2013.csv"))
    assert contents(tree) == contents(table)
    assert len(contents(tree)) == 21
    assert table.source[0] == "fer2013.csv:2"
    assert tree.split_rule == table.split_rule == "as the set names them"


def test_class_numbers_of_the_csv_are_in_their_own_order(tmp_path: Path) -> None:
    assert sorted(CSV_LABELS) == sorted(LABELS)
    path = write_pixel_csv(
        tmp_path / "fer2013.csv",
        [(str(number), pixel_text(np.full((48, 48), number, np.uint8)), "Training") for number in range(7)],
    )
    samples = load(path)
    assert [LABELS[y] for y in samples.y] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert samples.x[:, 0, 0, 0].tolist() == list(range(7))


def test_a_csv_with_a_split_is_preferred_to_those_without(tmp_path: Path) -> None:
    """Kaggle's challenge packs icml_face_data.csv beside train.csv and test.csv, which hold parts of it."""
    drawn_csv(tmp_path / "icml_face_data.csv", header="emotion, Usage, pixels")
    drawn_csv(tmp_path / "train.csv", header="emotion,pixels")
    write_pixel_csv(tmp_path / "test.csv", [("", "1 2 3", "")], header="pixels")
    samples = load(tmp_path)
    assert samples.source[0].startswith("icml_face_data.csv:")
    assert len(samples.y) == 21


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("gray.png", lambda gray: gray),
        ("deep.png", lambda gray: gray.astype(np.uint16) * 257),
        ("colour.bmp", lambda gray: np.dstack([gray] * 3)),
        ("alpha.PNG", lambda gray: np.dstack([gray, gray, gray, np.full_like(gray, 9)])),
        ("plain.pgm", lambda gray: gray),
        ("scan.TIF", lambda gray: gray),
    ],
)
@pytest.mark.parametrize("size", [(48, 48), (131, 97), (20, 31)])
def test_images_of_any_mode_and_size_are_read(
    name: str, image: Callable, size: tuple[int, int], tmp_path: Path
) -> None:
    gray = cv2.resize(bar(3, np.random.default_rng(1)), size)
    folder = tmp_path / "Happiness"
    folder.mkdir()
    write_image(folder / name, image(gray))
    samples = load(tmp_path)
    assert np.array_equal(samples.x[0, :, :, 0], crop_whole_image(gray))
    assert LABELS[samples.y[0]] == "happy"


@pytest.mark.parametrize("name", ["photo.JPEG", "web.webp"])
def test_images_of_lossy_formats_are_read(name: str, tmp_path: Path) -> None:
    gray = np.add.outer(np.arange(90), np.arange(90)).astype(np.uint8)  # smooth, so little is lost
    (tmp_path / "sad").mkdir()
    write_image(tmp_path / "sad" / name, gray)
    difference = load(tmp_path).x[0, :, :, 0].astype(int) - crop_whole_image(gray)
    assert np.abs(difference).max() < 8


def palette_png(gray: np.ndarray) -> bytes:
    """A PNG with a palette of 256 grays; OpenCV writes none itself."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = gray.shape
    colours = bytes(level for gray_level in range(256) for level in [255 - gray_level] * 3)
    rows = b"".join(b"\0" + row.tobytes() for row in 255 - gray)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", colours), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_an_image_with_a_palette_is_read(tmp_path: Path) -> None:
    gray = bar(5, np.random.default_rng(2))
    (tmp_path / "fear").mkdir()
    (tmp_path / "fear" / "palette.png").write_bytes(palette_png(gray))
    assert np.array_equal(load(tmp_path).x[0, :, :, 0], gray)


def test_images_are_resized_by_the_crop_of_the_device(tmp_path: Path) -> None:
    path = drawn_csv(tmp_path / "set.csv", side=64)
    wanted = [crop_whole_image(gray, 40) for _, gray in pixel_rows(3, 64)]
    assert np.array_equal(load(path, side=40).x[:, :, :, 0], wanted)


def test_other_classes_are_left_out_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_tree(tmp_path, {"": {"happy": 3, "sad": 3}})
    (tmp_path / "contempt").mkdir()
    (tmp_path / "contempt" / "a.png").write_bytes(b"never opened")
    write_image(tmp_path / "logo.png", np.zeros((9, 9), np.uint8))
    samples = load(tmp_path)
    assert samples.left_out == {"(no class folder)": 1, "contempt": 1}
    assert len(samples.y) == 6
    assert main([str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert "none of the seven classes: (no class folder) 1, contempt 1" in err
    assert "no image of angry, disgust, fear, neutral, surprise" in err


# own classes


def own_tree(root: Path, counts: dict[str, int]) -> Path:
    """A folder of images of one gray level for each class, so many: its own number, counted over all classes."""
    level = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            write_image(root / name / f"{i}.png", np.full((60, 50), level, np.uint8))
            level += 1
    return root


def labelled(samples: Samples) -> list[tuple[int, str]]:
    """The gray level and the label of each image of `own_tree`."""
    return [(int(x[0, 0, 0]), samples.labels[y]) for x, y in zip(samples.x, samples.y, strict=True)]


def test_own_classes_are_labels_in_alphabetical_order(tmp_path: Path) -> None:
    samples = load(own_tree(tmp_path, {"drowsy": 2, "alert": 3, "Happiness": 1}), classes="own")
    assert samples.labels == ("Happiness", "alert", "drowsy"), "as they are, and capitals sort first"
    assert labelled(samples) == [(5, "Happiness"), *((n, "alert") for n in (2, 3, 4)), *((n, "drowsy") for n in (0, 1))]
    assert samples.take(np.array([1, 0])).labels == samples.part("train").labels == samples.labels
    assert not samples.left_out


@pytest.mark.parametrize(
    ("classes", "labels", "left_out"),
    [
        (["drowsy", "alert"], ["drowsy"] * 2 + ["alert"] * 3, {"0_Happiness": 1, "yawning": 1}),
        (["yawning", "happy", "alert"], ["yawning", "happy", *["alert"] * 3], {"drowsy": 2}),
        (["0_Happiness", "happy", "drowsy"], ["0_Happiness", "drowsy", "drowsy"], {"alert": 3, "yawning": 1}),
        (("alert ", "yawning"), ["alert"] * 3 + ["yawning"], {"0_Happiness": 1, "drowsy": 2}),
    ],
)
def test_selected_classes_are_labels_in_the_order_of_selection(
    classes: list[str], labels: list[str], left_out: dict[str, int], tmp_path: Path
) -> None:
    samples = load(own_tree(tmp_path, {"drowsy": 2, "alert": 3, "0_Happiness": 1, "yawning": 1}), classes=classes)
    assert samples.labels == tuple(name.strip() for name in classes)
    assert sorted(label for _, label in labelled(samples)) == sorted(labels)
    assert samples.left_out == left_out
    assert [samples.labels[i] for i in range(len(classes)) if np.any(samples.y == i)] == list(dict.fromkeys(labels))


def test_another_order_of_the_seven_labels_gives_the_same_images(tmp_path: Path) -> None:
    path = drawn_csv(tmp_path / "set.csv")
    usual, turned = load(path), load(path, classes=CSV_LABELS)
    assert [usual.labels[y] for y in usual.y] == [turned.labels[y] for y in turned.y]
    assert turned.labels == CSV_LABELS and np.array_equal(usual.x, turned.x)


def test_own_classes_of_a_pixel_csv_are_the_values_of_its_column(tmp_path: Path) -> None:
    gray = [pixel_text(np.full((48, 48), level, np.uint8)) for level in range(4)]
    rows = list(zip(["drowsy", " alert", "3", "alert"], gray, ["Training"] * 4, strict=True))
    path = write_pixel_csv(tmp_path / "own.csv", rows)
    samples = load(path, classes="own")
    assert samples.labels == ("3", "alert", "drowsy")
    assert labelled(samples) == [(0, "drowsy"), (1, "alert"), (2, "3"), (3, "alert")]
    named = load(path, classes=("happy", "alert"))
    assert labelled(named) == [(1, "alert"), (2, "happy"), (3, "alert")], "number 3 of FER2013 is happy"
    assert named.left_out == {"drowsy": 1}


def test_composed_and_decomposed_accents_are_the_same_name(tmp_path: Path) -> None:
    samples = load(own_tree(tmp_path, {"mu\u0308de": 2, "wach": 1}), classes=["wach", "m\u00fcde"])
    assert np.bincount(samples.y).tolist() == [1, 2]


def test_parts_and_stray_files_are_no_classes(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        own_tree(tmp_path / "faces" / part, {"alert": 2, "drowsy": 1})
    write_image(tmp_path / "logo.png", np.zeros((9, 9), np.uint8))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "who.txt").write_text("consent forms")
    samples = load(packed(tmp_path, tmp_path.parent / f"{tmp_path.name}.zip"), classes="own")
    assert samples.labels == ("alert", "drowsy") and samples.left_out == {"(no class folder)": 1}
    assert [int(np.sum(samples.split == part)) for part in ("train", "validation", "test")] == [3, 3, 3]


def test_each_own_class_is_split_by_its_share(tmp_path: Path) -> None:
    samples = load(own_tree(tmp_path, {"alert": 50, "drowsy": 20}), classes="own")
    counts = [np.bincount(samples.part(part).y).tolist() for part in ("train", "validation", "test")]
    assert counts == [[40, 16], [5, 2], [5, 2]]


def test_the_command_summarizes_own_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "looking away from the road"
    own_tree(tmp_path / "set", {"alert": 10, long: 10, "drowsy": 10})
    sheet = tmp_path / "sheet.png"
    assert main([str(tmp_path / "set"), "--classes", "own", "--sheet", str(sheet)]) == 0
    out, err = capsys.readouterr()
    assert f"{'alert':27}           8           1           1" in out.splitlines()
    assert f"{long}            8           1           1" in out.splitlines()
    assert "left out" not in err and "no image of" not in err
    picture = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    assert picture is not None and picture.shape[0] == 3 * 50 + 2 and picture.shape[1] > 84 + 16 * 50 + 2
    assert main([str(tmp_path / "set"), "--classes", f"{long},alert,happy", "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["labels"] == [long, "alert", "happy"]
    assert summary["counts"]["train"] == {long: 8, "alert": 8, "happy": 0}
    assert f"left out as none of {long}, alert, happy: drowsy 10" in err
    assert "no image of happy" in err


# parts


def test_parts_are_read_from_folder_names(tmp_path: Path) -> None:
    for part, label, count in [("Train", "angry", 2), ("Train", "happy", 2), ("val", "angry", 1), ("test", "happy", 1)]:
        class_tree(tmp_path, {part: {label: count}}, seed=count)
    samples = load(tmp_path)
    assert samples.split_rule == "as the set names them"
    parts = dict(zip(samples.source, samples.split.tolist(), strict=True))
    assert parts["Train/happy/0001.png"] == "train"
    assert parts["val/angry/0000.png"] == "validation"
    assert parts["test/happy/0000.png"] == "test"


def test_validation_is_drawn_from_train_where_the_set_has_none(tmp_path: Path) -> None:
    class_tree(tmp_path, {"train": {"happy": 40, "sad": 20}, "test": {"happy": 5, "sad": 5}})
    samples = load(tmp_path)
    held = samples.part("validation")
    assert np.bincount(held.y, minlength=7)[[LABELS.index("happy"), LABELS.index("sad")]].tolist() == [4, 2]
    assert all(name.startswith("train/") for name in held.source)
    assert len(samples.part("test").y) == 10
    assert "seed 0" in samples.split_rule and "from train" in samples.split_rule


def test_a_set_without_parts_is_drawn_by_the_seed_and_keeps_identical_images_together(tmp_path: Path) -> None:
    class_tree(tmp_path, {"": {"angry": 60, "fear": 30}})
    for i in range(0, 60, 2):  # every other image once more, under another name
        twin = (tmp_path / "angry" / f"{i:04d}.png").read_bytes()
        (tmp_path / "angry" / f"twin-{i:04d}.png").write_bytes(twin)
    samples = load(tmp_path)
    angry = samples.split[samples.y == LABELS.index("angry")]
    fear = samples.split[samples.y == LABELS.index("fear")]
    assert [int(np.sum(angry == part)) for part in ("train", "validation", "test")] == [72, 9, 9]
    assert [int(np.sum(fear == part)) for part in ("train", "validation", "test")] == [24, 3, 3]
    assert not also_in(samples, "test", "train").any() and not also_in(samples, "validation", "train").any()
    assert np.array_equal(samples.split, load(tmp_path).split)
    other = load(tmp_path, seed=1)
    assert not np.array_equal(samples.split, other.split)
    assert "seed 1" in other.split_rule


def test_the_smallest_class_still_has_an_image_in_every_part(tmp_path: Path) -> None:
    samples = load(class_tree(tmp_path, {"": {"disgust": 3, "sad": 2, "happy": 1}}))
    disgust = samples.split[samples.y == LABELS.index("disgust")]
    assert sorted(disgust.tolist()) == ["test", "train", "validation"]
    assert samples.split[samples.y == LABELS.index("happy")].tolist() == ["train"]
    assert samples.split[samples.y == LABELS.index("sad")].tolist() == ["train"] * 2, "two are too few to be divided"


# what is wrong


def broken_tree(root: Path, images: int, broken: int) -> Path:
    """A class tree of which so many images are cut off in the middle."""
    class_tree(root, {"": {"happy": images}})
    for i in range(broken):
        file = root / "happy" / f"{i:04d}.png"
        file.write_bytes(file.read_bytes()[:300])
    return root


def test_a_few_corrupt_images_are_skipped_named_and_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken_tree(tmp_path, 200, 2)
    samples = load(tmp_path)
    assert len(samples.y) == 198
    assert samples.skipped == tuple(f"happy/{i:04d}.png: no readable image in its 300 bytes" for i in range(2))
    assert main([str(tmp_path), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["skipped"] == list(samples.skipped)
    assert "2 skipped that cannot be read: happy/0000.png" in err


def test_a_few_bad_rows_are_skipped_named_and_counted(tmp_path: Path) -> None:
    rows = [("3", pixel_text(gray), "Training") for _, gray in pixel_rows(30)]
    rows[7] = ("3", "1 2 3", "Training")
    rows[99] = ("11", rows[99][1], "PublicTest")
    samples = load(write_pixel_csv(tmp_path / "fer2013.csv", rows))
    assert samples.skipped == (
        "fer2013.csv:9: 3 pixels where 2,304 belong",
        "fer2013.csv:101: emotion '11' is not one of 0 to 6",
    )
    assert len(samples.y) == 208


def one_row(emotion: str = "3", pixels: str | None = None, usage: str = "Training") -> Callable[[Path], Path]:
    """A builder of a CSV whose third line is the row given."""

    def build(folder: Path) -> Path:
        good = pixel_text(np.full((48, 48), 7, np.uint8))
        return write_pixel_csv(
            folder / "fer2013.csv", [("3", good, "Training"), (emotion, good if pixels is None else pixels, usage)]
        )

    return build


def text_file(name: str, content: str | bytes) -> Callable[[Path], Path]:
    """A builder of one file."""

    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return build


def truncated(build: Callable[[Path], Path], keep: float) -> Callable[[Path], Path]:
    """A builder of the front part of a file."""

    def cut(folder: Path) -> Path:
        path = build(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        return path

    return cut


def tree_zip(folder: Path) -> Path:
    return packed(class_tree(folder / "tree", {"": {"happy": 3}}), folder / "set.zip")


def csv_gz(folder: Path) -> Path:
    path = folder / "fer2013.csv.gz"
    path.write_bytes(gzip.compress(drawn_csv(folder / "fer2013.csv", 20).read_bytes()))
    return path


def csv_tar(folder: Path) -> Path:
    with tarfile.open(folder / "fer2013.tar.gz", "w:gz") as tar:
        tar.add(drawn_csv(folder / "fer2013.csv", 20), "fer2013/fer2013.csv")
    return folder / "fer2013.tar.gz"


def image_tar(folder: Path) -> Path:
    with tarfile.open(folder / "set.tar.gz", "w:gz") as tar:
        tar.add(class_tree(folder / "tree", {"": {"happy": 3}}), "set")
    return folder / "set.tar.gz"


def damaged_member(folder: Path) -> Path:
    """A zip whose first image has a flipped byte, which its checksum tells."""
    path = tree_zip(folder)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 40] ^= 0xFF
    path.write_bytes(data)
    return path


def locked_zip(folder: Path) -> Path:
    """A zip whose directory says that its members are encrypted."""
    path = tree_zip(folder)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    while at >= 0:
        data[at + 8] |= 1 if b"0" in data[at + 46 : at + 60] else 0  # the images, not their folder
        at = data.find(b"PK\1\2", at + 4)
    path.write_bytes(data)
    return path


def empty_class(folder: Path) -> Path:
    class_tree(folder, {"train": {"happy": 3}, "test": {"happy": 1}})
    (folder / "test" / "disgust").mkdir()
    return folder


def empty_class_zip(folder: Path) -> Path:
    return packed(empty_class(folder / "tree"), folder / "set.zip")


def two_tables(folder: Path) -> Path:
    drawn_csv(folder / "a.csv")
    drawn_csv(folder / "b.csv")
    return folder


def table_and_tree(folder: Path) -> Path:
    drawn_csv(folder / "a.csv")
    return class_tree(folder, {"": {"happy": 1}})


def other_classes(folder: Path) -> Path:
    for name in ("1", "2"):
        (folder / name).mkdir()
        write_image(folder / name / "a.png", np.zeros((9, 9), np.uint8))
    return folder


def half_in_parts(folder: Path) -> Path:
    return class_tree(folder, {"": {"happy": 3}, "test": {"happy": 1}})


def zip_in_folder(folder: Path) -> Path:
    text_file("fer2013.zip", b"whatever")(folder)
    return folder


def empty_image(folder: Path) -> Path:
    class_tree(folder, {"": {"happy": 3}})
    (folder / "happy" / "0001.png").write_bytes(b"")
    return folder


def nothing(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "nowhere.zip"


def one_image(folder: Path) -> Path:
    return write_image(folder / "face.png", np.zeros((48, 48), np.uint8))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (missing, ["nowhere.zip does not exist", "accepted are"]),
        (nothing, ["is not a data set: an empty folder", "accepted are"]),
        (zip_in_folder, ["fer2013.zip in it may be one"]),
        (one_image, ["face.png is one image and no data set"]),
        (text_file("fer2013.csv", ""), ["fer2013.csv is empty (0 bytes)"]),
        (text_file("notes.txt", "to whom it may concern"), ["is not a data set", "not emotion and pixels"]),
        (text_file("noise.bin", bytes(range(256)) * 9), ["is not a data set", "neither an archive nor a CSV"]),
        (text_file("fer2013.csv", "emotion,pixels,Usage\n"), ["holds no image of angry"]),
        (
            text_file("fer2013new.csv", "Usage,Image name,neutral\n"),
            ["usage, image name, neutral", "emotion and pixels"],
        ),
        (truncated(tree_zip, 0.7), ["set.zip is a truncated or damaged zip", "bytes", "fetch it again"]),
        (truncated(csv_gz, 0.5), ["fer2013.csv.gz cannot be read beyond line", "fetch it again"]),
        (text_file("fer2013.csv.gz", gzip.compress(b"emotion")[:12]), ["fer2013.csv.gz is truncated or damaged"]),
        (text_file("empty.zip", b"PK\5\6" + bytes(18)), ["is not a data set: an empty zip"]),
        (locked_zip, ["set.zip is an encrypted zip (happy/0000.png needs a password)"]),
        (truncated(csv_tar, 0.5), ["fer2013.tar.gz is a truncated or damaged tar"]),
        (image_tar, ["packs 3 images in a tar", "unpack it"]),
        (damaged_member, ["1 of 3 images", "happy/0000.png: Bad CRC-32"]),
        (lambda folder: broken_tree(folder, 30, 5), ["5 of 30 images", "happy/0000.png", "happy/0002.png", "; …"]),
        (empty_image, ["1 of 3 images", "happy/0001.png: empty file"]),
        (empty_class, ["the class folder test/disgust", "holds no image"]),
        (empty_class_zip, ["the class folder test/disgust", "set.zip", "holds no image"]),
        (two_tables, ["holds more than one set: a.csv and b.csv"]),
        (table_and_tree, ["both in a.csv and in 1 images"]),
        (other_classes, ["holds no image of angry", "its classes are 1, 2", "`--classes own` takes the set's own"]),
        (half_in_parts, ["3 of 4 images are in no part"]),
        (one_row(pixels="1 2 3"), ["1 of 2 images", "fer2013.csv:3: 3 pixels where 2,304 belong"]),
        (one_row(pixels=""), ["fer2013.csv:3: 0 pixels where 2,304 belong"]),
        (one_row(pixels="256 " * 2304), ["fer2013.csv:3: pixel value 256 is above 255"]),
        (one_row(pixels="-1 " * 2304), ["fer2013.csv:3: pixel value '-1'"]),
        (one_row(pixels="1.5 " * 2304), ["fer2013.csv:3: pixel value '1.5'"]),
        (one_row(emotion="7"), ["fer2013.csv:3: emotion '7' is not one of 0 to 6"]),
        (one_row(emotion=""), ["fer2013.csv:3: emotion '' is not one of 0 to 6"]),
        (one_row(usage="Testing set"), ["fer2013.csv:3: Usage 'testing set'"]),
    ],
)
def test_a_faulty_data_set_is_refused_in_one_sentence(
    build: Callable[[Path], Path], words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(build(tmp_path))]) == 2
    out, err = capfd.readouterr()
    messages = [line for line in err.splitlines() if line.startswith("fer-edge: ")]
    assert not out
    assert len(messages) == 1, err
    for word in words:
        assert word in messages[0], messages[0]


def test_a_csv_in_the_wrong_encoding_names_its_line(tmp_path: Path) -> None:
    path = drawn_csv(tmp_path / "fer2013.csv")
    path.write_bytes(path.read_bytes() + b"3,\xff\xfe,Training\n")
    with pytest.raises(DataError, match=r"fer2013\.csv cannot be read beyond line"):
        load(path)


def one_own_class(folder: Path) -> Path:
    return own_tree(folder, {"alert": 3})


def empty_own_class(folder: Path) -> Path:
    (own_tree(folder, {"alert": 3, "drowsy": 3}) / "asleep").mkdir()
    return folder


def two_own_classes(folder: Path) -> Path:
    return own_tree(folder, {"alert": 3, "drowsy": 3})


def own_classes_with(name: str) -> Callable[[Path], Path]:
    return lambda folder: own_tree(folder, {"alert": 3, "drowsy": 3, name: 3})


@pytest.mark.parametrize(
    ("build", "classes", "words"),
    [
        (one_own_class, "own", ["holds images of one class only: alert"]),
        (two_own_classes, "alert,drowzy", ["one class only of alert, drowzy: alert"]),
        (
            two_own_classes,
            "awake,asleep",
            ["no image of awake, asleep; its classes are alert, drowsy", "`--classes own`"],
        ),
        (two_own_classes, "alert", ["one class, alert, leaves nothing to classify"]),
        (two_own_classes, "alert,alert", ["'alert', 'alert' are not all different names"]),
        (own_classes_with("unsure"), "own", ["the label “unsure” stands for what a device reports where it abstains"]),
        (own_classes_with("None"), "own", ["the label “None” stands for the absence of a label"]),
        (
            two_own_classes,
            "alert,none",
            ["the label “none” stands for the absence of a label; give the class another name"],
        ),
        (own_classes_with("valid"), "own", ["the folder valid in", "a part of the set by its name", "rename it"]),
        (own_classes_with("test"), "own", ["the folder test in", "holds images without a class folder (3 images"]),
        (two_own_classes, "alert,train", ["a folder called train is the part train of a data set and no class"]),
        (own_classes_with("\x1b[31mred"), "own", [r"the label '\x1b[31mred' cannot be printed as it is"]),
        (own_classes_with("a" * 65), "own", ["has 65 characters, more than 64"]),
        (two_own_classes, "alert,", ["'alert', '' are not all different names"]),
        (empty_own_class, "own", ["the class folder asleep in", "holds no image"]),
        (empty_own_class, "alert,asleep", ["the class folder asleep in", "holds no image"]),
        (
            lambda folder: write_image(folder / "a.png", np.zeros((9, 9), np.uint8)).parent,
            "own",
            ["a folder of its own"],
        ),
        (one_row(emotion=""), "own", ["fer2013.csv:3: emotion '' is not a class"]),
    ],
)
def test_a_faulty_selection_of_classes_is_refused_in_one_sentence(
    build: Callable[[Path], Path],
    classes: str,
    words: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main([str(build(tmp_path)), "--classes", classes]) == 2
    out, err = capfd.readouterr()
    assert not out and len(err.splitlines()) == 1, err
    for word in words:
        assert word in err


def test_an_unknown_selection_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'all' is not a choice of classes; give own, or two or more names"):
        load(tmp_path, classes="all")


# messages and summaries


def test_the_summary_counts_identical_images_and_conflicting_labels(tmp_path: Path) -> None:
    class_tree(tmp_path, {"train": {"happy": 4}, "val": {"sad": 2}, "test": {"sad": 3}})
    twin = (tmp_path / "train" / "happy" / "0000.png").read_bytes()
    (tmp_path / "train" / "happy" / "copy.png").write_bytes(twin)
    (tmp_path / "test" / "sad" / "0001.png").write_bytes(twin)
    samples = load(tmp_path)
    summary = json.loads(json.dumps(summarize(samples).to_json()))
    assert summary["totals"] == {"train": 5, "validation": 2, "test": 3}
    assert summary["counts"]["test"]["sad"] == 3
    identical = summary["identical"]
    assert (identical["groups"], identical["images"]) == (1, 3)
    assert identical["within"]["train"] == {"groups": 1, "images": 2}
    assert identical["within"]["test"] == {"groups": 0, "images": 0}
    assert identical["across"]["train"] == {"validation": 0, "test": 2}
    assert identical["across"]["test"] == {"train": 1, "validation": 0}
    assert summary["conflicting"]["sets"] == [
        [["test/sad/0001.png", "sad"], ["train/happy/0000.png", "happy"], ["train/happy/copy.png", "happy"]]
    ]
    assert also_in(samples, "test", "train").tolist() == [False, True, False]
    assert not also_in(samples, "validation", "train").any()


def test_the_command_prints_the_summary_as_a_table_or_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = drawn_csv(tmp_path / "fer2013.csv", 4)
    assert main([str(path)]) == 0
    out, err = capsys.readouterr()
    assert "28 images of 48×48 px, read from a file with pixel rows" in out
    assert "all                  7           7          14" in out
    assert not err
    assert main([str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["totals"] == {"train": 7, "validation": 7, "test": 14}
    assert not err


def test_the_sheet_has_a_row_for_each_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, sheet = drawn_csv(tmp_path / "fer2013.csv", 4), tmp_path / "sheet.png"
    assert main([str(path), "--sheet", str(sheet)]) == 0
    picture = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    assert picture is not None and picture.shape == (7 * 50 + 2, 84 + 16 * 50 + 2)
    for row in range(7):
        cells = picture[row * 50 + 2 : row * 50 + 50, 86:]
        assert cells[:, :198].mean() < 200 and cells[:, 200:].min() == 255, "four samples, then white"
        assert picture[row * 50 + 2 : row * 50 + 50, :84].min() < 100, "a name at the left"
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"
    assert main([str(path), "--sheet", str(tmp_path / "sheet.jpg")]) == 2
    assert main([str(path), "--sheet", str(tmp_path / "nowhere" / "sheet.png")]) == 2
    assert "nowhere/sheet.png cannot be written" in capsys.readouterr().err


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    samples = load(drawn_csv(tmp_path / "fer2013.csv"))
    assert samples.part("test").left_out == samples.left_out
    with pytest.raises(UsageError, match="'privatetest' is not a part"):
        samples.part("privatetest")
