"""What a bundle was made from and with: the object `provenance` of bundle.json as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fer_edge.json_fields import JsonFields


class SourceFile(NamedTuple):
    """The name of a file that the bundle was made from, and its SHA-256."""

    file: str
    sha256: str


class FloatModelRecord(NamedTuple):
    """The float model that the int8 model was compared with; `range` is what the pixel values 0 and 255 are to it."""

    file: str
    sha256: str
    range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class RangeSearchRecord:
    """The settings of the range search (convert.quantize.range_search)."""

    equalize: float
    clip: float
    correct: bool
    widen: float
    per_channel: bool
    round_by_error: bool | None = None  # None in bundles from before these two
    refine: bool | None = None


class MixedPrecisionRecord(NamedTuple):
    """The layers that stay in float, and what they cost compared with the model in int8 alone."""

    layers: tuple[str, ...]
    int8_bytes: int
    mixed_bytes: int
    time_ratio: float
    agreement: float


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """The images on which the ranges were searched: their kind, and what is known of them."""

    kind: str
    images: int | None = None
    per_class: int | None = None
    seed: int | None = None
    steps: int | None = None
    loss: float | None = None
    ranges: RangeSearchRecord | None = None
    mixed_precision: MixedPrecisionRecord | None = None

    @staticmethod
    def read(fields: JsonFields) -> CalibrationRecord:
        """The record in the object `calibration`."""
        counts = {n: fields.integer(n) for n in ("images", "per_class", "seed", "steps") if fields.has(n)}
        ranges = mixed = None
        if fields.has("ranges"):
            found = fields.object("ranges")
            numbers = {name: found.number(name, 0) for name in ("equalize", "clip", "widen")}
            ranges = RangeSearchRecord(
                **numbers,
                correct=found.flag("correct"),
                per_channel=found.flag("per_channel"),
                round_by_error=found.flag("round_by_error") if found.has("round_by_error") else None,
                refine=found.flag("refine") if found.has("refine") else None,
            )
        if fields.has("mixed_precision"):
            found = fields.object("mixed_precision")
            sizes = {name: found.integer(name) for name in ("int8_bytes", "mixed_bytes")}
            ratio, agreement = found.number("time_ratio", 0), found.number("agreement", 0, 1)
            mixed = MixedPrecisionRecord(found.texts("layers"), **sizes, time_ratio=ratio, agreement=agreement)
        loss = fields.number("loss") if fields.has("loss") else None
        return CalibrationRecord(fields.text("kind"), **counts, loss=loss, ranges=ranges, mixed_precision=mixed)


class DataFingerprint(NamedTuple):
    """Images in each part of the data, and a SHA-256 of pixels, labels and parts."""

    train: int
    validation: int
    test: int
    sha256: str

    @staticmethod
    def read(fields: JsonFields) -> DataFingerprint:
        """The fingerprint in the object `data`."""
        train, validation, test = (fields.integer(part) for part in ("train", "validation", "test"))
        return DataFingerprint(train, validation, test, fields.sha256("sha256"))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the bundle was made from and with. `float_sha256` is that of the float model's file in the bundle's folder."""

    source: SourceFile
    float_sha256: str | None
    float_model: FloatModelRecord | None
    calibration: CalibrationRecord
    versions: dict[str, str | None]  # of packages; None: not installed
    parity_runtime: str
    data: DataFingerprint | None = None
    labels_from: str | None = None  # the rule of the data's labels, where they are not the set's own
    train_counts: dict[str, int] | None = None  # images of each label in the training part

    @staticmethod
    def read(fields: JsonFields) -> Provenance:
        """The provenance in the object `provenance`."""
        source, model, versions = fields.object("source"), None, fields.object("versions")
        counts = fields.object("train_counts") if fields.has("train_counts") else None
        if fields.has("float_model"):
            found = fields.object("float_model")
            model = FloatModelRecord(found.text("file"), found.sha256("sha256"), found.interval("range"))
        return Provenance(
            source=SourceFile(source.text("file"), source.sha256("sha256")),
            float_sha256=fields.sha256("float_sha256") if fields.has("float_sha256") else None,
            float_model=model,
            calibration=CalibrationRecord.read(fields.object("calibration")),
            versions={name: versions.text(name) if versions.has(name) else None for name in versions.values},
            parity_runtime=fields.text("parity_runtime"),
            data=DataFingerprint.read(fields.object("data")) if fields.has("data") else None,
            labels_from=fields.text("labels_from") if fields.has("labels_from") else None,
            train_counts={name: counts.integer(name) for name in counts.values} if counts else None,
        )
