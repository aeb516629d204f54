"""`fer-edge train`, `quantize`, `parity`, `evaluate` and `report`: `python -m convert.NAME` under another name."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

COMMANDS = {
    "train": "train a float model on a data set",
    "evaluate": "measure a model's accuracy on a data set",
    "quantize": "convert a float model to int8, and compare the two",
    "parity": "compare a bundle's int8 model with its float model again",
    "report": "render a stored evaluation, or a bundle's parity page",
}


def register(commands: Any) -> None:
    """Adds the commands to the list of all. Their own parsers, in convert, read their arguments (`run_command`)."""
    for name, help_text in COMMANDS.items():
        commands.add_parser(name, help=help_text, add_help=False)


def run_command(name: str, argv: Sequence[str]) -> int:
    """The exit code of `python -m convert.NAME` with these arguments.

    Raises ModuleNotFoundError where the extra `host` is missing (`exit_code_of` explains it).
    """
    code: int = importlib.import_module(f"convert.{name}.__main__").main(list(argv), f"fer-edge {name}")
    return code


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """The commands' own parsers, by name; none on a device, which has no `convert`."""
    try:
        return {
            name: importlib.import_module(f"convert.{name}.__main__").make_parser(f"fer-edge {name}")
            for name in COMMANDS
        }
    except ModuleNotFoundError:
        return {}
