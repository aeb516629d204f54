"""`python -m convert.evaluate MODEL --data PATH`: how well a model does, by the device's own code, and its cost.

MODEL is a `.keras`, any `.tflite`, a bundle's folder or a training's folder. A Keras model is turned into float TFLite
in memory, so that every model is measured with the lines a device runs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import numpy as np

import fer_edge
from convert import cost
from convert.arguments import whole_number
from convert.bootstrap import DRAWS, SEED
from convert.candidate import Model, read_history
from convert.data import Samples, also_in, load, remarks
from convert.markdown import markdown
from convert.pictures import PARTS
from convert.report import Data, Report, Subject, write
from convert.scores import curves, score
from convert.tflite import operators
from convert.train import fingerprint
from fer_edge.bundle import sha256_of
from fer_edge.classifier import KERNELS, Classifier, Runtime, find_runtime
from fer_edge.errors import DataError, UsageError, guarded
from fer_edge.preprocess import PREPROCESS_ID

CHUNK = 64  # images between two steps of the progress bar
SHEET = "figure-1-samples.png"


def evaluate(
    model: Model,
    data: Path,
    part: str = "test",
    *,
    seed: int = 0,
    threads: int = 1,
    runtime: Runtime | None = None,
    kernels: str = "default",
    history: Path | None = None,
) -> tuple[Report, Samples]:
    """The report on one part of the set at `data`, or on `all`, and the images of it that were evaluated."""
    told = read_history(history or model.history)
    classifier = model.classifier(runtime, threads, kernels)
    samples = load(data, classifier.side, seed, classes=model.labels)
    for remark in remarks(samples):
        _say(remark)
    counts = fingerprint(samples)
    chosen = samples if part == "all" else samples.part(part)
    if not len(chosen.y):
        held = ", ".join(f"{name} {counts[name]:,}" for name in PARTS)
        raise DataError(f"{data} has no image in its {part} part; its parts are {held}; choose another with --split")
    y = chosen.y  # indices into the model's own labels, by which the set was read
    logits = _logits(classifier, chosen.x[..., 0], model.file)
    seen, why = _seen(samples, part)
    if told and told.get("data") and told["data"]["sha256"] != counts["sha256"]:
        why += (
            " The model was trained on another set, or on another draw of this one's parts: of that nothing is known."
        )
    alone = classifier if threads == 1 else model.classifier(runtime, 1, kernels)
    report = Report(
        subject=Subject(
            name=model.name,
            kind=model.kind,
            file=model.file.name,
            file_bytes=model.file.stat().st_size,
            sha256=sha256_of(model.file),
            dtypes=tuple(sorted({dtype for op in operators(model.content) for dtype in op.dtypes})),
            runtime=classifier.runtime.id,
            kernels=kernels,
            preprocess=PREPROCESS_ID,
        ),
        data=Data(
            name=data.absolute().name,
            form=samples.form,
            part=part,
            split_rule=f"parts {samples.split_rule}",
            counts={name: int(counts[name]) for name in PARTS},
            sha256=str(counts["sha256"]),
            seed=seed,
            left_out=samples.left_out,
            skipped=len(samples.skipped),
        ),
        scores=score(logits, y, model.labels),
        unseen=None if seen is None or seen.all() else score(logits[~seen], y[~seen], model.labels),
        unseen_why=why,
        curves=curves(logits, y, model.labels),
        cost=cost.measure(model.content, alone, chosen.x[: cost.TIMED, :, :, 0]),
        history=told,
        bootstrap={"draws": DRAWS, "seed": SEED},
        versions=_versions(model.kind),
    )
    return report, chosen


def _logits(classifier: Classifier, faces: np.ndarray, file: Path) -> np.ndarray:
    """The logits float32 (N, K) of faces uint8 (N, side, side), with a progress bar on stderr.

    Raises UsageError when they are no numbers, or probabilities: a model must leave the softmax to the classifier.
    """
    from tqdm import tqdm

    found = []
    with tqdm(total=len(faces), desc="evaluating", unit="img", mininterval=0.5 if sys.stderr.isatty() else 30) as bar:
        for start in range(0, len(faces), CHUNK):
            found.append(classifier.logits(faces[start : start + CHUNK]))
            _refuse(found[-1], file)
            bar.update(len(found[-1]))
    return np.concatenate(found)


def _refuse(logits: np.ndarray, file: Path) -> None:
    if not np.isfinite(logits).all():
        raise UsageError(f"{file} gives values that are no numbers; it was not trained or not converted well")
    sums = logits.sum(1)
    if len(logits) >= 8 and logits.min() >= 0 and np.abs(sums - 1).max() < 0.05:  # 0.05: seven int8 roundings
        raise UsageError(
            f"{file} gives probabilities, not logits; save it without its last softmax, which the classifier does"
        )


def _seen(samples: Samples, part: str) -> tuple[np.ndarray | None, str]:
    """Which images of the part also stand in Training, bool (N,), or None if that cannot be asked; and why."""
    if part in ("train", "all"):
        return (
            None,
            "These images, or some of them, are the training part itself: they do not tell how it does on new faces.",
        )
    if not np.any(samples.split == "train"):
        return None, "The set has no training part, so nothing is known of images the model was trained on."
    seen = also_in(samples, part, "train")
    if seen.all():
        return (
            seen,
            f"All {len(seen):,} images also stand in the training part, pixel for pixel: nothing is left without them.",
        )
    return (
        seen,
        f"{int(seen.sum()):,} of these images also stand in the training part of the same set, pixel for pixel.",
    )


def _versions(kind: str) -> dict[str, str]:
    wanted = ["numpy", "opencv-python-headless", "scikit-learn"]
    wanted += ["tensorflow", "tensorflow-cpu", "keras"] if kind.startswith("keras") else []
    found = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _say(text: str) -> None:
    print(f"fer-edge: {text}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Prints the report as Markdown, or JSON; 0 done, 2 bad input, 5 a file that is no model of this kind."""
    parser = argparse.ArgumentParser(prog="python -m convert.evaluate", description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="default: the bundle that came with the package")
    parser.add_argument("--data", type=Path, required=True, help="any data set that `python -m convert.data` reads")
    parser.add_argument(
        "--split", choices=(*PARTS, "all"), default="test", help="the part to evaluate on; default: test"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json, report.md and the figures here")
    parser.add_argument("--samples", action="store_true", help=f"write {SHEET} too: it shows the people in the data")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="of the training; default: history.json beside the model"
    )
    parser.add_argument("--runtime", help="litert, tflite-runtime or tensorflow; default: the first installed")
    parser.add_argument("--kernels", choices=sorted(KERNELS), default="default", help="of the runtime")
    parser.add_argument("--threads", type=int, default=1, help="for the evaluation; milliseconds are of one thread")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="draws parts that the set does not name")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.samples and not args.out:
        raise UsageError("--samples writes a picture beside the report; name a folder with --out")
    if args.threads < 1:
        raise UsageError(f"--threads {args.threads} is no number of threads; give 1 or more")
    if args.out and args.out.exists() and not args.out.is_dir():  # said now and not after minutes
        raise UsageError(f"--out {args.out} is a file; name a folder")
    runtime = find_runtime(args.runtime)
    report, samples = evaluate(
        Model.open(args.model),
        args.data,
        args.split,
        seed=args.seed,
        threads=args.threads,
        runtime=runtime,
        kernels=args.kernels,
        history=args.history,
    )
    print(json.dumps(report.to_json(), indent=1) if args.json else markdown(report), end="\n" if args.json else "")
    if args.out:
        written = write(report, args.out)
        if args.samples:
            from convert.describe import write_sheet

            write_sheet(samples, args.out / SHEET, seed=args.seed)
            written.append(args.out / SHEET)
            _say(f"{args.out / SHEET} shows people's faces: keep it out of a repository and a report")
        _say("written: " + ", ".join(str(path) for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
