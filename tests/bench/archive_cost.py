"""`python -m tests.bench.archive_cost --out tests/system/results`: what a minute of video costs, alone and on a Ray cluster.

The same videos are labelled with `--jobs 2` and on two workers of Ray, in turns. Each command also labels a video of a second
for each worker: that is its start (Ray's, the networks' in each worker) and end, which is stated apart and subtracted.
Processor time counts every process that a command starts; unlike seconds it hardly depends on what else the machine does.
Where both cores are busy it limits the pace.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.argument_types import whole_number
from fer_edge.bundle import Bundle
from fer_edge.shipped_bundles import default_path
from fer_edge.synthetic_face import face_frame
from tests.builders import write_video
from tests.system.dated_result import ROOT, bench_parser, bundle_facts, reported

WORKERS = 2
LIMIT = 0.10  # of the processor time, beyond that of --jobs
FPS = 25.0
HOURS, CORES = 10_000, 64  # of the estimate on paper
_START_VIDEO_S = 1  # length of the videos that a command labels to measure its start
_SAMPLE_S = 0.2
_TRIES = 3  # Ray gives itself 30 s to start, which a busy machine exceeds
_MARK = "FER_EDGE_ARCHIVE_COST"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ENGINES = {"jobs": ("--jobs", str(WORKERS)), "ray": ("--jobs", str(WORKERS), "--engine", "ray")}


@dataclass(frozen=True)
class Cost:
    """Of a command and all that it started: seconds by the clock and of processors."""

    wall_s: float
    processor_s: float

    def minus(self, other: Cost) -> Cost:
        return Cost(self.wall_s - other.wall_s, self.processor_s - other.processor_s)


class ProcessorTime:
    """The processor time of all processes with a mark in their environment, sampled until each ends."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{_MARK}={mark}\0".encode()
        self._seconds: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> ProcessorTime:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if self._mark in (process / "environ").read_bytes() + b"\0":
                        fields = (process / "stat").read_text().rpartition(")")[2].split()
                        self._seconds[int(process.name)] = (int(fields[11]) + int(fields[12])) * _TICK_S
                except OSError:
                    continue


def labelled(engine: str, videos: Path, out: Path, bundle: Path) -> Cost:
    """What the command costs."""
    words = ["label", str(videos), "--out", str(out), "--format", "parquet", "--bundle", str(bundle), *ENGINES[engine]]
    for _ in range(_TRIES):
        mark = uuid.uuid4().hex
        environ = {**os.environ, _MARK: mark, "RAY_ADDRESS": "local", "XDG_CONFIG_HOME": "/nonexistent"}
        began_s = time.perf_counter()
        with ProcessorTime(mark) as used:
            ran = subprocess.run(
                [sys.executable, "-m", "fer_edge", *words],
                cwd=ROOT,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            wall_s = time.perf_counter() - began_s
        if ran.returncode == 0:
            return Cost(wall_s, used.seconds)
    raise SystemExit(ran.stderr)


def frames(number: int, from_s: float) -> Iterator[np.ndarray]:
    return (face_frame(from_s + n / FPS) for n in range(number))


def measure(bundle: Path, videos: int, seconds: int, pairs: int) -> dict[str, Any]:
    """The result for so many videos of so many seconds, labelled `pairs` times by each engine."""
    works: dict[str, list[Cost]] = {engine: [] for engine in ENGINES}
    starts: dict[str, list[Cost]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "short").mkdir()
        long = write_video(folder / "long.mp4", frames(round(seconds * FPS), 0.0), FPS)
        short = write_video(folder / "short.mp4", frames(round(_START_VIDEO_S * FPS), 0.0), FPS)
        for number in range(videos):
            (folder / "in" / f"{number}.mp4").hardlink_to(long)
        for number in range(WORKERS):
            (folder / "short" / f"{number}.mp4").hardlink_to(short)
        for pair in range(pairs):
            for engine in ENGINES:
                out = folder / f"{engine}{pair}"
                whole = labelled(engine, folder / "in", out, bundle)
                starts[engine].append(labelled(engine, folder / "short", folder / f"start-{engine}{pair}", bundle))
                works[engine].append(whole.minus(starts[engine][-1]))
                if not _same_tables(folder / "jobs0", out):
                    raise SystemExit(f"{engine} gave other tables")
        table_bytes = sum(path.stat().st_size for path in (folder / "jobs0").glob("*.mp4.parquet"))
    minutes = (videos * seconds - WORKERS * _START_VIDEO_S) / 60
    middle = {
        engine: Cost(
            statistics.median(cost.wall_s for cost in works[engine]),
            statistics.median(cost.processor_s for cost in works[engine]),
        )
        for engine in ENGINES
    }
    per_minute_s = middle["jobs"].processor_s / minutes
    ray_minute_s = middle["ray"].processor_s / minutes
    both = zip(works["jobs"], works["ray"], strict=True)
    return {
        **bundle_facts(Bundle.load(bundle)),
        "workers": WORKERS,
        "videos": videos,
        "video_minutes": round(minutes, 3),
        "picture": f"640×480 px, {FPS:g} frames/s, one face",
        "pairs": pairs,
        "processor_s_a_video_minute": {"jobs": round(per_minute_s, 2), "ray": round(ray_minute_s, 2)},
        "wall_s_a_video_minute": {engine: round(cost.wall_s / minutes, 2) for engine, cost in middle.items()},
        "start_s": {engine: round(min(cost.wall_s for cost in starts[engine]), 1) for engine in ENGINES},
        "start_processor_s": {engine: round(min(c.processor_s for c in starts[engine]), 1) for engine in ENGINES},
        "table_mb_a_video_hour": round(table_bytes / 1e6 * 3600 / (videos * seconds), 2),
        "overhead": round(ray_minute_s / per_minute_s - 1, 4),
        "overhead_of_each_pair": [round(ray.processor_s / jobs.processor_s - 1, 4) for jobs, ray in both],
        "limit": LIMIT,
        "estimate": {"hours": HOURS, "cores": CORES, "days": round(HOURS * 60 * ray_minute_s / CORES / 86_400, 2)},
    }


def _same_tables(one: Path, other: Path) -> bool:
    tables = sorted(path.name for path in one.glob("*.mp4.parquet"))
    return bool(tables) and all((one / name).read_bytes() == (other / name).read_bytes() for name in tables)


def text(result: dict[str, Any]) -> str:
    cost, start, estimate = result["processor_s_a_video_minute"], result["start_s"], result["estimate"]
    return (
        f"{cost['jobs']} s of a processor a minute of video with --jobs {WORKERS}, {cost['ray']} s on Ray "
        f"({result['overhead']:+.1%}); "
        f"start and end: {start['jobs']} s, with Ray {start['ray']} s; {estimate['hours']:,} hours on {estimate['cores']} such "
        f"cores: {estimate['days']} days (estimate)"
    )


def main(argv: list[str] | None = None) -> int:
    """Prints the result; 1 where Ray costs more than it may."""
    parser = bench_parser("archive_cost", __doc__)
    parser.add_argument("--videos", type=whole_number(1), default=4)
    parser.add_argument("--seconds", type=whole_number(2), default=120, help="length of each video")
    parser.add_argument("--pairs", type=whole_number(1), default=2)
    args = parser.parse_args(argv)
    result = measure(args.bundle or default_path(), args.videos, args.seconds, args.pairs)
    reported("archive-cost", result, text, args)
    return int(result["overhead"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
