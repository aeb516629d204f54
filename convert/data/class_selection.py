"""The classes of a data set that are read, and the label of each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import LABELS, NONE, PART_NAMES, canonical_label, require_printable_label

EXPRESSIONS, OWN = "expressions", "own"
# What to do where no image has one of the labels: each command says what it has an option for.
NAME_FOLDERS = "name the folders as the labels"
NAME_FOLDERS_OR_LABELS = f"{NAME_FOLDERS}, or give --labels in the order of the outputs"
TAKE_OWN_CLASSES = f"`--classes {OWN}` takes the set's own classes"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes to read, as labels in order. `names` None: every class of the set, under its own name."""

    names: tuple[str, ...] | None = LABELS

    @staticmethod
    def of(selection: str | Sequence[str]) -> Classes:
        """The classes selected by "expressions" (the seven), "own" (the set's own), or a sequence of names.

        Raises UsageError when a name is empty or repeated, or when there are fewer than two.
        """
        if isinstance(selection, str):
            if selection not in (EXPRESSIONS, OWN):
                raise UsageError(f"{selection!r} is not a choice of classes; give {OWN}, or two or more names")
            return Classes(LABELS if selection == EXPRESSIONS else None)
        names = tuple(map(_normalized, selection))
        if "" in names or len(set(names)) < len(names):
            raise UsageError(f"the classes {', '.join(map(repr, names))} are not all different names; name each once")
        for name in names:
            require_printable_label(name, UsageError)
            if name.lower() in PART_NAMES:
                raise UsageError(
                    f"a folder called {name} is the part {PART_NAMES[name.lower()]} of a data set and no class; give the class"
                    " another name"
                )
        if len(names) < 2:
            raise UsageError(f"one class, {', '.join(names)}, leaves nothing to classify; name two or more")
        return Classes(names)

    def label(self, name: str) -> str | None:
        """The label of the class called `name` in a set, or None for a class that is left out.

        A selected name is its own label; so is every spelling of a selected one of the seven expressions. Of a set's own
        classes, `none` is left out: its pictures show none of the others.
        """
        name = _normalized(name)
        if self.names is None:
            return None if name == NONE else name or None
        if name in self.names:
            return name
        expression = canonical_label(name)
        return expression if expression in self.names else None

    def labels(self, found: Iterable[str], left_out: Iterable[str], path: Path, remedy: str = "") -> tuple[str, ...]:
        """The labels of the set at `path` in order, from the labels of its images and the names of classes left out.

        `remedy` is what the message says to do where no image has one of the selected labels. Raises DataError then, or when
        all images have the same label. A set of the seven expressions may hold only one of them: a model of all seven can be
        evaluated on it.
        """
        present = sorted(set(found))
        if not present:
            wanted = ", ".join(self.names) if self.names else "a class: every class needs a folder of its own"
            others = ", ".join(sorted(left_out)[:8]) or "none at all"
            hint = f"; {remedy}" if self.names and remedy else ""
            raise DataError(f"{path} holds no image of {wanted}; its classes are {others}{hint}")
        if len(present) < 2 and not self.are_expressions:
            selected = f" of {', '.join(self.names)}" if self.names else ""
            raise DataError(f"{path} holds images of one class only{selected}: {present[0]}; a classifier needs two")
        return self.names or tuple(require_printable_label(label, DataError) for label in present)

    @property
    def are_expressions(self) -> bool:
        """Whether they are the seven expressions, in any order."""
        return self.names is not None and set(self.names) == set(LABELS)


def classes_argument(text: str) -> str | tuple[str, ...]:
    """The value of `--classes` for `Classes.of`: "expressions", "own", or the names between commas."""
    return text if text in (EXPRESSIONS, OWN) else tuple(text.split(","))


def _normalized(name: str) -> str:
    """A name without surrounding spaces, in Unicode form NFC: file systems store accents in different forms."""
    return unicodedata.normalize("NFC", name.strip())
