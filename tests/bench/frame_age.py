"""`python -m tests.bench.frame_age`: age of frames when they are read, and whether the CPU budget is kept.

The whole loop on a camera that gives drawn pictures at its pace, whatever the loop does: once as fast as this machine goes,
once held up for longer than a frame in each turn, as a slow machine would be; then with budgets.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from device.camera.frame import Frame
from device.camera.source import SourceDescription
from device.clock import Clock, SystemClock
from device.config import Settings
from device.run import run
from fer_edge.bundle import Bundle
from fer_edge.errors import exit_code_of
from fer_edge.events import Event
from fer_edge.synthetic_face import face_frame
from tests.memory_sink import MemorySink
from tests.system.dated_result import bench_parser, bundle_facts, reported

PICTURES = 60
# frames a second, and the percent of a core that they would need more than
BUDGETS = ((100.0, None), (300.0, 40.0), (100.0, 20.0), (100.0, 10.0))


class Drawn:
    """A live source of pictures drawn beforehand, `fps` of them a second, however many of them are taken."""

    live = True

    def __init__(self, clock: Clock, fps: float) -> None:
        self._clock, self._fps = clock, fps
        self._pictures = [face_frame(n / 10) for n in range(PICTURES)]
        self._seq, self._due_ns = 0, 0

    def open(self) -> None:
        self._due_ns = self._clock.mono_ns()

    def read(self) -> Frame | None:
        self._clock.sleep((self._due_ns - self._clock.mono_ns()) / 1e9)
        frame = Frame(self._seq, self._clock.mono_ns(), self._pictures[self._back_and_forth()].copy())
        self._seq += 1
        self._due_ns = max(self._due_ns + round(1e9 / self._fps), self._clock.mono_ns())
        return frame

    def _back_and_forth(self) -> int:
        place = self._seq % (2 * PICTURES - 2)
        return min(place, 2 * PICTURES - 2 - place)

    def describe(self) -> SourceDescription:
        return SourceDescription("drawn", "drawn", time="when handed out")

    def close(self) -> None:
        pass


class Watched(MemorySink):
    """A sink that notes when each reading came and what the process had spent by then, and takes its time over it."""

    def __init__(self, held_s: float) -> None:
        super().__init__()
        self._held_s = held_s
        self.at: list[tuple[int, int]] = []  # ns of wall and of processor time

    def append(self, event: Event) -> None:
        super().append(event)
        if event.kind == "reading":
            self.at.append((time.perf_counter_ns(), time.process_time_ns()))
            time.sleep(self._held_s)


def watched(
    bundle: Path, fps: float, seconds: float, held_s: float, budget: float | None
) -> tuple[Watched, list[Event]]:
    """What a run of so many seconds said to a sink that holds it up for `held_s` in each turn."""
    sink = Watched(held_s)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        settings = Settings(
            "synthetic",
            bundle=bundle,
            log=Path(folder) / "log",
            runtime=Path(folder) / "run",
            fps=fps,
            duration_s=seconds,
            cpu_budget=budget,
        )
        run(settings, source=Drawn(SystemClock(), fps), sink=sink)
    return sink, sink.of_kind("reading")


def age(bundle: Path, fps: float, seconds: float, held_s: float) -> dict[str, float]:
    """The age of frames when they are read, ms, and the bound: a frame interval and 1.2 processing times."""
    sink, readings = watched(bundle, fps, seconds, held_s, None)
    ages = np.array([event.body["age_ms"] for event in readings][5:])
    # what a turn takes from one reading to the next, where the next frame was there already; else its work is not seen
    turns = np.diff([at for at, _ in sink.at])[5:] / 1e6
    turn_ms = float(np.median(turns)) if held_s else float(np.quantile(ages, 0.5))
    bound = 1e3 / fps + 1.2 * turn_ms
    p95 = float(np.quantile(ages, 0.95))
    return {"fps": fps, "held_ms": 1e3 * held_s, "n": len(ages), "turn_ms": turn_ms, "p95_ms": p95, "bound_ms": bound}


def budget(bundle: Path, fps: float, seconds: float, percent: float | None) -> dict[str, float]:
    """The share of a core that a run took from its 20th reading to its last, percent, and its frames' fates."""
    sink, readings = watched(bundle, fps, seconds, 0.0, percent)
    (wall0, spent0), (wall1, spent1) = sink.at[min(20, len(sink.at) - 2)], sink.at[-1]
    end = sink.of_kind("end")[-1].body
    took = 100 * (spent1 - spent0) / (wall1 - wall0)
    return {
        "fps": fps,
        "budget": percent or 0.0,
        "took": took,
        "seconds": (wall1 - wall0) / 1e9,
        "processed": len(readings),
        "dropped": end["drops"].get("budget", 0),
    }


def text(result: dict[str, Any]) -> str:
    """The tables for people."""
    lines = [
        f"{result['bundle']}, on {result['host']}, load {result['load']:g} of {result['cores']}",
        "",
        "frames a second   held up   readings   a turn   age, p95   bound",
    ]
    lines += [
        f"{row['fps']:>15g}{row['held_ms']:>7.0f} ms{row['n']:>11}{row['turn_ms']:>6.1f} ms"
        f"{row['p95_ms']:>8.1f} ms{row['bound_ms']:>5.0f} ms"
        for row in result["ages"]
    ]
    lines += ["", "frames a second   budget    took   seconds   read   left out"]
    lines += [
        f"{row['fps']:>15g}{row['budget']:>8g}%{row['took']:>7.1f}%{row['seconds']:>10.1f}{row['processed']:>7}{row['dropped']:>11}"
        for row in result["budgets"]
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the tables."""
    parser = bench_parser("frame_age", __doc__)
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S", help="each run (default 15)")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    result: dict[str, Any] = {
        **bundle_facts(bundle),
        "ages": [age(bundle.path, fps, args.seconds, held) for fps, held in ((10.0, 0.0), (30.0, 0.0), (30.0, 0.08))],
        "budgets": [budget(bundle.path, fps, args.seconds, percent) for fps, percent in BUDGETS],
    }
    return reported("frame-age", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
