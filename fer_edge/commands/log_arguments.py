"""What can be typed after `fer-edge log`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WHAT = {
    "episodes": "that a face showed one label for a while",
    "tallies": "minutes: how much was looked at, and what was seen",
    "readings": "each face of each frame, where `run --per-frame` kept them",
    "events": "every line, in words",
    "blind": "when nobody looked, for how long, and why",
}
BY = ("hour", "day", "whole")
Command = Callable[[argparse.Namespace], int]


def add(actions: Any, commands: Mapping[str, Command]) -> None:
    """Adds the actions of `log` to its parser, each with what it calls."""
    tail = actions.add_parser("tail", help="the last lines, in words; -f goes on with each new one")
    _asked(tail)
    _faces(tail)
    tail.add_argument("--kind", action="append", metavar="K", help="episode, camera, clock, …; may be repeated")
    tail.add_argument("-n", type=int, default=10, metavar="N", help="lines; default: 10")
    tail.add_argument("-f", "--follow", action="store_true", help="until Ctrl-C, across segments")
    tail.add_argument("--json", action="store_true", help="an object a line")
    tail.set_defaults(command=commands["tail"])

    query = actions.add_parser("query", help=f"rows: {', '.join(WHAT)}")
    for parser in _each(query, commands["query"]):
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="an object a line")
        form.add_argument("--csv", action="store_true")

    summary = actions.add_parser("summary", help="where the time went, what was seen, how sure, how far to trust it")
    _asked(summary)
    summary.add_argument("--by", choices=BY, default="whole", help="a row for each; default: a page on all of it")
    form = summary.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an object a device")
    form.add_argument("--csv", action="store_true")
    summary.set_defaults(command=commands["summary"])

    plot = actions.add_parser("plot", help="expressions over the day: letters, or a picture with --out")
    _asked(plot)
    plot.add_argument(
        "--by", choices=("5min", "15min", "hour", "day"), help="a bar for each; default: as many as can be read"
    )
    plot.add_argument("--out", type=Path, metavar="FILE", help="a .png or .svg; needs the extra `plots`")
    plot.set_defaults(command=commands["plot"])

    export = actions.add_parser("export", help="rows as a file: .csv, .jsonl, or .parquet (extra `parquet`)")
    for parser in _each(export, commands["export"]):
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="whole or not at all")

    check = actions.add_parser("check", help="what is missing and why; exit 0 when nothing is, 7 when something is")
    _folders(check)
    check.add_argument("--json", action="store_true")
    check.set_defaults(command=commands["check"])

    purge = actions.add_parser("purge", help="remove every line from before a moment")
    purge.add_argument("--before", required=True, metavar="WHEN", help="2026-01-31, 2026-01-31T12:00, 30d, 12h, 15min")
    purge.add_argument("--log", type=Path, metavar="DIR", help="default: where `run` writes")
    purge.add_argument("--name", default="camera")
    purge.set_defaults(command=commands["purge"])


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="DIR",
        help="journals, or a folder of them; default: where `run` writes",
    )
    parser.add_argument("--name", default="camera", help="of the instance whose journal is read, without DIR")
    parser.add_argument("--device", metavar="NAME", help="only this one of several")
    parser.add_argument("--utc", action="store_true", help="times, given and told, are UTC; default: local")


def _asked(parser: argparse.ArgumentParser) -> None:
    _folders(parser)
    parser.add_argument("--since", metavar="WHEN", help="2h, 30d, 15min ago; 2026-01-31 or 2026-01-31T12:00")
    parser.add_argument("--until", metavar="WHEN", help="the same")
    parser.add_argument("--between", metavar="HH:MM-HH:MM", help="only this part of each day")
    parser.set_defaults(expression=None, track=None, min_quality=None, kind=None)


def _faces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expression", action="append", metavar="L", help="a label or unsure; may be repeated")
    parser.add_argument("--track", type=int, metavar="N", help="one face; numbers begin anew with each run")
    parser.add_argument("--min-quality", type=float, metavar="Q", help="0 to 1")


def _each(parser: argparse.ArgumentParser, command: Command) -> list[argparse.ArgumentParser]:
    """A parser for each kind of rows, so that folders may stand after options, as people type them."""
    made = []
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    for what, does in WHAT.items():
        one = kinds.add_parser(what, help=does)
        _asked(one)
        if what in ("episodes", "readings", "events"):
            _faces(one)
        if what == "events":
            one.add_argument("--kind", action="append", metavar="K", help="episode, camera, clock, …; may be repeated")
        one.set_defaults(command=command)
        made.append(one)
    return made
