"""Models opened as they run: SavedModels converted, TFLite files as they are, bundles and their float models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classifiers import LABELS, as_input, bar_classifier, bars, int8_tflite

from convert.sources.model_source import ModelSource
from convert.sources.opened_model import OpenedModel, open_bundle, open_float_of_bundle, open_model, open_named
from convert.tflite.keras_export import float_tflite, saved_model_tflite
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.bundle import Bundle
from fer_edge.classifier import RAW_RANGE, softmax
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.shipped_bundles import shipped_path

FACES, _ = bars(8, seed=3)
HALF = (-1.0, 1.0)


def opened(path: Path, input_range: tuple[float, float] | None = None) -> OpenedModel:
    return open_model(ModelSource.find(path, labels=LABELS, input_range=input_range))


def exported(model: Any, folder: Path) -> Path:
    """The folder of the SavedModel that Keras exports."""
    with quiet_tensorflow():
        model.export(folder, verbose=False)
    return folder


def saved_model(folder: Path, function: Callable[..., Any], *specs: Any, tracked: Any = None) -> Path:
    """The folder of a SavedModel of one function, written without Keras; `tracked` owns its variables."""
    import tensorflow as tf

    module = tf.Module()
    module.tracked = tracked
    module.function = tf.function(function, input_signature=specs)
    with quiet_tensorflow():
        signatures = {"serving_default": module.function.get_concrete_function()}
        tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def kinds(model: OpenedModel) -> list[str]:
    return [op.kind for op in model.graph.operators]


@pytest.mark.parametrize(
    ("input_range", "channels", "end"),
    [(HALF, 3, "activation"), ((0.0, 1.0), 1, "softmax"), (RAW_RANGE, 1, "logits"), ((0.0, 1.0), 1, "halved")],
)
def test_a_saved_model_takes_raw_gray_and_gives_logits(
    input_range: tuple[float, float], channels: int, end: str, tmp_path: Path
) -> None:
    original = bar_classifier(input_range, channels, end)
    expected = np.asarray(original(as_input(FACES, input_range, channels)))
    model = opened(exported(original, tmp_path / "exported"), input_range)
    assert model.kind == "saved model" and model.keras_model is None and not model.is_unchanged
    assert model.input_range == RAW_RANGE and model.graph.shape(model.graph.inputs[0]) == (1, 24, 24, 1)
    logits = model.classifier().logits(FACES)
    if end == "halved":
        assert "SOFTMAX" in kinds(model), "one in the middle stays"
        assert model.output.kind == "probabilities"
        np.testing.assert_allclose(softmax(logits), expected, atol=1e-5)
        return
    assert model.output.kind == "logits" and "SOFTMAX" not in kinds(model)
    np.testing.assert_allclose(logits if end == "logits" else softmax(logits), expected, atol=2e-4)
    assert np.ptp(logits) > 2


def test_a_saved_model_of_raw_gray_and_logits_gets_no_other_operator(tmp_path: Path) -> None:
    folder = exported(bar_classifier(), tmp_path / "exported")
    model = opened(folder)
    assert model.content == saved_model_tflite(folder)
    file = model.float_file(tmp_path)
    assert file == tmp_path / "float.tflite" and file.read_bytes() == model.content


def test_a_saved_model_with_variables_of_its_own_keeps_their_values(tmp_path: Path) -> None:
    import tensorflow as tf

    original = bar_classifier(HALF, 3, "activation")
    expected = np.asarray(original(as_input(FACES, HALF, 3)))
    spec = tf.TensorSpec((None, 24, 24, 3), tf.float32)
    model = opened(saved_model(tmp_path / "saved", lambda x: {"y": original(x)}, spec, tracked=original), HALF)
    np.testing.assert_allclose(softmax(model.classifier().logits(FACES)), expected, atol=2e-4)
    assert not {"VAR_HANDLE", "READ_VARIABLE"} & set(kinds(model))


def test_a_saved_model_of_a_fixed_batch_takes_one_image(tmp_path: Path) -> None:
    import tensorflow as tf

    original = bar_classifier(HALF, 3, "activation")
    expected = np.asarray(original(as_input(FACES, HALF, 3)))
    spec = tf.TensorSpec((8, 24, 24, 3), tf.float32)
    model = opened(saved_model(tmp_path / "saved", lambda x: {"y": original(x)}, spec, tracked=original), HALF)
    assert model.graph.shape(model.graph.inputs[0]) == (1, 24, 24, 1)
    np.testing.assert_allclose(softmax(model.classifier().logits(FACES)), expected, atol=2e-4)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_saved_model_with_an_input_of_another_type_is_cast_to(dtype: str, tmp_path: Path) -> None:
    import tensorflow as tf

    original = bar_classifier((0.0, 1.0))
    expected = np.asarray(original(as_input(FACES, (0.0, 1.0), 1)))
    spec = tf.TensorSpec((None, 24, 24, 1), dtype)
    folder = saved_model(
        tmp_path / "saved", lambda x: {"y": original(tf.cast(x, tf.float32) / 255)}, spec, tracked=original
    )
    np.testing.assert_allclose(opened(folder).classifier().logits(FACES), expected, atol=2e-4)


def without_signature(folder: Path) -> Path:
    import tensorflow as tf

    with quiet_tensorflow():
        tf.saved_model.save(tf.Module(), str(folder / "saved"))
    return folder / "saved"


def damaged(folder: Path) -> Path:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"not a graph")
    return folder / "saved"


def flattening(*shapes: tuple[int | None, ...], outputs: int = 1) -> Callable[[Path], Path]:
    """A function that writes a SavedModel of inputs of these shapes; each output holds three of their values."""

    def write(folder: Path) -> Path:
        import tensorflow as tf

        def first_values(*inputs: Any) -> dict[str, Any]:
            flat = tf.reshape(tf.add_n(inputs), (1, -1))
            return {f"y{i}": flat[:, i : i + 3] for i in range(outputs)}

        return saved_model(folder / "saved", first_values, *(tf.TensorSpec(shape, tf.float32) for shape in shapes))

    return write


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (without_signature, "has no signature to call"),
        (damaged, "cannot be loaded as a SavedModel"),
        (flattening((None, 16, 18, 1)), "16, 18, 1\\), not that of one square picture"),
        (flattening((None, 16, 16, 2)), "16, 16, 2\\), not that of one square picture"),
        (flattening((None, 256)), "256\\), not that of one square picture"),
        (flattening((None, None, None, 1)), "not that of one square picture"),
        (flattening((None, 16, 16, 1), (None, 16, 16, 1)), "has 2 inputs and 1 outputs, not one of each"),
        (flattening((None, 16, 16, 1), outputs=2), "has 1 inputs and 2 outputs, not one of each"),
    ],
)
def test_a_saved_model_that_is_no_such_classifier_is_rejected_with_one_sentence(
    write: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        opened(write(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_tflite_file_is_opened_as_it_is(tmp_path: Path) -> None:
    network = bar_classifier(HALF, 3, "activation")
    path = tmp_path / "int8.tflite"
    path.write_bytes(int8_tflite(network, FACES, HALF))
    model = opened(path)
    assert (model.kind, model.input_range, model.output.kind) == ("tflite", HALF, "probabilities")
    assert model.content == path.read_bytes() and model.is_unchanged and model.float_file(tmp_path) == path
    probabilities = softmax(model.classifier().logits(FACES))
    np.testing.assert_allclose(probabilities, np.asarray(network(as_input(FACES, HALF, 3))), atol=0.03)


def test_the_given_input_range_overrides_what_a_tflite_file_tells(tmp_path: Path) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(float_tflite(bar_classifier((0.0, 1.0))))
    assert opened(path).input_range == RAW_RANGE
    model = opened(path, (0.0, 1.0))
    expected = np.asarray(bar_classifier((0.0, 1.0))(as_input(FACES, (0.0, 1.0), 1)))
    assert model.input_range == (0.0, 1.0) and model.output.kind == "logits"
    np.testing.assert_allclose(model.classifier().logits(FACES), expected, atol=2e-4)


def test_only_an_unchanged_keras_file_is_stored_as_it_is(tmp_path: Path) -> None:
    network = bar_classifier()
    with quiet_tensorflow():
        network.save(tmp_path / "net.keras")
        network.save(tmp_path / "net.h5")
    plain = opened(tmp_path / "net.keras")
    assert plain.kind == "keras" and plain.is_unchanged and plain.float_file(tmp_path) == tmp_path / "net.keras"
    for changed in (opened(tmp_path / "net.h5"), opened(tmp_path / "net.keras", (0.0, 1.0))):
        assert not changed.is_unchanged and changed.float_file(tmp_path) == tmp_path / "float.keras"
        again = opened(tmp_path / "float.keras")
        assert again.is_unchanged
        assert np.array_equal(again.classifier().logits(FACES), changed.classifier().logits(FACES))


def test_a_folder_opens_as_its_bundle_and_a_file_as_the_model_in_it() -> None:
    folder = shipped_path("nano")
    bundle = Bundle.load(folder)
    model = open_named(folder)
    assert (model.kind, model.source.name, model.source.labels) == ("bundle", bundle.name, bundle.labels)
    assert model.content == bundle.model.read_bytes() == open_bundle(bundle).content
    float_model = open_named(folder / "float.keras")
    assert float_model.kind == "keras" and float_model.source.labels == bundle.labels
    assert float_model.content == open_float_of_bundle(bundle).content


def test_without_a_path_the_packages_own_bundle_is_opened(bundle_path: Path) -> None:
    assert open_named(None).content == (bundle_path / "model.tflite").read_bytes()


def test_a_bundle_whose_float_model_was_changed_is_rejected(tmp_path: Path) -> None:
    for file in shipped_path("nano").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "float.keras").write_bytes(b"another model")
    with pytest.raises(BundleRefused, match="its hash differs"):
        open_float_of_bundle(Bundle.load(tmp_path))
    (tmp_path / "float.keras").unlink()
    with pytest.raises(UsageError, match="holds no float model"):
        open_float_of_bundle(Bundle.load(tmp_path))
