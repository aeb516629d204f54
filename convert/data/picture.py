"""One picture of a data set as it is read, and the names of the parts of a set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PARTS = ("train", "validation", "test")
OFFICIAL_PARTS = {"training": "train", "publictest": "validation", "privatetest": "test"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a set.

    `fault` is the reason why it cannot be used, "" without one. `label` is one of the selected classes; None without a fault
    means another class. `pixels` are gray uint8, the model's input or the whole picture; None with a fault and for another
    class. `part` is the part that the set names, or "" where it names none.
    """

    source: str
    class_name: str
    label: str | None
    part: str
    pixels: np.ndarray | None
    fault: str = ""
