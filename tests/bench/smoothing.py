"""`python -m tests.bench.smoothing --data PATH`: label flips per minute and delay of a change with smoothing.

Validation faces are shown one after the other at one place, as a camera would see them: the head wanders, nods and comes
nearer, the light wavers, the sensor has noise. Detection, crops, classification and smoothing are the device's own. A label
of each frame alone stands beside the steady one of the same frame; `unsure` is left out of both, and told apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from convert.crops.synthetic_scenes import stratified_rows
from convert.data.loader import load
from device.camera.frame import Frame
from device.config import Settings
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.errors import exit_code_of
from fer_edge.events import UNSURE
from tests.bench.moving_face import draw_face, wall, wander
from tests.system.dated_result import bench_parser, bundle_facts, reported

FPS = 10
FACE_PX = 150
HOLD_S = 3.0  # each face
SETTLED_S = 1.0  # after a change, until which no flip is counted
FACES = 6  # a sequence


@dataclass(frozen=True, slots=True)
class SmoothingEffect:
    """What was measured, over `minutes` of faces. Flips are a minute of holding still; delays in s, of `changes`.

    `late_s` is how much later than a frame alone the steady label is first the new one: mean, median and 95th percentile.
    `never` counts changes that the steady label did not follow while the face was shown. `unsure` is the share of time,
    `flips_unsure` flips to and from it counted too, with the bundle's own threshold.
    """

    minutes: float
    changes: int
    flips_alone: float
    flips_steady: float
    fewer: float
    alone_s: float
    late_s: tuple[float, float, float]
    never: int
    unsure: float
    flips_unsure: float


def sequence(faces: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames uint8 (480, 640) of faces uint8 (48, 48), each shown for HOLD_S in front of a wall."""
    background, state = wall(480, 640), np.zeros(4)  # right and down in px, share of the size, degrees
    scatter = np.array([2.0, 2.0, 0.01, 0.8])
    for face in faces:
        for _ in range(round(HOLD_S * FPS)):
            state = wander(state, scatter, rng)
            centre = (320 + state[0], 240 + state[1])
            picture = draw_face(face, background, centre, FACE_PX * (1 + state[2]), state[3])
            light = 1 + rng.normal(0, 0.03)
            yield np.clip(picture * light + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@dataclass(slots=True)
class _Counted:
    holding: int = 0  # pairs of frames
    alone: int = 0  # flips
    steady: int = 0
    unsure: int = 0
    frames: int = 0
    unsure_frames: int = 0


def measure(bundle: Bundle, faces: np.ndarray, seed: int, settings: Settings) -> SmoothingEffect:
    """What steadying does on faces uint8 (N, 48, 48), FACES of them a sequence."""
    pipeline, rng, counted = Pipeline(find_detector(), bundle), np.random.default_rng(seed), _Counted()
    alone_s, late_s, never, hold = [], [], 0, round(HOLD_S * FPS)
    for first in range(0, len(faces) - FACES + 1, FACES):
        rows = _labels(pipeline, sequence(faces[first : first + FACES], rng), settings)
        holds = [rows[start : start + hold] for start in range(0, len(rows), hold)]
        for number, row in enumerate(holds):
            _count(counted, row[round(SETTLED_S * FPS) if number else 5 :])
            if not number:
                continue
            before, after = (_settled(each) for each in (holds[number - 1], row))
            if before == after:
                continue
            unsmoothed = next(n for n, (label, _, _) in enumerate(row) if label == after)
            steady = next((n for n, (_, label, _) in enumerate(row) if label == after), None)
            alone_s.append(unsmoothed / FPS)
            if steady is None:
                never += 1
            else:
                late_s.append((steady - unsmoothed) / FPS)
    minutes = counted.holding / FPS / 60
    return SmoothingEffect(
        round(minutes, 2),
        len(alone_s),
        round(counted.alone / minutes, 2),
        round(counted.steady / minutes, 2),
        round(1 - counted.steady / max(1, counted.alone), 4),
        round(float(np.mean(alone_s)), 3),
        (
            round(float(np.mean(late_s)), 3),
            round(float(np.median(late_s)), 3),
            round(float(np.quantile(late_s, 0.95)), 3),
        ),
        never,
        round(counted.unsure_frames / counted.frames, 4),
        round(counted.unsure / minutes, 2),
    )


def _labels(
    pipeline: Pipeline, frames: Iterator[np.ndarray], settings: Settings
) -> list[tuple[str | None, str | None, str | None]]:
    """The label of each frame alone, steady without `unsure`, and steady with it; None where no face was found."""
    sure = Settings(
        smooth_s=settings.smooth_s,
        min_dwell_s=settings.min_dwell_s,
        unsure_below=0.0,
        min_quality=0.0,
        detector=settings.detector,
    )
    one, two, rows = SearchState(), SearchState(), []
    for number, gray in enumerate(frames):
        frame = Frame(number, round(number * 1e9 / FPS), gray)
        (one, a), (two, b) = pipeline.process(one, frame, sure), pipeline.process(two, frame, settings)
        label_pairs = [(reading.label, reading.steady) for reading in a.readings[:1]] or [(None, None)]
        rows.append((*label_pairs[0], b.readings[0].steady if b.readings else None))
    return rows


def _count(counted: _Counted, rows: Sequence[tuple[str | None, str | None, str | None]]) -> None:
    for a, b in pairwise(rows):
        if None in (*a, *b):
            continue
        counted.holding += 1
        counted.alone += a[0] != b[0]
        counted.steady += a[1] != b[1]
        counted.unsure += a[2] != b[2]
    counted.frames += len(rows)
    counted.unsure_frames += sum(row[2] == UNSURE for row in rows)


def _settled(rows: Sequence[tuple[str | None, str | None, str | None]]) -> str | None:
    """What frames alone say mostly once a face has settled."""
    settled_labels = [row[0] for row in rows[round(SETTLED_S * FPS) :] if row[0]]
    return max(sorted(set(settled_labels)), key=settled_labels.count) if settled_labels else None


def text(result: dict[str, Any]) -> str:
    """The measurement for people."""
    s, late = result["steady"], result["steady"]["late_s"]
    return "\n".join(
        [
            f"{result['bundle']}, {result['faces']} validation faces of {FACE_PX} px, {HOLD_S:g} s each at {FPS} frames a"
            f" second, {s['minutes']:g} minutes, seed {result['seed']}; half-life {result['smooth_s']:g} s, dwell"
            f" {result['dwell_s']:g} s",
            f"flips a minute     each frame alone {s['flips_alone']:g}, steady {s['flips_steady']:g}: {s['fewer']:.1%} fewer",
            f"a change is shown  after {s['alone_s']:.2f} s by a frame alone; steady later by {late[0]:.2f} s on average,"
            f" median {late[1]:.2f}, 95th percentile {late[2]:.2f} ({s['changes']} changes, {s['never']} not followed in"
            f" {HOLD_S:g} s)",
            f"unsure             {s['unsure']:.1%} of the time; with it {s['flips_unsure']:g} flips a minute",
            f"on {result['host']}, load {result['load']:g} of {result['cores']}",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("smoothing", __doc__, with_data=True)
    parser.add_argument("--faces", type=int, default=240)
    parser.add_argument("--smooth", type=float, default=Settings().smooth_s, metavar="S")
    parser.add_argument("--dwell", type=float, default=Settings().min_dwell_s, metavar="S")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    part = load(args.data, bundle.side, classes=bundle.labels).part("validation")
    rows = stratified_rows(part.y, args.faces, args.seed)
    faces = part.x[np.random.default_rng(args.seed).permutation(rows), :, :, 0]
    settings = Settings(smooth_s=args.smooth, min_dwell_s=args.dwell)
    result = {
        **bundle_facts(bundle),
        "part": "validation",
        "faces": len(faces),
        "seed": args.seed,
        "fps": FPS,
        "smooth_s": args.smooth,
        "dwell_s": args.dwell,
        "steady": asdict(measure(bundle, faces, args.seed, settings)),
    }
    return reported("smoothing", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
