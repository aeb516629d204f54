"""Signs, in a model's outputs for labelled images, that its labels or the range of its pixels are not those stated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convert.data.samples import Samples, held_out
from convert.evaluate.metrics import wilson_interval
from convert.sources.opened_model import OpenedModel
from convert.tflite.io_signature import PIXELS
from fer_edge.console import notice

ONE_CLASS_SHARE = 0.95  # of the answers, from which the other classes count as never given
LEVEL = 0.001  # of the tests here, after Bonferroni's correction for all that was tried
FEWEST_OF_CLASS = 5  # images of a class, below which its output is not given another label
RANGE_IMAGES = 300  # on which other ranges of pixels are tried


def doubts(logits: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> tuple[str, ...] | None:
    """Sentences on why logits (N, K) are unlikely answers to images of the labels `y` int64 (N,); None where they are not.

    They name an accuracy that cannot be told from chance, a class that takes nearly all answers, and an order of the labels
    that fits better than by chance.
    """
    predicted, classes = logits.argmax(1), len(labels)
    found = []
    hits = int((predicted == y).sum())
    if len(np.unique(y)) > 1:
        accuracy = wilson_interval(hits, len(y))
        assert accuracy.low is not None and accuracy.high is not None
        if accuracy.low <= 1 / classes:
            found.append(
                f"the accuracy, {accuracy.value * 100:.1f} % ({accuracy.low * 100:.1f} to {accuracy.high * 100:.1f}) on"
                f" {len(y):,} images, is not above the {100 / classes:.1f} % of a guess among {classes} labels"
            )
        answers, given = np.bincount(predicted, minlength=classes) / len(y), np.bincount(y, minlength=classes) / len(y)
        top = int(answers.argmax())
        if answers[top] > ONE_CLASS_SHARE >= given[top]:
            found.append(f"{answers[top] * 100:.1f} % of the answers are “{labels[top]}”")
        order = better_order(predicted, y, classes)
        if order is not None:
            better = int((order[predicted] == y).sum())
            found.append(
                f"with the labels in another order {better / len(y) * 100:.1f} % of the answers are right, instead of"
                f" {hits / len(y) * 100:.1f} %: {labels_flag(order, labels)} (of `python -m convert.quantize`)"
            )
    return tuple(found) or None


def better_order(predicted: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray | None:
    """The true class of each output, int64 (K,), where another order of the labels fits beyond chance; None elsewhere.

    Of the outputs `predicted` int64 (N,) for images of the classes `y`, only those of classes with FEWEST_OF_CLASS images
    change places. Chance is McNemar's exact test, corrected for the number of orders, against the given order and against
    the most frequent class as the answer to all.
    """
    from scipy.optimize import linear_sum_assignment

    present = np.flatnonzero(np.bincount(y, minlength=classes) >= FEWEST_OF_CLASS)
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (predicted, y), 1)
    part = confusion[np.ix_(present, present)] + 0.5 * np.eye(len(present))  # of equal orders the given one
    outputs, truth = linear_sum_assignment(part, maximize=True)
    order = np.arange(classes)
    order[present[outputs]] = present[truth]
    tried = math.lgamma(len(present) + 1)
    hits, most_frequent = order[predicted] == y, y == np.bincount(y).argmax()
    return order if all(_is_better(hits, other, tried) for other in (predicted == y, most_frequent)) else None


def labels_flag(order: np.ndarray, labels: Sequence[str]) -> str:
    """The option that gives each output the label of its class in `order`, ready to be typed."""
    return f"--labels {','.join(labels[k] for k in order)}"


def range_doubt(model: OpenedModel, samples: Samples, *, is_reference: bool = False) -> str | None:
    """A sentence on the range of pixels, with the labels' order that goes with it, that fits a float model better; or None.

    Each of the known ranges is tried on some of the held-out images; a range is judged by its best order of the labels.
    `is_reference`: another model is compared with this one, and `--float-range` gives its range.
    """
    images, y, _ = held_out(samples)
    step = max(1, len(y) // RANGE_IMAGES)
    images, y = images[::step], y[::step]
    if len(np.unique(y)) < 2:
        return None
    labels, classes = samples.labels, len(samples.labels)
    stated = model.stated_range

    def hits(pixels: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        predicted = model.classifier_for_range(pixels).logits(images).argmax(1)
        order = better_order(predicted, y, classes)
        order = np.arange(classes) if order is None else order
        return order[predicted] == y, order

    others = {pixels: hits(pixels) for pixels in PIXELS if pixels != stated}
    best = max(others, key=lambda pixels: int(others[pixels][0].sum()))
    right, order = others[best]
    as_stated, _ = hits(stated)
    if not _is_better(right, as_stated, math.log(len(others))):
        return None
    low, high = best
    numbers = f"{low:g},{high:g}"
    flags = [f"--float-range {numbers}" if is_reference else f"--input-range {numbers}"]
    flags += [] if (order == np.arange(classes)).all() else [labels_flag(order, labels)]
    whose = f"of {model.source.path.name}, " if is_reference else ""
    return (
        f"{whose}with pixels from {low:g} to {high:g} {right.mean() * 100:.1f} % of {len(y):,} answers are right, instead of"
        f" {as_stated.mean() * 100:.1f} % with {stated[0]:g} to {stated[1]:g}: {' '.join(flags)}"
    )


def printed_range_doubt(model: OpenedModel, samples: Samples | None, *, is_reference: bool = False) -> str | None:
    """The sentence of `range_doubt`, which is printed on stderr before minutes of work; None without one or without data."""
    doubt = range_doubt(model, samples, is_reference=is_reference) if samples is not None else None
    if doubt:
        notice(f"doubtful: {doubt}")
    return doubt


def _is_better(hits: np.ndarray, others: np.ndarray, log_tried: float) -> bool:
    """Whether bool (N,) `hits` are more than `others` beyond chance, after exp(log_tried) tries."""
    from scipy.stats import binom

    won, lost = int((hits & ~others).sum()), int((others & ~hits).sum())
    return won > lost and float(binom.logsf(won - 1, won + lost, 0.5)) + log_tried < math.log(LEVEL)
