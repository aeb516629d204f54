"""A model that this machine has not run yet runs in a child process first: its crash is a refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from convert.sources.opened_model import open_named
from convert.tflite.flatbuffer import parse
from fer_edge import limits
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import file_entries
from fer_edge.classifier import find_runtime
from fer_edge.errors import BundleRefused
from fer_edge.json_fields import to_json
from fer_edge.model_trial import try_model
from fer_edge.shipped_bundles import shipped_path

NANO = shipped_path("nano")


def model_of_a_gigabyte() -> bytes:
    """nano whose picture tensors claim to have 2^15 by 2^15 pixels."""
    import flatbuffers

    model = parse((NANO / "model.tflite").read_bytes())
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        if tensor.shape is not None and len(tensor.shape) == 4:
            tensor.shape = [1, 2**15, 2**15, 1]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_whole_model_passes() -> None:
    try_model((NANO / "model.tflite").read_bytes(), "model.tflite", find_runtime())


def test_a_file_that_is_no_model_is_refused_by_name() -> None:
    with pytest.raises(BundleRefused, match=r"^here/model.tflite is not a TFLite model"):
        try_model(b"no model", "here/model.tflite", find_runtime())


def test_a_child_that_ends_in_any_other_way_is_a_crash() -> None:
    with pytest.raises(
        BundleRefused, match=r"^m.tflite crashed litert .* in a child process \(exit code 1, after “KeyError"
    ):
        try_model((NANO / "model.tflite").read_bytes(), "m.tflite", find_runtime(), kernels="none of ours")


def test_a_model_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(NANO, tmp_path / "nano"))
    (folder / "model.tflite").write_bytes(model_of_a_gigabyte())
    spec = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**spec, "files": to_json(file_entries(folder))}))
    with pytest.raises(BundleRefused, match=r"model\.tflite"):
        _ = Bundle.load(folder).classifier


def test_the_host_tries_an_unknown_model_of_a_bundle_too(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(NANO, tmp_path / "nano"))
    (folder / "model.tflite").write_bytes(model_of_a_gigabyte())
    spec = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**spec, "files": to_json(file_entries(folder))}))
    with pytest.raises(BundleRefused, match=r"model\.tflite"):
        open_named(folder)


def test_only_an_unknown_model_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = Path(shutil.copytree(NANO, tmp_path / "releases" / "nano-0123"))
    assert Bundle.load(NANO).is_shipped_or_installed and Bundle.load(copied).is_shipped_or_installed
    (copied / "model.tflite").write_bytes((shipped_path("edge") / "model.tflite").read_bytes()[:-1])
    spec = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps({**spec, "files": to_json(file_entries(copied))}))
    assert not Bundle.load(copied).is_shipped_or_installed
    monkeypatch.setenv("FER_EDGE_BUNDLES", str(tmp_path))
    assert Bundle.load(copied).is_shipped_or_installed, "`bundle install` puts only bundles there that passed"


def test_the_limits_leave_room_for_our_largest_model() -> None:
    assert 500 * (shipped_path("large") / "model.tflite").stat().st_size < limits.TRIAL_MEMORY_BYTES
