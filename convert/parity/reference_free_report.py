"""The report on a model without a float model to hold it against: what can be judged of it, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convert.data.samples import HELD_OUT_PARTS, Samples, held_out
from convert.evaluate.confidence_calibration import ConfidenceCalibration, calibrate_confidence
from convert.evaluate.metrics import score
from convert.parity.backends import Column
from fer_edge.bundle_spec import RuntimeClaim

VERDICT = "not compared with a float model"
JUDGED = ("that it loads and answers on each runtime below", "its golden vectors", "the versions of its operators")


@dataclass(frozen=True)
class Alone:
    """What was seen of a model that nothing was compared with. `parts` is empty without data."""

    verdict: str
    runtime: str  # the first column's name
    judged: list[str]
    not_measured: list[str]
    parts: dict[str, dict[str, Any]]  # validation, test: n, accuracy, macro_auc, recall of each class
    columns: dict[str, dict[str, Any]]  # by name: ran_on, and the share of images with the first column's label
    labels: list[str]
    failures: list[str]  # none: what fails is refused before
    undecided: list[str]
    confidence: ConfidenceCalibration | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing that could be judged speaks against it."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, for parity.json."""
        return asdict(self)

    def runtimes(self) -> tuple[RuntimeClaim, ...]:
        """The runtimes for bundle.json; there is no agreement with a float model to report."""
        rows = self.columns.values()
        return tuple(RuntimeClaim(**row["ran_on"], verdict=self.verdict, agreement=None) for row in rows)

    def answer_for(self) -> None:
        """Nothing: no verdict was asked for that could be bad."""


def report(columns: Sequence[Column], samples: Samples | None, labels: tuple[str, ...]) -> Alone:
    """The report on columns of logits over `held_out(samples)`, or over drawn faces where there are no data."""
    first = columns[0]
    told = {
        c.name: {
            "ran_on": {"runtime": c.runtime, "version": c.version, "kernels": c.kernels, "machine": c.machine},
            "verdict": VERDICT,
            "same_label": float(np.mean(c.logits.argmax(1) == first.logits.argmax(1))),
        }
        for c in columns
    }
    parts, sure = {}, None
    if samples is not None:
        _, y, part = held_out(samples)
        held = [name for name in HELD_OUT_PARTS if name in part]
        parts = {name: _part(first.logits[part == name], y[part == name], labels) for name in held}
        sure = calibrate_confidence({p: first.logits[part == p] for p in held}, {p: y[part == p] for p in held})
    silent = ["what quantization changed: accuracy, AUC and logits against a float model"]
    silent += [] if parts else ["accuracy", "AUC", "any figure per class"]
    judged = [*JUDGED, *(["accuracy and AUC on held-out images"] if parts else [])]
    return Alone(VERDICT, first.name, judged, silent, parts, told, list(labels), [], [], sure)


def table(told: dict[str, Any]) -> str:
    """An `Alone` report's JSON values as Markdown."""
    lines = [
        f"Verdict: **{told['verdict']}**. Judged: {', '.join(told['judged'])}.",
        f"Not measured: {'; '.join(told['not_measured'])}.",
        "",
        "| column | same label as the first |",
        "|---|---|",
    ]
    lines += [f"| {name} | {row['same_label'] * 100:.2f} % |" for name, row in told["columns"].items()]
    for name, part in told["parts"].items():
        lines += ["", f"| {name}, n = {part['n']} | | 95 % interval |", "|---|---|---|"]
        lines.append(_row("accuracy %", part["accuracy"], 100, 2))
        if part["macro_auc"]:
            lines.append(_row("macro AUC", part["macro_auc"], 1, 4))
        lines += [
            f"| recall of {label} % (n {row['n']}) | {row['recall'] * 100:.2f} | |"
            for label, row in part["classes"].items()
            if row["n"]
        ]
    return "\n".join(lines) + "\n"


def _part(logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    found = score(logits, y, labels)
    return {
        "n": found.n,
        "accuracy": asdict(found.accuracy),
        "macro_auc": asdict(found.macro_auc) if found.macro_auc else None,
        "classes": {c.label: {"n": c.support, "recall": c.recall, "auc": c.auc} for c in found.classes},
    }


def _row(name: str, value: dict[str, Any], factor: float, digits: int) -> str:
    low, high = ("" if value[k] is None else f"{value[k] * factor:.{digits}f}" for k in ("low", "high"))
    return f"| {name} | {value['value'] * factor:.{digits}f} | {f'{low} to {high}' if low else ''} |"
