"""The reference of all commands: the help that their parsers print. `python docs/command_reference.py` prints it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from unittest import mock

from convert.__main__ import commands as host_commands
from fer_edge.cli import main, make_parser

WIDTH = "100"  # columns of the help texts


def reference() -> str:
    """Markdown: a heading and the help of every command of `fer-edge` and of every `python -m convert.NAME`."""
    parts = ["## fer-edge", _block(_help(main, []))]
    for words in _subcommands(make_parser()):
        parts += [f"## fer-edge {' '.join(words)}", _block(_help(main, list(words)))]
    for name in host_commands():
        run = importlib.import_module(_module(name)).main
        parts += [f"## python -m convert.{name}", _block(_help(run, []))]
    return "\n\n".join(parts)


def _module(name: str) -> str:
    spec = importlib.util.find_spec(f"convert.{name}")
    return f"convert.{name}.__main__" if spec is not None and spec.submodule_search_locations else f"convert.{name}"


def _subcommands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, groups of commands first, in the order of the help."""
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if words:
        yield words
    for commands in choices:  # argparse has no public way to list them
        for name, below in commands.items():
            yield from _subcommands(below, (*words, name))


def _help(run: Callable[[list[str]], int], words: list[str]) -> str:
    text = io.StringIO()
    environment = {"COLUMNS": WIDTH, "HOME": "/home/pi", "NO_COLOR": "1"}  # the defaults are those of a Pi's user
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        run([*words, "--help"])
    return text.getvalue().strip()


def _block(text: str) -> str:
    return f"```text\n{text}\n```"


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
