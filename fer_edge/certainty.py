"""The probability threshold of each label of a bundle; below it the model abstains, and `unsure` is reported.

A bundle may have a threshold for each label; one without is never reported. A bundle without them has a single threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_edge.bundle_spec import BundleSpec

NEVER = math.inf  # the threshold of a label that is never reported


def thresholds_by_label(spec: BundleSpec, unsure_below: float | None = None) -> tuple[float, ...]:
    """The probability from which on each label is reported, in the order of the bundle's labels; NEVER if it is not.

    `unsure_below` is a setting of the user, which replaces the bundle's thresholds; None keeps them.
    """
    thresholds = spec.thresholds
    if unsure_below is not None or thresholds.labels is None:
        return (thresholds.unsure_below if unsure_below is None else unsure_below,) * len(spec.labels)
    below = thresholds.labels.below
    return tuple(NEVER if (threshold := below[label]) is None else threshold for label in spec.labels)


def thresholds_sentence(labels: Sequence[str], thresholds: Sequence[float]) -> str:
    """The thresholds of the labels in words: “happy from 0.41, neutral always; fear is never reported”."""
    pairs = list(zip(labels, thresholds, strict=True))
    reported = ", ".join(
        f"{label} from {threshold:g}" if threshold else f"{label} always"
        for label, threshold in pairs
        if threshold != NEVER
    )
    never = [label for label, threshold in pairs if threshold == NEVER]
    absent = f"{', '.join(never)} {'is' if len(never) == 1 else 'are'} never reported" if never else ""
    return "; ".join(part for part in (reported, absent) if part)
