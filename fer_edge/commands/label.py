"""The command over recorded videos, `label`; `cli` adds it to its own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fer_edge.commands import arguments
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from device.label import LabelResult


def add(commands: Any, region: Callable[[str], tuple[float, ...]]) -> None:
    """Adds it to the parsers of `fer-edge`; `region` reads the four numbers of --region."""
    label = commands.add_parser(
        "label",
        help="recorded videos: a table of what each face of each frame shows",
        epilog="What was labelled before, of the same file by the same bundle, settings and versions, is not done again. Exit "
        "codes: 0 all is labelled, 2 a file could not be read to its end (it is named, the others are done) or nothing can be "
        "written, 5 a bundle refused, 130 interrupted: the same command goes on from there.",
    )
    arguments.label(label, region)
    label.set_defaults(command=_label)


def _label(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings
    from device.label import label
    from device.recorded.files import LabelOptions

    if args.show_faces and not args.annotate:
        raise UsageError("--show-faces is about the pictures of --annotate; give both")
    if args.explain_privacy:
        from device.privacy import explain_label

        print(explain_label(args.out, args.form, args.annotate, args.show_faces))
        return EXIT_DONE
    settings = load_settings(vars(args), args.config).settings

    def tell(result: LabelResult) -> None:
        if args.as_json:
            print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
        elif result.told is not None:
            print(result.rows, flush=True)

    wanted = LabelOptions(args.form, args.annotate, args.show_faces)
    results = label(args.paths, args.out, settings, wanted, args.jobs, tell)
    if bad := [str(result.source) for result in results if result.problem]:
        raise UsageError(f"{len(bad)} of {len(results)} could not be read to the end: {', '.join(bad)}")
    frames = sum(result.told["frames"] for result in results if result.told)
    message(f"{len(results)} labelled, {frames} frames, in {args.out}")
    return EXIT_DONE
