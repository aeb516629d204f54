"""The metrics and ROC curves of a classifier on labelled images, from its logits; each metric has its n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.evaluate.bootstrap import DRAWS, SEED, interval, log_odds, resamples, weighted_auc
from convert.json_dataclass import require_length, require_matrix
from fer_edge.errors import UsageError, host_extra_missing

FPR_STEPS = 200  # of the false positive rate, at which a curve is stored; finer steps look the same in a figure
_WEIGHTS_AT_ONCE = 8_000_000  # images × draws in memory


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; None where there are too few images for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The scores of one class. All are None without an image of the class."""

    label: str
    support: int
    precision: float | None  # 0 where the label was never predicted, as in the published table
    recall: float | None
    f1: float | None
    auc: float | None  # one-vs-rest; also None where the set has no other class


@dataclass(frozen=True, slots=True)
class AverageScores:
    """Precision, recall and F1 over classes: micro over all decisions, macro over classes, weighted by support."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Every metric of one set of images. Macro figures are means over the classes that have images in it.

    AUC ranks images by a class's log-odds, in the same order as by its softmax probability. The log-odds are computed from
    the logits in float64, so that only equal logits are ties, and not probabilities that are rounded to 1.
    """

    n: int
    accuracy: Interval  # Wilson's interval
    balanced_accuracy: Interval  # the mean recall; bootstrap over images
    macro_auc: Interval | None  # bootstrap over images
    micro: AverageScores
    macro: AverageScores
    weighted: AverageScores
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]  # images; rows: true class, columns: predicted class

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("classes are none")
        require_matrix("confusion", self.confusion, len(self.classes))
        if any(count < 0 for row in self.confusion for count in row):
            raise ValueError("confusion has a count below 0")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the classes, in order."""
        return tuple(c.label for c in self.classes)

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes without an image."""
        return tuple(c.label for c in self.classes if not c.support)

    def normalised(self) -> list[list[float | None]]:
        """The confusion matrix with each row divided by its sum; a class without images has None."""
        return [[count / sum(row) if sum(row) else None for count in row] for row in self.confusion]


@dataclass(frozen=True, slots=True)
class RocCurves:
    """One-vs-rest ROC curves on common steps of the false positive rate."""

    fpr: tuple[float, ...]  # (S,)
    tpr: dict[str, tuple[float, ...]]  # (S,) each; only classes that have an AUC
    macro: tuple[float, ...]  # (S,) their mean; empty without a class

    def __post_init__(self) -> None:
        for name, values in [
            *((f"tpr.{label}", row) for label, row in self.tpr.items()),
            ("macro", self.macro or self.fpr),
        ]:
            require_length(name, values, len(self.fpr), "as many as fpr")


def score(logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...], draws: int = DRAWS, seed: int = SEED) -> Scores:
    """The metrics of float logits (N, K) on labels `y` int64 (N,), indices into `labels`; N at least 1."""
    metrics = _sklearn_metrics()
    classes, predicted = np.arange(len(labels)), logits.argmax(1)
    present = np.unique(y)

    def averaged(average: str | None, over: np.ndarray = present) -> tuple[Any, Any, Any, Any]:
        result = metrics.precision_recall_fscore_support(y, predicted, labels=over, average=average, zero_division=0)
        return tuple(result)  # type: ignore[return-value]

    precision, recall, f1, support = averaged(None, classes)
    auc = {int(k): float(metrics.roc_auc_score(y == k, log_odds(logits, k))) for k in present if len(present) > 1}
    rows = tuple(
        ClassScore(label, int(n), float(p), float(r), float(f), auc.get(k)) if n else ClassScore(label, 0, *[None] * 4)
        for k, (label, n, p, r, f) in enumerate(zip(labels, support, precision, recall, f1, strict=True))
    )
    balanced, macro_auc = _bootstrap(logits, y, draws, seed)
    hits = predicted == y
    return Scores(
        n=len(y),
        accuracy=wilson_interval(int(hits.sum()), len(y)),
        balanced_accuracy=Interval(float(np.mean(recall[present])), *balanced),
        macro_auc=Interval(float(np.mean(list(auc.values()))), *macro_auc) if auc else None,
        micro=AverageScores(*(float(v) for v in averaged("micro", classes)[:3])),
        macro=AverageScores(*(float(v) for v in averaged("macro")[:3])),
        weighted=AverageScores(*(float(v) for v in averaged("weighted")[:3])),
        classes=rows,
        confusion=tuple(tuple(int(c) for c in row) for row in metrics.confusion_matrix(y, predicted, labels=classes)),
    )


def roc_curves(logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> RocCurves:
    """The ROC curve of each class that has images, from float logits (N, K); none where all images are of one class."""
    metrics = _sklearn_metrics()
    present = np.unique(y)
    steps = np.linspace(0.0, 1.0, FPR_STEPS + 1)
    tpr = {}
    for k in present if len(present) > 1 else ():
        fpr, class_tpr, _ = metrics.roc_curve(y == k, log_odds(logits, k))
        tpr[labels[k]] = tuple(float(v) for v in np.interp(steps, fpr, class_tpr))
    mean = np.mean(list(tpr.values()), 0) if tpr else np.array([])
    return RocCurves(tuple(float(v) for v in steps), tpr, tuple(float(v) for v in mean))


def wilson_interval(hits: int, n: int) -> Interval:
    """The share of `hits` among `n`, at least 1, with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return Interval(hits / n, float(low), float(high))


def _bootstrap(
    logits: np.ndarray, y: np.ndarray, draws: int, seed: int
) -> tuple[tuple[float | None, float | None], tuple[float | None, float | None]]:
    """The 95 % intervals of balanced accuracy and of macro AUC over resampled images.

    A resample without an image of some class has no mean over all classes, and is left out.
    """
    hits = (logits.argmax(1) == y).astype(np.float32)
    present = np.unique(y)
    class_log_odds = {int(k): log_odds(logits, k) for k in present if len(present) > 1}
    block = min(draws, max(1, _WEIGHTS_AT_ONCE // len(y)))
    balanced, macro = [], []
    for i, start in enumerate(range(0, draws, block)):
        weights = resamples(len(y), min(block, draws - start), seed + i)
        with np.errstate(invalid="ignore", divide="ignore"):
            recalls = [(weights[:, y == k] @ hits[y == k]) / weights[:, y == k].sum(1) for k in present]
            aucs = [weighted_auc(class_log_odds[k], y == k, weights)[1] for k in class_log_odds]
        balanced.append(np.mean(recalls, 0))
        macro.append(np.mean(aucs, 0) if aucs else np.full(len(weights), np.nan))
    return interval(np.concatenate(balanced)), interval(np.concatenate(macro))


def _sklearn_metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError as error:
        raise UsageError(host_extra_missing(error)) from error
    return metrics
