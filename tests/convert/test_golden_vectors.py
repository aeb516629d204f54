"""Golden vectors cover each path of the crop, are replaced in place, and hold logits of other machines too."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.bundle.bundle_update import write_spec
from convert.bundle.golden_vectors import NAME, VIEWS, rewrite, write_golden
from convert.golden import main
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import file_entries, sha256_of
from fer_edge.bundle_spec import InputSpec
from fer_edge.classifier import Classifier, Runtime
from fer_edge.errors import UsageError
from fer_edge.face_crop import PREPROCESS_ID, crop_square, cut_square, eye_tilt_rad
from fer_edge.golden_check import verify
from fer_edge.golden_vectors import CROP_TOLERANCE, FLOOR, Golden
from fer_edge.logit_difference import LARGEST_DIFFERENCE
from fer_edge.record_logits import RecordedLogits, images_sha256, record_logits
from fer_edge.record_logits import main as record_main
from fer_edge.shipped_bundles import shipped_path


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """A copy of the shipped bundle that is quickest to run, without golden vectors and with a report beside."""
    folder = Path(shutil.copytree(shipped_path("nano"), tmp_path / "nano"))
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / "note.txt").write_text("kept")
    (folder / NAME).write_bytes(b"damaged")
    write_spec(folder, replace(Bundle.load(shipped_path("nano")).spec, files=file_entries(folder)))
    return folder


def golden_of(folder: Path) -> Golden:
    return Golden.load(folder / NAME)


def square_of(golden: Golden, i: int) -> tuple[tuple[int, int, int], float]:
    """The square in the frame that golden crop i is cut from, and by how much it is turned."""
    mapping = golden.mappings[golden.detectors[i]]
    x, y, w, h = golden.boxes[i].tolist()
    (ax, ay), (bx, by) = golden.eyes[i].tolist()
    return crop_square((x, y, w, h), mapping, golden.frames[i].shape), mapping.level * eye_tilt_rad(
        ((ax, ay), (bx, by))
    )


def test_they_cover_every_path_of_a_crop(nano: Path) -> None:
    rewrite(nano, "one")
    golden = golden_of(nano)
    side, seen = golden.crops.shape[1], set()
    for i, frame in enumerate(golden.frames):
        (left, top, size), turn_rad = square_of(golden, i)
        outside = left < 0 or top < 0 or left + size > frame.shape[1] or top + size > frame.shape[0]
        seen |= {"shrunk" if size > side else "enlarged", "turned" if turn_rad else "upright"}
        seen |= {"turned and enlarged"} if turn_rad and size < side else set()
        seen |= {"border"} if outside else set()
    assert seen == {"shrunk", "enlarged", "turned", "upright", "turned and enlarged", "border"}
    assert set(golden.detectors) == set(Bundle.load(nano).spec.input.mappings), "each mapping is checked"
    assert len(set(next(iter(golden.logits.values())).argmax(1))) > 2, "the crops have more than two labels"


def test_a_shift_of_one_pixel_changes_every_crop(nano: Path) -> None:
    rewrite(nano, "one")
    golden = golden_of(nano)
    for i, frame in enumerate(golden.frames):
        (left, top, size), turn_rad = square_of(golden, i)
        for dx, dy, more in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (1, 0, -1)):
            shifted = cut_square(frame, (left + dx, top + dy, size + more), golden.crops.shape[1], turn_rad)
            assert np.abs(shifted.astype(int) - golden.crops[i]).max() > 5 * CROP_TOLERANCE, (i, dx, dy, more)


def test_rewriting_changes_no_other_file_of_a_bundle(nano: Path) -> None:
    before = Bundle.load(nano)
    after = rewrite(nano, "usual")
    summary, golden = after.spec.golden, golden_of(nano)
    assert summary.runtimes == tuple(golden.logits) and len(summary.runtimes) == 2
    assert summary.limits.same_runtime.steps == FLOOR.steps
    assert summary.limits.other_runtime.steps == golden.measured.steps + FLOOR.steps
    assert replace(after.spec, golden=before.spec.golden, files=before.spec.files) == before.spec
    assert (nano / "report" / "note.txt").read_text() == "kept"
    assert before.spec.files["model.tflite"] == after.spec.files["model.tflite"]
    assert sorted(p.name for p in nano.parent.iterdir()) == ["nano"]
    first = sha256_of(nano / NAME)
    rewrite(nano, "usual")
    assert sha256_of(nano / NAME) == first, "the same bytes of the same vectors"


def test_crops_are_written_to_the_named_file_for_the_other_machine(
    nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(nano, "one")
    crops, out = tmp_path / "x.bin", tmp_path / "pi.npz"
    crops.write_text("earlier")
    assert main([str(nano), "--crops", str(crops)]) == 0
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"fer-edge: {crops}: {len(golden_of(nano).crops)} crops\n"
    assert [path.name for path in tmp_path.glob("x*")] == ["x.bin"]
    assert record_main([str(nano), "--images", str(crops), "--out", str(out)]) == 0
    assert RecordedLogits.load(out).images_sha256 == images_sha256(golden_of(nano).crops)
    assert main([str(nano), "--crops", str(tmp_path / "none" / "x.bin")]) == 2


def test_logits_of_another_machine_are_added_and_stay(
    nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(nano, "one")
    single = golden_of(nano)
    assert len(single.logits) == 1 and single.other_limits == FLOOR
    crops, out = tmp_path / "crops.npy", tmp_path / "pi.npz"
    assert main([str(nano), "--crops", str(crops)]) == 0
    recorded = record_logits(nano, np.load(crops), kernels="reference")
    moved = replace(recorded, machine="aarch64")
    moved.save(out)
    assert main([str(nano), "--compare", "one", "--recorded", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["runtimes"] == [*single.logits, moved.runtime_name] and moved.runtime_name.endswith(
        ", reference, aarch64"
    )
    golden = golden_of(nano)
    np.testing.assert_array_equal(golden.logits[moved.runtime_name], recorded.logits)
    assert golden.other_limits == golden.measured.plus(FLOOR) and golden.measured.steps >= 1
    reference = verify(Bundle.load(nano), Bundle.load(nano).make_classifier(kernels="reference"))
    assert reference.compared_with == moved.runtime_name, (
        "not among the runtimes: compared with the one whose logits are nearest"
    )
    assert reference.difference.steps == 0

    assert main([str(nano), "--compare", "one"]) == 0
    assert "reference, aarch64: " in capsys.readouterr().out, "it stays: it is of the same model and crops"
    spec = json.loads((nano / "bundle.json").read_text())
    spec["input"]["mappings"]["haar"]["scale"] = 1.2
    (nano / "bundle.json").write_text(json.dumps(spec))
    rewrite(nano, "one")
    assert [*golden_of(nano).logits] == [*single.logits], "it goes: it is of other crops"


@pytest.mark.parametrize(("apart", "is_reported"), [(31.5, False), (40.0, True)])
def test_runtimes_that_differ_by_more_than_a_bundle_may_allow_are_reported_and_the_limit_stays(
    apart: float, is_reported: bool, nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of an outsider's network do: its own answers are still checked by their own column."""
    rewrite(nano, "one")
    golden = golden_of(nano)
    recorded = record_logits(nano, golden.crops)
    recorded.logits[0, 0] += apart * golden.output_step
    other = replace(recorded, machine="aarch64")
    other.save(tmp_path / "other.npz")
    summary = rewrite(nano, "one", [tmp_path / "other.npz"]).spec.golden
    assert summary.measured.steps == pytest.approx(apart, abs=0.01)
    assert summary.limits.other_runtime.steps == LARGEST_DIFFERENCE.steps == 32
    assert verify(Bundle.load(nano)).limits == FLOOR
    warning = f"warning: {recorded.runtime_name} and {other.runtime_name} differ by 40 output steps"
    assert (warning in capsys.readouterr().err) == is_reported


@pytest.mark.parametrize("what", ["model", "images"])
def test_recorded_logits_of_something_else_are_refused(what: str, nano: Path, tmp_path: Path) -> None:
    rewrite(nano, "one")
    before = sha256_of(nano / "bundle.json")
    recorded = record_logits(nano, golden_of(nano).crops)
    other: RecordedLogits = replace(recorded, **{f"{what}_sha256": "0" * 64})
    other.save(tmp_path / "other.npz")
    with pytest.raises(UsageError, match=f"other {what}"):
        rewrite(nano, "one", [tmp_path / "other.npz"])
    assert sha256_of(nano / "bundle.json") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nano", "other.npz"]


def test_without_mappings_the_boxes_are_cropped_as_they_are(nano: Path) -> None:
    spec = json.loads((nano / "bundle.json").read_text())
    spec["input"]["mappings"] = {}
    (nano / "bundle.json").write_text(json.dumps(spec))
    bundle = rewrite(nano, "one")
    assert verify(bundle).crop_levels == 0
    assert set(golden_of(nano).detectors) == {"none"} and len(golden_of(nano).frames) == len(VIEWS)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_step_of_a_float_model_of_probabilities_is_a_255th_of_their_span(channels: int, tmp_path: Path) -> None:
    """Of the span of the probabilities, not of their logarithms, which have no lower end."""
    (tmp_path / "model.tflite").write_bytes(softmax_of_means(channels))
    inputs = InputSpec(16, channels, "gray 0 to 255", (-1.0, 1.0), PREPROCESS_ID, {})

    def classifier_on(runtime: Runtime, kernels: str) -> Classifier:
        return Classifier(
            tmp_path / "model.tflite", runtime, kernels=kernels, input_range=(-1.0, 1.0), output_kind="probabilities"
        )

    summary = write_golden(tmp_path / NAME, ("a", "b", "c"), inputs, classifier_on, "usual")
    golden = golden_of(tmp_path)
    probabilities = np.exp(next(iter(golden.logits.values())))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert summary.output_step == golden.output_step == pytest.approx((probabilities.max() - probabilities.min()) / 255)
    assert golden.input_values[[0, 255]].tolist() == [-1.0, 1.0] and golden.input_values.dtype == np.float32
    assert golden.measured.steps < 0.01, "floating point rounds far below a step"


def softmax_of_means(channels: int) -> bytes:
    """A float32 TFLite file: softmax of three weights by means over the image (1, 16, 16, channels)."""
    import tensorflow as tf

    from convert.tflite.tensorflow_output import quiet_tensorflow

    class Means(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, channels), tf.float32)])
        def __call__(self, image: Any) -> Any:
            rows = tf.reduce_mean(image, axis=(2, 3))
            return tf.nn.softmax(tf.matmul(rows, tf.constant(np.linspace(-2, 3, 48).reshape(16, 3), tf.float32)))

    module = Means()
    with quiet_tensorflow():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.__call__.get_concrete_function()], module)
        content: bytes = converter.convert()
    return content
