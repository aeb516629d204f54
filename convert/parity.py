"""`python -m convert.parity BUNDLE --data PATH`: the int8 model held against its float model, class by class; a verdict.

One column for each runtime and kernel path (convert.columns); the verdict is that of the worst.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.arguments import whole_number
from convert.calibration import STAND_IN, StandIn
from convert.card import card, parity_table
from convert.columns import SETS, Column, column, logits_of
from convert.confidence import Confidence, confidence
from convert.data import Samples, load
from convert.judgement import FAIL, OPEN, Judged, on_faces, on_stand_ins, worst
from convert.margins import Margins
from convert.scores import curves
from convert.statistics import DRAWS, SEED
from convert.tflite import float_tflite, load_keras
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier
from fer_edge.errors import NotEnoughData, ParityFailed, UsageError, guarded

PARTS = ("validation", "test")
FEWEST = 100  # held-out images below which accuracy is not looked at


@dataclass(frozen=True)
class ParityReport:
    """Float against int8. What stands above `columns` is of the worst of them, named in `runtime`.

    `verdict`: "pass", "fail", "not enough data" (nothing failed, yet accuracy or AUC cannot be shown to be within the
    margins), or "pass on logits; accuracy not judged" without data; `parts` is empty then and `logits` speaks of stand-in
    images.
    """

    verdict: str
    failures: list[str]
    undecided: list[str]
    runtime: str
    logits: dict[str, Any]  # images, n, agreement, slope, rms
    parts: dict[str, dict[str, Any]]  # validation, test, together
    columns: dict[str, dict[str, Any]]  # by name: verdict, failures, undecided, logits, together
    labels: list[str]
    margins: Margins
    bootstrap: dict[str, int] = field(default_factory=lambda: {"draws": DRAWS, "seed": SEED})
    not_measured: list[str] = field(default_factory=list)
    confidence: Confidence | None = None  # of the first column's probabilities, where there is a validation part
    drawn: dict[str, Any] | None = None  # ROC curves and confusion counts of float and int8, both parts together

    @property
    def passed(self) -> bool:
        """Whether nothing that could be judged lies outside its margin."""
        return self.verdict != FAIL

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, for parity.json."""
        return asdict(self)

    def runtimes(self) -> list[dict[str, Any]]:
        """What bundle.json claims: each column by its parts, its verdict, and the agreement of its labels with float's."""
        return [
            {**told["ran_on"], "verdict": told["verdict"], "agreement": told["logits"]["agreement"]}
            for told in self.columns.values()
        ]

    def answer_for(self) -> None:
        """Raises ParityFailed with what failed, NotEnoughData with what could not be decided, and nothing else."""
        if self.verdict == FAIL:
            raise ParityFailed(f"{'; '.join(self.failures)} ({self.runtime})")
        if self.verdict == OPEN:
            n = self.parts["together"]["n"]
            open_ones = ", ".join(name for name in self.undecided if name in ("accuracy", "macro AUC"))
            raise NotEnoughData(
                f"nothing failed, but {n} images cannot show {open_ones} to be within the margins; give more held-out images"
            )


def on_data(
    float_model: Classifier,
    int8: Classifier | Iterable[Column],
    samples: Samples,
    labels: tuple[str, ...],
    margins: Margins | None = None,
) -> ParityReport:
    """The report on the validation and the test part, each alone and both together.

    `int8` is a classifier, or columns over `held_out(samples)`, of which the first is the one that the device runs.
    Raises NotEnoughData when both parts together have fewer than FEWEST images.
    """
    m = margins or Margins.load()
    images, y, part = held_out(samples)
    if len(y) < FEWEST:
        raise NotEnoughData(
            f"the validation and test parts hold {len(y)} images; parity needs at least {FEWEST}, "
            "without --data it judges logits"
        )
    f = logits_of(float_model, images, "float")
    columns = [column(int8, images)] if isinstance(int8, Classifier) else list(int8)
    judged = {c.name: on_faces(f, c.logits, y, part, labels, m) for c in columns}
    q = columns[0].logits
    sure = confidence({p: q[part == p] for p in PARTS if p in part}, {p: y[part == p] for p in PARTS if p in part})
    by_name = {c.name: c.logits for c in columns}
    drawn = _drawn(f, by_name[worst(judged)], y, labels)
    return _report(columns, judged, labels, m, confidence=sure, drawn=drawn)


def without_data(
    float_model: Classifier,
    int8: Classifier | Iterable[Column],
    images: np.ndarray,
    labels: tuple[str, ...],
    margins: Margins | None = None,
) -> ParityReport:
    """The report on stand-in images uint8 (N, side, side): labels and logits of both models, and no word on accuracy."""
    m = margins or Margins.load()
    f = logits_of(float_model, images, "float")
    columns = [column(int8, images)] if isinstance(int8, Classifier) else list(int8)
    judged = {c.name: on_stand_ins(f, c.logits, m) for c in columns}
    silent = ["accuracy", "AUC", "any figure per class", "agreement on faces"]
    return _report(columns, judged, labels, m, not_measured=silent)


def held_out(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The images parity is judged on: uint8 (N, side, side), labels int64 (N,), and the part of each, validation first."""
    rows = [samples.part(part) for part in PARTS]
    part = np.repeat(PARTS, [len(r.y) for r in rows])
    return np.concatenate([r.x[..., 0] for r in rows]), np.concatenate([r.y for r in rows]), part


def _drawn(f: np.ndarray, q: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """What a page draws of both: ROC curves on common steps, four decimals, and confusion counts, a row a true class."""
    told: dict[str, Any] = {"fpr": [], "roc": {}, "confusion": {}}
    for name, logits in (("float", f), ("int8", q)):
        found = curves(logits, y, labels)
        told["fpr"] = [round(v, 4) for v in found.fpr]
        told["roc"][name] = {label: [round(v, 4) for v in tpr] for label, tpr in found.tpr.items()}
        counts = np.zeros((len(labels), len(labels)), int)
        np.add.at(counts, (y, logits.argmax(1)), 1)
        told["confusion"][name] = counts.tolist()
    return told


def _report(
    columns: Sequence[Column], judged: dict[str, Judged], labels: tuple[str, ...], m: Margins, **more: Any
) -> ParityReport:
    name = worst(judged)
    told: dict[str, dict[str, Any]] = {}
    for c in columns:
        j = judged[c.name]
        ran_on = {"runtime": c.runtime, "version": c.version, "kernels": c.kernels, "machine": c.machine}
        told[c.name] = {
            "ran_on": ran_on,
            "verdict": j.verdict,
            "failures": j.failures,
            "undecided": j.undecided,
            "logits": j.logits,
            "together": j.parts.get("together"),
        }
    w = judged[name]
    return ParityReport(w.verdict, w.failures, w.undecided, name, w.logits, w.parts, told, list(labels), m, **more)


def float_classifier(keras_file: Path, threads: int = 1) -> Classifier:
    """The float model in a .keras file, on the interpreter the int8 one runs on."""
    return Classifier(float_tflite(load_keras(keras_file)), threads=threads)


def check(
    bundle: Bundle,
    data: Path | None,
    threads: int = 1,
    columns: str = "usual",
    answers: Sequence[Path] = (),
    margins: Margins | None = None,
) -> ParityReport:
    """The parity report of a bundle that holds its float model. Raises UsageError when it does not."""
    # here, not above: they read this module for their own reports
    from convert.floats import Float
    from convert.terms import Terms

    terms = Terms(data, columns=columns, margins=margins, threads=threads, answers=tuple(answers))
    float_model = Float.of_bundle(bundle, threads)
    samples = terms.samples(bundle.side, bundle.labels)
    beside = bundle.path / STAND_IN
    if samples is None and not beside.is_file():
        raise NotEnoughData(
            f"{bundle.path} holds no {STAND_IN}, and no --data was given: there is nothing to compare on"
        )
    stand_in = StandIn.load(beside, float_model.file) if samples is None else None
    model = bundle.make_classifier(threads=threads)
    return terms.compare(float_model, model, bundle.model.read_bytes(), samples, stand_in, bundle.labels)


def main(argv: list[str] | None = None) -> int:
    """Prints the report; 0 when all is within the margins, 3 when not, 6 when there are too few images to tell."""
    parser = argparse.ArgumentParser(prog="python -m convert.parity", description=__doc__)
    parser.add_argument(
        "bundle", type=Path, nargs="?", help="a bundle's folder; default: the one that came with the package"
    )
    parser.add_argument("--data", type=Path, help="any data set that `python -m convert.data` reads")
    parser.add_argument(
        "--columns", choices=sorted(SETS), default="usual", help="which runtimes and kernels of this host"
    )
    parser.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="more columns, of `python -m fer_edge.answers`",
    )
    parser.add_argument("--margins", type=Path, metavar="TOML", help="other margins than convert/margins.toml")
    parser.add_argument(
        "--images", type=Path, metavar="NPY", help="only write the held-out images, for `python -m fer_edge.answers`"
    )
    parser.add_argument("--write", action="store_true", help="put the report into the bundle, unless it failed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=whole_number(1), default=1)
    args = parser.parse_args(argv)

    def run() -> int:
        bundle = Bundle.load(args.bundle)
        if args.images:
            return _write_images(bundle, args.data, args.images)
        report = check(bundle, args.data, args.threads, args.columns, args.answers, Margins.load(args.margins))
        if args.write and report.passed:
            record(bundle, report)
        print(json.dumps(report.to_json(), indent=1) if args.json else parity_table(report.to_json()))
        report.answer_for()
        return 0

    return guarded(run)


def record(bundle: Bundle, report: ParityReport) -> None:
    """Puts a report into a bundle, in the place of the one it has: parity.json, its card and the runtimes it claims."""
    from convert.rewritten import rewritten

    told, history = report.to_json(), bundle.path / "history.json"
    with rewritten(bundle.path) as (fresh, spec):
        spec["runtimes"] = report.runtimes()
        (fresh / "parity.json").write_text(json.dumps(told, indent=1) + "\n")
        run = json.loads(history.read_text()) if history.is_file() else None
        (fresh / "CARD.md").write_text(card(spec, told, run))


def _write_images(bundle: Bundle, data: Path | None, path: Path) -> int:
    if data is None:
        raise UsageError("--images needs --data, whose held-out images it writes")
    images, _, _ = held_out(load(data, bundle.side, classes=bundle.labels))
    beside = path.with_name(f".{path.stem}.partial.npy")
    np.save(beside, images)
    beside.replace(path)
    print(f"{path}: {len(images):,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
