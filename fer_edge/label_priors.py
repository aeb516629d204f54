"""How often each label occurs: in a bundle's training set, and where the device is, as its owner states it.

A model's probabilities contain the shares of classes of its training set. Where other shares hold, they are weighted by the
ratio of the two (Saerens, Latinne and Decaestecker 2002, doi 10.1162/089976602753284446); on logits it is a shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean
from fer_edge.thresholds import StatedPrior

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle_spec import BundleSpec


def parse_stated_prior(text: str) -> StatedPrior:
    """The prior in a text like neutral=0.7. Raises ValueError, with a sentence, for anything else."""
    label, _, word = text.rpartition("=")
    try:
        share = float(word)
    except ValueError:
        share = 0.0
    if not label or not 0 < share < 1:
        raise ValueError(f"“{clean(text, 60)}” is not a label and its share between 0 and 1, like neutral=0.7")
    return StatedPrior(label, share)


def named_prior(text: str | None, spec: BundleSpec) -> StatedPrior | None:
    """The prior in a text for a bundle; None without one. Raises UsageError for a wrong text or a label that there is not."""
    if text is None:
        return None
    try:
        prior = parse_stated_prior(text)
    except ValueError as error:
        raise UsageError(f"--prior: {error}") from error
    stated_prior(spec, prior)
    return prior


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
            f"the prior names “{clean(prior.label, 60)}”, and the bundle's labels are {', '.join(spec.labels)}; name one"
        )
    shares, chosen = training_prior(spec), spec.labels.index(prior.label)
    shares *= (1 - prior.share) / (1 - shares[chosen])
    shares[chosen] = prior.share
    return shares


def weighted_by(prior: StatedPrior | None, spec: BundleSpec, probabilities: np.ndarray) -> np.ndarray:
    """Probabilities float32 (N, K) under a stated prior, each row's sum 1; unchanged without one."""
    import numpy as np

    if prior is None:
        return probabilities
    weighted = probabilities * (stated_prior(spec, prior) / training_prior(spec))
    return np.asarray(weighted / weighted.sum(1, keepdims=True), np.float32)


def stated_logit_shift(spec: BundleSpec, prior: StatedPrior) -> np.ndarray:
    """What a stated prior adds to logits that are divided by the temperature, float64 (K,)."""
    import numpy as np

    return np.asarray(np.log(stated_prior(spec, prior) / training_prior(spec)))
