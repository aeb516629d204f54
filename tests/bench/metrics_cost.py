"""`python -m tests.bench.metrics_cost`: time that the metrics add to a frame, and time of one request for them.

Each frame, of a drawn face or of a wall on which nothing happens, is worked on as the loop does it, reading included; then,
timed apart, all that the loop does for the metrics of that frame: its stages' watch, its events, the frame itself and a turn.
Both in one run, so that their ratio travels to another machine better than either. An answer is made in another thread, which
shares the processor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from device.bench.frame_stages import face_scene, open_frame_work, still_scene
from device.camera.frame import Frame
from device.clock import SystemClock
from device.config import Settings
from device.output.frame_observers import FrameObservers
from device.output.journal.journal import Journal
from device.output.metrics.prometheus_collector import PrometheusCollector
from device.output.metrics.run_metrics import STAGES, RunMetrics
from device.output.sinks import EventRecorder
from device.system.status_record import Status
from device.vision.pipeline import Pipeline
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.errors import exit_code_of
from tests.memory_sink import MemorySink

FRAMES, ANSWERS, EVERY_S = 1000, 100, 15.0


def measure(frames: int = FRAMES, scene: Any = face_scene) -> dict[str, Any]:
    """Medians in µs over so many frames, and the share that counting adds, in percent of a frame's work."""
    clock, caught = SystemClock(), MemorySink()
    bundle = Bundle.load()
    header = {"software": "fer-edge 0", "bundle": {"name": "", "sha256": ""}, "runtime": "", "detector": ""}
    status = Status("running", "camera", "journal", 1.0, {"read": 1, "processed": 1, "with_face": 1}, {"busy": 1})
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "beside", clock)
        metrics = RunMetrics("camera", clock, journal, lambda: None)
        watchers = FrameObservers(clock, [metrics])
        with open_frame_work(Pipeline(find_detector(), bundle), scene, Settings(), clock, Path(folder) / "log") as work:
            recorder = work.recorder = EventRecorder(work.sinks, clock, [*work.recorder._live_sinks, caught])
            metrics.append(recorder.record("header", {**header, "labels": list(bundle.labels)}))
            worked_ns, counted_ns = [], []
            while len(worked_ns) < frames:
                start_ns = time.perf_counter_ns()
                seen = work.process_next(lambda _: None)
                worked_ns.append(time.perf_counter_ns() - start_ns)
                frame = Frame(work.processed, clock.mono_ns(), work.scene[0][..., 0])
                start_ns = time.perf_counter_ns()
                lap = watchers.start_frame()
                assert lap is not None
                for stage in STAGES[:-1] if seen.readings else STAGES[:2]:
                    lap(stage)
                for event in caught.events:
                    metrics.append(event)
                watchers.on_frame(frame, seen, live=True)
                watchers.on_turn(status)
                counted_ns.append(time.perf_counter_ns() - start_ns)
                caught.events.clear()
        registry, answered_ns = PrometheusCollector(metrics).registry(), []
        for _ in range(ANSWERS):
            start_ns = time.perf_counter_ns()
            text = generate_latest(registry)
            answered_ns.append(time.perf_counter_ns() - start_ns)
    work_ns, count_ns, answer_ns = (statistics.median(spans) for spans in (worked_ns, counted_ns, answered_ns))
    return {
        "frames": frames,
        "readings": sum(metrics.readings.values()),
        "frame_us": round(work_ns / 1e3, 1),
        "counting_us": round(count_ns / 1e3, 1),
        "counting_percent": round(100 * count_ns / work_ns, 2),
        "answer_us": round(answer_ns / 1e3, 1),
        "answer_bytes": len(text),
        "answer_percent_of_a_core": round(answer_ns / 1e9 / EVERY_S * 100, 3),
    }


def main(argv: list[str] | None = None) -> int:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.metrics_cost", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--frames", type=int, default=FRAMES)
    frames = parser.parse_args(argv).frames
    print(json.dumps({"face": measure(frames), "wall": measure(frames, still_scene)}))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
