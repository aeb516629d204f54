"""bundle.json as typed values. The names of the fields are those of the file; `bundle.schema.json` is its JSON Schema.

A field whose default is None is left out of the file when it is None. Readers ignore fields that they do not know.
Small records are named tuples: a dataclass costs half a millisecond of every start.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fer_edge.bundle_provenance import Provenance
from fer_edge.errors import BundleRefused
from fer_edge.face_crop import MAX_GROW, MAX_OFFSET, MAX_SCALE, MAX_SIDE_PX, CropMapping
from fer_edge.json_fields import JsonFields, to_json
from fer_edge.labels import require_printable_label
from fer_edge.logit_difference import LARGEST_DIFFERENCE, LogitDifference
from fer_edge.runtime_name import runtime_name
from fer_edge.thresholds import Thresholds

FORMAT = 1
OUTPUT_KINDS = ("logits", "probabilities")
SCHEMA_FILE = Path(__file__).with_name("bundle.schema.json")
REMEDY = "copy the bundle again"
MAX_CLASSES = 1000
MAX_NAME_BYTES = 200  # in UTF-8: files and folders are named for the bundle, with a few characters more
NAME_RULE = (
    f"a name that a file can have: 1 to {MAX_NAME_BYTES} bytes that can be printed, no / or \\, no dot at the start"
)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The model's input: a square of `side` px, made from a gray face crop."""

    side: int  # px
    channels: int  # 1, or 3: the gray value three times
    pixels: str  # in words
    range: tuple[float, float]  # what the pixel values 0 and 255 are to the input tensor
    preprocess: str  # the id of the code that cuts crops (fer_edge.face_crop.PREPROCESS_ID)
    mappings: dict[str, CropMapping]  # detector: how its box becomes the crop

    @staticmethod
    def read(fields: JsonFields) -> InputSpec:
        """The input described by the object `input`."""
        return InputSpec(
            side=fields.integer("side", 1, high=MAX_SIDE_PX),
            channels=fields.integer("channels", choices=(1, 3)),
            pixels=fields.text("pixels"),
            range=fields.interval("range"),
            preprocess=fields.text("preprocess"),
            mappings={name: _mapping(each) for name, each in fields.named_objects("mappings").items()},
        )


class OutputSpec(NamedTuple):
    """The model's output: `kind` is one of OUTPUT_KINDS.

    `smallest_probability` is the smallest one that differs from 0, half a step of the tensor that a float32 output was
    dequantized from; None: half a step of the output tensor, or 1e-7 for float32.
    """

    kind: str
    smallest_probability: float | None = None

    @staticmethod
    def read(fields: JsonFields) -> OutputSpec:
        """The output described by the object `output`."""
        smallest = fields.number("smallest_probability", above=0) if fields.has("smallest_probability") else None
        return OutputSpec(fields.text("kind", OUTPUT_KINDS), smallest)


class TensorQuantization(NamedTuple):
    """The type, scale and zero point of a tensor; the scale of a float tensor is 0."""

    dtype: str
    scale: float
    zero_point: int

    @staticmethod
    def read(fields: JsonFields) -> TensorQuantization:
        """The quantization of one tensor."""
        zero_point = fields.integer("zero_point", None, high=1 << 31)
        return TensorQuantization(fields.text("dtype"), fields.number("scale", 0), zero_point)


class QuantizationSpec(NamedTuple):
    """What the model calculates in ("int8", "float32", "int8 and float32"), and its input and output tensors."""

    scheme: str
    input: TensorQuantization
    output: TensorQuantization


class Cost(NamedTuple):
    """What one face costs: parameters and multiply-adds of the model, and the bytes of model.tflite."""

    parameters: int
    multiply_adds: int
    bytes: int


class Operators(NamedTuple):
    """The newest version of each operator in the model, and the runtimes that support all of them."""

    versions: dict[str, int]
    supported_by: tuple[str, ...]


class RuntimeClaim(NamedTuple):
    """A runtime on which the model was compared with its float model, and the verdict.

    `agreement` is the share of images with the same label; None where there was no float model to compare with.
    """

    runtime: str
    version: str
    kernels: str
    machine: str  # x86_64, aarch64
    verdict: str
    agreement: float | None

    @property
    def name(self) -> str:
        """As golden.npz and parity.json name it: “litert 2.3.0, default, x86_64”."""
        return runtime_name(self.runtime, self.version, self.kernels, self.machine)

    @staticmethod
    def read(fields: JsonFields) -> RuntimeClaim:
        """One entry of `runtimes`."""
        return RuntimeClaim(
            runtime=fields.text("runtime"),
            version=fields.text("version"),
            kernels=fields.text("kernels"),
            machine=fields.text("machine"),
            verdict=fields.text("verdict"),
            agreement=fields.number("agreement", 0, 1) if fields.has("agreement") else None,
        )


class GoldenLimits(NamedTuple):
    """How far logits may differ from the golden ones: of the same runtime, and of another."""

    same_runtime: LogitDifference
    other_runtime: LogitDifference


@dataclass(frozen=True, slots=True)
class GoldenSummary:
    """A summary of golden.npz for people and programs. Checks read golden.npz itself (fer_edge.golden_vectors)."""

    format: int
    crops: int
    crops_sha256: str
    runtimes: tuple[str, ...]
    output_step: float
    measured: LogitDifference
    limits: GoldenLimits
    crop_tolerance: int

    @staticmethod
    def read(fields: JsonFields) -> GoldenSummary:
        """The summary in the object `golden`."""
        limits = fields.object("limits")
        same, other = (_limit(limits.object(name)) for name in ("same_runtime", "other_runtime"))
        return GoldenSummary(
            format=fields.integer("format", 1),
            crops=fields.integer("crops", 1),
            crops_sha256=fields.sha256("crops_sha256"),
            runtimes=fields.texts("runtimes", 1),
            output_step=fields.number("output_step", above=0),
            measured=_difference(fields.object("measured")),
            limits=GoldenLimits(same, other),
            crop_tolerance=fields.integer("crop_tolerance"),
        )


class FileEntry(NamedTuple):
    """Size and SHA-256 of a file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """The whole of bundle.json. `files` is empty until the bundle's other files are written."""

    format: int
    name: str
    labels: tuple[str, ...]  # in the order of the model's outputs
    input: InputSpec
    output: OutputSpec
    quantization: QuantizationSpec
    thresholds: Thresholds
    cost: Cost
    operators: Operators
    runtimes: tuple[RuntimeClaim, ...]
    provenance: Provenance
    golden: GoldenSummary
    files: dict[str, FileEntry] = field(default_factory=dict)

    @staticmethod
    def from_json(value: object, source: str = "bundle.json") -> BundleSpec:
        """The spec in a parsed bundle.json; `source` names the file in messages.

        Raises BundleRefused, with the field and its value, when a field is missing, of another type or out of bounds.
        """
        fields = JsonFields.of(value, source, BundleRefused, REMEDY)
        if (found := fields.integer("format", 1)) != FORMAT:
            raise BundleRefused(
                f"{source} has bundle format {found}; this version reads {FORMAT}; make the bundle again"
            )
        quantization, labels = fields.object("quantization"), _labels(fields)
        tensors = (TensorQuantization.read(quantization.object(name)) for name in ("input", "output"))
        operators, cost = fields.object("operators"), fields.object("cost")
        versions = operators.object("versions")
        return BundleSpec(
            format=FORMAT,
            name=_name(fields),
            labels=labels,
            input=InputSpec.read(fields.object("input")),
            output=OutputSpec.read(fields.object("output")),
            quantization=QuantizationSpec(quantization.text("scheme"), *tensors),
            thresholds=Thresholds.read(fields.object("thresholds"), labels),
            cost=Cost(*(cost.integer(name) for name in ("parameters", "multiply_adds", "bytes"))),
            operators=Operators(
                {name: versions.integer(name, 1) for name in versions.values}, operators.texts("supported_by")
            ),
            runtimes=tuple(RuntimeClaim.read(row) for row in fields.objects("runtimes")),
            provenance=Provenance.read(fields.object("provenance")),
            golden=GoldenSummary.read(fields.object("golden")),
            files={
                name: FileEntry(each.integer("bytes"), each.sha256("sha256"))
                for name, each in fields.named_objects("files").items()
            },
        )

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values, in the order of bundle.json."""
        values: dict[str, Any] = to_json(self)
        return values


def is_bundle_name(name: str) -> bool:
    """Whether a bundle can have this name: it follows NAME_RULE, so that a path made of it stays in its folder."""
    if not name.isprintable() or name.startswith(".") or "/" in name or "\\" in name:
        return False
    return 0 < len(name.encode()) <= MAX_NAME_BYTES


def _name(fields: JsonFields) -> str:
    if not is_bundle_name(name := fields.any_text("name")):
        fields.refuse("name", NAME_RULE)
    return name


def _labels(fields: JsonFields) -> tuple[str, ...]:
    labels = fields.texts("labels", 2)
    if len(labels) > MAX_CLASSES:
        fields.refuse("labels", f"a list of at most {MAX_CLASSES} texts")
    try:
        return tuple(require_printable_label(label, BundleRefused) for label in labels)
    except BundleRefused as error:
        raise BundleRefused(f"{fields.source}: {error}; {REMEDY}") from error


def _mapping(fields: JsonFields) -> CropMapping:
    most = {"dx": MAX_OFFSET, "dy": MAX_OFFSET, "grow": MAX_GROW}
    offsets = {name: fields.number(name, -bound, bound) for name, bound in most.items()}
    return CropMapping(
        scale=fields.number("scale", high=MAX_SCALE, above=0), **offsets, level=fields.number("level", 0, 1)
    )


def _difference(fields: JsonFields) -> LogitDifference:
    return LogitDifference(*(fields.number(name, 0) for name in LogitDifference.__slots__))


def _limit(fields: JsonFields) -> LogitDifference:
    names, most = LogitDifference.__slots__, astuple(LARGEST_DIFFERENCE)
    return LogitDifference(*(fields.number(name, 0, high) for name, high in zip(names, most, strict=True)))
