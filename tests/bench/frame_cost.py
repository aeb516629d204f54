"""`python -m tests.bench.frame_cost`: the cost of a frame besides its networks, and with more faces, more pixels or no face.

One thread, the drawn face, everything from the gray frame to a line on stdout, which is thrown away, and to the journal's
batch; reading a camera is left out, but for the
comparison with PyPI `fer`, where both read the same video. Medians over rounds taken in turns; only ratios travel to another
machine, and none from one that does other work.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from device.camera.frame import Frame
from device.clock import SystemClock
from device.config import Settings
from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.event_bodies import reading_body
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder, FanOut, TerminalSink
from device.output.tally import FrameCounts
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.detection.two_stage import TwoStageDetector
from fer_edge.errors import exit_code_of
from fer_edge.synthetic_face import face_box, face_frame
from tests.bench.pypi_fer import Haar, video
from tests.system.dated_result import bench_parser, bundle_facts, reported

ROUNDS, FRAMES, FPS = 15, 100, 10


class Timed:
    """An interpreter that adds up the ns that its `invoke` takes."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter, self.ns, self.calls = interpreter, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)

    def invoke(self) -> None:
        begun_ns = time.perf_counter_ns()
        self._interpreter.invoke()
        self.ns += time.perf_counter_ns() - begun_ns
        self.calls += 1


@dataclass(slots=True)
class Work:
    """What the loop does with each frame after it is read; `searcher`, `refiner` and `classifier` are its networks, timed."""

    pipeline: Pipeline
    settings: Settings
    folder: Path
    searcher: Timed = field(init=False)
    refiner: Timed = field(init=False)
    classifier: Timed = field(init=False)

    def __post_init__(self) -> None:
        detector, classifier = self.pipeline.detector, self.pipeline.bundle.classifier
        assert isinstance(detector, TwoStageDetector)
        self.searcher = detector.searcher._interpreter = Timed(detector.searcher._interpreter)
        self.refiner = detector.refiner._interpreter = Timed(detector.refiner._interpreter)
        self.classifier = classifier.interpreter = Timed(classifier.interpreter)

    def done(self, pictures: Sequence[np.ndarray]) -> dict[str, float]:
        """ms a frame: `far` of the searcher, `near` of the refiner, of the `classifier`, `beside` them, and of `all`.

        Medians over frames alike, weighed by their shares. `searches` is the share of frames that were searched, `looks`
        that of frames in which a face was looked at.
        """
        clock = SystemClock()
        networks = {"far": self.searcher, "near": self.refiner, "classifier": self.classifier}
        for network in networks.values():
            network.ns = network.calls = 0
        spans_ns = []
        with tempfile.TemporaryDirectory(dir=self.folder) as log, Path(os.devnull).open("w") as stdout:
            journal = Journal(Path(log), clock, 30.0, 256_000_000, None)
            with FanOut([journal, lines := TerminalSink(stdout)]) as sinks:
                recorder, start_ns, state = EventRecorder(sinks, clock, [lines]), clock.mono_ns(), SearchState()
                account = EventAggregator(
                    recorder.record, clock, EpisodeRules(hold_s=self.settings.hold_s), start_ns, 2.0
                )
                for number, picture in enumerate(pictures):
                    gray = picture.copy()  # as a camera's frame is: written just now, not fetched from memory long ago
                    begun_ns = time.perf_counter_ns(), *(network.ns for network in networks.values())
                    frame = Frame(number, start_ns + round(number * 1e9 / FPS), gray)
                    state, seen = self.pipeline.process(state, frame, self.settings)
                    for reading in seen.readings:
                        recorder.send_unrecorded("reading", reading_body(reading, 0.0), reading.mono_ns)
                    account.add_frame(seen.readings, frame.mono_ns, FrameCounts(number + 1))
                    sinks.tick()
                    ended_ns = time.perf_counter_ns(), *(network.ns for network in networks.values())
                    spans_ns.append(np.subtract(ended_ns, begun_ns))
        frame_ms, far, near, classifier = np.array(spans_ns).T / 1e6
        kinds = (far > 0) * 2 + (near > 0)  # searched or not, followed or not: each has a cost of its own
        times = {
            "far": _typical(far, kinds),
            "near": _typical(near, kinds),
            "classifier": _typical(classifier, kinds),
            "beside": _typical(frame_ms - far - near - classifier, kinds),
        }
        return {"all": sum(times.values()), **times, "searches": _share(far), "looks": _share(near)}


def _typical(spans_ms: np.ndarray, kinds: np.ndarray) -> float:
    """The mean over frames, each of which is given the median of its kind."""
    return float(sum(np.median(spans_ms[kinds == kind]) * np.mean(kinds == kind) for kind in np.unique(kinds)))


def _share(spans_ms: np.ndarray) -> float:
    return float(np.mean(spans_ms > 0))


def scenes() -> dict[str, list[np.ndarray]]:
    """What is shown: one drawn face, eight of them, one in a 4K frame, a room with nobody in it."""
    import cv2

    rng = np.random.default_rng(0)
    one = [face_frame(n / FPS) for n in range(FRAMES)]
    wall = np.linspace(140, 105, 640)[None] + np.zeros((480, 1))
    empty = [np.clip(wall + rng.normal(0, 2, wall.shape), 0, 255).astype(np.uint8) for _ in range(FRAMES)]
    small = [
        cv2.resize(gray, (160, 120), interpolation=cv2.INTER_AREA) for gray in (_closer(n / FPS) for n in range(FRAMES))
    ]
    rows = [np.hstack([gray] * 4) for gray in small]
    eight = [cv2.copyMakeBorder(np.vstack([row] * 2), 120, 120, 0, 0, cv2.BORDER_REPLICATE) for row in rows]
    large = [cv2.resize(gray, (3840, 2160), interpolation=cv2.INTER_LINEAR) for gray in one[:40]]
    return {"one": one, "eight": eight, "4K": [*large, *large[::-1], *large[:20]], "nobody": empty}


def _closer(at_s: float) -> np.ndarray:
    """The drawn face from near, as it nods: uint8 (H, W)."""
    x, y, side, _ = face_box(at_s)
    wide, height = round(side * 2.2), round(side * 1.65)
    x, y = max(0, x + side // 2 - wide // 2), max(0, y + side // 2 - height // 2)
    return np.ascontiguousarray(face_frame(at_s)[y : y + height, x : x + wide])


def measure(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """The medians over rounds of what `Work.done` gives for each scene, and of fer's ms a frame on the same video."""
    import cv2

    cv2.setNumThreads(1)
    work = Work(Pipeline(find_detector(), bundle), Settings(fps=FPS), folder)
    shown = scenes()
    clip = video(shown["one"], folder / "one.mp4", FPS)
    peer = Haar()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in shown}
    fer_edge_s, pypi_fer_s = [], []
    work.done(shown["one"][:20])
    for _ in range(ROUNDS):
        for name, pictures in shown.items():
            rounds[name].append(work.done(pictures))
        fer_edge_s.append(_seconds(lambda: work.done(list(_read(clip)))))
        pypi_fer_s.append(_seconds(lambda: [peer.faces(gray) for gray in _read(clip, FRAMES // 5)]) * 5)
    result: dict[str, Any] = {name: _medians(rows) for name, rows in rounds.items()}
    one = result["one"]
    invoke = one["near"] / one["looks"]  # as long as it takes among all else, its weights not at hand
    search = float(np.median([_invoke_ms(work.searcher) for _ in range(3)]))
    result["ratios"] = {
        "search over following, invoke": search / invoke,
        "both detectors a frame over the short-range invoke, one face": (one["near"] + one["far"]) / invoke,
        # of each round by itself: a machine that is slower for a while is slower at both
        "beside the networks over the short-range invoke, one face": float(
            np.median([row["beside"] * row["looks"] / row["near"] for row in rounds["one"]])
        ),
        "eight faces over one": result["eight"]["all"] / one["all"],
        "4K over 640×480": result["4K"]["all"] / one["all"],
        "nobody over one face": result["nobody"]["all"] / one["all"],
        "frames a second over fer's": float(np.median(pypi_fer_s) / np.median(fer_edge_s)),
    }
    result["ms"] = {
        "short-range invoke": invoke,
        "256² invoke": search,
        "fer, a frame": 1e3 * float(np.median(pypi_fer_s)) / FRAMES,
    }
    return result


def _invoke_ms(network: Timed, calls: int = 30) -> float:
    """The median of a network's own time."""
    times = []
    for _ in range(calls):
        before = network.ns
        network.invoke()
        times.append((network.ns - before) / 1e6)
    return float(np.median(times))


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _read(clip: Path, frames: int = FRAMES) -> Any:
    """The gray frames uint8 (H, W) of a video, as the device reads them."""
    import cv2

    reader = cv2.VideoCapture(str(clip))
    for _ in range(frames):
        good, image = reader.read()
        if not good:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    reader.release()


def text(result: dict[str, Any]) -> str:
    """The tables for people."""
    lines = [
        f"{result['bundle']}, one thread, {result['rounds']} rounds of {result['frames']} frames, "
        f"on {result['host']}, load {result['load']:g} of {result['cores']}",
        "",
    ]
    lines.append(f"{'ms a frame':10}" + "".join(f"{name:>12}" for name in result["one"]))
    lines += [
        f"{name:10}" + "".join(f"{value:>12.3f}" for value in result[name].values())
        for name in ("one", "eight", "4K", "nobody")
    ]
    lines += ["", *(f"{value:>8.2f}  {name}" for name, value in result["ratios"].items())]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the tables."""
    parser = bench_parser("frame_cost", __doc__)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(bundle, Path(folder))
    result |= {**bundle_facts(bundle), "rounds": ROUNDS, "frames": FRAMES}
    return reported("frame-cost", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
