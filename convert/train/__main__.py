"""`python -m convert.train --preset NAME --data PATH --out DIR`: trains a float model."""

from __future__ import annotations

import argparse
import math
import os
import sys
from dataclasses import replace

from convert.data.class_selection import EXPRESSIONS, TAKE_OWN_CLASSES, classes_argument
from convert.data.ferplus import FERPLUS_LABELS
from convert.data.loader import load, remarks
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.hardware import dtype_policies, has_accelerator, limit_threads, use_all_devices
from convert.train.networks import NETWORKS, Network, build_network, count_multiply_adds, count_parameters
from convert.train.presets import PRESETS
from convert.train.processes import ONE_PROCESS, Processes
from convert.train.progress import validation_text
from convert.train.run_folder import find_float_model, held_run
from convert.train.trainer import train
from fer_edge.argument_types import file_path, whole_number
from fer_edge.command_parser import CommandParser
from fer_edge.console import notice, output
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.limits import THREADS


def make_parser(prog: str) -> CommandParser:
    """The parser of the command's arguments, under the name `prog`."""
    parser = CommandParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="paper", help="network and recipe; default: %(default)s"
    )
    parser.add_argument(
        "--data", type=file_path, required=True, help="data set, in any form that `python -m convert.data` reads"
    )
    parser.add_argument(
        "--votes",
        type=file_path,
        metavar="FILE",
        help="table of FER+ votes on FER2013: fer2013new.csv, or a CSV of file names and ten counts; the preset "
        "teacher learns them with a second head, edge-votes in place of the labels, edge-mixed together with them",
    )
    parser.add_argument(
        "--out", type=file_path, required=True, help="folder for model.keras, history.json and checkpoint.npz"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--epochs", type=whole_number(1), help="number of epochs; default: the preset's")
    parser.add_argument(
        "--early-stopping",
        type=whole_number(0),
        metavar="N",
        help="stop after N epochs without a better validation accuracy (edge-mixed: score); 0: never; default: the preset's",
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random numbers; default: 0")
    parser.add_argument(
        "--threads",
        type=whole_number(1, THREADS),
        help="processor threads; with 1 a run is bit-exactly repeatable; default: the backend's",
    )
    parser.add_argument(
        "--teacher",
        type=file_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="folders of training runs or bundles whose float models are the teachers (distillation)",
    )
    parser.add_argument(
        "--init",
        type=file_path,
        metavar="DIR",
        help="start from the float model of this training run or bundle, or of edge-mixed, edge or nano; the last layer is new "
        "where the classes are others",
    )
    parser.add_argument(
        "--classes",
        type=classes_argument,
        default=EXPRESSIONS,
        help="names with commas between; own: every class of the set under its own name; default: the seven expressions",
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        help="learning rate; with --init a tenth of the preset's works well; default: the preset's",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16"),
        default="auto",
        help="precision of the computation; default: auto",
    )
    parser.add_argument(
        "--views-on",
        choices=("auto", "host", "device"),
        default="auto",
        help="where the augmented views are computed: by OpenCV on the host, or by the device that trains, in one compiled "
        "step with everything else; default: device where that is an accelerator",
    )
    return parser


def main(argv: list[str] | None = None, prog: str = "python -m convert.train") -> int:
    """Trains a model, and prints its path and its best epoch."""
    args = make_parser(prog).parse_args(argv)
    processes = ONE_PROCESS

    def run() -> int:
        nonlocal processes
        processes = Processes.of()
        return _run(args, processes)

    code = exit_code_of(run)
    if code and processes.count > 1:  # at its end JAX waits for the other processes, which wait for this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(args: argparse.Namespace, processes: Processes) -> int:
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file; name a folder with --out")
    with held_run(args.out, args.resume, processes.is_first):
        return _train(args, processes)


def _train(args: argparse.Namespace, processes: Processes) -> int:
    if processes.count > 1 and args.views_on == "host":
        raise UsageError("several processes train with the views on the device; leave out --views-on host")
    teachers = [find_float_model(path) for path in args.teacher]
    init = find_float_model(args.init) if args.init else None
    if args.learning_rate is not None and not 0 < args.learning_rate < math.inf:
        raise UsageError(f"--learning-rate must be a positive number, not {args.learning_rate}")
    recipe = PRESETS[args.preset]
    if args.votes is None:
        if recipe.targets != "labels":
            raise UsageError(f"the preset {args.preset} learns people's votes; give their file with --votes")
        recipe = replace(recipe, votes_weight=0.0)
    elif recipe.targets == "labels" and not recipe.votes_weight:
        raise UsageError(f"--votes is for the presets that learn votes; {args.preset} does not")
    samples = load(
        args.data,
        classes=args.classes,
        votes=args.votes,
        vote_labels=recipe.targets == "votes",
        remedy=TAKE_OWN_CLASSES,
    )

    def tell(text: str) -> None:
        if processes.is_first:
            notice(text)

    for remark in remarks(samples):
        tell(remark)
    with quiet_tensorflow():
        import keras  # noqa: F401  # its backend writes to stderr when it is imported first
    if args.threads:
        limit_threads(args.threads)
    processes.join()
    network = replace(NETWORKS[args.preset], side=samples.x.shape[1], classes=len(samples.labels))
    if recipe.votes_weight and isinstance(network, Network):
        network = replace(network, votes=len(FERPLUS_LABELS))
    accelerator = has_accelerator()
    separable = isinstance(network, Network) and network.separable
    policy, teachers_policy = dtype_policies(separable, args.precision)
    overrides = {"epochs": args.epochs, "early_stopping": args.early_stopping, "learning_rate": args.learning_rate}
    recipe = replace(recipe, seed=args.seed, **{name: value for name, value in overrides.items() if value is not None})
    on_device = args.views_on == "device" or processes.count > 1 or (args.views_on == "auto" and accelerator)
    devices = use_all_devices(min(recipe.batch, len(samples.part("train").y))) if on_device else 1
    model = build_network(network)
    cost = f"{count_parameters(model):,} parameters, {count_multiply_adds(model) / 1e6:.0f} M multiply-adds"
    where = f"views on the {'device' if on_device else 'host'}" + (f", {devices} devices" if devices > 1 else "")
    where += f" of {processes.count} processes" if processes.count > 1 else ""
    precision = policy if not teachers or teachers_policy == policy else f"{policy} (teachers: {teachers_policy})"
    tell(f"{args.preset}: {cost}, {precision}, {where}")
    history = train(
        samples,
        args.out,
        network,
        recipe,
        resume=args.resume,
        policy=policy,
        teachers=teachers,
        teachers_policy=teachers_policy,
        init=init,
        on_device=on_device,
        processes=processes,
    )
    best = history.best
    if processes.is_first:
        output(f"{args.out / 'model.keras'}: epoch {best.epoch}, validation {validation_text(best)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
