"""Differences of int8 and float as values: of logits, and of accuracy and AUC on one part, overall and per class."""

from __future__ import annotations

from dataclasses import dataclass

from convert.parity.paired_tests import PairedDifference


@dataclass(frozen=True, slots=True)
class MeasuredRuntime:
    """The runtime that logits were measured on, its kernel path and the processor's architecture."""

    runtime: str  # litert, tflite-runtime, tensorflow
    version: str
    kernels: str  # default, builtin, reference
    machine: str  # x86_64, aarch64


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """Int8's logits against float's, centred per image first: softmax does not depend on what all of them have in common."""

    images: str  # in words
    n: int
    agreement: float  # share of images with the same label
    clear_n: int  # images where float's first label leads its second clearly
    clear_agreement: float | None  # on these
    slope: float  # of int8's logits on float's
    rms: float  # error over the standard deviation of float's logits
    rms_logits: float
    spread_logits: float  # the standard deviation of float's logits


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """Recall and AUC of one class of `n` images; None where the part has no image, or only images, of the class."""

    n: int
    recall: PairedDifference | None
    auc: PairedDifference | None


@dataclass(frozen=True, slots=True)
class PartDifference:
    """Accuracy and AUC of float and int8 on one part, overall and per class."""

    n: int
    accuracy: PairedDifference
    macro_auc: PairedDifference | None
    agreement: float
    only_float_right: int
    only_int8_right: int
    classes: dict[str, ClassDifference]

    def __post_init__(self) -> None:
        if self.accuracy.difference_p is None:
            raise ValueError("accuracy.difference_p is null, not a number")
