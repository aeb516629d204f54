"""A bundle is whole and unaltered, or refused with a sentence; and it is replaced whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.bundle_files import file_entries, refuse_from_inside, replaced_folder
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.golden_check import verify
from fer_edge.labels import LABELS
from fer_edge.limits import JSON_BYTES
from fer_edge.shipped_bundles import IN_CHECKOUT, SHIPPED, bundle_folder, shipped_path


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def edit(path: str, value: object) -> Callable[[Path], None]:
    """Sets a field of bundle.json, named by the keys that lead to it with dots between."""

    def change(folder: Path) -> None:
        spec = json.loads((folder / "bundle.json").read_text())
        *parents, key = path.split(".")
        inner = spec
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
        (folder / "bundle.json").write_text(json.dumps(spec))

    return change


def truncate(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "error", "word"),
    [
        (truncate("model.tflite"), BundleRefused, "hash differs"),
        (truncate("bundle.json"), BundleRefused, "cannot be read"),
        (
            lambda f: (f / "bundle.json").write_bytes((f / "bundle.json").read_bytes() + b" " * JSON_BYTES),
            BundleRefused,
            "more than the 16,777,216 bytes that are read",
        ),
        (lambda f: (f / "golden.npz").unlink(), BundleRefused, "golden.npz is missing"),
        (lambda f: (f / "bundle.json").unlink(), UsageError, "not a bundle"),
        (edit("format", 99), BundleRefused, "format 99"),
        (edit("files", {}), BundleRefused, "does not list"),
        (edit("input.preprocess", "other/2"), BundleRefused, "other/2"),
        (edit("labels", None), BundleRefused, "labels is None, not a list of 2 or more different texts"),
        (edit("runtimes", [{"runtime": "litert"}]), BundleRefused, r"runtimes\[0\].version is missing"),
        (edit("runtimes", 3), BundleRefused, "runtimes is 3, not a list of objects"),
        (edit("thresholds", {}), BundleRefused, "thresholds.temperature is missing"),
        (edit("input.mappings", None), BundleRefused, "input.mappings is None, not an object"),
    ],
)
def test_a_damaged_bundle_is_refused(
    damage: Callable[[Path], None], error: type[Exception], word: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(error, match=word):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ('{"temperature": NaN}', "NaN is not a number of JSON"),
        ("[" * 200_000, "nested deeper than"),
        ('{"format": ' + "9" * 5000 + "}", "cannot be read"),
        ('{"format": 1e999}', "format is inf, not a whole number"),
        ('{"format": ' + "9" * 400 + "}", "not a whole number up to"),
    ],
)
def test_json_that_no_reader_should_take_is_refused(raw: str, word: str, copy: Path) -> None:
    (copy / "bundle.json").write_text(raw)
    with pytest.raises(BundleRefused, match=word):
        Bundle.load(copy)


def test_the_bytes_whose_hashes_were_checked_are_those_that_run(copy: Path) -> None:
    """The files are replaced after the check, as by a copy that is still under way."""
    bundle = Bundle.load(copy)
    for name in ("model.tflite", "golden.npz", "parity.json"):
        (copy / name).write_bytes(b"other")
    assert verify(bundle).crops == 8


def test_a_model_of_other_classes_is_refused(copy: Path) -> None:
    edit("labels", list(LABELS[:-1]))(copy)
    with pytest.raises(BundleRefused, match="7 classes"):
        Bundle.load(copy).classify(np.zeros((1, 48, 48), np.uint8))


def test_the_device_needs_no_host_files(copy: Path) -> None:
    for name in ("float.keras", "history.json", "calibration.json", "synthetic.npz"):
        (copy / name).unlink(missing_ok=True)
    bundle = Bundle.load(copy)
    assert bundle.labels == LABELS
    rows = bundle.classify(np.zeros((2, 48, 48), np.uint8))
    assert rows.shape == (2, 7) and rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_passes_its_golden_vectors_here(name: str) -> None:
    """Its golden vectors, as a start of the loop checks them; tests/fer_edge/test_verify.py has the rest."""
    found = verify(Bundle.load(name))
    assert found.crops == 8 and not found.difference.exceeds(found.limits)


def test_predict_classifies_a_crop_or_the_detected_faces(bundle_path: Path, blazeface: object) -> None:
    from fer_edge.reader import Reader
    from fer_edge.synthetic_face import face_frame

    reader = Reader(Bundle.load(bundle_path))
    (found,) = reader.read(face_frame(2.0))
    assert found.face is not None and found.face.score > 0.5 and found.best_label in LABELS
    (whole,) = reader.read(np.full((60, 50), 128, np.uint8), is_crop=True)
    assert whole.face is None
    assert reader.read(np.zeros((240, 320), np.uint8)) == ()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with replaced_folder(folder) as fresh:
        (fresh / "a").write_text("first")
        (fresh / "bundle.json").write_text("{}")
    with pytest.raises(RuntimeError), replaced_folder(folder) as fresh:
        (fresh / "a").write_text("second")
        raise RuntimeError
    assert (folder / "a").read_text() == "first"
    with replaced_folder(folder) as fresh:
        (fresh / "a").write_text("third")
        (fresh / "bundle.json").write_text("{}")
    assert (folder / "a").read_text() == "third"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_what_else_is_in_a_bundles_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref")
    for name in ("bundle.json", "model.tflite", "float.keras", "float.keras.bak", "notes.txt"):
        (folder / name).write_text("old")
    (folder / "to").symlink_to("nowhere")
    with replaced_folder(folder) as fresh:
        for name in ("bundle.json", "model.tflite"):
            (fresh / name).write_text("new")
        assert set(file_entries(fresh)) == {"model.tflite"}, "files of others are no part of the bundle"
    found = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert found == {"bundle.json": "new", "model.tflite": "new", "notes.txt": "old", "float.keras.bak": "old"}
    assert (folder / ".git/HEAD").read_text() == "ref" and (folder / "to").is_symlink()


def test_of_a_link_the_folder_that_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with replaced_folder(tmp_path / "link") as fresh:
        (fresh / "model.tflite").write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real/model.tflite").read_text() == "new"


@pytest.mark.parametrize("inside", [".", "..", "../b"])
def test_a_bundle_is_not_replaced_from_inside(inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell would be left in a deleted folder."""
    folder = tmp_path / "b"
    (folder / "report").mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    monkeypatch.chdir(folder / "report" if inside == ".." else folder)
    with pytest.raises(UsageError, match="the current folder is in it; run this from outside"):
        refuse_from_inside(Path(inside))


def test_a_bundle_is_written_from_a_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a shell that was in a bundle which an earlier version replaced."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/bundle.json").write_text("{}")
    refuse_from_inside(tmp_path / "b")


def test_a_folder_that_is_not_a_bundle_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with replaced_folder(folder) as fresh:  # an empty folder may be
        (fresh / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a bundle"), replaced_folder(folder):
        raise AssertionError("it is refused before anything is written")
    assert (folder / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_bundle_is_found_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Bundle.load(name).name == name
    (tmp_path / name).mkdir()  # a folder of one's own comes first, and this one holds nothing
    with pytest.raises(UsageError, match="not a bundle"):
        Bundle.load(name)


@pytest.mark.parametrize("name", IN_CHECKOUT)
def test_a_bundle_of_a_checkout_is_found_there_and_nowhere_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=f"does not come with the package: name the folder models/{name} of a checkout"
    ):
        bundle_folder(name, checkout=tmp_path)
    shutil.copytree(shipped_path("nano"), tmp_path / "models" / name)
    assert bundle_folder(name, checkout=tmp_path) == tmp_path / "models" / name
    (tmp_path / name).mkdir()
    assert bundle_folder(Path(name), checkout=tmp_path) == Path(name), "a folder of one's own comes first"
