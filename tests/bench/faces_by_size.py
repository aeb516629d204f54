"""`python -m tests.bench.faces_by_size --data PATH`: share of faces that `fer-edge run` reads and its accuracy, by face size.

Validation faces in scenes, each shown for half a second in a video, which the command itself plays, with its
defaults. Beside what it read stands what the network that sees finds in the same scenes, each searched whole, and what the
model says of the data set's own crops.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.crops.crop_table import SIZES_PX
from convert.crops.synthetic_scenes import SCENE, Scene, find_pasted_face, scenes
from convert.data.loader import load
from convert.data.samples import Samples
from fer_edge import cli
from fer_edge.argument_types import whole_number
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.events import Event
from fer_edge.journal.segments import segments
from tests.system.dated_result import bench_parser, bundle_facts, reported

FRAMES, FPS = 5, 10  # of each scene


@dataclass(frozen=True, slots=True)
class Sighted:
    """Faces of one size: `n` shown; shares 0–1 of those found by the network that sees, read at once, and read at all.

    `frames` is the share of frames that have the face's reading. `own`, `network` and `loop` are accuracies on the faces that
    both found: of the data set's crops, of the network's, and of the loop's first reading; `unsure` its share.
    """

    size_px: int
    n: int
    network_found: float
    at_once: float
    at_all: float
    frames: float
    both: int
    own: float
    network: float
    loop: float
    unsure: float


def measure(samples: Samples, bundle: Bundle, size_px: int, n: int, seed: int, folder: Path) -> Sighted:
    """What becomes of `n` validation faces of one size; `folder` is where the video and the journal may lie."""
    part = samples.part("validation")
    shown = list(scenes(part, n, size_px, seed))
    readings = _run(shown, bundle, folder)
    far = find_detector("blazeface-back")
    rows = []
    for number, scene in enumerate(shown):
        face = find_pasted_face(scene, far)
        read = [_of(readings[number * FRAMES + frame], scene) for frame in range(FRAMES)]
        first = next((body for body in read if body), None)
        true = bundle.labels[part.y[scene.row]]
        crops = [part.x[scene.row, :, :, 0], *([bundle.crop(scene.gray, face, far.name)] if face else [])]
        labels = [bundle.labels[k] for k in bundle.classify(np.stack(crops)).argmax(1)]
        rows.append(
            (
                face is not None,
                read[0] is not None,
                first is not None,
                np.mean([body is not None for body in read]),
                labels[0] == true,
                labels[-1] == true,
                bool(first) and first["label"] == true,
                bool(first) and first["steady"] == "unsure",
            )
        )
    found, at_once, at_all, frames, own, network, loop, unsure = np.array(rows, float).T
    both = (found * at_all) > 0
    means = [round(float(row[both].mean()), 4) if both.any() else 0.0 for row in (own, network, loop, unsure)]
    shares = [round(float(row.mean()), 4) for row in (found, at_once, at_all, frames)]
    return Sighted(size_px, len(shown), *shares, int(both.sum()), *means)


def _run(shown: Sequence[Scene], bundle: Bundle, folder: Path) -> list[list[dict[str, Any]]]:
    """The bodies of the readings of each frame, as `fer-edge run` wrote them into its journal."""
    clip, log = _video(shown, folder / "scenes.mkv"), folder / "log"
    command = ["run", "--camera", str(clip), "--bundle", str(bundle.path), "--log", str(log), "--per-frame"]
    with (folder / "stdout").open("w") as stdout, redirect_stdout(stdout):
        if cli.main(command) != 0:
            raise UsageError(f"`fer-edge {' '.join(command)}` failed; it said why")
    readings: list[list[dict[str, Any]]] = [[] for _ in range(len(shown) * FRAMES)]
    for path in segments(log):
        for line in path.read_text().splitlines():
            event = Event.parse(line)
            if event.kind == "reading":
                readings[event.body["frame"]].append(event.body)
    return readings


def _video(shown: Sequence[Scene], path: Path) -> Path:
    """A video without loss of each scene for FRAMES frames."""
    import cv2

    height, width = SCENE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), FPS, (width, height), isColor=False)
    if not writer.isOpened():
        raise UsageError("this OpenCV cannot write FFV1; `pip install opencv-python-headless` has one that can")
    for scene in shown:
        for _ in range(FRAMES):
            writer.write(scene.gray)
    writer.release()
    return path


def _of(bodies: Sequence[dict[str, Any]], scene: Scene) -> dict[str, Any] | None:
    """The reading of the scene's face among those of a frame, told as `find_in` does; None where there is none."""
    return next((body for body in bodies if scene.shows(tuple(body["xywh"]))), None)


def text(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        f"{result['bundle']}, {result['n']} validation faces a size in {SCENE[1]}×{SCENE[0]} scenes, seed {result['seed']},"
        f" through `fer-edge run`, on {result['host']}, load {result['load']:g} of {result['cores']}",
        "",
        f"{'':8}{'256² found':>12}{'read at once':>14}{'in 0.5 s':>10}{'of frames':>11}"
        f"{'both found':>12}{'own crop':>10}{'256² crop':>11}{'the loop':>10}{'unsure':>8}",
    ]
    lines += [
        f"{row['size_px']:>5} px{row['network_found']:>12.1%}{row['at_once']:>14.1%}{row['at_all']:>10.1%}"
        f"{row['frames']:>11.1%}{row['both']:>12,}{row['own']:>10.1%}{row['network']:>11.1%}{row['loop']:>10.1%}"
        f"{row['unsure']:>8.1%}"
        for row in result["rows"]
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("faces_by_size", __doc__, with_data=True)
    parser.add_argument("--n", type=whole_number(1), default=300, help="faces a size (default 300)")
    parser.add_argument("--sizes", type=whole_number(24), nargs="+", default=SIZES_PX, metavar="PX")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _command(args))


def _command(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    samples = load(args.data, bundle.side, classes=bundle.labels)
    rows = []
    for size_px in sorted(args.sizes):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(asdict(measure(samples, bundle, size_px, args.n, args.seed, Path(folder))))
    result = {
        **bundle_facts(bundle),
        "part": "validation",
        "n": args.n,
        "seed": args.seed,
        "scene_px": list(SCENE),
        "frames": FRAMES,
        "fps": FPS,
        "rows": rows,
    }
    return reported("faces-by-size", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
