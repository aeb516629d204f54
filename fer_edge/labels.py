"""The seven displayed expressions, in the order of every model, table and log of this project."""

from __future__ import annotations

from fer_edge.errors import FerEdgeError
from fer_edge.limits import LABEL_CHARS

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


# Folders of these names are parts of a data set, and no class.
PART_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
PART_NAMES |= {"validation": "validation", "test": "test", "testing": "test"}
NONE = "none"  # the class folder of pictures that show none of the classes; no model has a label of this name

# Words that stand in a journal, a table or a message in the place of a label.
RESERVED = {"unsure": "what a device reports where it abstains", NONE: "the absence of a label"}


def require_printable_label(label: str, error: type[FerEdgeError]) -> str:
    """`label` itself, a name that a terminal, a table and a message can show as it is.

    Raises `error` for characters that cannot be printed, spaces at an end, no character or more than LABEL_CHARS, and for
    the RESERVED words in any case.
    """
    if not label or not label.isprintable() or label != label.strip():
        raise error(
            f"the label {ascii(label)[:80]} cannot be printed as it is; name the class with visible characters only"
        )
    if len(label) > LABEL_CHARS:
        raise error(
            f"the label {label[:40]}… has {len(label):,} characters, more than {LABEL_CHARS}; give the class a shorter name"
        )
    if meaning := RESERVED.get(label.casefold()):
        raise error(f"the label “{label}” stands for {meaning}; give the class another name")
    return label
