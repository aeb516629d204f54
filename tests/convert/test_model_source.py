"""The model that a user names: its file, its labels and its input range."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from builders import training_history

from convert.sources.model_source import ModelSource, input_range_argument, joined
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


def test_the_labels_are_the_trainings_own_unless_others_are_given(trained: Path) -> None:
    source = ModelSource.find(trained)
    assert (source.path, source.name, source.labels) == (trained / "model.keras", "mine", ("yes", "no"))
    assert source.history is not None and source.history.policy == "float32"
    assert source.input_range is None and not source.is_tflite
    named = ModelSource.find(trained, "other", ["a", " b ", "c"], (0.0, 1.0))
    assert (named.name, named.labels, named.input_range) == ("other", ("a", "b", "c"), (0.0, 1.0))


def test_the_packages_own_model_is_the_default() -> None:
    source = ModelSource.find(None)
    assert source.labels == LABELS and source.path.name == "float.keras"


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    monkeypatch.chdir(folder)
    source = ModelSource.find(Path())
    assert source.name == source.path.name == "exported"


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5", "net.tflite", "NET.TFLITE"])
def test_a_files_suffix_tells_its_kind(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"some model")
    source = ModelSource.find(tmp_path / name)
    assert source.labels == LABELS and source.name == Path(name).stem
    assert source.is_tflite == name.lower().endswith(".tflite")
    assert source.sha256 == hashlib.sha256(b"some model").hexdigest()


def test_a_saved_model_is_hashed_with_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    source = ModelSource.find(folder)
    assert source.path == folder and source.name == "exported"
    before = source.sha256
    (folder / "variables" / "variables.index").write_bytes(b"other weights")
    assert (
        ModelSource.find(folder).sha256 != before == hashlib.sha256(_checksum_lines(b"graph", b"weights")).hexdigest()
    )


def _checksum_lines(graph: bytes, weights: bytes) -> bytes:
    graph_sha, weights_sha = (hashlib.sha256(content).hexdigest() for content in (graph, weights))
    return f"{graph_sha}  saved_model.pb\n{weights_sha}  variables/variables.index\n".encode()


@pytest.mark.parametrize(
    ("name", "labels", "says"),
    [
        ("nowhere.keras", None, "does not exist"),
        ("", None, "holds no float model"),
        ("net.onnx", None, "not a model that can be read"),
        ("net.h5", ["a", "a"], "not all different"),
        ("net.h5", ["a", ""], "not all different"),
        ("net.h5", ["a"], "two or more"),
    ],
)
def test_bad_names_and_labels_are_rejected(name: str, labels: list[str] | None, says: str, tmp_path: Path) -> None:
    for there in ("net.onnx", "net.h5"):
        (tmp_path / there).write_bytes(b"x")
    with pytest.raises(UsageError, match=says):
        ModelSource.find(tmp_path / name, labels=labels)


def test_an_input_range_is_two_finite_numbers_in_order() -> None:
    assert [input_range_argument(t) for t in ("0,1", "-1,1", "0,255")] == [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]
    assert input_range_argument("-0.5,0.5") == (-0.5, 0.5)
    for text in ("1", "0,1,2", "1,0", "0,0", "a,b", "0,inf", "nan,1", ""):
        with pytest.raises(ValueError):
            input_range_argument(text)
    assert joined(["--input-range", "-1,1", "--out", "x"]) == ["--input-range=-1,1", "--out", "x"]
    assert joined(["--input-range=-1,1", "x"]) == ["--input-range=-1,1", "x"]
