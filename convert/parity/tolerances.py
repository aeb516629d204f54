"""The margins: how much int8 may differ from float. The defaults are in margins.toml beside this file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.toml_file import read_toml

DEFAULTS = Path(__file__).with_name("margins.toml")


@dataclass(frozen=True, slots=True)
class Margins:
    """The margins, named `table_key` after margins.toml, which explains each one. `pp`: percentage points."""

    accuracy_overall_pp: float
    accuracy_class_pp: float
    accuracy_class_images: float
    auc_macro: float
    auc_class: float
    logits_slope: float
    logits_rms: float
    labels_agreement: float
    labels_clear_agreement: float

    @staticmethod
    def load(path: Path | None = None) -> Margins:
        """The margins in a TOML file; defaults for what it leaves out, and where `path` is None.

        Raises UsageError for an unknown key, with the nearest known one, and for a value that is not a margin.
        """
        known = _read(DEFAULTS)
        own = _read(path) if path else {}
        for key, value in own.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.0)[0]
                raise UsageError(f"{path}: there is no margin {_spelt(key)}; the nearest is {_spelt(near)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
                raise UsageError(f"{path}: {_spelt(key)} = {value!r} is not a margin; give a number above 0")
            if key.startswith("labels") and value > 1:
                raise UsageError(f"{path}: {_spelt(key)} = {value!r} is a share of images; give a number up to 1")
        return Margins(**{key: float(value) for key, value in {**known, **own}.items()})

    def recall(self, n: int) -> float:
        """The margin of a class's recall, 0–1, where the class has n images."""
        return min(0.99, max(self.accuracy_class_pp / 100, self.accuracy_class_images / max(1, n)))


def _read(path: Path) -> dict[str, Any]:
    """The values of a TOML file's tables, by `table_key`."""
    tables, _ = read_toml(path, "margins")
    if loose := [key for key, table in tables.items() if not isinstance(table, dict)]:
        raise UsageError(f"{path}: {loose[0]} is outside a table; convert/parity/margins.toml shows where it belongs")
    return {f"{name}_{key}": value for name, table in tables.items() for key, value in table.items()}


def _spelt(key: str) -> str:
    table, _, rest = key.partition("_")
    return f"[{table}] {rest}"
