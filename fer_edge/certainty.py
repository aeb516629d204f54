"""Which label is said: the probability from which on each label of a bundle is reported, and `unsure` below it.

A bundle may have a threshold for each label; a label without one is never said. A bundle without them has a single threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_edge.events import UNSURE

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle_spec import BundleSpec

NEVER = math.inf  # the threshold of a label that is never said


def said_from(spec: BundleSpec, unsure_below: float | None = None) -> tuple[float, ...]:
    """The probability from which on each label is said, in the order of the bundle's labels; NEVER for one that is not said.

    `unsure_below` is a setting of the user, which replaces the bundle's thresholds; None keeps them.
    """
    thresholds = spec.thresholds
    if unsure_below is not None or thresholds.labels is None:
        return (thresholds.unsure_below if unsure_below is None else unsure_below,) * len(spec.labels)
    below = thresholds.labels.below
    return tuple(NEVER if (threshold := below[label]) is None else threshold for label in spec.labels)


def said_label(probabilities: np.ndarray, labels: Sequence[str], thresholds: Sequence[float]) -> str:
    """The most probable of `labels`, or UNSURE below its threshold of `said_from`; `probabilities` is float (K,)."""
    best = int(probabilities.argmax())
    return labels[best] if float(probabilities[best]) >= thresholds[best] else UNSURE


def thresholds_sentence(labels: Sequence[str], thresholds: Sequence[float]) -> str:
    """The thresholds of the labels in words: “happy from 0.41, sad from 0.9; never fear”."""
    pairs = list(zip(labels, thresholds, strict=True))
    said = ", ".join(f"{label} from {threshold:g}" for label, threshold in pairs if threshold != NEVER)
    never = ", ".join(label for label, threshold in pairs if threshold == NEVER)
    return "; ".join(part for part in (said, f"never {never}" if never else "") if part)
