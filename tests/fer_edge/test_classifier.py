"""The classifier on the real interpreter: every kernel path and thread count, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.classifier import KERNELS, Classifier, find_runtime, softmax
from fer_edge.errors import BundleRefused, UsageError


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    from fer_edge.face_crop import face_crop
    from fer_edge.synthetic_face import face_box, face_frame

    return np.stack([face_crop(face_frame(t), face_box(t)) for t in np.linspace(0, 20, 12)])


def test_kernel_paths_agree_within_int8_steps(bundle_path: Path, faces: np.ndarray) -> None:
    step = Bundle.load(bundle_path).spec.quantization.output.scale
    paths = {kernels: Classifier(bundle_path / "model.tflite", kernels=kernels).logits(faces) for kernels in KERNELS}
    spread = paths["default"].max() - paths["default"].min()
    assert spread > 5 * step, "the faces are told apart"
    for name, logits in paths.items():
        assert np.abs(logits - paths["default"]).max() <= max(4 * step, 0.05 * spread), name


def test_threads_and_batches_do_not_change_the_logits(bundle_path: Path, faces: np.ndarray) -> None:
    model = bundle_path / "model.tflite"
    one = Classifier(model)
    together = one.logits(faces)
    assert np.array_equal(together, np.concatenate([one.logits(f[None]) for f in faces]))
    assert np.array_equal(together, Classifier(model, threads=2).logits(faces))
    assert one.logits(faces[:0]).shape == (0, 7)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("content", [b"", b"\xa5"], ids=["emptied", "overwritten"])
def test_a_model_file_may_be_overwritten_while_it_is_in_use(
    tmp_path: Path, bundle_path: Path, faces: np.ndarray, kernels: str, content: bytes
) -> None:
    """As scp does it: in place. A mapped file would end the process by a signal, or change what it says."""
    model = tmp_path / "model.tflite"
    model.write_bytes((bundle_path / "model.tflite").read_bytes())
    classifier = Classifier(model, kernels=kernels)
    before = classifier.logits(faces)
    model.write_bytes(content * model.stat().st_size)
    assert np.array_equal(classifier.logits(faces), before)


def test_probabilities_sum_to_one_and_temperature_softens(bundle_path: Path, faces: np.ndarray) -> None:
    classifier = Classifier(bundle_path / "model.tflite")
    hard, soft = classifier.probabilities(faces), classifier.probabilities(faces, temperature=3.0)
    np.testing.assert_allclose(hard.sum(1), 1, atol=1e-6)
    assert (soft.max(1) < hard.max(1)).all() and np.array_equal(soft.argmax(1), hard.argmax(1))
    assert np.isfinite(softmax(np.array([[1e4, -1e4]], np.float32))).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((1, 47, 48), np.uint8),
        np.zeros((1, 48, 48), np.float32),
        np.zeros((1, 48, 48, 1), np.uint8),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(bad: np.ndarray, bundle_path: Path) -> None:
    with pytest.raises(UsageError, match="uint8 faces"):
        Classifier(bundle_path / "model.tflite").logits(bad)


def one_tensor(shape: tuple[int, ...], dtype: str, scale: float = 0.0, zero: int = 0) -> bytes:
    """A TFLite file that gives its input (1, side, side, C) back as (1, side² C): what the tensors hold can be seen."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str, shape: tuple[int, ...]) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), list(shape), getattr(schema.TensorType, dtype)
        if scale:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [zero]
        return made

    code, operator, options = schema.OperatorCodeT(), schema.OperatorT(), schema.ReshapeOptionsT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    flat = (1, int(np.prod(shape)))
    options.newShape = list(flat)
    operator.inputs, operator.outputs = [0], [1]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators = [tensor("in", shape), tensor("out", flat)], [operator]
    graph.inputs, graph.outputs = [0], [1]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


LEVELS = np.array([[[0, 51], [204, 255]]], np.uint8)  # a face of 2 × 2 px


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "pixels", "seen"),
    [
        ("FLOAT32", 0.0, 0, (0.0, 255.0), [0, 51, 204, 255]),
        ("FLOAT32", 0.0, 0, (0.0, 1.0), [0, 0.2, 0.8, 1]),
        ("FLOAT32", 0.0, 0, (-1.0, 1.0), [-1, -0.6, 0.6, 1]),
        ("INT8", 1.0, -128, (0.0, 255.0), [0, 51, 204, 255]),
        ("INT8", 1 / 255, -128, (0.0, 1.0), [0, 0.2, 0.8, 1]),
        (
            "INT8",
            2 / 255,
            -1,
            (-1.0, 1.0),
            [-0.9961, -0.6, 0.6, 1],
        ),  # −127.5 and 127.5 steps are none; −1 is out of reach
        ("UINT8", 1 / 255, 0, (0.0, 1.0), [0, 0.2, 0.8, 1]),
        ("UINT8", 0.0, 0, (0.0, 255.0), [0, 51, 204, 255]),  # no scale: whole numbers stand for themselves
        ("INT16", 1 / 32767, 0, (0.0, 1.0), [0, 0.2, 0.8, 1]),
    ],
)
def test_pixels_are_mapped_to_the_input_range(
    dtype: str, scale: float, zero: int, pixels: tuple[float, float], seen: list[float]
) -> None:
    classifier = Classifier(one_tensor((1, 2, 2, 1), dtype, scale, zero), input_range=pixels)
    np.testing.assert_allclose(classifier.logits(LEVELS), [seen], atol=0.0041)
    assert classifier.input_values.shape == (256,) and classifier.input_values.dtype == np.dtype(dtype.lower())


def test_each_of_three_channels_gets_the_gray_value() -> None:
    classifier = Classifier(one_tensor((1, 2, 2, 3), "FLOAT32"))
    assert (classifier.channels, classifier.side, classifier.classes) == (3, 2, 12)
    assert classifier.logits(LEVELS).tolist() == [np.repeat([0, 51, 204, 255], 3).tolist()]


def test_logits_of_a_model_of_probabilities_are_their_logarithms() -> None:
    """Logits are their logarithms; a probability of none is half a step, or 1e-7 in floating point, so that it has one."""
    said = np.array([[[0, 51], [77, 127]]], np.uint8)  # 0, .2, .3, .5 of one
    exact = Classifier(one_tensor((1, 2, 2, 1), "FLOAT32"), input_range=(0.0, 1.0), output_kind="probabilities")
    np.testing.assert_allclose(exact.probabilities(said), said.reshape(1, 4) / 255, atol=1e-6)
    assert exact.logits(said)[0, 0] == pytest.approx(np.log(1e-7))
    assert exact.outputs(said)[0, 0] == 0 and exact.output_range is None
    rounded = Classifier(
        one_tensor((1, 2, 2, 1), "INT8", 1 / 256, -128), input_range=(0.0, 1.0), output_kind="probabilities"
    )
    assert rounded.logits(said)[0, 0] == pytest.approx(np.log(1 / 512))
    assert rounded.output_range == (0.0, 255 / 256)
    alike = Classifier(
        one_tensor((1, 2, 2, 1), "FLOAT32"),
        input_range=(0.0, 1.0),
        output_kind="probabilities",
        smallest_probability=rounded.smallest_probability,
    )
    np.testing.assert_allclose(alike.logits(said), rounded.logits(said), atol=0.02)


@pytest.mark.parametrize(
    ("shape", "dtype", "says"),
    [
        ((1, 2, 3, 1), "FLOAT32", r"takes \(1, 2, 3, 1\), not one square gray image"),
        ((1, 2, 2, 2), "FLOAT32", r"takes \(1, 2, 2, 2\), not one square gray image"),
        ((1, 3, 2, 2), "FLOAT32", "not one square gray image"),  # channels first
        ((4, 2, 2, 1), "FLOAT32", "not one square gray image"),
        ((1, 2, 2, 1), "FLOAT16", "float16; float32 and whole numbers can be given"),
    ],
)
def test_a_model_that_is_not_a_classifier_of_faces_is_refused(shape: tuple[int, ...], dtype: str, says: str) -> None:
    with pytest.raises(BundleRefused, match=says):
        Classifier(one_tensor(shape, dtype))


def test_an_unknown_output_kind_is_refused() -> None:
    with pytest.raises(BundleRefused, match="“boxes”; a classifier gives logits or probabilities"):
        Classifier(one_tensor((1, 2, 2, 1), "FLOAT32"), output_kind="boxes")


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"nonsense" * 100)
    with pytest.raises(BundleRefused, match=r"x\.tflite"):
        Classifier(tmp_path / "x.tflite")


def test_a_runtime_is_found_by_its_name() -> None:
    assert find_runtime().name == "litert"
    assert find_runtime("litert").version.startswith("2.")
    with pytest.raises(UsageError, match="no runtime"):
        find_runtime("onnx")
