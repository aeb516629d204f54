"""The seven displayed expressions, in the order of every model, table and log of this project."""

from __future__ import annotations

LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

# Other spellings that data sets of this field use for the same seven.
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
    "suprise": "surprise",  # misspelt so in several sets on Kaggle
    "sur": "surprise",
}


def canonical_label(name: str) -> str | None:
    """The label that `name` spells, whatever its case or leading digits (`0_Anger`), or None when it is none of the seven."""
    word = name.strip().lower().lstrip("0123456789").strip(" -_.")
    word = SPELLINGS.get(word, word)
    return word if word in LABELS else None
