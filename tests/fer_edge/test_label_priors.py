"""A stated prior: its text, the shares that follow, and the shift of the logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.bundle_spec import BundleSpec
from fer_edge.errors import UsageError
from fer_edge.label_priors import parse_stated_prior, prior_ratio, stated_prior, training_prior, weighted
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path
from fer_edge.thresholds import StatedPrior


@pytest.fixture(scope="module")
def spec() -> BundleSpec:
    return Bundle.load(shipped_path("nano")).spec


def test_a_text_names_a_label_and_its_share() -> None:
    assert parse_stated_prior("neutral=0.7") == StatedPrior("neutral", 0.7)
    assert parse_stated_prior("a=b=.25") == StatedPrior("a=b", 0.25)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "neutral",
            "=0.5",
            "neutral=",
            "neutral=0",
            "neutral=1",
            "neutral=nan",
            "neutral=7",
            "x=y",
            "neutral=1e-999",
        ),
        *("neutral= 0.3", " neutral=0.3", "neutral=0.3\n", "neutral=0.3_3", "neutral=٠.٣", "a\nb=0.3"),
    ],
)
def test_any_other_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"must be a label and its share between 0 and 1, like neutral=0\.3, not “"):
        parse_stated_prior(text)


def test_control_characters_of_a_text_are_not_repeated() -> None:
    with pytest.raises(UsageError, match="must be a label") as raised:
        parse_stated_prior("\x1b[2Jneutral")
    assert "\x1b" not in str(raised.value)


def test_the_other_labels_share_the_rest_as_in_training(spec: BundleSpec) -> None:
    shares, training = stated_prior(spec, StatedPrior("neutral", 0.7)), training_prior(spec)
    neutral = LABELS.index("neutral")
    assert shares.sum() == pytest.approx(1) and shares[neutral] == 0.7
    others = np.delete(shares, neutral) / np.delete(training, neutral)
    assert others == pytest.approx(np.full(6, others[0]))


def test_probabilities_are_weighted_by_the_ratio_of_the_shares(spec: BundleSpec) -> None:
    prior, p = StatedPrior("neutral", 0.5), np.full((2, 7), 1 / 7, np.float32)
    found = weighted(p, prior_ratio(spec, prior))
    expected = stated_prior(spec, prior) / training_prior(spec)
    assert found == pytest.approx(np.tile(expected / expected.sum(), (2, 1)), abs=1e-6) and found.dtype == np.float32
    assert weighted(p, prior_ratio(spec, None)) is p


@pytest.mark.parametrize("share", [5e-324, 1e-300, 0.9999999999])
def test_extreme_shares_stay_finite(spec: BundleSpec, share: float) -> None:
    p = np.full((1, 7), 1 / 7, np.float32)
    with np.errstate(all="raise", under="ignore"):
        found = weighted(p, prior_ratio(spec, StatedPrior("neutral", share)))
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_share_has_one_text() -> None:
    texts = ("neutral=0.3", "neutral=0.30", "neutral=.3", "neutral=3e-1")
    assert {parse_stated_prior(text).text for text in texts} == {"neutral=0.3"}
    assert parse_stated_prior(StatedPrior("a", 0.9999999999).text).share == 0.9999999999


@pytest.mark.parametrize("value", [0.3, b"neutral=0.3", ("neutral", 0.3), True])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=f"must be a label and its share .*, not {type(value).__name__}"):
        parse_stated_prior(value)


def test_without_counts_training_has_equal_shares(spec: BundleSpec) -> None:
    without = replace(spec, provenance=replace(spec.provenance, train_counts=None))
    assert stated_prior(without, StatedPrior("happy", 0.4)) == pytest.approx([0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1])


def test_a_label_that_the_bundle_lacks_is_refused(spec: BundleSpec) -> None:
    with pytest.raises(UsageError, match="the prior names “bored”; the bundle's labels are angry, disgust"):
        stated_prior(spec, StatedPrior("bored", 0.5))
