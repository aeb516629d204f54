"""`fer-edge log summary` and `plot`: sums over time, as text, rows or a picture."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.commands.log_options import (
    add_window_arguments,
    report_damage,
    report_zone,
    selected_devices,
    time_window,
)
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, NotEnoughData
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    from fer_edge.log.summary import Summary

PERIODS = ("hour", "day", "whole")


def register(actions: Any) -> None:
    """Adds the two actions."""
    summary = actions.add_parser("summary", help="print sums: observed time, labels, unsure time, reliability")
    add_window_arguments(summary)
    summary.add_argument(
        "--by",
        choices=PERIODS,
        default="whole",
        help="a row for each hour or day, or one page for the whole; default: whole",
    )
    form = summary.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object for each device")
    form.add_argument("--csv", action="store_true", help="print CSV")
    summary.set_defaults(command=_summary)

    plot = actions.add_parser("plot", help="plot the labels over time, in the terminal or to a picture with --out")
    add_window_arguments(plot)
    plot.add_argument(
        "--by",
        choices=("1min", "5min", "15min", "hour", "day"),
        help="length of a bar; default: the shortest that is readable",
    )
    plot.add_argument(
        "--out",
        type=file_path,
        metavar="FILE",
        help="picture to write, .png or .svg; needs the extra `plots`; default: text",
    )
    plot.set_defaults(command=_plot)


def _summary(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_csv, write_text
    from fer_edge.log.text_report import flat_columns, flat_rows, part_columns, part_rows, summary_text

    summaries = _summaries(args, args.by)
    zone = summaries[0].window.zone
    if args.json:
        for summary in summaries:
            output(json_text(summary.to_json()))
    elif args.csv:
        write_csv(flat_rows(summaries), flat_columns(summaries), zone, sys.stdout)
    elif args.by == "whole":
        output("\n\n".join(map(summary_text, summaries)))
    else:
        names = part_columns(summaries)[0 if len(summaries) > 1 else 1 :]
        report_zone(args)
        message("presence = share of the observed time with a face; an expression or unsure = share of the face time")
        write_text(part_rows(summaries), names, zone, sys.stdout)
    return EXIT_DONE


def _plot(args: argparse.Namespace) -> int:
    from fer_edge.log.terminal_bars import bar_lines
    from fer_edge.log.timeline import draw_timeline

    by = {None: None, "1min": 60.0, "5min": 300.0, "15min": 900.0}.get(args.by, args.by)
    summaries = _summaries(args, _readable_period(args) if by is None else by)
    if args.out:
        draw_timeline(summaries, args.out)
        message(f"{args.out} is written, {args.out.stat().st_size:,} bytes")
    else:
        output("\n\n".join("\n".join(bar_lines(summary)) for summary in summaries))
    return EXIT_DONE


def _readable_period(args: argparse.Namespace) -> str | float:
    """The shortest period, a name or seconds, whose bars are still readable."""
    wholes = [summary.whole for summary in _summaries(args, "whole")]
    longest_s = max(whole.to_s - whole.from_s for whole in wholes)
    if longest_s <= 1800:
        return 60.0  # as long as the tallies of a journal: shorter bars would only repeat them
    if longest_s <= 3 * 3600:
        return 300.0
    if args.out and longest_s <= 1.6 * 86_400:
        return 900.0
    return "hour" if longest_s <= 8 * 86_400 else "day"


def _summaries(args: argparse.Namespace, by: str | float) -> list[Summary]:
    """The summaries of the devices with lines in the selected time. Raises NotEnoughData when no device has any."""
    from fer_edge.log.summary import summarise

    window, devices = time_window(args), selected_devices(args)
    summaries = []
    for device in devices:
        summary = summarise(device, window, by, partial(report_damage, device))
        if summary is None:
            message(f"{device.name}: no line in the selected time")
        else:
            summaries.append(summary)
    if not summaries:
        names = ", ".join(device.name for device in devices)
        raise NotEnoughData(f"no journal has a line in the selected time ({names})")
    return summaries
