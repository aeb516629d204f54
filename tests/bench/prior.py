"""`python -m tests.bench.prior --data PATH`: accuracy before and after a device estimates its own prior, without labels.

Validation images are drawn with replacement so that most are neutral, as people in a room are. The estimate is made from one
half of the images by the device's code, and judged on the other half.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convert.argument_types import add_votes_argument
from convert.data.loader import load
from convert.data.samples import Samples
from device.vision.prior import PriorEstimate, prior_by_label, update_prior
from fer_edge.bundle import Bundle
from fer_edge.classifier import softmax
from fer_edge.errors import exit_code_of
from fer_edge.label_priors import training_prior
from tests.system.dated_result import bench_parser, bundle_facts, reported

JUDGED = 2000  # images of a stream on which the accuracy is measured
STREAMS = 20


@dataclass(frozen=True, slots=True)
class PriorEffect:
    """Means over streams, and the 2.5th and 97.5th percentile of the streams' differences (after less before).

    `share` of the `readings` of each stream are of the label `label`; `estimated` is its mean estimated share.
    """

    label: str
    share: float
    streams: int
    readings: int
    training: str  # "counts", or "uniform" where the counts are not known
    estimated: float
    accuracy: tuple[float, float]  # before, after
    accuracy_change: tuple[float, float]
    balanced_accuracy: tuple[float, float]
    balanced_accuracy_change: tuple[float, float]


def measure(
    logits: np.ndarray,
    y: np.ndarray,
    training: np.ndarray | None,
    labels: tuple[str, ...],
    label: str = "neutral",
    share: float = 0.8,
    readings: int = 600,
    streams: int = STREAMS,
    seed: int = 0,
) -> PriorEffect:
    """The effect on streams drawn from images with logits (N, K) over the temperature, and labels int (N,).

    `training` are the shares of the classes in training, (K,); None: not known, and assumed equal.
    """
    rng, k = np.random.default_rng(seed), labels.index(label)
    probs, rows = softmax(logits), []
    assumed = np.full(len(labels), 1 / len(labels)) if training is None else training
    for _ in range(streams):
        halves = np.array_split(rng.permutation(len(y)), 2)
        seen, judged = (_draw(rng, half, y, k, share, n) for half, n in zip(halves, (readings, JUDGED), strict=True))
        estimate = PriorEstimate.start(assumed)
        for number, row in enumerate(seen):
            estimate = update_prior(estimate, probs[row][None], (number + 1) * 1_000_000_000)
        shift = estimate.logit_shift
        before, after = probs[judged], softmax(logits[judged] + (0.0 if shift is None else shift))
        rows.append(
            [prior_by_label(labels, estimate.prior)[label], *_scores(before, y[judged]), *_scores(after, y[judged])]
        )
    means, table = np.mean(rows, 0).round(4).tolist(), np.array(rows)
    spans = [np.quantile(table[:, i + 2] - table[:, i], (0.025, 0.975)).round(4).tolist() for i in (1, 2)]
    return PriorEffect(
        label,
        share,
        streams,
        readings,
        "uniform" if training is None else "counts",
        means[0],
        (means[1], means[3]),
        (spans[0][0], spans[0][1]),
        (means[2], means[4]),
        (spans[1][0], spans[1][1]),
    )


def _draw(rng: np.random.Generator, rows: np.ndarray, y: np.ndarray, k: int, share: float, n: int) -> np.ndarray:
    """`n` of the rows with replacement, a share of them of class k, int (n,)."""
    of_class, others = rows[y[rows] == k], rows[y[rows] != k]
    return np.where(rng.random(n) < share, rng.choice(of_class, n), rng.choice(others, n))


def _scores(probs: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Accuracy and balanced accuracy of probabilities (N, K)."""
    hits = probs.argmax(1) == y
    return float(hits.mean()), float(np.mean([hits[y == k].mean() for k in np.unique(y)]))


def measure_bundle(bundle: Bundle, samples: Samples, known: bool, **options: Any) -> PriorEffect:
    """The effect on a bundle, on the samples' validation part.

    With `known` the training shares are the bundle's own, or those of the samples' training part where it has none; without,
    they are not known.
    """
    part = samples.part("validation")
    logits = bundle.classifier.logits(part.x[..., 0]) / bundle.temperature
    counts = np.array(list(samples.class_counts("train").values()), np.float64)
    training = training_prior(bundle.spec) if bundle.spec.provenance.train_counts else counts / counts.sum()
    return measure(logits, part.y, training if known else None, bundle.labels, **options)


def text(result: dict[str, Any]) -> str:
    """The measurement for people."""
    by = f", labels by the {result['labels_from']}" if result["labels_from"] else ""
    lines = [f"{result['bundle']}, validation images, seed {result['seed']}{by}"]
    for row in result["rows"]:
        (a, b), (c, d) = row["accuracy"], row["balanced_accuracy"]
        (e, f), (g, h) = row["accuracy_change"], row["balanced_accuracy_change"]
        lines += [
            f"{row['share']:.0%} {row['label']}, {row['streams']} streams of {row['readings']} readings, training shares from"
            f" {row['training']}: estimated {row['estimated']:.1%}",
            f"  accuracy           {a:.1%} → {b:.1%} (95 % of the streams: {e * 100:+.1f} to {f * 100:+.1f} points)",
            f"  balanced accuracy  {c:.1%} → {d:.1%} (95 % of the streams: {g * 100:+.1f} to {h * 100:+.1f} points)",
        ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("prior", __doc__, with_data=True)
    parser.add_argument("--label", default="neutral", help="the frequent label; default: neutral")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.8], help="its shares; default: 0.8")
    parser.add_argument("--readings", type=int, default=600, help="readings of a stream; default: 600")
    parser.add_argument("--streams", type=int, default=STREAMS)
    add_votes_argument(parser)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    samples = load(args.data, bundle.side, classes=bundle.labels, votes=args.votes)
    options = {"label": args.label, "readings": args.readings, "streams": args.streams, "seed": args.seed}
    rows = [
        asdict(measure_bundle(bundle, samples, known, share=share, **options))
        for share in args.shares
        for known in (True, False)
    ]
    result = {
        **bundle_facts(bundle),
        "part": "validation",
        "labels_from": samples.labels_from,
        "seed": args.seed,
        "rows": rows,
    }
    return reported("prior", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
