"""The published figures of the `paper` network, as data, for comparison.

Akhmetkan and Mutaliyev, "Development of residual CNN architecture for facial expression recognition", 2026,
doi 10.55452/1998-6688-2026-23-1-163-172; from its table, not its abstract.
"""

from __future__ import annotations

from dataclasses import dataclass

NETWORK = "paper"  # the preset of this network
DOI = "10.55452/1998-6688-2026-23-1-163-172"


@dataclass(frozen=True, slots=True)
class PublishedClass:
    """One class of the published table; `auc` as (lowest, highest): the paper gives one range for three classes."""

    precision: float
    recall: float
    f1: float
    support: int
    auc: tuple[float, float]


CLASSES = {
    "angry": PublishedClass(0.53, 0.14, 0.22, 960, (0.78, 0.80)),
    "disgust": PublishedClass(0.0, 0.0, 0.0, 111, (0.84, 0.84)),
    "fear": PublishedClass(0.35, 0.10, 0.16, 1018, (0.71, 0.71)),
    "happy": PublishedClass(0.56, 0.89, 0.69, 1825, (0.92, 0.92)),
    "neutral": PublishedClass(0.50, 0.35, 0.41, 1216, (0.78, 0.80)),
    "sad": PublishedClass(0.32, 0.68, 0.43, 1139, (0.78, 0.80)),
    "surprise": PublishedClass(0.84, 0.40, 0.54, 797, (0.90, 0.90)),
}
MACRO = (0.44, 0.36, 0.35)  # precision, recall, F1; macro recall is balanced accuracy
WEIGHTED = (0.50, 0.48, 0.43)  # the recall weighted by support is the accuracy
MACRO_AUC = 0.82
N = sum(row.support for row in CLASSES.values())

# Images of FER2013's official parts. The published supports match neither held-out part, nor both together.
FER2013 = {"train": 28_709, "validation": 3_589, "test": 3_589}

NOTES = (
    f"The published table counts {N:,} images. FER2013's official validation and test parts have 3,589 each and 7,178"
    " together, so its part is none of these, and the figures are not comparable image by image.",
    "Its abstract and its table disagree: the abstract gives surprise a recall of 0.68 and disgust one of 0.49, the"
    " table gives sad 0.68, surprise 0.40 and disgust 0. The table, the more detailed of the two, is what stands here.",
    "The published accuracy is taken as its recall weighted by support, which is the same thing.",
)
