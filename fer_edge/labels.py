"""The seven displayed expressions, in the order of every model, table and log of this project."""

from __future__ import annotations

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# Other spellings of the same seven in data sets.
SPELLINGS = {
    "anger": "angry",
    "ang": "angry",
    "disgusted": "disgust",
    "dis": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "fea": "fear",
    "happiness": "happy",
    "joy": "happy",
    "hap": "happy",
    "neutrality": "neutral",
    "neu": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
    "suprise": "surprise",  # a misspelling in several sets on Kaggle
    "sur": "surprise",
}


def canonical_label(name: str) -> str | None:
    """The label that `name` spells, in any case, with or without leading digits (`0_Anger`); None for any other word."""
    word = name.strip().lower().lstrip("0123456789").strip(" -_.")
    word = SPELLINGS.get(word, word)
    return word if word in LABELS else None
