"""What lies in a data set beside ordinary files: links, other suffixes, damaged tables, sizes that nobody means."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
from builders import bar, class_tree, huge_png, pixel_rows, pixel_text, write_pixel_csv

from convert.data.archives import open_container
from convert.data.ferplus import VoteTable
from convert.data.loader import load, remarks
from convert.data.pixel_csv import CSV_LABELS
from convert.quantize.synthetic_images import SyntheticImages
from fer_edge.errors import BundleRefused, DataError
from fer_edge.folder_files import files_below
from fer_edge.labels import LABELS
from fer_edge.limits import CSV_ROW_BYTES, PICTURE_PIXELS, VOTES_BYTES
from fer_edge.media_files import is_picture, is_picture_file, is_video, is_video_file

EACH = dict.fromkeys(LABELS, 2)


def test_linked_folders_are_read_and_named_parts_stay(tmp_path: Path) -> None:
    """A `train` that is a link, a class that is one, and a link in a circle."""
    class_tree(tmp_path / "elsewhere", {"pictures": EACH, "more": {"happy": 3}})
    data = class_tree(tmp_path / "set", {"test": EACH, "validation": {name: 2 for name in LABELS if name != "happy"}})
    (data / "train").symlink_to(tmp_path / "elsewhere/pictures")
    (data / "validation/happy").symlink_to(tmp_path / "elsewhere/more/happy")
    (data / "test/circle").symlink_to(data)
    (data / "again").symlink_to(data / "test")
    (data / "lost").symlink_to(tmp_path / "nowhere")
    samples = load(data)
    assert {part: len(samples.part(part).y) for part in ("train", "validation", "test")} == {
        "train": 14,
        "validation": 15,
        "test": 14,
    }
    assert samples.other_files == (
        "again: a link to test",
        "lost: a broken link",
        "test/circle: a link to the folder itself",
    )
    assert f"3 other files left out: {', '.join(samples.other_files)}" in remarks(samples)


def test_pictures_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    data, rng = class_tree(tmp_path / "set", {"": EACH}), np.random.default_rng(1)
    jpeg = cv2.imencode(".jpg", bar(0, rng))[1].tobytes()
    for name in ("a.jfif", "b.JPE", "no-suffix", "d.picture"):
        (data / "happy" / name).write_bytes(jpeg)
    (data / "happy/notes.txt").write_text("BMW is no bitmap")
    (data / "happy/.hidden.jpg").write_bytes(jpeg)
    (data / "happy/.DS_Store").touch()
    (data / "happy/._a.jfif").touch()
    samples = load(data)
    assert int((samples.y == LABELS.index("happy")).sum()) == 6
    assert samples.other_files == ("happy/notes.txt", "happy/.hidden.jpg: a hidden file")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_files_of_one_name_in_an_archive_the_last_is_read_and_the_others_are_listed(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for content in ("one", "two", "three"):
                archive.writestr("happy/0.jpg", content)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for content in (b"one", b"two", b"three"):
                member = tarfile.TarInfo("happy/0.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    with open_container(path) as files:
        assert files.names == ("happy/0.jpg",) and files.open("happy/0.jpg").read() == b"three"
        assert files.left_out == ("happy/0.jpg: a later file has this name",) * 2


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_hidden_files_of_an_archive_are_listed_as_left_out(kind: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("fer2013.csv", ".fer2013.csv", "._fer2013.csv", ".DS_Store"):
        (tree / name).write_text("emotion,pixels\n")
    with open_container(Path(shutil.make_archive(str(tmp_path / "set"), kind, tree))) as files:
        assert (files.names, files.left_out) == (("fer2013.csv",), (".fer2013.csv: a hidden file",))


@pytest.mark.parametrize(
    ("head", "picture", "video"),
    [
        (b"\0\0\0\x1cftypavif", True, False),
        (b"\0\0\0\x1cftypheic", False, False),
        (b"\0\0\0\x20ftypisom", False, True),
        (b"RIFF\0\0\0\0WEBPVP8 ", True, False),
        (b"RIFF\0\0\0\0AVI LIST", False, True),
        (b"RIFF\0\0\0\0WAVEfmt ", False, False),
        (b"\x1aE\xdf\xa3", False, True),
        (b"P5\n48 48\n255\n", True, False),
        (b"BMW and others\0\0", False, False),
        (b"", False, False),
    ],
)
def test_the_first_bytes_tell_pictures_from_videos(head: bytes, picture: bool, video: bool) -> None:
    assert (is_picture("file", head), is_video("file", head)) == (picture, video)


@pytest.mark.parametrize(
    ("name", "head", "picture", "video"),
    [
        ("a.JPG", b"", True, False),
        ("a.mp4", b"no video", False, True),
        ("file", b"P5\n48 48\n255\n", True, False),
        ("file", b"\x1aE\xdf\xa3", False, True),
        ("notes.txt", b"BMW is no bitmap", False, False),
    ],
)
def test_a_files_name_decides_else_its_first_bytes(
    tmp_path: Path, name: str, head: bytes, picture: bool, video: bool
) -> None:
    (tmp_path / name).write_bytes(head)
    assert (is_picture_file(tmp_path / name), is_video_file(tmp_path / name)) == (picture, video)


def test_a_set_without_a_test_part_says_so(tmp_path: Path) -> None:
    samples = load(class_tree(tmp_path / "set", {"train": EACH, "validation": EACH}))
    assert remarks(samples) == ["no image in the part test"]


def rows(count: int) -> list[tuple[str, str, str]]:
    return [
        (str(CSV_LABELS.index(LABELS[label])), pixel_text(gray), "Training")
        for label, gray in pixel_rows(count // 7 + 1)
    ][:count]


def test_a_csv_that_ends_within_a_row_is_refused(tmp_path: Path) -> None:
    """As a download that broke off leaves it; one bad row of 200 would otherwise be skipped."""
    content = write_pixel_csv(tmp_path / "whole.csv", rows(200), "emotion,pixels,Usage").read_bytes()
    (tmp_path / "set.csv").write_bytes(content[: int(len(content) * 0.6)])
    with pytest.raises(DataError, match=r"set\.csv ends within line 121 \(Usage '' is not one of .*\); fetch it again"):
        load(tmp_path / "set.csv")


def test_every_line_behind_an_open_quotation_counts(tmp_path: Path) -> None:
    lines = write_pixel_csv(tmp_path / "set.csv", rows(200), "emotion,pixels,Usage").read_text().splitlines()
    lines[120] = lines[120].replace(",", ',"', 1).replace('""', '"')
    (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"of 200 images in .* cannot be read: set.csv:121: a quotation that goes on"):
        load(tmp_path / "set.csv")


@pytest.mark.parametrize(("text", "says"), [("\t", "separated by something other"), ("7" * 5000, "emotion '7777777")])
def test_an_odd_cell_is_a_counted_fault(text: str, says: str, tmp_path: Path) -> None:
    table = rows(300)
    emotion, pixels, usage = table[5]
    table[5] = (emotion, pixels.replace(" ", text, 1), usage) if text == "\t" else (text, pixels, usage)
    (fault,) = load(write_pixel_csv(tmp_path / "set.csv", table, "emotion,pixels,Usage")).skipped
    assert says in fault


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """In a process of its own: OpenCV reads its limit when it is loaded, and here it was loaded before."""
    data = class_tree(tmp_path / "set", {"": EACH})
    (data / "happy/huge.png").write_bytes(huge_png(30_000))
    script = "import resource, sys\nfrom convert.data.__main__ import main\n"
    script += f"resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\nsys.exit(main([{str(data)!r}]))"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert f"happy/huge.png: a picture of more than the {PICTURE_PIXELS:,} pixels that are read" in ran.stderr


def test_a_member_that_expands_a_thousandfold_is_refused(tmp_path: Path) -> None:
    data = class_tree(tmp_path / "set", {"": EACH})
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(data.rglob("*.png")):
            archive.write(file, file.relative_to(data))
        with archive.open("happy/bomb.png", "w", force_zip64=True) as member:
            for _ in range(80):
                member.write(bytes(2**20))
    with pytest.raises(DataError, match=r"happy/bomb.png: more than the 67,108,864 bytes that are read of one picture"):
        load(tmp_path / "set.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_flipped_bit_of_a_zip_is_a_sentence(method: int, tmp_path: Path) -> None:
    data = class_tree(tmp_path / "set", {"": {"happy": 2, "sad": 2}})
    path, random, refused = tmp_path / "set.zip", Random(0), 0
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(data.rglob("*.png")):
            archive.write(file, file.relative_to(data))
    whole = path.read_bytes()
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[random.randrange(len(whole))] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        try:
            load(path)
        except DataError:
            refused += 1
    assert refused
    damaged = bytearray(whole)
    damaged[whole.index(b"PK\1\2") + 6] = 148  # the version that is needed to read a member
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"is a truncated or damaged zip: .* zip file version 14\.8; fetch it again"):
        load(path)


def test_the_folder_of_collected_faces_is_no_data_set_but_its_labelled_part_is(tmp_path: Path) -> None:
    data = class_tree(tmp_path / "faces" / "labelled", {"": EACH})
    (tmp_path / "faces" / "unlabelled").mkdir()
    shutil.copy(next(data.rglob("*.png")), tmp_path / "faces" / "unlabelled" / "1.png")
    (tmp_path / "faces" / "fer-edge-faces.json").write_text("{}")
    with pytest.raises(DataError, match=r"is a folder of `fer-edge collect`, .* name .*/faces/labelled$"):
        load(tmp_path / "faces")
    assert not load(data).skipped


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_a_picture_beside_the_class_folders_is_no_class(form: str, tmp_path: Path) -> None:
    """A contact sheet in the folder that was packed, or whose parent was named."""
    data = class_tree(tmp_path / "set" / "my-faces", {"": {"sad": 20, "happy": 20}})
    shutil.copy(next(data.rglob("*.png")), data / "contact-sheet.png")
    path = tmp_path / "set"
    if form == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    samples = load(path, classes="own")
    assert samples.labels == ("happy", "sad")


def test_a_table_of_one_endless_line_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "set.csv.gz", "wb") as file:
        file.write(b"emotion,pixels\n0," + b"0 " * CSV_ROW_BYTES)
    with pytest.raises(DataError, match=f"has more than the {CSV_ROW_BYTES:,} characters that are read of a line"):
        load(tmp_path / "set.csv.gz")


def test_pipes_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert files_below(tmp_path).left_out == ("pipe.png: not a regular file",)


def test_a_table_of_votes_that_expands_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "votes.csv.gz", "wb") as file:
        for _ in range(VOTES_BYTES // 2**20 + 1):
            file.write(b"\n" * 2**20)
    with pytest.raises(DataError, match=f"has more than the {VOTES_BYTES:,} bytes that are read of a table of votes"):
        VoteTable.read(tmp_path / "votes.csv.gz")


def test_synthetic_images_of_another_type_are_refused(tmp_path: Path) -> None:
    path, images = tmp_path / "synthetic.npz", np.zeros((2, 8, 8), np.float32)
    np.savez_compressed(path, calibrate=images, check=images, model_sha256="0", seed=0, steps=1, loss=0.0)
    with pytest.raises(BundleRefused, match=r"no synthetic images \(calibrate is float32 \(2, 8, 8\), not uint8"):
        SyntheticImages.load(path, tmp_path / "float.keras")
