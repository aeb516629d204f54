"""Models as other people saved them: in other types, by Keras 2, and SavedModels that do more than to classify."""

from __future__ import annotations

import inspect
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from classifiers import LABELS, SIDE, as_input, bar_classifier, bar_tree, bars

from convert.bundle.from_float import draft_from_float
from convert.parity.comparison import ConversionOptions
from convert.quantize.full_integer import quantize_graph
from convert.quantize.range_search import QuantizationOptions
from convert.sources.model_source import ModelSource
from convert.sources.opened_model import OpenedModel, open_model
from convert.sources.saved_model_check import is_computing, require_harmless
from convert.tflite.inspection import operator_types
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.errors import ParityFailed, UsageError

FACES, _ = bars(8, seed=3)


def opened(path: Path, is_trusted: bool = False) -> OpenedModel:
    return open_model(ModelSource.find(path, labels=LABELS, is_trusted=is_trusted))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_model_of_another_type_is_rebuilt_in_float32(policy: str, tmp_path: Path) -> None:
    import keras

    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        with quiet_tensorflow():
            network = bar_classifier(end="activation")
            network.save(tmp_path / "net.keras")
    finally:
        keras.config.set_dtype_policy(before)
    model = opened(tmp_path / "net.keras")
    assert not model.is_unchanged and {d for op in operator_types(model.graph) for d in op.dtypes} <= {
        "float32",
        "int32",
    }
    expected = np.asarray(network(as_input(FACES, (0.0, 255.0), 1)), np.float32)
    np.testing.assert_allclose(model.classifier().probabilities(FACES).argmax(1), expected.argmax(1))
    again = keras.saving.load_model(model.float_file(tmp_path), compile=False)
    assert again.input.dtype == "float32" and {layer.compute_dtype for layer in again.layers} == {"float32"}


def test_an_input_of_whole_numbers_becomes_one_of_float32(tmp_path: Path) -> None:
    import keras

    entry = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    with quiet_tensorflow():
        network = keras.Model(entry, bar_classifier((0.0, 1.0))(keras.layers.Rescaling(1 / 255)(entry)))
        network.save(tmp_path / "net.keras")
    model = opened(tmp_path / "net.keras")
    assert "CAST" not in [op.kind for op in model.graph.operators]
    np.testing.assert_allclose(model.classifier().logits(FACES), np.asarray(network(FACES[..., None])), atol=1e-3)


def keras_zip(path: Path, version: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps({"class_name": "Missing", "config": {}, "module": "theirs"}))
        archive.writestr("model.weights.h5", b"")
    return path


def keras_h5(path: Path, version: str) -> Path:
    layer = {
        "class_name": "TFOpLambda",
        "config": {"name": "f", "function": "nn.relu"},
        "name": "f",
        "inbound_nodes": [],
    }
    config = {"name": "m", "layers": [layer], "input_layers": [["f", 0, 0]], "output_layers": [["f", 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.create_group("model_weights")
    return path


@pytest.mark.parametrize("write", [keras_zip, keras_h5])
def test_a_file_of_keras_2_is_named_with_the_way_that_works(write: Any, tmp_path: Path) -> None:
    path = write(tmp_path / ("net.keras" if write is keras_zip else "net.h5"), "2.15.0")
    with pytest.raises(
        UsageError, match=r"was written by Keras 2\.15\.0, .* export it with `tf_keras` as convert/README"
    ):
        opened(path)
    assert "tf.saved_model.save(m, " in (Path(__file__).parents[2] / "convert/README.md").read_text()


def test_nobody_is_told_to_do_what_they_did(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        opened(keras_zip(tmp_path / "net.keras", "3.12.0"))
    assert "`model.export(FOLDER)`" in str(caught.value) and "model.save" not in str(caught.value)


def saved_model(folder: Path, target: Path, where: str) -> Path:
    """A SavedModel of a classifier that writes `target`: in its signature, below a condition, or in another function."""
    import tensorflow as tf

    network = bar_classifier()
    module = tf.Module()
    module.network = network

    @tf.function
    def write() -> None:
        tf.io.write_file(str(target), "written")

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)])
    def classify(x: Any) -> Any:
        if where == "signature":
            tf.io.write_file(str(target), "written")
        elif where == "condition":
            tf.cond(tf.reduce_sum(x) > 1e9, write, lambda: None)
        return network(x, training=False)

    module.classify = classify
    if where == "another function":
        module.write = write
        write.get_concrete_function()
    with quiet_tensorflow():
        tf.saved_model.save(module, str(folder), signatures=classify)
    return folder


@pytest.mark.parametrize("where", ["signature", "condition", "another function"])
def test_a_saved_model_that_writes_files_is_refused(where: str, tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "saved", tmp_path / "target", where)
    (tmp_path / "target").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"has the operator 'WriteFile', .* give --trust-model$"):
        opened(folder)
    assert not (tmp_path / "target").exists()


def test_a_saved_model_that_reads_a_file_as_a_constant_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    (tmp_path / "secret").write_bytes(b"key!")
    module = tf.Module()
    module.network = bar_classifier()

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)])
    def classify(x: Any) -> Any:
        content = tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[4], memory_region_name=str(tmp_path / "secret"))
        return module.network(x, training=False) + tf.reduce_mean(tf.cast(content, tf.float32))

    with quiet_tensorflow():
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=classify)
    with pytest.raises(UsageError, match=r"has the operator 'ImmutableConst', .* give --trust-model$"):
        opened(tmp_path / "saved")


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The saved_model.pb of a classifier that only computes."""
    folder = tmp_path_factory.mktemp("harmless")
    return (saved_model(folder / "saved", folder / "target", "nowhere") / "saved_model.pb").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "LoadAndRemapMatrix",
        "GenerateVocabRemapping",
        "FixedUnigramCandidateSampler",
        "ImportEvent",
        "Abort",
        "OperatorOfALaterVersion",
    ],
)
def test_an_operator_that_does_more_than_compute_is_refused(name: str, harmless: bytes, tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(harmless)
    for function in model.meta_graphs[0].graph_def.library.function:
        function.node_def.add(name="more", op=name)
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=f"has the operator '{name}', .* give --trust-model$"):
        require_harmless(tmp_path)


def test_no_operator_that_names_a_file_a_reader_or_another_process_counts_as_computing() -> None:
    """By the name of each of TensorFlow's own operators, and of its arguments."""
    import tensorflow as tf

    outside = re.compile("file|path|prefix|address|writer|reader|memory_region|host_graph|token", re.IGNORECASE)
    found = [
        name
        for name in dir(tf.raw_ops)
        if name[0].isupper()
        and (outside.search(name) or any(map(outside.search, inspect.signature(getattr(tf.raw_ops, name)).parameters)))
    ]
    assert {"ReadFile", "MatchingFiles", "LoadAndRemapMatrix", "ImmutableConst", "SaveV2"} <= set(found)
    assert [name for name in found if is_computing(name)] == []


def test_a_saved_model_of_ordinary_layers_is_opened_without_trust(tmp_path: Path) -> None:
    """Keras's export of the layers that image classifiers have, those of augmentation and a recurrent one included."""
    import keras

    layers = keras.layers
    entry = keras.Input((SIDE, SIDE, 1))
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(layers.Rescaling(1 / 255)(entry)))
    x = layers.BatchNormalization()(layers.SeparableConv2D(4, 3, activation="relu6")(x))
    x = layers.LayerNormalization()(layers.Conv2DTranspose(4, 3, activation="gelu")(x))
    x = layers.GroupNormalization(2)(layers.MaxPooling2D()(layers.PReLU(shared_axes=(1, 2))(x)))
    x = layers.Resizing(8, 8)(layers.UpSampling2D(interpolation="bilinear")(layers.ZeroPadding2D()(x)))
    tokens = layers.Reshape((64, 4))(x)
    x = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    x = layers.concatenate([layers.GlobalAveragePooling1D()(x), layers.LSTM(3)(layers.Reshape((8, 32))(tokens))])
    model = keras.Model(entry, layers.Dense(3)(layers.Dropout(0.5)(x)))
    with quiet_tensorflow():
        model.export(tmp_path / "exported", verbose=False)
    require_harmless(tmp_path / "exported")


def block_of_the_readme(word: str) -> str:
    """The indented block of convert/README.md that has this word."""
    text = (Path(__file__).parents[2] / "convert/README.md").read_text()
    (block,) = [b for b in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.M) if word in b]
    return inspect.cleandoc(block)


def test_a_saved_model_that_augments_is_refused_with_the_export_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.chdir(tmp_path)
    entry = keras.Input((SIDE, SIDE, 1))
    with quiet_tensorflow():
        network = bar_classifier()
        model = keras.Model(entry, network(keras.layers.RandomContrast(0.2)(keras.layers.RandomFlip()(entry))))
        model.save("my-model.keras")
        model.export("augmenting", verbose=False)
    with pytest.raises(UsageError, match="in augmenting changes its pictures at random when it is called") as caught:
        opened(Path("augmenting"))
    assert "StatelessRandomUniform" in str(caught.value) and str(caught.value).endswith("as convert/README.md shows")
    with quiet_tensorflow():
        exec(block_of_the_readme("ExportArchive"), {})
    np.testing.assert_allclose(
        opened(Path("exported")).classifier().logits(FACES), np.asarray(network(FACES[..., None])), atol=1e-3
    )


def test_a_saved_model_whose_random_numbers_tflite_can_draw_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.network = bar_classifier()

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 1), tf.float32)])
    def classify(x: Any) -> Any:
        return module.network(x + tf.random.normal((1, SIDE, SIDE, 1)), training=False)

    with quiet_tensorflow():
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=classify)
    with pytest.raises(UsageError, match=r"draws random numbers \(RANDOM_STANDARD_NORMAL\), so its answers"):
        opened(tmp_path / "saved")


def test_a_saved_model_that_counts_its_calls_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.network, module.calls = bar_classifier(), tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)])
    def classify(x: Any) -> Any:
        return module.network(x, training=False) + 0 * module.calls.assign_add(1.0)

    with quiet_tensorflow():
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=classify)
    with pytest.raises(UsageError, match=r"changes its own variables when it is called \(AssignAddVariableOp\)"):
        opened(tmp_path / "saved")


def test_a_saved_model_of_several_graphs_is_refused(harmless: bytes, tmp_path: Path) -> None:
    """TensorFlow loads it like one of TensorFlow 1 and runs nodes that belong to no function."""
    (tmp_path / "saved_model.pb").write_bytes(harmless * 2)
    with pytest.raises(UsageError, match=r"SavedModel of TensorFlow 1, .* give --trust-model"):
        require_harmless(tmp_path)


def test_a_trusted_saved_model_is_opened(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "saved", tmp_path / "target", "another function")
    assert opened(folder, is_trusted=True).output.kind == "logits"


def test_a_saved_model_without_such_operators_is_opened(tmp_path: Path) -> None:
    assert opened(saved_model(tmp_path / "saved", tmp_path / "target", "nowhere")).output.kind == "logits"


@pytest.mark.parametrize("form", ["net.keras", "saved"])
def test_an_operator_straight_in_a_model_is_kept_in_float_by_itself(form: str, tmp_path: Path) -> None:
    """Not every operator in its scope, which is the whole network's."""
    import keras

    entry = keras.Input((SIDE, SIDE, 1))
    with quiet_tensorflow():
        network = bar_classifier()
        model = keras.Model(entry, keras.layers.Average()([network(entry), network(keras.ops.flip(entry, 2))]))
        model.save(tmp_path / "net.keras") if form == "net.keras" else model.export(tmp_path / form, verbose=False)
    source, images = ModelSource.find(tmp_path / form, labels=LABELS, input_range=(0.0, 1.0)), bars(20, seed=5)[0]
    with pytest.raises(ParityFailed, match=r"point: REVERSE_V2; .* with --keep-float reverse_v2_1, or"):
        quantize_graph(open_model(source).graph, images, QuantizationOptions())


def test_a_group_normalization_is_kept_in_float_by_the_option_that_the_refusal_names(tmp_path: Path) -> None:
    with quiet_tensorflow():
        bar_classifier(norm_groups=4).save(tmp_path / "net.keras")
    counts = {"train": 20, "validation": 40, "test": 40}
    tree = bar_tree(tmp_path / "tree", {part: dict.fromkeys(LABELS, n) for part, n in counts.items()})
    source, options = ModelSource.find(tmp_path / "net.keras", labels=LABELS), ConversionOptions(tree, runtimes="one")
    with pytest.raises(
        ParityFailed, match="still in floating point: NEG, SQUARE; keep their layers in float"
    ) as caught:
        draft_from_float(source, tmp_path, options)
    (named,) = re.findall(r"--keep-float (\S+), or", str(caught.value))
    kept = tuple(named.split(","))
    assert {"neg_1", "square_1", "rsqrt_1"} < set(kept) and not {"conv_1", "dense_1"} & set(kept)
    report = draft_from_float(source, tmp_path, replace(options, keep_float=kept)).report
    assert report.passed and report.parts["together"].accuracy.int8 > 0.95
