"""`python -m tests.arm64.logits BUNDLE --data PATH --out DIR`: records a model's logits on each arm64 configuration.

DIR gets a file of `fer_edge.record_logits` for each configuration, and arm64.json, which says what each was made on.
A configuration whose logits are bit-identical to those of an earlier one gets no file, only a line in arm64.json.
Configurations already in DIR, for the same model and images, are not recorded again: an interrupted command can be
repeated. No time is recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from convert.argument_types import add_votes_argument
from fer_edge.argument_types import whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import EXIT_DONE, UsageError, exit_code_of
from fer_edge.record_logits import RecordedLogits, images_sha256, read_images
from tests.arm64.runtimes import CONFIGURATIONS, Configuration, record_logits_on
from tests.arm64.sysroot import SPACES, machine

INDEX = "arm64.json"


def record_all(
    model: Path, images: np.ndarray, out: Path, jobs: int = 1, configurations: Sequence[Configuration] = CONFIGURATIONS
) -> list[dict[str, Any]]:
    """The content of DIR/arm64.json, a dict for each configuration: `runtime`, the `file` of its logits, what it was made on.

    `same_as` names the line whose file it shares, where the logits are equal. `images` is uint8 (N, side, side); `jobs`
    configurations run at a time, each in one emulated process.
    """
    hashes = {
        "model_sha256": sha256_of(model / "model.tflite" if model.is_dir() else model),
        "images_sha256": images_sha256(images),
    }
    out.mkdir(parents=True, exist_ok=True)
    lines = _good(out, hashes)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        np.save(Path(temporary) / "x.npy", images)
        missing = [configuration for configuration in configurations if configuration.name not in lines]
        begun: dict[Future[RecordedLogits], Configuration] = {
            pool.submit(
                record_logits_on, configuration, model, Path(temporary) / "x.npy", out / f"{configuration.name}.npz"
            ): configuration
            for configuration in missing
        }
        start_s = time.monotonic()
        try:
            for done in as_completed(begun):
                configuration = begun[done]
                lines[configuration.name] = _line(configuration, done.result(), hashes)
                _write(out, lines)
                runtime, after_s = lines[configuration.name]["runtime"], time.monotonic() - start_s
                _say(f"{runtime} in {configuration.space}, {after_s:.0f} s after the start")
        finally:
            pool.shutdown(cancel_futures=True)
    ordered = {
        configuration.name: lines[configuration.name] for configuration in CONFIGURATIONS if configuration.name in lines
    }
    _share(out, ordered)
    _write(out, ordered)
    return list(ordered.values())


def _line(configuration: Configuration, recorded: RecordedLogits, hashes: dict[str, str]) -> dict[str, Any]:
    made_on = machine(configuration.space)
    return {
        "runtime": recorded.runtime_name,
        "file": f"{configuration.name}.npz",
        "same_as": None,
        "python": recorded.python,
        "numpy": recorded.numpy,
        "suite": made_on.space.suite,
        "wheels": list(made_on.space.wheels),
        "emulator": made_on.emulator,
        **hashes,
    }


def _good(out: Path, hashes: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The lines of DIR/arm64.json for these images, this model and the current wheels of each user space."""
    held, good = _read(out), {}
    for configuration in CONFIGURATIONS:
        line = held.get(configuration.name, {})
        now = {**hashes, "wheels": list(SPACES[configuration.space].wheels)}
        is_current = all(line.get(key) == value for key, value in now.items()) and (out / line["file"]).is_file()
        if is_current and line["same_as"] in (None, *good):
            good[configuration.name] = line
    return good


def _share(out: Path, lines: dict[str, dict[str, Any]]) -> None:
    """Removes each file whose logits equal those of an earlier line of the same runtime."""
    unique: list[tuple[str, dict[str, Any], RecordedLogits]] = []
    for name, line in lines.items():
        if line["same_as"]:
            continue
        recorded = RecordedLogits.load(out / line["file"])
        for first, its, held in unique:
            if recorded.runtime_name == held.runtime_name and np.array_equal(recorded.logits, held.logits):
                (out / line["file"]).unlink()
                line.update(file=its["file"], same_as=first)
                break
        else:
            unique.append((name, line, recorded))


def _read(out: Path) -> dict[str, dict[str, Any]]:
    try:
        held: dict[str, dict[str, Any]] = json.loads((out / INDEX).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(
            f"{out / INDEX} cannot be read ({error}); remove it, and all configurations are recorded again"
        ) from error
    return held


def _write(out: Path, lines: dict[str, dict[str, Any]]) -> None:
    text = json.dumps(lines, indent=1) + "\n"
    write_atomically(out / INDEX, text)


def _say(text: str) -> None:
    print(f"fer-edge: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and gives its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.arm64.logits", description=__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--data", type=Path, metavar="PATH", help="data set; all images of its validation and test parts"
    )
    given.add_argument("--images", type=Path, metavar="X.npy", help="images: uint8 (N, side, side)")
    add_votes_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="also the reference kernels, half a second per image; bit-identical to x86-64, as `make test-arm64` shows",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1),
        default=len(os.sched_getaffinity(0)),
        help="parallel processes (default: the CPUs)",
    )
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    if args.images:
        images = read_images(args.images)
    else:
        from convert.data.loader import load
        from convert.data.samples import held_out

        images, _, _ = held_out(load(args.data, bundle.side, classes=bundle.labels, votes=args.votes))
    configurations = [
        configuration for configuration in CONFIGURATIONS if args.reference or configuration.kernels != "reference"
    ]
    print(json.dumps(record_all(bundle.path, images, args.out, args.jobs, configurations), indent=1))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
