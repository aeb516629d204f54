"""Probabilities over one set of classes as probabilities over another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def shares_of(shares: np.ndarray, classes: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Shares float32 (N, wanted classes) of shares float32 (N, classes); both name their classes in order.

    A class that is not wanted is left out and the others of its row are scaled up to their old sum; a row of which nothing is
    left is zeros. A wanted class that is missing has the share 0.
    """
    columns = [list(classes).index(name) if name in classes else -1 for name in wanted]
    padded = np.concatenate([shares, np.zeros((len(shares), 1), shares.dtype)], 1)
    kept = padded[:, columns]
    left = kept.sum(1, keepdims=True)
    scaled = kept * shares.sum(1, keepdims=True) / np.where(left > 0, left, 1)
    return np.asarray(np.where(left > 0, scaled, 0), np.float32)
