"""`fer-edge completion`: a script with which a shell completes commands and options."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands import host
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE, UsageError


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in bash or zsh",
        epilog="bash: fer-edge completion bash > ~/.local/share/bash-completion/completions/fer-edge; zsh: fer-edge completion "
        "zsh > a file _fer-edge in a folder of $fpath. Needs the extra `completion`.",
    )
    parser.add_argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh")
    parser.set_defaults(command=_completion)


def _completion(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError as error:
        raise UsageError(
            "completion needs the extra `completion`: pip install 'fer-edge[completion]'; the printed script works without it"
        ) from error
    _add_host_options(args.whole_parser)
    _complete_paths(args.whole_parser, shtab.FILE)
    output(shtab.complete(args.whole_parser, args.shell))
    return EXIT_DONE


def _add_host_options(parser: argparse.ArgumentParser) -> None:
    """Gives the commands of the host, which have no arguments in the parser of all commands, their own parsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.choices.update(host.parsers())


def _complete_paths(parser: argparse.ArgumentParser, how: dict[str, str]) -> None:
    """Marks each argument that is a path, so that the shell completes files there. shtab reads the same lists of argparse."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = "command"  # shtab leaves out what the help does not list
            for inner in action.choices.values():
                _complete_paths(inner, how)
        elif action.type is file_path or action.dest in (
            "images",
            "paths",
        ):  # of predict and label, which know addresses
            action.complete = how  # type: ignore[attr-defined]
