"""The float model of a bundle written as a TFLite file, for `fer-edge bench --float`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.export_float import main
from convert.sources.opened_model import open_float_of_bundle
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier
from fer_edge.face_crop import crop_whole_image
from fer_edge.shipped_bundles import shipped_path
from fer_edge.synthetic_face import face_frame


def test_the_file_gives_the_float_models_logits(tmp_path: Path) -> None:
    out = tmp_path / "float.tflite"
    assert main([str(shipped_path("nano")), "--out", str(out)]) == 0
    crops = np.stack([crop_whole_image(face_frame(t)) for t in (0.0, 3.0, 9.0)])
    expected = open_float_of_bundle(Bundle.load(shipped_path("nano"))).classifier().logits(crops)
    assert np.array_equal(Classifier(out).logits(crops), expected)


def test_a_files_name_is_printed_without_its_escape_sequences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "float\x1b[2J.tflite"
    assert main([str(shipped_path("nano")), "--out", str(out)]) == 0
    assert out.exists() and r"float\x1b[2J.tflite: " in capsys.readouterr().out


@pytest.mark.parametrize(("bundle", "out", "code"), [("absent", "f.tflite", 2), ("nano", "absent/f.tflite", 2)])
def test_a_missing_bundle_or_folder_is_rejected_and_nothing_is_written(
    tmp_path: Path, bundle: str, out: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shipped_path("nano") if bundle == "nano" else tmp_path / bundle
    assert main([str(path), "--out", str(tmp_path / out)]) == code
    assert "absent" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.tflite*")) == []
