"""`python -m tests.bench.steadiness --data PATH`: the share of time that is unsure, and flips a minute, on clips of a face.

Each clip shows a validation face of 120 px in 640×480, as a webcam would: the head moves, nods and tilts, the light changes,
focus and motion blur it, the sensor has noise. Detection, crops, classification and smoothing are the device's own. Intervals
are of a bootstrap over clips.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from convert.argument_types import add_votes_argument
from convert.crops.synthetic_scenes import SCENE, stratified_rows
from convert.data.loader import load
from convert.data.samples import Samples
from convert.evaluate.bootstrap import interval, resamples
from convert.evaluate.confidence_calibration import probabilities
from convert.evaluate.label_thresholds import calibrate_labels
from device.camera.frame import Frame
from device.config import Settings
from device.vision.pipeline import Pipeline
from device.vision.readings import Reading
from device.vision.search import SearchState
from device.vision.smoothing import LabelSpace, SmoothingRules, smooth
from fer_edge.bundle import Bundle
from fer_edge.certainty import thresholds_by_label
from fer_edge.detection.registry import find_detector
from fer_edge.errors import exit_code_of
from fer_edge.events import UNSURE
from fer_edge.quality import Quality
from fer_edge.thresholds import StatedPrior
from tests.bench.moving_face import draw_face, wall, wander
from tests.system.dated_result import bench_parser, bundle_facts, reported

FPS = 10
FACE_PX = 120
CLIP_S = 4.0
AIM = 0.35  # share of time unsure, at most
_BLUR_PX = 1.0  # standard deviation of the blur of the focus, on average


@dataclass(frozen=True, slots=True)
class ClipCounts:
    """One clip: frames with a reading and without, unsure ones by reason, flips of the smoothed label, and right frames."""

    read: int
    not_read: int
    unsure: Counter[str]
    flips: int
    flips_alone: int  # of the label of each frame alone
    reported_right: int


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The result of `clips`. Shares are 0–1, some with 95 % intervals; `right` is of the frames with a label."""

    clips: int
    minutes: float
    found: float
    unsure: tuple[float, float | None, float | None]
    unsure_by_reason: dict[str, float]
    flips_a_minute: tuple[float, float | None, float | None]
    flips_alone: float
    right: tuple[float, float | None, float | None]


def clip(face: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames uint8 SCENE of a face uint8 (48, 48): CLIP_S seconds in front of a wall."""
    height, width = SCENE
    background = wall(height, width)
    noise = rng.normal(0, 4, (height, 2 * width)).astype(np.float32)
    # right and down in px, share of the size, degrees, light, blur in px: each wanders and is pulled back
    state, before = np.zeros(6), np.zeros(2)
    scatter = np.array([4.0, 3.0, 0.015, 1.5, 0.06, 0.25])
    middle = np.array([rng.uniform(0.35, 0.65) * width, rng.uniform(0.4, 0.6) * height])
    for _ in range(round(CLIP_S * FPS)):
        state = wander(state, scatter, rng)
        # a shutter that is open for a tenth of the time between frames
        blur_px = max(0.3, _BLUR_PX + state[5] + 0.1 * np.hypot(*(state[:2] - before)))
        before = state[:2]
        size_px = FACE_PX * (1 + state[2])
        picture = draw_face(face, background, np.round(middle + state[:2]), size_px, state[3], blur_px)
        start = int(rng.integers(width))
        yield np.clip(picture * np.float32(np.exp(state[4])) + noise[:, start : start + width], 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class ClipReadings:
    """The readings of a clip whose face shows `label`, and the number of its frames."""

    label: str
    frames: int
    readings: tuple[Reading, ...]


def read_clip(pipeline: Pipeline, frames: Iterator[np.ndarray], label: str) -> ClipReadings:
    """The readings of the largest face of a clip."""
    state, found, total = SearchState(), [], 0
    for number, gray in enumerate(frames):
        total += 1
        state, result = pipeline.process(state, Frame(number, round((number + 1) * 1e9 / FPS), gray), Settings())
        found += result.readings[:1]
    return ClipReadings(label, total, tuple(found))


def count_clip(clip: ClipReadings, bundle: Bundle, thresholds: tuple[float, ...], settings: Settings) -> ClipCounts:
    """What the smoothing makes of a clip's readings with these thresholds of `thresholds_by_label`."""
    rules = SmoothingRules(settings.smooth_s, settings.min_dwell_s, thresholds, settings.min_quality)
    space, smoothed, steady = LabelSpace(bundle.labels, bundle.temperature), None, []
    unsure = Counter[str]()
    for reading in clip.readings:
        # logits but for a number that is common to all classes, which softmax does not see
        logits = (np.log(reading.probs.clip(1e-9)) * bundle.temperature).astype(np.float32)
        quality = Quality(1.0 if reading.quality is None else reading.quality, "quality")
        smoothed = smooth(smoothed, logits, quality, reading.mono_ns, space, rules)
        steady.append(smoothed.label)
        unsure.update([smoothed.why] if smoothed.label == UNSURE else [])
    return ClipCounts(
        read=len(steady),
        not_read=clip.frames - len(steady),
        unsure=unsure,
        flips=sum(a != b for a, b in pairwise(steady)),
        flips_alone=sum(a.label != b.label for a, b in pairwise(clip.readings)),
        reported_right=sum(one == clip.label for one in steady),
    )


def steadiness(counts: Sequence[ClipCounts], seed: int) -> Steadiness:
    """The result of clips, of which at least one has a reading."""
    read = np.array([one.read for one in counts], np.float32)
    unsure = np.array([one.unsure.total() for one in counts], np.float32)
    flips = np.array([one.flips for one in counts], np.float32)
    right = np.array([one.reported_right for one in counts], np.float32)
    drawn = resamples(len(counts), seed=seed)

    def ratio(top: np.ndarray, bottom: np.ndarray, factor: float = 1.0) -> tuple[float, float | None, float | None]:
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = interval(factor * (drawn @ top) / (drawn @ bottom))
            value = float(factor * top.sum() / bottom.sum())
        return round(value, 4), None if low is None else round(low, 4), None if high is None else round(high, 4)

    reasons = sum((one.unsure for one in counts), Counter[str]())
    return Steadiness(
        clips=len(counts),
        minutes=round(float(read.sum()) / FPS / 60, 2),
        found=round(float(read.sum()) / sum(one.read + one.not_read for one in counts), 4),
        unsure=ratio(unsure, read),
        unsure_by_reason={why: round(n / float(read.sum()), 4) for why, n in sorted(reasons.items())},
        flips_a_minute=ratio(flips, read, 60 * FPS),
        flips_alone=round(sum(one.flips_alone for one in counts) / float(read.sum()) * 60 * FPS, 2),
        right=ratio(right, read - unsure),
    )


def read_clips(
    bundle: Bundle, part: Samples, clips: int, seed: int, prior: StatedPrior | None = None
) -> list[ClipReadings]:
    """The readings of `clips` faces of a part, drawn with the classes' own shares, or with those of `prior`."""
    rng = np.random.default_rng(seed)
    if prior is None:
        rows = stratified_rows(part.y, clips, seed)
    else:
        is_label = part.y == bundle.labels.index(prior.label)
        wanted = round(prior.share * clips)
        others = np.flatnonzero(~is_label)
        chosen = rng.choice(np.flatnonzero(is_label), wanted, replace=False)
        rows = np.concatenate([chosen, others[stratified_rows(part.y[others], clips - wanted, seed)]])
    pipeline = Pipeline(find_detector(), bundle)
    return [read_clip(pipeline, clip(part.x[row, :, :, 0], rng), bundle.labels[int(part.y[row])]) for row in rows]


def measure(clips: Sequence[ClipReadings], bundle: Bundle, seed: int, settings: Settings | None = None) -> Steadiness:
    """The steadiness of clips that were read, with the thresholds of `bundle` and of these settings."""
    settings = settings or Settings()
    thresholds = thresholds_by_label(bundle.spec, settings.unsure_below)
    return steadiness([count_clip(one, bundle, thresholds, settings) for one in clips], seed)


def with_label_thresholds(bundle: Bundle, part: Samples, prior: StatedPrior | None) -> Bundle:
    """The bundle with a threshold for each label, fitted on a part; unchanged when it has them already."""
    spec = bundle.spec
    if spec.thresholds.labels is not None:
        return bundle
    p = probabilities(bundle.classifier.logits(part.x[..., 0]) / bundle.temperature)
    fitted = calibrate_labels({"validation": p}, {"validation": part.y}, bundle.labels, prior).thresholds
    return replace(bundle, spec=replace(spec, thresholds=spec.thresholds._replace(labels=fitted)))


def with_single_threshold(bundle: Bundle) -> Bundle:
    """The bundle without thresholds of labels."""
    return replace(bundle, spec=replace(bundle.spec, thresholds=bundle.spec.thresholds._replace(labels=None)))


def text(result: dict[str, Any]) -> str:
    """The measurement for people."""
    by = f", labels by the {result['labels_from']}" if result["labels_from"] else ""
    lines = [
        f"{result['bundle']}, validation faces of {FACE_PX} px in {SCENE[1]}×{SCENE[0]}, {CLIP_S:g} s each at {FPS} frames a"
        f" second, seed {result['seed']}{by}; aim: unsure {AIM:.0%} of the time or less"
    ]
    for row in result["rows"]:
        (a, b, c), (d, e, f), (g, h, i) = row["unsure"], row["flips_a_minute"], row["right"]
        reasons = ", ".join(f"{why} {share:.1%}" for why, share in row["unsure_by_reason"].items())
        lines += [
            f"{row['faces']}, {row['thresholds']}: {row['clips']} clips, {row['minutes']:g} minutes, found {row['found']:.1%}",
            f"  unsure          {a:.1%} ({b:.1%} to {c:.1%}) of the time: {reasons or 'none'}",
            f"  flips a minute  {d:.1f} ({e:.1f} to {f:.1f}); each frame alone {row['flips_alone']:.1f}",
            f"  right           {g:.1%} ({h:.1%} to {i:.1%}) of the time with a label",
        ]
    return "\n".join([*lines, f"on {result['host']}, load {result['load']:g} of {result['cores']}"])


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("steadiness", __doc__, with_data=True)
    parser.add_argument("--clips", type=int, default=60, help="clips of each kind; default: 60")
    parser.add_argument(
        "--neutral", type=float, default=0.7, metavar="SHARE", help="of the clips of a room; default: 0.7"
    )
    add_votes_argument(parser)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    samples = load(args.data, bundle.side, classes=bundle.labels, votes=args.votes)
    part = samples.part("validation")
    prior = StatedPrior("neutral", args.neutral)
    rows = []
    for faces, drawn in (("the data's classes", None), (f"{args.neutral:.0%} neutral", prior)):
        clips = read_clips(bundle, part, args.clips, args.seed, drawn)
        for thresholds, own in (
            ("one threshold", with_single_threshold(bundle)),
            ("a threshold for each label", with_label_thresholds(bundle, part, prior)),
        ):
            result = measure(clips, own, args.seed)
            rows.append({"faces": faces, "thresholds": thresholds, **asdict(result)})
    whole = {
        **bundle_facts(bundle),
        "part": "validation",
        "labels_from": samples.labels_from,
        "seed": args.seed,
        "rows": rows,
    }
    return reported("steadiness", whole, text, args)


if __name__ == "__main__":
    sys.exit(main())
