"""Which classes of a data set are read, and which label each of them has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import LABELS, canonical

EXPRESSIONS, OWN = "expressions", "own"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes to read, as labels in order; `names` is None where every class of a set is one under its own name."""

    names: tuple[str, ...] | None = LABELS

    @staticmethod
    def of(wanted: str | Sequence[str]) -> Classes:
        """The classes that "expressions" (the seven), "own" (the set's own) or a sequence of names stands for.

        Raises UsageError when names are empty, given twice, or fewer than two.
        """
        if isinstance(wanted, str):
            if wanted not in (EXPRESSIONS, OWN):
                raise UsageError(f"{wanted!r} is no choice of classes; give {OWN}, or two names and more")
            return Classes(LABELS if wanted == EXPRESSIONS else None)
        names = tuple(map(_plain, wanted))
        if "" in names or len(set(names)) < len(names):
            raise UsageError(f"the classes {', '.join(map(repr, names))} are not all different names; name each once")
        if len(names) < 2:
            raise UsageError(f"one class, {', '.join(names)}, leaves nothing to tell apart; name two or more")
        return Classes(names)

    def label(self, name: str) -> str | None:
        """The label of the class called `name` in a set, or None where it is left out.

        A name that was asked for is taken as it is, and so is every spelling of one of the seven that was asked for.
        """
        name = _plain(name)
        if self.names is None:
            return name or None
        if name in self.names:
            return name
        spelled = canonical(name)
        return spelled if spelled in self.names else None

    def labels(self, found: Iterable[str], left_out: Iterable[str], path: Path) -> tuple[str, ...]:
        """The labels of the set at `path` in their order, given those of its images and the classes left out.

        Raises DataError when no image has any of them, or all of them the same one. A set of expressions may hold but one:
        a model that knows all seven can be tried on it.
        """
        held = sorted(set(found))
        if not held:
            sought = ", ".join(self.names) if self.names else "a class: every class wants a folder of its own"
            there = ", ".join(sorted(left_out)[:8]) or "none at all"
            hint = f"; `--classes {OWN}` takes the set's own classes" if self.names else ""
            raise DataError(f"{path} holds no image of {sought}; its classes are {there}{hint}")
        if len(held) < 2 and not self.are_expressions:
            wanted = f" of {', '.join(self.names)}" if self.names else ""
            raise DataError(f"{path} holds images of one class only{wanted}: {held[0]}; two or more can be told apart")
        return self.names or tuple(held)

    @property
    def are_expressions(self) -> bool:
        """Whether they are the seven, in whatever order."""
        return self.names is not None and set(self.names) == set(LABELS)


def classes_argument(text: str) -> str | tuple[str, ...]:
    """What `--classes` means, for `Classes.of`: a word that stands for classes, or names between commas."""
    return text if text in (EXPRESSIONS, OWN) else tuple(text.split(","))


def _plain(name: str) -> str:
    """A name without spaces around it, its accents composed: file systems differ in how they write them."""
    return unicodedata.normalize("NFC", name.strip())
