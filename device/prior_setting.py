"""The values of the setting `prior`: training, estimate, or a label and its share."""

from __future__ import annotations

from fer_edge.errors import UsageError
from fer_edge.label_priors import parse_stated_prior
from fer_edge.text_cleaning import clean

TRAINING, ESTIMATE = "training", "estimate"


def prior_error(value: str) -> str:
    """What is wrong with a value, a sentence without its full stop; empty when nothing is wrong."""
    try:
        one_spelling(value)
    except UsageError:
        return (
            f"prior must be {TRAINING}, {ESTIMATE}, or a label and its share like neutral=0.3, not “{clean(value, 60)}”"
        )
    return ""


def one_spelling(value: str) -> str:
    """The value with one text for one share, for settings are compared as text: 0.30 is 0.3.

    Raises UsageError for a value that is none.
    """
    return value if value in (TRAINING, ESTIMATE) else parse_stated_prior(value).text
