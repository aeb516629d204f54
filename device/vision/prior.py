"""The device's own prior: how often each label occurs in front of this camera, estimated without labels.

A model's probabilities contain the shares of classes of its training set. Where other shares hold, EM on the probabilities
finds them, and the probabilities are weighted by their ratio to the training shares (Saerens, Latinne and Decaestecker 2002,
doi 10.1162/089976602753284446). Only confident readings count: of sufficient quality and probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from device.prior_setting import ESTIMATE, TRAINING
from fer_edge.label_priors import parse_stated_prior, stated_prior

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle_spec import BundleSpec

MIN_READINGS = 200  # before which the training prior stays
MIN_PROBABILITY = 0.5  # of the most probable label; without this limit the result differs by less than .01 of accuracy
MAX_CHANGE = 4.0  # factor by which a class may become more or less frequent than in training, before all are normalised
UPDATE_S = 60.0
HALF_LIFE_S = 86_400.0  # of the weight of a reading
_SAMPLE_S = 1.0  # between two moments whose readings are kept, at first: frames of one second show the same
_MAX_READINGS = 2000  # kept; beyond it every second one is dropped, and the interval between moments doubles
_FEW_READINGS = _MAX_READINGS // 4  # below it, after others were forgotten, the interval between moments halves again
_FORGOTTEN_S = 5 * HALF_LIFE_S  # a reading that weighs 3 % of a new one is dropped
_ITERATIONS, _TOLERANCE = 100, 1e-4  # of EM; its likelihood is concave, so that every start ends at the same prior


@dataclass(frozen=True, slots=True)
class PriorEstimate:
    """The readings so far, and the prior that follows from them; `training` and `prior` are float64 (K,), their sums 1.

    `rows` float32 (N, K) are probabilities under the training prior, `times_ns` int64 (N,) the times of their frames.
    `updated_ns` is the last update of `prior`, None before there are MIN_READINGS: `prior` is `training` then.
    """

    training: np.ndarray
    prior: np.ndarray
    rows: np.ndarray
    times_ns: np.ndarray
    updated_ns: int | None = None
    sampled_ns: int | None = None
    interval_s: float = _SAMPLE_S

    @staticmethod
    def start(training: np.ndarray) -> PriorEstimate:
        """The estimate before the first reading."""
        import numpy as np

        return PriorEstimate(training, training, np.empty((0, len(training)), np.float32), np.empty(0, np.int64))

    @property
    def logit_shift(self) -> np.ndarray | None:
        """What is added to logits that are divided by the temperature, float64 (K,); None while nothing was estimated."""
        import numpy as np

        return None if self.updated_ns is None else np.log(self.prior / self.training)


def update_prior(before: PriorEstimate, rows: np.ndarray, mono_ns: int) -> PriorEstimate:
    """The estimate after a frame at `mono_ns` with these readings of sufficient quality.

    `rows` are their probabilities under the training prior, float32 (N, K).
    """
    import numpy as np

    rows = rows[rows.max(1, initial=0) >= MIN_PROBABILITY]
    if not len(rows) or (before.sampled_ns is not None and mono_ns - before.sampled_ns < before.interval_s * 1e9):
        return before
    kept = before.times_ns > mono_ns - round(_FORGOTTEN_S * 1e9)
    all_rows = np.concatenate([before.rows[kept], rows.astype(np.float32)])
    times_ns = np.concatenate([before.times_ns[kept], np.full(len(rows), mono_ns, np.int64)])
    interval_s = before.interval_s
    if len(all_rows) > _MAX_READINGS:
        odd = np.unique(times_ns, return_inverse=True)[1] % 2 == 1  # every second moment, with all faces of it
        all_rows, times_ns, interval_s = all_rows[odd], times_ns[odd], 2 * interval_s
    elif len(all_rows) < _FEW_READINGS:
        interval_s = max(_SAMPLE_S, interval_s / 2)
    now = replace(before, rows=all_rows, times_ns=times_ns, sampled_ns=mono_ns, interval_s=interval_s)
    due = before.updated_ns is None or mono_ns - before.updated_ns >= UPDATE_S * 1e9
    if not due or len(all_rows) < MIN_READINGS:
        return now
    weights = 0.5 ** ((mono_ns - times_ns) / 1e9 / HALF_LIFE_S)
    estimated = estimate_prior(all_rows, weights, before.training, before.prior)
    return replace(now, prior=bounded_prior(estimated, before.training), updated_ns=mono_ns)


def estimate_prior(rows: np.ndarray, weights: np.ndarray, training: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The prior under which the readings are most likely, float64 (K,), by EM from the prior `start`.

    `rows` (N, K) are probabilities under the prior `training`, `weights` (N,) those of the readings.
    """
    ratios, prior, total = rows / training, start, weights.sum()
    for _ in range(_ITERATIONS):
        posterior = ratios * prior
        posterior /= posterior.sum(1, keepdims=True)
        new = weights @ posterior / total
        if abs(new - prior).max() < _TOLERANCE:
            return new
        prior = new
    return prior


def bounded_prior(prior: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The prior with each class between a quarter and four times its training share, then normalised."""
    limited = prior.clip(training / MAX_CHANGE, training * MAX_CHANGE)
    return limited / limited.sum()


def prior_in_use(setting: str, estimate: PriorEstimate | None, spec: BundleSpec) -> dict[str, float] | None:
    """The prior by label under a value of the setting `prior`; None where it is that of training, or not estimated yet."""
    if setting == TRAINING:
        return None
    if setting != ESTIMATE:
        return prior_by_label(spec.labels, stated_prior(spec, parse_stated_prior(setting)))
    if estimate is None or estimate.updated_ns is None:
        return None
    return prior_by_label(spec.labels, estimate.prior)


def prior_by_label(labels: Sequence[str], prior: np.ndarray) -> dict[str, float]:
    """A prior float64 (K,) by label, rounded, for the journal and `fer-edge health`."""
    return {label: round(share, 3) for label, share in zip(labels, prior.tolist(), strict=True)}
