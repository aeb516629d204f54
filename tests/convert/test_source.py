"""Which model a bundle is made from: what may be named, whose labels it has, and what a pixel is to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from builders import training_history

from convert.sources.model_source import Source, joined, pixels_argument
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder as `convert.train` leaves it, with classes of its own; the model in it is never opened here."""
    folder = tmp_path / "bundle-mine"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    training_history(["yes", "no"]).write(folder / "history.json")
    return folder


def test_a_training_names_its_own_labels_unless_others_are_given(trained: Path) -> None:
    source = Source.find(trained)
    assert (source.model, source.name, source.labels) == (trained / "model.keras", "mine", ("yes", "no"))
    assert source.history is not None and source.history.policy == "float32"
    assert source.pixels is None and not source.is_tflite
    named = Source.find(trained, "other", ["a", " b ", "c"], (0.0, 1.0))
    assert (named.name, named.labels, named.pixels) == ("other", ("a", "b", "c"), (0.0, 1.0))


def test_the_packages_own_model_without_a_name() -> None:
    source = Source.find(None)
    assert source.labels == LABELS and source.model.name == "float.keras"


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5", "net.tflite", "NET.TFLITE"])
def test_files_by_their_endings(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"some model")
    source = Source.find(tmp_path / name)
    assert source.labels == LABELS and source.name == Path(name).stem
    assert source.is_tflite == name.lower().endswith(".tflite")
    assert source.sha256 == hashlib.sha256(b"some model").hexdigest()


def test_a_saved_model_is_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    source = Source.find(folder)
    assert source.model == folder and source.name == "exported"
    before = source.sha256
    (folder / "variables" / "variables.index").write_bytes(b"other weights")
    assert Source.find(folder).sha256 != before == hashlib.sha256(_lines(b"graph", b"weights")).hexdigest()


def _lines(graph: bytes, weights: bytes) -> bytes:
    graph_sha, weights_sha = (hashlib.sha256(content).hexdigest() for content in (graph, weights))
    return f"{graph_sha}  saved_model.pb\n{weights_sha}  variables/variables.index\n".encode()


@pytest.mark.parametrize(
    ("name", "labels", "says"),
    [
        ("nowhere.keras", None, "does not exist"),
        ("", None, "holds no float model"),
        ("net.onnx", None, "no model that can be read"),
        ("net.h5", ["a", "a"], "not all different"),
        ("net.h5", ["a", ""], "not all different"),
        ("net.h5", ["a"], "two or more"),
    ],
)
def test_refused_with_a_sentence(name: str, labels: list[str] | None, says: str, tmp_path: Path) -> None:
    for there in ("net.onnx", "net.h5"):
        (tmp_path / there).write_bytes(b"x")
    with pytest.raises(UsageError, match=says):
        Source.find(tmp_path / name, labels=labels)


def test_what_a_pixel_is() -> None:
    assert [pixels_argument(t) for t in ("0,1", "-1,1", "0,255")] == [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]
    assert pixels_argument("-0.5,0.5") == (-0.5, 0.5)
    for text in ("1", "0,1,2", "1,0", "0,0", "a,b", "0,inf", "nan,1", ""):
        with pytest.raises(ValueError):
            pixels_argument(text)
    assert joined(["--input-range", "-1,1", "--out", "x"]) == ["--input-range=-1,1", "--out", "x"]
    assert joined(["--input-range=-1,1", "x"]) == ["--input-range=-1,1", "x"]
