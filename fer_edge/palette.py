"""The colours of the labels, one palette for the live page, the plots of a journal, and the curves of a report.

Hues are those of Okabe and Ito, which most colour-blind people can tell apart; the lightness of each is such that it stands
3:1 or more against a white and against a dark ground. `unsure` has no colour: it is hatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fer_edge.events import UNSURE


class Colour(NamedTuple):
    """A label's colour on a light and on a dark ground, each as #rrggbb."""

    light: str
    dark: str


COLOURS = {
    "neutral": Colour("#8a949d", "#c9d2da"),
    "happy": Colour("#c98500", "#e69f00"),
    "surprise": Colour("#2e9bd6", "#56b4e9"),
    "sad": Colour("#0b4f9c", "#4b79e8"),
    "angry": Colour("#c8372d", "#f06a3c"),
    "fear": Colour("#a04a86", "#d673b5"),
    "disgust": Colour("#00755a", "#1fb88f"),
}
_OTHERS = (  # for own classes, in the order of the labels
    Colour("#8a8a00", "#f0e442"),
    Colour("#7b4fb5", "#b792f0"),
    Colour("#882255", "#e06a9f"),
    Colour("#8a5a3b", "#d3a37f"),
    Colour("#2f8f86", "#44c4b8"),
    Colour("#117733", "#6cc26c"),
    Colour("#332288", "#8f86e8"),
    Colour("#b3406a", "#ff9ab0"),
)
MUTE = Colour("#8c96a1", "#6d7985")  # of what is no label: the lines of the hatching of `unsure`


def colour_of(label: str, labels: Sequence[str]) -> Colour:
    """The label's colour; one that is no expression of COLOURS gets one of the others by its place among such `labels`."""
    if label == UNSURE:
        return MUTE
    own = [name for name in labels if name not in COLOURS and name != UNSURE]
    return COLOURS.get(label) or _OTHERS[own.index(label) % len(_OTHERS)]
