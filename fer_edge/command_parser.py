"""The parser of every command: its usage in one line, the nearest name for a mistyped one, one line for a bad value."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from fer_edge.console import print_any_text
from fer_edge.text_cleaning import clean

_CHOICE = re.compile(
    r"argument (?P<name>.+?): invalid choice: (?P<value>.+) \(choose from (?P<choices>.+)\)", re.DOTALL
)
_VALUE = re.compile(r"argument (?P<name>.+?): invalid (?P<kind>\w+) value: (?P<value>.+)", re.DOTALL)
_KINDS = {"int": "a whole number", "float": "a number"}


class UsageFormatter(argparse.HelpFormatter):
    """A formatter whose usage line names the positional and required arguments; the options stand below it anyway."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],  # noqa: ARG002 - of options, which are not shown
        prefix: str | None = None,
    ) -> None:
        """Adds the usage. argparse calls it, too, for the name of a subcommand: with positional arguments alone."""
        actions = list(actions)
        shown = [action for action in actions if action.required or not action.option_strings]
        if len(shown) < len(actions):
            shown.insert(0, argparse.Action([], "options", metavar="[options]"))
        super().add_usage(usage, shown, [], prefix)


class RawUsageFormatter(UsageFormatter, argparse.RawDescriptionHelpFormatter):
    """The same, for a description and an epilog whose lines stay as they are."""


class CommandParser(argparse.ArgumentParser):
    """A parser of one command. An error ends the process with exit code 2."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", UsageFormatter)
        super().__init__(*args, **options)

    def option_names(self) -> list[str]:
        """The names of this command's options, as they are typed."""
        return [name for action in self._actions for name in action.option_strings]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The arguments, and an empty list: an unknown one is an error of the command that it was given to."""
        print_any_text()  # a help text too
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            option = next((word for word in unknown if word.startswith("-")), None)
            if option is None:
                self.error(f"the argument “{clean(unknown[0], 60)}” is one too many")
            name = option.partition("=")[0]
            self.error(f"there is no option {clean(name, 60)}{did_you_mean(name, self.option_names())}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2, the message, and the usage where the message is not about one value."""
        value = _value_sentence(message)
        usage = "" if value else self.format_usage()
        self.exit(2, f"{usage}{self.prog}: error: {value or message.removeprefix('argument ')}\n")


def did_you_mean(typed: str, names: Sequence[str]) -> str:
    """`; did you mean NAME?` for the name nearest to what was typed; empty where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(typed, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _value_sentence(message: str) -> str:
    """argparse's message about the value of one argument as a sentence of ours; empty for another message."""
    if found := _CHOICE.fullmatch(message):
        value, choices = _bare(found["value"]), [_bare(choice) for choice in found["choices"].split(", ")]
        near = did_you_mean(value, choices)
        choices = [f"“{choice}”" if "," in choice else choice for choice in choices]  # else it would look like two
        if found["name"].startswith("-"):
            return f"{found['name']}: “{clean(value, 60)}” is none of {', '.join(choices)}{near}"
        return f"there is no {found['name'].lower()} “{clean(value, 60)}”{near or '; there are ' + ', '.join(choices)}"
    if found := _VALUE.fullmatch(message):
        kind = _KINDS.get(found["kind"], "a value that it can have; --help describes it")
        return f"{found['name']}: “{clean(_bare(found['value']), 60)}” is not {kind}"
    return message.removeprefix("argument ") if message.startswith("argument ") else ""


def _bare(quoted: str) -> str:
    return quoted[1:-1] if quoted[:1] == quoted[-1:] and quoted[:1] in "'\"" and len(quoted) > 1 else quoted
