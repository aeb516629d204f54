"""What was damaged on purpose is refused, each with its own reason; what only rounds otherwise is not."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.bundle.golden_vectors import rewrite
from convert.tflite.flatbuffer import parse
from fer_edge.bundle import REQUIRED_FILES, Bundle
from fer_edge.bundle_files import file_entries
from fer_edge.bundle_spec import RuntimeClaim
from fer_edge.classifier import KERNELS, Classifier
from fer_edge.cli import main
from fer_edge.errors import BundleRefused
from fer_edge.golden_check import runtime_name_of, verify
from fer_edge.golden_vectors import CROP_TOLERANCE, FLOOR, Golden
from fer_edge.json_fields import to_json
from fer_edge.logit_difference import LogitDifference
from fer_edge.shipped_bundles import shipped_path

Damage = Callable[[Path], None]


@pytest.fixture(scope="session")
def proved_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a column of this machine's runtime, which the shipped one need not have."""
    folder = Path(shutil.copytree(shipped_path("nano"), tmp_path_factory.mktemp("proved") / "nano"))
    if runtime_name_of(Bundle.load(folder).classifier) not in Golden.load(folder / "golden.npz").logits:
        rewrite(folder)
    return folder


@pytest.fixture
def nano(proved_here: Path, tmp_path: Path) -> Path:
    """A copy of the shipped bundle that is quickest to run."""
    return Path(shutil.copytree(proved_here, tmp_path / "nano"))


def rehash(folder: Path, **changed: Any) -> None:
    """Has bundle.json describe the files as they are now, so that only golden vectors can tell what was done to them."""
    spec = json.loads((folder / "bundle.json").read_text())
    spec = {**spec, **changed, "files": to_json(file_entries(folder))}
    (folder / "bundle.json").write_text(json.dumps(spec))


def spec_of(folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return spec


def write_model(path: Path, model: Any) -> None:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def weights_of(model: Any) -> list[int]:
    """The tensors that hold the weights of convolutions and dense layers, in running order."""
    (graph,) = model.subgraphs
    second = [int(op.inputs[1]) for op in graph.operators if len(op.inputs) > 2]
    return [i for i in second if model.buffers[graph.tensors[i].buffer].data is not None]


def scale_layer(number: int, by: float = 1.05) -> Damage:
    """Multiplies the scale of all weights of a layer, as if the quantization had been a little off."""

    def damage(folder: Path) -> None:
        model = parse((folder / "model.tflite").read_bytes())
        quantization = model.subgraphs[0].tensors[weights_of(model)[number]].quantization
        quantization.scale = quantization.scale * np.float32(by)
        write_model(folder / "model.tflite", model)
        rehash(folder)

    return damage


def scale_end(which: str, by: float) -> Damage:
    """Multiplies the scale that the file states of its input or output."""

    def damage(folder: Path) -> None:
        model = parse((folder / "model.tflite").read_bytes())
        (graph,) = model.subgraphs
        (index,) = getattr(graph, which)
        quantization = graph.tensors[index].quantization
        quantization.scale = quantization.scale * np.float32(by)
        write_model(folder / "model.tflite", model)
        rehash(folder)

    return damage


def swap_labels(folder: Path) -> None:
    labels = spec_of(folder)["labels"]
    labels[2], labels[5] = labels[5], labels[2]
    rehash(folder, labels=labels)


def shift_mapping(px: float) -> Damage:
    def damage(folder: Path) -> None:
        spec = spec_of(folder)
        spec["input"]["mappings"]["blazeface-back"]["dx"] += px / spec["input"]["side"]
        rehash(folder, input=spec["input"])

    return damage


def edit_golden(change: Callable[[Golden], dict[str, Any]]) -> Damage:
    def damage(folder: Path) -> None:
        golden = Golden.load(folder / "golden.npz")
        replace(golden, **change(golden)).save(folder / "golden.npz")
        rehash(folder)

    return damage


def move_box(frame: int, *by: int) -> Damage:
    """Adds `by`, xywh in px, to the box of one golden frame."""

    def change(golden: Golden) -> dict[str, Any]:
        boxes = golden.boxes.copy()
        boxes[frame] += by
        return {"boxes": boxes}

    return edit_golden(change)


def other_range(low: float, high: float) -> Damage:
    return lambda folder: rehash(folder, input={**spec_of(folder)["input"], "range": [low, high]})


def truncate(name: str, keep: float = 0.9) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def both(first: Damage, then: Damage) -> Damage:
    def damage(folder: Path) -> None:
        first(folder)
        then(folder)

    return damage


def other_side(folder: Path) -> None:
    spec = spec_of(folder)
    rehash(folder, input={**spec["input"], "side": 64})


def without_logits(_: Golden) -> dict[str, Any]:
    return {"logits": {}}


DAMAGES: dict[str, tuple[Damage, str]] = {
    "the first layer's scale": (scale_layer(0), "the logit of .* output steps too"),
    "a middle layer's scale": (scale_layer(12), "the logit of .* output steps too"),
    "the last layer's scale": (scale_layer(-1), r"all of them are off in scale by [45]\.\d%"),
    "the output's scale": (scale_end("outputs", 1.05), "a step of the output is"),
    "two labels": (swap_labels, "sad, fear as the labels of the outputs 2, 5, which are fear, sad"),
    "a label less": (
        lambda f: rehash(f, labels=spec_of(f)["labels"][:-1]),
        "gives 7 classes; bundle.json says 48 px and 6",
    ),
    "a crop two px to the right": (
        shift_mapping(2),
        "golden frame 3 .* as if cut 2 px right .* maps blazeface-back's boxes by dx .*, not ",
    ),
    "a crop one px to the left": (shift_mapping(-1), "golden frame 3 .* as if cut 1 px left"),
    "a crop of a frame, two px less on one side": (move_box(7, 2, 0, -2, 0), "golden frame 7 .* gray levels"),
    "a small face's crop, two px to the right": (move_box(3, 2, 0, 0, 0), "golden frame 3 .* gray levels"),
    "the input's range": (other_range(0, 1), "input range is 0 to 1"),
    "the input's range, the other way": (other_range(-1, 1), "input range is -1 to 1"),
    "the input tensor's scale": (
        scale_end("inputs", 1 / 255),
        r"a pixel of 1 is given to the model as 127 .* is -127",
    ),
    "a truncated model": (truncate("model.tflite"), "model.tflite is not the file that bundle.json describes"),
    "a truncated golden file": (truncate("golden.npz"), "golden.npz is not the file that bundle.json describes"),
    "a truncated report": (truncate("parity.json"), "parity.json is not the file that bundle.json describes"),
    "a truncated model, its hash made to fit": (both(truncate("model.tflite"), rehash), "not a TFLite model"),
    "a golden file, its hash made to fit": (both(truncate("golden.npz"), rehash), "golden.npz cannot be read"),
    "the crop's size": (other_side, "takes 48 px .* bundle.json says 64"),
    "golden vectors of a larger model": (
        edit_golden(lambda g: {"crops": np.zeros((len(g.crops), 64, 64), np.uint8)}),
        "says crops of 48 px, those of golden.npz have 64",
    ),
    "golden vectors of more classes": (
        edit_golden(
            lambda g: {
                "labels": (*g.labels, "contempt"),
                "logits": {k: np.pad(v, ((0, 0), (0, 1))) for k, v in g.logits.items()},
            }
        ),
        "7 labels, not the 8",
    ),
    "golden vectors with logits of other crops": (
        edit_golden(lambda g: {"logits": {k: v[1:] for k, v in g.logits.items()}}),
        r"holds logits litert .* \(7, 7\), not \(8, 7\)",
    ),
    "a temperature that was not fitted": (
        lambda f: rehash(f, thresholds={"temperature": 3.0, "unsure_below": 0.59}),
        "thresholds.temperature is 3, and parity.json has 0.9983",
    ),
    "a threshold that was not fitted": (
        lambda f: rehash(f, thresholds={"temperature": 0.9983, "unsure_below": 0.0}),
        "thresholds.unsure_below is 0, and parity.json has 0.57",
    ),
    "thresholds with labels that they were not fitted to": (
        lambda f: rehash(
            f, thresholds=json.loads((f / "bundle.json").read_text())["thresholds"] | {"labels_from": "votes"}
        ),
        "thresholds.labels_from is “votes”, and parity.json has none",
    ),
    "a negative temperature": (
        lambda f: rehash(f, thresholds={"temperature": -1, "unsure_below": 0.59}),
        "thresholds.temperature is -1, not a number from 0.05 to 20",
    ),
    "golden vectors that allow everything": (
        edit_golden(lambda _: {"limits": LogitDifference(math.inf, 1.0, 1.0)}),
        "has limits that no bundle has",
    ),
    "golden vectors that allow too much on other runtimes": (
        edit_golden(lambda _: {"other_limits": LogitDifference(1e6, 1e6, 1e6)}),
        "has limits that no bundle has",
    ),
    "a golden tolerance of 255": (
        edit_golden(lambda _: {"crop_tolerance": 255}),
        "has a crop tolerance that no bundle",
    ),
    "a label that a terminal obeys": (
        lambda f: rehash(f, labels=["\x1b[2J", *spec_of(f)["labels"][1:]]),
        "labels is .* not a list of texts of at most 4096 characters that can be printed",
    ),
    "golden vectors without logits": (
        edit_golden(without_logits),
        "holds no frames, no logits, or not one crop for each frame",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_bundle_is_refused_with_the_reason(what: str, nano: Path) -> None:
    damage, reason = DAMAGES[what]
    damage(nano)
    with pytest.raises(BundleRefused, match=reason):
        verify(Bundle.load(nano))


@pytest.mark.parametrize(("below", "is_accepted"), [(0.57, True), (0.3, False)])
def test_without_labelled_data_the_threshold_is_the_default_of_its_number_of_classes(
    below: float, is_accepted: bool, nano: Path
) -> None:
    parity = json.loads((nano / "parity.json").read_text())
    del parity["confidence"]
    (nano / "parity.json").write_text(json.dumps(parity))
    rehash(nano, thresholds={"temperature": 1.0, "unsure_below": below, "is_default": True})
    if is_accepted:
        assert verify(Bundle.load(nano)).crops
        return
    with pytest.raises(BundleRefused, match=r"thresholds.unsure_below is 0.3, and parity.json has 0.57"):
        verify(Bundle.load(nano))


def test_a_change_in_any_layer_is_detected(nano: Path, tmp_path: Path) -> None:
    """The scale of each layer for itself, 5 % off: refused on the runtime's own column, whose answers have no noise."""
    model = parse((nano / "model.tflite").read_bytes())
    seen = []
    for number in range(len(weights_of(model))):
        copy = Path(shutil.copytree(nano, tmp_path / f"layer-{number}"))
        scale_layer(number)(copy)
        with pytest.raises(BundleRefused) as refused:
            verify(Bundle.load(copy))
        seen.append("the logit of" in str(refused.value))
    assert len(seen) > 20
    assert np.mean(seen) > 0.9, "by what it computes, and not only by its hash"


def test_a_wrong_scale_is_detected_on_another_runtime_too(nano: Path) -> None:
    """A runtime without a column is held against the nearest, where kernels round by several steps."""
    only_others = edit_golden(lambda g: {"logits": {k: v for k, v in g.logits.items() if ", default," not in k}})
    only_others(nano)
    found = verify(Bundle.load(nano))
    assert found.compared_with != found.runtime and found.limits.steps > FLOOR.steps
    assert found.remark and "has no golden vectors of" in found.remark
    scale_layer(-1)(nano)
    with pytest.raises(BundleRefused, match=r"off in scale by .* the nearest golden ones"):
        verify(Bundle.load(nano))


def test_a_file_whose_logits_are_near_is_refused_by_its_hash(nano: Path) -> None:
    scale_layer(0, 1.0)(nano)  # written again by another builder: other bytes, the same network
    with pytest.raises(BundleRefused, match=r"not the file that golden\.npz was made from, though its logits are near"):
        verify(Bundle.load(nano))


def test_a_wrong_input_range_is_detected(nano: Path) -> None:
    bundle = Bundle.load(nano)
    with pytest.raises(BundleRefused, match="input range is 0 to 1"):
        verify(bundle, Classifier(bundle.model, input_range=(0.0, 1.0)))


def test_logits_that_are_not_numbers_are_refused(nano: Path) -> None:
    edit_golden(lambda g: {"logits": {k: v * np.float32(np.nan) for k, v in g.logits.items()}})(nano)
    with pytest.raises(BundleRefused, match="the logit of"):
        verify(Bundle.load(nano))


@pytest.mark.parametrize(("levels", "allowed"), [(2, True), (CROP_TOLERANCE, True), (CROP_TOLERANCE + 1, False)])
def test_a_crop_may_differ_by_the_tolerance(nano: Path, levels: int, allowed: bool) -> None:
    def change(golden: Golden) -> dict[str, Any]:
        crops = golden.crops.copy()
        crops[3, 10:20, 10:20] -= np.uint8(levels)
        columns = {runtime_name_of(classifier): classifier.logits(crops)}
        return {
            "crops": crops,
            "crop_sha256": (*golden.crop_sha256[:3], "0" * 64, *golden.crop_sha256[4:]),
            "logits": columns,
        }

    classifier = Bundle.load(nano).classifier
    edit_golden(change)(nano)
    if allowed:
        assert verify(Bundle.load(nano)).crop_levels == levels
    else:
        with pytest.raises(BundleRefused, match=f"by up to {levels} gray levels"):
            verify(Bundle.load(nano))


@pytest.mark.parametrize(("steps", "allowed"), [(1, True), (-1, True), (2, False), (-2, False)])
def test_one_step_of_one_logit_is_rounding_and_two_are_not(nano: Path, steps: int, allowed: bool) -> None:
    def change(golden: Golden) -> dict[str, Any]:
        columns = {name: logits.copy() for name, logits in golden.logits.items()}
        for logits in columns.values():
            logits[4, 3] += np.float32(steps * golden.output_step)
        return {"logits": columns}

    edit_golden(change)(nano)
    if allowed:
        assert verify(Bundle.load(nano)).difference.steps == 1
    else:
        with pytest.raises(
            BundleRefused, match=f"golden crop 4 is 2 output steps too {'low' if steps > 0 else 'high'}"
        ):
            verify(Bundle.load(nano))


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_kernel_path_has_golden_logits(nano: Path, kernels: str) -> None:
    bundle = Bundle.load(nano)
    found = verify(bundle, bundle.make_classifier(kernels=kernels))
    assert found.runtime == found.compared_with and f", {kernels}, " in found.runtime
    assert (found.crops, found.crop_levels, found.limits) == (8, 0, FLOOR)
    assert found.difference.steps <= FLOOR.steps and found.ms > 0


def test_a_runtime_without_a_parity_report_is_remarked(nano: Path) -> None:
    column = runtime_name_of(Bundle.load(nano).classifier)
    name, kernels, machine = column.split(", ")
    runtime, version = name.split(" ")
    row = {"runtime": runtime, "version": version, "kernels": kernels, "machine": machine, "verdict": "pass"}
    rehash(nano, runtimes=[row])
    bundle = Bundle.load(nano)
    assert bundle.runtimes == (RuntimeClaim(**row, agreement=None),)
    assert (verify(bundle).proved, verify(bundle).remark) == (True, None)
    rehash(nano, runtimes=[{**row, "version": "9.9"}])
    found = verify(Bundle.load(nano))
    assert found.proved is False and found.remark == (
        f"bundle nano was not compared with its float model on {column}; its logits are like those of {column}"
    )
    rehash(nano, runtimes=[{"runtime": "litert", "version": 2}])
    with pytest.raises(BundleRefused, match=r"runtimes\[0\].version is 2, not a text"):
        Bundle.load(nano)


def test_golden_vectors_of_another_format_name_the_command_that_writes_them(nano: Path) -> None:
    np.savez_compressed(nano / "golden.npz", format=np.int64(2))
    rehash(nano)
    with pytest.raises(BundleRefused, match=rf"has format 2, this version reads 1; `python -m convert.golden {nano}`"):
        verify(Bundle.load(nano))


def test_the_command_prints_a_sentence_or_json(nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(nano)]) == 0
    assert capsys.readouterr().out.startswith("bundle nano gives the stored outputs on this machine (litert ")
    assert main(["verify", str(nano), "--json", "--runtime", "litert", "--kernels", "reference"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runtime"] == told["compared_with"] and ", reference, " in told["runtime"]
    assert told["difference"].keys() == told["limits"].keys() == {"steps", "rms_steps", "slope"}
    assert main(["verify", str(nano), "--runtime", "onnx"]) == 2
    scale_layer(-1)(nano)
    capsys.readouterr()
    assert main(["verify", str(nano)]) == 5
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("fer-edge: ") and said.err.count("\n") == 1


def test_every_required_file_is_checked(nano: Path) -> None:
    for name in REQUIRED_FILES:
        copy = Path(shutil.copytree(nano, nano.parent / f"without-{name}"))
        truncate(name)(copy)
        assert main(["verify", str(copy)]) == 5


def test_a_bundle_made_without_data_has_the_default_thresholds(nano: Path) -> None:
    """Nothing was fitted, so no other thresholds than those that follow from the number of classes are its own."""
    report = json.loads((nano / "parity.json").read_text())
    report.pop("confidence")
    (nano / "parity.json").write_text(json.dumps(report))
    rehash(nano, thresholds={"temperature": 1.0, "unsure_below": 0.57, "is_default": True})
    assert verify(Bundle.load(nano)).difference.steps == 0
    for changed in ({"unsure_below": 0.0}, {"temperature": 2.0}):
        rehash(nano, thresholds={"temperature": 1.0, "unsure_below": 0.57, "is_default": True} | changed)
        with pytest.raises(BundleRefused, match=r"thresholds\..* and parity\.json has"):
            verify(Bundle.load(nano))
