"""`fer-edge`: builds the parser and calls the command. stdout is data, stderr is messages."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fer_edge import __version__
from fer_edge.command_parser import CommandParser, RawUsageFormatter
from fer_edge.commands import (
    bench,
    bundles,
    collect,
    completion,
    config,
    demo,
    deploy,
    detectors,
    doctor,
    host,
    instance,
    label,
    log,
    predict,
    run,
    service,
    verify,
)
from fer_edge.errors import EXIT_CODES, UsageError, exit_code_of

# by purpose, in the order of `fer-edge --help`
_GROUPS = {
    "watch a camera": (demo, run, instance),
    "recorded pictures and videos": (predict, label),
    "your own faces": (collect,),
    "the log": (log,),
    "models": (bundles, verify, detectors, host),
    "this device": (doctor, bench, config, service, completion),
    "a fleet of devices": (deploy,),
}


class _Group:
    """The commands of one purpose: adds each to the parser, and keeps its name and help for the list of all."""

    def __init__(self, subparsers: Any) -> None:
        self.listed: list[tuple[str, str]] = []
        self._subparsers = subparsers

    def add_parser(self, name: str, help: str, **options: Any) -> CommandParser:
        """The parser of a new command, as argparse's own `add_parser` returns it."""
        self.listed.append((name, help))
        parser: CommandParser = self._subparsers.add_parser(name, help=help, **options)
        return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in host.COMMANDS:  # has a parser of its own, with the same options
        return exit_code_of(lambda: host.run_command(words[0], words[1:]))
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    return exit_code_of(lambda: args.command(args))


def make_parser() -> CommandParser:
    """The parser of all commands; each sets `command` to the function that runs it."""
    parser = CommandParser(
        prog="fer-edge",
        usage="fer-edge COMMAND [options]",
        epilog="`fer-edge COMMAND --help` describes a command; `python -m convert` lists more commands of the host.\n\n"
        "exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=RawUsageFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    parser.set_defaults(command=None, whole_parser=parser)
    subparsers = parser.add_subparsers(metavar="COMMAND", prog="fer-edge", help=argparse.SUPPRESS)
    lines = [
        "Logs displayed facial expressions from a camera with an int8 model.",
        "Stores no picture unless `label --annotate` or `collect` is used; sends none unless `--show-pixels` is given.",
    ]
    for title, modules in _GROUPS.items():
        group = _Group(subparsers)
        for module in modules:
            module.register(group)
        lines += ["", f"{title}:", *(f"    {name:<10} {text}" for name, text in group.listed)]
    parser.description = "\n".join(lines)
    return parser


if __name__ == "__main__":
    sys.exit(main())
