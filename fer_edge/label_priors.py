"""How often each label occurs: in a bundle's training set, and where the device is, as its owner states it.

A model's probabilities contain the shares of classes of its training set. Where other shares hold, they are weighted by the
ratio of the two (Saerens, Latinne and Decaestecker 2002, doi 10.1162/089976602753284446).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean
from fer_edge.thresholds import StatedPrior

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle_spec import BundleSpec

EXPECTED = "a prior must be a label and its share between 0 and 1, like neutral=0.3"


def parse_stated_prior(text: str) -> StatedPrior:
    """The prior in a text like neutral=0.3. Raises UsageError for anything else."""
    found = re.fullmatch(r"(\S|\S.*\S)=(\d*\.?\d+(?:[eE]-\d{1,3})?)", text, re.ASCII) if isinstance(text, str) else None
    if found is None or not 0 < float(found[2]) < 1:
        raise UsageError(f"{EXPECTED}, not {f'“{clean(text, 60)}”' if isinstance(text, str) else type(text).__name__}")
    return StatedPrior(found[1], float(found[2]))


def training_prior(spec: BundleSpec) -> np.ndarray:
    """The shares of a bundle's labels in the training part, float64 (K,); equal shares where the bundle has no counts."""
    import numpy as np

    counts = spec.provenance.train_counts or {}
    images = np.array([counts.get(label, 0) + 1.0 for label in spec.labels])  # one more: none is 0
    return np.asarray(images / images.sum())


def stated_prior(spec: BundleSpec, prior: StatedPrior) -> np.ndarray:
    """The shares of a bundle's labels under a stated prior, float64 (K,); the other labels share the rest as in training.

    Raises UsageError when the bundle has no such label.
    """
    if prior.label not in spec.labels:
        raise UsageError(
            f"the prior names “{clean(prior.label, 60)}”; the bundle's labels are {', '.join(spec.labels)}; name one of these"
        )
    shares, chosen = training_prior(spec), spec.labels.index(prior.label)
    shares *= (1 - prior.share) / (1 - shares[chosen])
    shares[chosen] = prior.share
    return shares


def prior_ratio(spec: BundleSpec, prior: StatedPrior | None) -> np.ndarray | None:
    """A stated prior's shares over those of training, float64 (K,); None without a prior."""
    return None if prior is None else stated_prior(spec, prior) / training_prior(spec)


def weighted(probabilities: np.ndarray, ratio: np.ndarray | None) -> np.ndarray:
    """Probabilities float32 (N, K) under another prior, by `prior_ratio`; each row's sum is 1. Unchanged without a ratio."""
    if ratio is None:
        return probabilities
    product = probabilities * ratio
    return (product / product.sum(1, keepdims=True)).astype("float32")
