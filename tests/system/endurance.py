"""`python -m tests.system.endurance --idle 1000000 --faces 50000 --out DIR`: whether the loop's memory grows over many frames.

The loop of `fer-edge run` with its detector, classifier and journal processes frames from memory at full speed: an empty room
with sensor noise, and sometimes a face. Every thousand frames the memory of the process is measured between two iterations of
the loop. No part of the loop is replaced. The result includes the number of frames that the motion gate excluded from search.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from device.camera.frame import Frame
from device.camera.source import EndOfStream, SourceDescription
from device.clock import SystemClock
from device.config import Settings
from device.run import run
from fer_edge.events import Event
from fer_edge.synthetic_face import face_frame
from tests.memory_sink import MemorySink
from tests.system.dated_result import stamped, write

SIZE = (480, 640)
VISIT, PICTURES = 100, 32  # frames of one visit; different pictures of each kind
SETTLED, EVERY = 10_000, 1_000  # frames before the process is held against itself, and between two looks at it
GROWN_MB = 5.0
FPS = 10.0


class FromMemory:
    """A recording that lies in memory: `idle` frames of an empty room, and between them `faces` frames in visits."""

    live = False

    def __init__(self, idle: int, faces: int, clock: SystemClock) -> None:
        rng = np.random.default_rng(0)
        room = np.linspace(60, 160, SIZE[1])[None, :] + np.zeros((SIZE[0], 1))
        self._room = [np.clip(rng.normal(room, 3.0), 0, 255).astype(np.uint8) for _ in range(PICTURES)]
        self._somebody = [face_frame(n / FPS, SIZE[1], SIZE[0]) for n in range(PICTURES)]
        self._clock, self.total, self._start_ns = clock, idle + faces, 0
        visits = max(1, round(faces / VISIT))
        self._period = self.total / visits  # of a visit and the empty room before it
        self._empty = idle / visits
        self.given = 0

    def open(self) -> None:
        self._start_ns = self._clock.mono_ns()

    def read(self) -> Frame:
        n = self.given
        if n >= self.total:
            raise EndOfStream
        self.given += 1
        pictures = self._room if n % self._period < self._empty else self._somebody
        return Frame(n, self._start_ns + round(n * 1e9 / FPS), pictures[n % PICTURES])

    def describe(self) -> SourceDescription:
        return SourceDescription("memory", "memory", time=f"start of the run plus position at {FPS:g} a second")

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Watch(MemorySink):
    """A sink that keeps no event but the last, and measures the process between two turns of the loop."""

    source: FromMemory
    rss_mb: list[float] = field(default_factory=list)  # every `EVERY` frames
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    last: Event | None = None

    def append(self, event: Event) -> None:
        self.kinds[event.kind] += 1
        self.last = event

    def tick(self) -> None:
        if self.source.given < EVERY * (len(self.rss_mb) + 1):
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.rss_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        self.descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        self.threads.append(threading.active_count())


def endure(idle: int, faces: int, folder: Path, bundle: str | None = None) -> dict[str, Any]:
    """What was seen of a run over so many frames, its journal and what it shows below `folder`."""
    clock = SystemClock()
    source = FromMemory(idle, faces, clock)
    watch = Watch(source)
    settings = Settings("memory", bundle=bundle and Path(bundle), log=folder / "log", runtime=folder / "run")
    gc.collect()
    began_s = time.monotonic()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        run(settings, clock=clock, source=source, sink=watch)
    seconds = time.monotonic() - began_s
    assert watch.last is not None
    end = watch.last.body
    skip = SETTLED // EVERY - 1
    rss_mb = watch.rss_mb[skip:]
    return {
        "frames": end["frames"],
        "frames_idle": end["frames_idle"],  # processed without a search
        "faces": end["faces"],
        "drops": end["drops"],
        "events": dict(sorted(watch.kinds.items())),
        "journal_bytes": sum(path.stat().st_size for path in (folder / "log").glob("*.jsonl")),
        "seconds": round(seconds, 1),
        "ms_a_frame": round(seconds / source.total * 1e3, 3),
        "settled_after": SETTLED,
        "rss_settled_mb": round(rss_mb[0], 2),
        "rss_max_mb": round(max(rss_mb), 2),
        "rss_end_mb": round(rss_mb[-1], 2),
        "rss_mb": [round(mb, 2) for mb in rss_mb[:: max(1, len(rss_mb) // 50)]],
        "descriptors": sorted(set(watch.descriptors[skip:])),
        "threads": sorted(set(watch.threads[skip:])),
    }


def verdict(result: dict[str, Any], idle: int, faces: int) -> list[str]:
    """What does not hold, in sentences."""
    wrong = []
    if result["rss_max_mb"] - result["rss_settled_mb"] > GROWN_MB:
        wrong.append(f"it grew from {result['rss_settled_mb']} to {result['rss_max_mb']} MB")
    if len(result["descriptors"]) != 1:
        wrong.append(f"the number of descriptors went {result['descriptors']}")
    if len(result["threads"]) != 1:
        wrong.append(f"the number of threads went {result['threads']}")
    if result["frames"]["read"] != idle + faces or result["drops"]:
        wrong.append(f"of {idle + faces} frames {result['frames']} and {result['drops']}")
    if not 0.9 * faces <= result["frames"]["with_face"] <= faces:
        wrong.append(f"{result['frames']['with_face']} frames with a face, of {faces} that show one")
    return wrong


def main(argv: list[str] | None = None) -> int:
    """Runs, writes what was seen, and says what does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.endurance", description=__doc__)
    parser.add_argument("--idle", type=int, default=1_000_000, help="frames of an empty room")
    parser.add_argument("--faces", type=int, default=50_000, help="frames with a face")
    parser.add_argument("--bundle", help="default: the one that came with the package")
    parser.add_argument("--out", type=Path, help="folder for endurance-DATE.json")
    args = parser.parse_args(argv)
    if args.idle + args.faces < 2 * SETTLED:
        parser.error(f"fewer than {2 * SETTLED} frames tell nothing")
    with tempfile.TemporaryDirectory() as folder:
        result = endure(args.idle, args.faces, Path(folder), args.bundle)
    result = stamped(
        {"idle": args.idle, "with_face": args.faces, **result, "wrong": verdict(result, args.idle, args.faces)}
    )
    print(json.dumps(result, indent=1))
    if args.out:
        write("endurance", result, args.out)
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
