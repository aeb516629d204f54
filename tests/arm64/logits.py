"""`python -m tests.arm64.logits BUNDLE --data PATH --out DIR`: what a model answers on each arm64 column, emulated.

DIR gets a file of `fer_edge.record_logits` for each column, and arm64.json, which says what each was made on. A column whose
answers are those of one before it, to the last bit, has no file of its own, but a line there. Columns that DIR has already,
of the same model and images, are not made again, so the command can be stopped and given again. No time is recorded.
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

from convert.argument_types import whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle, sha256_of
from fer_edge.errors import EXIT_DONE, UsageError, exit_code_of
from fer_edge.record_logits import RecordedLogits, images_sha256, read_images
from tests.arm64.runtimes import COLUMNS, Arm64, answers_on
from tests.arm64.sysroot import SPACES, machine

INDEX = "arm64.json"


def answer_all(
    model: Path, images: np.ndarray, out: Path, jobs: int = 1, columns: Sequence[Arm64] = COLUMNS
) -> list[dict[str, Any]]:
    """What DIR/arm64.json then holds, a dict for each: `runtime`, the `file` with its answers, and what it was made on.

    `same_as` names the line whose file it is, where the answers are the same. `images` is uint8 (N, side, side); `jobs`
    columns are made at a time, each in one emulated process.
    """
    wanted = {
        "model_sha256": sha256_of(model / "model.tflite" if model.is_dir() else model),
        "images_sha256": images_sha256(images),
    }
    out.mkdir(parents=True, exist_ok=True)
    lines = _good(out, wanted)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        np.save(Path(temporary) / "x.npy", images)
        missing = [column for column in columns if column.name not in lines]
        begun: dict[Future[RecordedLogits], Arm64] = {
            pool.submit(answers_on, column, model, Path(temporary) / "x.npy", out / f"{column.name}.npz"): column
            for column in missing
        }
        start_s = time.monotonic()
        try:
            for done in as_completed(begun):
                column = begun[done]
                lines[column.name] = _line(column, done.result(), wanted)
                _write(out, lines)
                _say(
                    f"{lines[column.name]['runtime']} in {column.space}, {time.monotonic() - start_s:.0f} s after the start"
                )
        finally:
            pool.shutdown(cancel_futures=True)
    ordered = {column.name: lines[column.name] for column in COLUMNS if column.name in lines}
    _share(out, ordered)
    _write(out, ordered)
    return list(ordered.values())


def _line(column: Arm64, answers: RecordedLogits, wanted: dict[str, str]) -> dict[str, Any]:
    made_on = machine(column.space)
    return {
        "runtime": answers.runtime_name,
        "file": f"{column.name}.npz",
        "same_as": None,
        "python": answers.python,
        "numpy": answers.numpy,
        "suite": made_on.space.suite,
        "wheels": list(made_on.space.wheels),
        "emulator": made_on.emulator,
        **wanted,
    }


def _good(out: Path, wanted: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The lines of DIR/arm64.json that speak of these images, this model, and user spaces as they would be made now."""
    held, good = _read(out), {}
    for column in COLUMNS:
        line = held.get(column.name, {})
        now = {**wanted, "wheels": list(SPACES[column.space].wheels)}
        whole = all(line.get(key) == value for key, value in now.items()) and (out / line["file"]).is_file()
        if whole and line["same_as"] in (None, *good):
            good[column.name] = line
    return good


def _share(out: Path, lines: dict[str, dict[str, Any]]) -> None:
    """Removes each file whose answers another one of the same column has, before it in `lines`."""
    kept: list[tuple[str, dict[str, Any], RecordedLogits]] = []
    for name, line in lines.items():
        if line["same_as"]:
            continue
        answers = RecordedLogits.load(out / line["file"])
        for first, its, held in kept:
            if answers.runtime_name == held.runtime_name and np.array_equal(answers.logits, held.logits):
                (out / line["file"]).unlink()
                line.update(file=its["file"], same_as=first)
                break
        else:
            kept.append((name, line, answers))


def _read(out: Path) -> dict[str, dict[str, Any]]:
    try:
        held: dict[str, dict[str, Any]] = json.loads((out / INDEX).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(
            f"{out / INDEX} cannot be read ({error}); remove it, and all columns are made again"
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
    given.add_argument("--data", type=Path, metavar="PATH", help="all images of its validation and test parts")
    given.add_argument("--images", type=Path, metavar="X.npy", help="these: uint8 (N, side, side)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="with the reference kernels, half a second an image; their bits are x86-64's, as `make test-arm64` shows",
    )
    parser.add_argument(
        "--jobs", type=whole_number(1), default=len(os.sched_getaffinity(0)), help="default: as many as CPUs"
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

        images, _, _ = held_out(load(args.data, bundle.side, classes=bundle.labels))
    columns = [column for column in COLUMNS if args.reference or column.kernels != "reference"]
    print(json.dumps(answer_all(bundle.path, images, args.out, args.jobs, columns), indent=1))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
