"""`python -m convert.parity BUNDLE --data PATH`: the int8 model held against its float model, class by class; a verdict.

One column for each runtime and kernel path (convert.parity.backends); the verdict is that of the worst.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.samples import HELD_OUT_PARTS, Samples, held_out
from convert.evaluate.confidence_calibration import ConfidenceCalibration, calibrate_confidence
from convert.evaluate.metrics import roc_curves
from convert.parity.backends import Column, column, logits_of
from convert.parity.paired_tests import DRAWS, SEED
from convert.parity.tolerances import Margins
from convert.parity.verdict import FAIL, OPEN, Judged, on_faces, on_stand_ins, worst
from convert.tflite.keras_export import float_tflite, load_keras
from fer_edge.bundle_spec import RuntimeClaim
from fer_edge.classifier import Classifier
from fer_edge.errors import NotEnoughData, ParityFailed

FEWEST = 100  # held-out images below which accuracy is not looked at


@dataclass(frozen=True)
class ParityReport:
    """Float against int8. What stands above `columns` is of the worst of them, named in `runtime`.

    `verdict`: "pass", "fail", "not enough data" (nothing failed, yet accuracy or AUC cannot be shown to be within the
    margins), or "pass on logits; accuracy not judged" without data; `parts` is empty then and `logits` speaks of stand-in
    images.
    """

    verdict: str
    failures: list[str]
    undecided: list[str]
    runtime: str
    logits: dict[str, Any]  # images, n, agreement, slope, rms
    parts: dict[str, dict[str, Any]]  # validation, test, together
    columns: dict[str, dict[str, Any]]  # by name: verdict, failures, undecided, logits, together
    labels: list[str]
    margins: Margins
    bootstrap: dict[str, int] = field(default_factory=lambda: {"draws": DRAWS, "seed": SEED})
    not_measured: list[str] = field(default_factory=list)
    # of the first column's probabilities, where there is a validation part
    confidence: ConfidenceCalibration | None = None
    drawn: dict[str, Any] | None = None  # ROC curves and confusion counts of float and int8, both parts together

    @property
    def passed(self) -> bool:
        """Whether nothing that could be judged lies outside its margin."""
        return self.verdict != FAIL

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, for parity.json."""
        return asdict(self)

    def runtimes(self) -> tuple[RuntimeClaim, ...]:
        """The runtimes for bundle.json: the verdict on each, and the agreement of its labels with the float model's."""
        return tuple(
            RuntimeClaim(**row["ran_on"], verdict=row["verdict"], agreement=row["logits"]["agreement"])
            for row in self.columns.values()
        )

    def answer_for(self) -> None:
        """Raises ParityFailed with what failed, NotEnoughData with what could not be decided, and nothing else."""
        if self.verdict == FAIL:
            raise ParityFailed(f"{'; '.join(self.failures)} ({self.runtime})")
        if self.verdict == OPEN:
            n = self.parts["together"]["n"]
            open_ones = ", ".join(name for name in self.undecided if name in ("accuracy", "macro AUC"))
            raise NotEnoughData(
                f"nothing failed, but {n} images cannot show {open_ones} to be within the margins; give more held-out images"
            )


def on_data(
    float_model: Classifier,
    int8: Classifier | Iterable[Column],
    samples: Samples,
    labels: tuple[str, ...],
    margins: Margins | None = None,
) -> ParityReport:
    """The report on the validation and the test part, each alone and both together.

    `int8` is a classifier, or columns over `held_out(samples)`, of which the first is the one that the device runs.
    Raises NotEnoughData when both parts together have fewer than FEWEST images.
    """
    m = margins or Margins.load()
    images, y, part = held_out(samples)
    if len(y) < FEWEST:
        raise NotEnoughData(
            f"the validation and test parts hold {len(y)} images; parity needs at least {FEWEST}, "
            "without --data it judges logits"
        )
    f = logits_of(float_model, images, "float")
    columns = [column(int8, images)] if isinstance(int8, Classifier) else list(int8)
    judged = {c.name: on_faces(f, c.logits, y, part, labels, m) for c in columns}
    q = columns[0].logits
    sure = calibrate_confidence(
        {p: q[part == p] for p in HELD_OUT_PARTS if p in part}, {p: y[part == p] for p in HELD_OUT_PARTS if p in part}
    )
    by_name = {c.name: c.logits for c in columns}
    drawn = _drawn(f, by_name[worst(judged)], y, labels)
    return _report(columns, judged, labels, m, confidence=sure, drawn=drawn)


def without_data(
    float_model: Classifier,
    int8: Classifier | Iterable[Column],
    images: np.ndarray,
    labels: tuple[str, ...],
    margins: Margins | None = None,
) -> ParityReport:
    """The report on stand-in images uint8 (N, side, side): labels and logits of both models, and no word on accuracy."""
    m = margins or Margins.load()
    f = logits_of(float_model, images, "float")
    columns = [column(int8, images)] if isinstance(int8, Classifier) else list(int8)
    judged = {c.name: on_stand_ins(f, c.logits, m) for c in columns}
    silent = ["accuracy", "AUC", "any figure per class", "agreement on faces"]
    return _report(columns, judged, labels, m, not_measured=silent)


def _drawn(f: np.ndarray, q: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """What a page draws of both: ROC curves on common steps, four decimals, and confusion counts, a row a true class."""
    told: dict[str, Any] = {"fpr": [], "roc": {}, "confusion": {}}
    for name, logits in (("float", f), ("int8", q)):
        found = roc_curves(logits, y, labels)
        told["fpr"] = [round(v, 4) for v in found.fpr]
        told["roc"][name] = {label: [round(v, 4) for v in tpr] for label, tpr in found.tpr.items()}
        counts = np.zeros((len(labels), len(labels)), int)
        np.add.at(counts, (y, logits.argmax(1)), 1)
        told["confusion"][name] = counts.tolist()
    return told


def _report(
    columns: Sequence[Column], judged: dict[str, Judged], labels: tuple[str, ...], m: Margins, **more: Any
) -> ParityReport:
    name = worst(judged)
    told: dict[str, dict[str, Any]] = {}
    for c in columns:
        j = judged[c.name]
        ran_on = {"runtime": c.runtime, "version": c.version, "kernels": c.kernels, "machine": c.machine}
        told[c.name] = {
            "ran_on": ran_on,
            "verdict": j.verdict,
            "failures": j.failures,
            "undecided": j.undecided,
            "logits": j.logits,
            "together": j.parts.get("together"),
        }
    w = judged[name]
    return ParityReport(w.verdict, w.failures, w.undecided, name, w.logits, w.parts, told, list(labels), m, **more)


def float_classifier(keras_file: Path, threads: int = 1) -> Classifier:
    """The float model in a .keras file, on the interpreter the int8 one runs on."""
    return Classifier(float_tflite(load_keras(keras_file)), threads=threads)
