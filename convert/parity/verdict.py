"""The verdict: whether the figures of a comparison are within the margins.

A single runtime is judged on its logits, its labels, accuracy, macro AUC and each class; the bundle's verdict is that of the
worst runtime.
"""

from __future__ import annotations

from collections.abc import Iterable

from convert.parity.differences import LogitDifference, PartDifference
from convert.parity.paired_tests import LEVEL, PairedDifference, holm
from convert.parity.tolerances import Margins

PASS, FAIL, OPEN, LOGITS_ONLY = "pass", "fail", "not enough data", "pass on logits; accuracy not judged"
WORST_FIRST = (FAIL, OPEN, LOGITS_ONLY, PASS)


def verdict_on_faces(
    logits: LogitDifference, together: PartDifference, margins: Margins
) -> tuple[str, list[str], list[str]]:
    """The verdict on labelled images, the reasons for a failure, and the figures that the images could not decide."""
    failures = _logit_failures(logits, margins)
    if logits.agreement < margins.labels_agreement:
        failures.append(f"the labels agree on {logits.agreement:.4f} of the images, under {margins.labels_agreement}")
    overall_failures, undecided = _overall(together)
    failures += overall_failures + _class_failures(together, undecided)
    overall = [d for d in (together.accuracy, together.macro_auc) if d]
    is_open = any(d.equivalence_p is None or d.equivalence_p >= LEVEL for d in overall)
    return FAIL if failures else OPEN if is_open else PASS, failures, undecided


def verdict_on_logits(logits: LogitDifference, margins: Margins) -> tuple[str, list[str], list[str]]:
    """The verdict on images without labels; no figure is undecided, because accuracy is not judged."""
    failures = _logit_failures(logits, margins)
    return FAIL if failures else LOGITS_ONLY, failures, []


def _logit_failures(logits: LogitDifference, margins: Margins) -> list[str]:
    failures = []
    # one image proves nothing: of fewer than a hundred it is already more than the share that may differ
    clear = 1.0 if logits.clear_agreement is None else logits.clear_agreement
    if clear < margins.labels_clear_agreement and round((1 - clear) * logits.clear_n) > 1:
        failures.append(
            f"where the float model's label is clear, the labels agree on {clear:.4f} of the images,"
            f" under {margins.labels_clear_agreement}"
        )
    if not abs(logits.slope - 1) <= margins.logits_slope:
        failures.append(f"the logits' slope is {logits.slope:.4f}, outside 1 ± {margins.logits_slope}")
    if not logits.rms <= margins.logits_rms:
        failures.append(
            f"the logits' RMS error is {logits.rms:.4f} of their standard deviation, over {margins.logits_rms}"
        )
    return failures


def _overall(together: PartDifference) -> tuple[list[str], list[str]]:
    """The losses of accuracy and macro AUC, and which of the two could not be decided."""
    failures, undecided = [], []
    for name, d, factor, unit in (
        ("accuracy", together.accuracy, 100, " points"),
        ("macro AUC", together.macro_auc, 1, ""),
    ):
        if d is None:
            continue
        if d.is_worse:
            failures.append(f"{name} falls by {-d.difference * factor:.4g}{unit}, over {d.margin * factor:g}")
        elif not d.is_equivalent:
            undecided.append(name)
    return failures, undecided


def _class_failures(together: PartDifference, undecided: list[str]) -> list[str]:
    """The losses of classes that are significant after Holm's correction; adds the undecided figures to `undecided`."""
    rows = {f"the recall of {label}": row.recall for label, row in together.classes.items() if row.recall}
    rows |= {f"the AUC of {label}": row.auc for label, row in together.classes.items() if row.auc}
    tested = {name: d.inferiority_p for name, d in rows.items() if d.inferiority_p is not None}
    adjusted = holm([*tested.values()])
    lost = [name for name, p in zip(tested, adjusted, strict=True) if p < LEVEL]
    undecided += _undecided(rows, lost)
    return [f"{name} falls by more than {rows[name].margin:.4g}" for name in lost]


def _undecided(rows: dict[str, PairedDifference], lost: Iterable[str]) -> list[str]:
    """The figures that were shown neither to have lost their margin nor to be within it."""
    return [
        name
        for name, d in rows.items()
        if name not in lost and (d.inferiority_p is None or d.inferiority_p <= 1 - LEVEL)
    ]
