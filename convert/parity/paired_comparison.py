"""The figures of a comparison: int8's logits against float's, and accuracy and AUC on labelled images, paired."""

from __future__ import annotations

import numpy as np

from convert.evaluate.bootstrap import log_odds
from convert.evaluate.metrics import roc_curves
from convert.parity.differences import ClassDifference, LogitDifference, PartDifference
from convert.parity.paired_tests import auc_difference, macro_auc_difference, share_difference
from convert.parity.parity_report import Curves
from convert.parity.tolerances import Margins


def compare_part(
    float_logits: np.ndarray, int8_logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...], margins: Margins
) -> PartDifference:
    """Accuracy and AUC of logits (N, K) of both models on labels `y` (N,), overall and per class."""
    float_hits, int8_hits = float_logits.argmax(1) == y, int8_logits.argmax(1) == y
    float_scores, int8_scores = (
        np.stack([log_odds(logits, k) for k in range(len(labels))], 1) for logits in (float_logits, int8_logits)
    )
    classes = {}
    for k, label in enumerate(labels):
        of_class = y == k
        n = int(of_class.sum())
        recall = auc = None
        if 0 < n < len(y):
            recall = share_difference(float_hits[of_class], int8_hits[of_class], margins.recall(n))
            auc = auc_difference(float_scores[:, k], int8_scores[:, k], of_class, margins.auc_class)
        classes[label] = ClassDifference(n, recall, auc)
    macro_auc = None
    if len(np.unique(y)) > 1:
        macro_auc = macro_auc_difference(float_scores, int8_scores, y, margins.auc_macro)
    return PartDifference(
        n=len(y),
        accuracy=share_difference(float_hits, int8_hits, margins.accuracy_overall_pp / 100),
        macro_auc=macro_auc,
        agreement=float(np.mean(float_logits.argmax(1) == int8_logits.argmax(1))),
        only_float_right=int(np.sum(float_hits & ~int8_hits)),
        only_int8_right=int(np.sum(~float_hits & int8_hits)),
        classes=classes,
    )


def compare_logits(images: str, float_logits: np.ndarray, int8_logits: np.ndarray, clear: float) -> LogitDifference:
    """The difference of logits (N, K) on the same `images`, named in words.

    `clear_agreement` counts only images where float's first label leads its second by more than `clear` standard deviations:
    synthetic images lie nearer to the borders between labels than faces do, and there a label says little.
    """
    a, b = (logits - logits.mean(1, keepdims=True) for logits in (float_logits, int8_logits))
    spread = float(a.std())
    same = float_logits.argmax(1) == int8_logits.argmax(1)
    ordered = np.sort(float_logits, axis=1)
    is_clear = ordered[:, -1] - ordered[:, -2] > clear * spread
    return LogitDifference(
        images=images,
        n=len(float_logits),
        agreement=float(np.mean(same)),
        clear_n=int(is_clear.sum()),
        clear_agreement=float(np.mean(same[is_clear])) if is_clear.any() else None,
        slope=float((a * b).sum() / (a * a).sum()),
        rms=float(np.sqrt(np.mean((a - b) ** 2)) / spread),
        rms_logits=float(np.sqrt(np.mean((a - b) ** 2))),
        spread_logits=spread,
    )


def curves_of_both(float_logits: np.ndarray, int8_logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> Curves:
    """ROC curves on common steps, four decimals, and confusion counts, a row for each true class, of both models."""
    fpr: list[float] = []
    roc, confusion = {}, {}
    for name, logits in (("float", float_logits), ("int8", int8_logits)):
        found = roc_curves(logits, y, labels)
        fpr = [round(v, 4) for v in found.fpr]
        roc[name] = {label: [round(v, 4) for v in tpr] for label, tpr in found.tpr.items()}
        counts = np.zeros((len(labels), len(labels)), int)
        np.add.at(counts, (y, logits.argmax(1)), 1)
        confusion[name] = counts.tolist()
    return Curves(fpr, roc, confusion)
