"""`python -m convert.parity BUNDLE --data PATH`: the int8 model held against its float model, class by class; a verdict."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.arguments import whole_number
from convert.bootstrap import DRAWS, SEED, difference, margin, resamples, weighted_auc
from convert.calibration import STAND_IN, StandIn
from convert.card import parity_table
from convert.confidence import Confidence, confidence
from convert.data import Samples, load, remarks
from convert.tflite import float_tflite, load_keras
from fer_edge.bundle import Bundle, sha256_of
from fer_edge.classifier import Classifier
from fer_edge.errors import BundleRefused, NotEnoughData, ParityFailed, UsageError, guarded

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Tolerances:
    """What “nothing was lost” means here. Differences are int8 minus float; `pp`: points of a percentage.

    One point of accuracy is what quantization papers allow (arXiv 2004.09602). All were written down before the first
    model was quantized but `clear_agreement`: plain agreement was found to say little on stand-in images, where a model
    calibrated on faces (same accuracy, slope 1.005) agrees with float on .953 only, for want of clear answers.
    """

    accuracy_pp: float = 1.0  # the 95 % interval of the difference may not reach below −1
    macro_auc: float = 0.005  # nor this interval below −.005
    class_recall_pp: float = 2.0  # a class fails when its whole interval lies below −2
    class_auc: float = 0.01  # or below −.01
    agreement: float = 0.97  # of the labels given to faces
    clear_agreement: float = 0.99  # of those where float's first label leads its second by more than `rms`
    slope: float = 0.02  # int8's logits over float's: within .98 to 1.02
    rms: float = 0.1  # of the logits' error, in standard deviations of float's logits


TOLERANCES = Tolerances()


@dataclass(frozen=True)
class ParityReport:
    """Float against int8. `parts` is empty without data; `logits` then speaks of stand-in images."""

    verdict: str  # "pass", "fail", or "pass on logits; accuracy not judged"
    failures: list[str]
    logits: dict[str, Any]  # images, n, agreement, slope, rms
    parts: dict[str, dict[str, Any]]
    labels: list[str]
    runtime: str
    tolerances: Tolerances = field(default_factory=Tolerances)
    bootstrap: dict[str, int] = field(default_factory=lambda: {"draws": DRAWS, "seed": SEED})
    not_measured: list[str] = field(default_factory=list)
    confidence: Confidence | None = None  # of int8's probabilities, where there is a validation part

    @property
    def passed(self) -> bool:
        """Whether everything that could be judged is within its tolerance."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, for parity.json."""
        return asdict(self)


def on_data(
    float_model: Classifier,
    int8_model: Classifier,
    samples: Samples,
    labels: tuple[str, ...],
    t: Tolerances = TOLERANCES,
) -> ParityReport:
    """The report on the validation and the test part, each alone and both together.

    Raises NotEnoughData when both parts together have fewer than 100 images.
    """
    held = [part for part in PARTS if len(samples.part(part).y)]
    total = sum(len(samples.part(part).y) for part in held)
    if total < 100:
        raise NotEnoughData(
            f"the validation and test parts hold {total} images; parity needs at least 100, without --data it judges logits"
        )
    ours, theirs, truth, where = [], [], [], []
    for part in held:
        rows = samples.part(part)
        ours.append(_logits(int8_model, rows.x[..., 0], f"int8, {part}"))
        theirs.append(_logits(float_model, rows.x[..., 0], f"float, {part}"))
        truth.append(rows.y)
        where += [part] * len(rows.y)
    q, f, y, part_of = np.concatenate(ours), np.concatenate(theirs), np.concatenate(truth), np.array(where)
    parts = {part: compare(f[part_of == part], q[part_of == part], y[part_of == part], labels) for part in held}
    together = compare(f, q, y, labels)
    parts["together"] = together
    logits = {"images": " and ".join(held), **_logit_error(f, q, t.rms)}
    failures = _judge_logits(logits, t) + _judge(together, t)
    if logits["agreement"] < t.agreement:
        failures.append(f"the labels agree on {logits['agreement']:.4f} of the images, under {t.agreement}")
    sure = confidence({p: q[part_of == p] for p in held}, {p: y[part_of == p] for p in held})
    verdict = "fail" if failures else "pass"
    return ParityReport(verdict, failures, logits, parts, list(labels), int8_model.runtime.id, t, confidence=sure)


def without_data(
    float_model: Classifier,
    int8_model: Classifier,
    images: np.ndarray,
    labels: tuple[str, ...],
    t: Tolerances = TOLERANCES,
) -> ParityReport:
    """The report on stand-in images uint8 (N, side, side): labels and logits of both models, and no word on accuracy."""
    f, q = _logits(float_model, images, "float"), _logits(int8_model, images, "int8")
    logits = {"images": "stand-in images that were not calibrated on", **_logit_error(f, q, t.rms)}
    failures = _judge_logits(logits, t)
    verdict = "fail" if failures else "pass on logits; accuracy not judged"
    silent = ["accuracy", "AUC", "any figure per class", "agreement on faces"]
    return ParityReport(verdict, failures, logits, {}, list(labels), int8_model.runtime.id, t, not_measured=silent)


def compare(f: np.ndarray, q: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy and AUC of float logits `f` and int8 logits `q` (N, K) on labels `y` (N,), overall and per class."""
    weights = resamples(len(y))
    hit_f, hit_q = (f.argmax(1) == y).astype(np.float32), (q.argmax(1) == y).astype(np.float32)
    classes: dict[str, Any] = {}
    auc_f, auc_q, draws_f, draws_q = [], [], [], []
    for k, label in enumerate(labels):
        mine = y == k
        if not mine.any() or mine.all():
            classes[label] = {"n": int(mine.sum()), "recall": None, "auc": None}
            continue
        a_f, d_f = weighted_auc(margin(f, k), mine, weights)
        a_q, d_q = weighted_auc(margin(q, k), mine, weights)
        auc_f.append(a_f)
        auc_q.append(a_q)
        draws_f.append(d_f)
        draws_q.append(d_q)
        share = weights[:, mine].sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            lost = (weights[:, mine] @ (hit_q - hit_f)[mine]) / share
        classes[label] = {
            "n": int(mine.sum()),
            "recall": difference(int(mine.sum()), hit_f[mine].mean(), hit_q[mine].mean(), lost),
            "auc": difference(int(mine.sum()), a_f, a_q, d_q - d_f),
        }
    changed = (weights @ (hit_q - hit_f)) / len(y)
    macro = np.mean(draws_q, 0) - np.mean(draws_f, 0) if draws_f else np.array([])
    return {
        "n": len(y),
        "accuracy": difference(len(y), hit_f.mean(), hit_q.mean(), changed),
        "macro_auc": difference(len(y), np.mean(auc_f), np.mean(auc_q), macro) if auc_f else None,
        "agreement": float(np.mean(f.argmax(1) == q.argmax(1))),
        "only_float_right": int(np.sum((hit_f == 1) & (hit_q == 0))),
        "only_int8_right": int(np.sum((hit_f == 0) & (hit_q == 1))),
        "classes": classes,
    }


def _logit_error(f: np.ndarray, q: np.ndarray, clear: float) -> dict[str, Any]:
    """n, agreement of the labels, slope of int8's logits on float's, and RMS error over the spread of float's.

    Logits are centred per image first: softmax does not see what is common to all of them. `clear_agreement` counts only
    images where float's first label leads its second by more than `clear` spreads: stand-in images lie nearer to the borders
    between labels than faces do, and there a label says little.
    """
    a, b = f - f.mean(1, keepdims=True), q - q.mean(1, keepdims=True)
    spread = float(a.std())
    same = f.argmax(1) == q.argmax(1)
    best = np.sort(f, axis=1)
    led = best[:, -1] - best[:, -2] > clear * spread
    return {
        "n": len(f),
        "agreement": float(np.mean(same)),
        "clear_n": int(led.sum()),
        "clear_agreement": float(np.mean(same[led])) if led.any() else None,
        "slope": float((a * b).sum() / (a * a).sum()),
        "rms": float(np.sqrt(np.mean((a - b) ** 2)) / spread),
        "rms_logits": float(np.sqrt(np.mean((a - b) ** 2))),
        "spread_logits": spread,
    }


def _judge_logits(logits: dict[str, Any], t: Tolerances) -> list[str]:
    failures = []
    if logits["clear_agreement"] is not None and logits["clear_agreement"] < t.clear_agreement:
        failures.append(
            f"where float is clear the labels agree on {logits['clear_agreement']:.4f}, under {t.clear_agreement}"
        )
    if abs(logits["slope"] - 1) > t.slope:
        failures.append(f"the logits' slope is {logits['slope']:.4f}, outside 1 ± {t.slope}")
    if logits["rms"] > t.rms:
        failures.append(f"the logits' RMS error is {logits['rms']:.4f} of their spread, over {t.rms}")
    return failures


def _judge(part: dict[str, Any], t: Tolerances) -> list[str]:
    failures = []
    accuracy, auc = part["accuracy"], part["macro_auc"]
    if accuracy["low"] * 100 < -t.accuracy_pp:
        failures.append(f"accuracy may fall by {-accuracy['low'] * 100:.2f} points, over {t.accuracy_pp}")
    if auc and auc["low"] < -t.macro_auc:
        failures.append(f"macro AUC may fall by {-auc['low']:.4f}, over {t.macro_auc}")
    for label, row in part["classes"].items():
        if row["recall"] and row["recall"]["high"] is not None and row["recall"]["high"] * 100 < -t.class_recall_pp:
            failures.append(f"the recall of {label} falls by more than {t.class_recall_pp} points")
        if row["auc"] and row["auc"]["high"] is not None and row["auc"]["high"] < -t.class_auc:
            failures.append(f"the AUC of {label} falls by more than {t.class_auc}")
    return failures


def _logits(model: Classifier, x: np.ndarray, what: str) -> np.ndarray:
    from tqdm import tqdm

    chunks = np.array_split(x, max(1, len(x) // 64))
    bar = tqdm(chunks, desc=what, unit="×64", leave=False, disable=not sys.stderr.isatty())
    return np.concatenate([model.logits(chunk) for chunk in bar])


def float_classifier(keras_file: Path, threads: int = 1) -> Classifier:
    """The float model in a .keras file, on the interpreter the int8 one runs on."""
    return Classifier(float_tflite(load_keras(keras_file)), threads=threads)


def check(bundle: Bundle, data: Path | None, threads: int = 1) -> ParityReport:
    """The parity report of a bundle that holds its float model. Raises UsageError when it does not."""
    source = bundle.path / "float.keras"
    if source.is_file() and sha256_of(source) != bundle.spec["provenance"]["float_sha256"]:
        raise BundleRefused(f"{source} is not the float model this bundle was made from (its hash differs)")
    if not source.is_file():
        raise UsageError(
            f"{source} is missing: parity needs the float model; take the bundle as `convert.quantize` wrote it"
        )
    float_model, int8_model = float_classifier(source, threads), Classifier(bundle.model, threads=threads)
    if data is not None:
        samples = load(data, bundle.side, classes=bundle.labels)
        for remark in remarks(samples):
            print(remark, file=sys.stderr)
        return on_data(float_model, int8_model, samples, bundle.labels)
    if not (bundle.path / STAND_IN).is_file():
        raise NotEnoughData(
            f"{bundle.path} holds no {STAND_IN}, and no --data was given: there is nothing to compare on"
        )
    return without_data(float_model, int8_model, StandIn.load(bundle.path / STAND_IN, source).check, bundle.labels)


def main(argv: list[str] | None = None) -> int:
    """Prints the report; 0 when everything judged is within tolerance, 3 when not, 6 when there is nothing to judge on."""
    parser = argparse.ArgumentParser(prog="python -m convert.parity", description=__doc__)
    parser.add_argument(
        "bundle", type=Path, nargs="?", help="a bundle's folder; default: the one that came with the package"
    )
    parser.add_argument("--data", type=Path, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=whole_number(1), default=1)
    args = parser.parse_args(argv)

    def run() -> int:
        report = check(Bundle.load(args.bundle), args.data, args.threads)
        print(json.dumps(report.to_json(), indent=1) if args.json else parity_table(report.to_json()))
        if not report.passed:
            raise ParityFailed("; ".join(report.failures))
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
