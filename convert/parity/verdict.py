"""One column of answers held against the float model's: the figures, and whether they are within the margins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convert.evaluate.bootstrap import log_odds
from convert.parity.paired_tests import LEVEL, Difference, areas, holm, mean_area, proportions
from convert.parity.tolerances import Margins

PASS, FAIL, OPEN, LOGITS_ONLY = "pass", "fail", "not enough data", "pass on logits; accuracy not judged"
_WORST_FIRST = (FAIL, OPEN, LOGITS_ONLY, PASS)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one column gave: the verdict, why it failed, what the images could not decide, and the figures behind it.

    `parts` is empty where there were no labels; `logits` then speaks of stand-in images.
    """

    verdict: str
    failures: list[str]
    undecided: list[str]
    logits: dict[str, Any]
    parts: dict[str, dict[str, Any]]


def on_faces(
    f: np.ndarray, q: np.ndarray, y: np.ndarray, part: np.ndarray, labels: tuple[str, ...], m: Margins
) -> Judged:
    """The verdict on int8 logits `q` against float logits `f`, both (N, K), of images with labels `y` and parts (N,)."""
    names = list(dict.fromkeys(part.tolist()))
    parts = {name: compare(f[part == name], q[part == name], y[part == name], labels, m) for name in names}
    parts["together"] = together = compare(f, q, y, labels, m)
    logits = {"images": " and ".join(names), **logit_error(f, q, m.logits_rms)}
    failures = _judge_logits(logits, m)
    if logits["agreement"] < m.labels_agreement:
        failures.append(f"the labels agree on {logits['agreement']:.4f} of the images, under {m.labels_agreement}")
    lost, undecided = _judge_figures(together)
    failures += lost + _judge_classes(together, undecided)
    overall = [d for d in (together["accuracy"], together["macro_auc"]) if d]
    is_open = any(d["within_p"] is None or d["within_p"] >= LEVEL for d in overall)
    return Judged(FAIL if failures else OPEN if is_open else PASS, failures, undecided, logits, parts)


def on_stand_ins(f: np.ndarray, q: np.ndarray, m: Margins) -> Judged:
    """The verdict on logits alone, of images that nobody labelled."""
    logits = {"images": "stand-in images that were not calibrated on", **logit_error(f, q, m.logits_rms)}
    failures = _judge_logits(logits, m)
    return Judged(FAIL if failures else LOGITS_ONLY, failures, [], logits, {})


def worst(columns: dict[str, Judged]) -> str:
    """The name of the column that a bundle's verdict is taken from: of the worst verdicts the one that lost most."""

    def key(name: str) -> tuple[float, ...]:
        column = columns[name]
        lost = column.parts["together"]["accuracy"]["difference"] if column.parts else column.logits["agreement"]
        return _WORST_FIRST.index(column.verdict), lost, column.logits["agreement"]

    return min(columns, key=key)


def compare(f: np.ndarray, q: np.ndarray, y: np.ndarray, labels: tuple[str, ...], m: Margins) -> dict[str, Any]:
    """Accuracy and AUC of float logits `f` and int8 logits `q` (N, K) on labels `y` (N,), overall and per class."""
    hit_f, hit_q = f.argmax(1) == y, q.argmax(1) == y
    scores = [np.stack([log_odds(logits, k) for k in range(len(labels))], 1) for logits in (f, q)]
    classes: dict[str, Any] = {}
    for k, label in enumerate(labels):
        mine = y == k
        n = int(mine.sum())
        classes[label] = {"n": n, "recall": None, "auc": None}
        if 0 < n < len(y):
            recall = proportions(hit_f[mine], hit_q[mine], m.recall(n))
            classes[label]["recall"] = asdict(recall)
            classes[label]["auc"] = asdict(areas(scores[0][:, k], scores[1][:, k], mine, m.auc_class))
    several = len(np.unique(y)) > 1
    return {
        "n": len(y),
        "accuracy": asdict(proportions(hit_f, hit_q, m.accuracy_overall_pp / 100)),
        "macro_auc": asdict(mean_area(scores[0], scores[1], y, m.auc_macro)) if several else None,
        "agreement": float(np.mean(f.argmax(1) == q.argmax(1))),
        "only_float_right": int(np.sum(hit_f & ~hit_q)),
        "only_int8_right": int(np.sum(~hit_f & hit_q)),
        "classes": classes,
    }


def logit_error(f: np.ndarray, q: np.ndarray, clear: float) -> dict[str, Any]:
    """n, agreement of the labels, slope of int8's logits on float's, and RMS error over the spread of float's.

    Logits are centred per image first: softmax does not see what is common to all of them. `clear_agreement` counts only
    images where float's first label leads its second by more than `clear` spreads: stand-in images lie nearer to the borders
    between labels than faces do, and there a label says little.
    """
    a, b = f - f.mean(1, keepdims=True), q - q.mean(1, keepdims=True)
    spread = float(a.std())
    same = f.argmax(1) == q.argmax(1)
    best = np.sort(f, axis=1)
    led = best[:, -1] - best[:, -2] > clear * spread
    return {
        "n": len(f),
        "agreement": float(np.mean(same)),
        "clear_n": int(led.sum()),
        "clear_agreement": float(np.mean(same[led])) if led.any() else None,
        "slope": float((a * b).sum() / (a * a).sum()),
        "rms": float(np.sqrt(np.mean((a - b) ** 2)) / spread),
        "rms_logits": float(np.sqrt(np.mean((a - b) ** 2))),
        "spread_logits": spread,
    }


def _judge_logits(logits: dict[str, Any], m: Margins) -> list[str]:
    failures = []
    if logits["clear_agreement"] is not None and logits["clear_agreement"] < m.labels_clear_agreement:
        failures.append(
            f"where float is clear the labels agree on {logits['clear_agreement']:.4f}, under {m.labels_clear_agreement}"
        )
    if not abs(logits["slope"] - 1) <= m.logits_slope:
        failures.append(f"the logits' slope is {logits['slope']:.4f}, outside 1 ± {m.logits_slope}")
    if not logits["rms"] <= m.logits_rms:
        failures.append(f"the logits' RMS error is {logits['rms']:.4f} of their spread, over {m.logits_rms}")
    return failures


def _judge_figures(together: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What accuracy and macro AUC lost, and which of the two could not be decided."""
    failures, undecided = [], []
    for name, told, factor, unit in (
        ("accuracy", together["accuracy"], 100, " points"),
        ("macro AUC", together["macro_auc"], 1, ""),
    ):
        if told is None:
            continue
        d = Difference(**told)
        if d.worse:
            failures.append(f"{name} falls by {-d.difference * factor:.4g}{unit}, over {d.margin * factor:g}")
        elif not d.within:
            undecided.append(name)
    return failures, undecided


def _judge_classes(together: dict[str, Any], undecided: list[str]) -> list[str]:
    """What classes lost by evidence that holds although all of them were looked at; adds what is open to `undecided`."""
    rows = {
        f"the {'AUC' if figure == 'auc' else figure} of {label}": Difference(**row[figure])
        for figure in ("recall", "auc")
        for label, row in together["classes"].items()
        if row[figure]
    }
    tested = {name: d for name, d in rows.items() if d.worse_p is not None}
    adjusted = holm([d.worse_p for d in tested.values() if d.worse_p is not None])
    lost = [name for name, p in zip(tested, adjusted, strict=True) if p < LEVEL]
    undecided += _undecided(rows, lost)
    return [f"{name} falls by more than {rows[name].margin:.4g}" for name in lost]


def _undecided(rows: dict[str, Difference], lost: Iterable[str]) -> list[str]:
    """The figures that were shown neither to have lost their margin nor to be within it."""
    return [name for name, d in rows.items() if name not in lost and (d.worse_p is None or d.worse_p <= 1 - LEVEL)]
