"""`fer-edge`: builds the parser and calls the command. stdout is data, stderr is messages."""

from __future__ import annotations

import argparse
import sys

from fer_edge import __version__
from fer_edge.commands import (
    bench,
    bundles,
    collect,
    config,
    deploy,
    detectors,
    doctor,
    instance,
    label,
    log,
    predict,
    run,
    service,
    verify,
)
from fer_edge.errors import EXIT_CODES, UsageError, exit_code_of

_COMMANDS = (
    run,
    label,
    predict,
    collect,
    verify,
    bench,
    instance,
    config,
    log,
    doctor,
    bundles,
    service,
    detectors,
    deploy,
)


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and returns its exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    return exit_code_of(lambda: args.command(args))


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `command` to the function that runs it."""
    parser = argparse.ArgumentParser(
        prog="fer-edge",
        description="Logs displayed facial expressions from a camera with an int8 model.\nStores no picture, except where "
        "`label --annotate` or `collect` is told to; sends none.",
        epilog="exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for module in _COMMANDS:
        module.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
