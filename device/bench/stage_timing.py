"""Laps of the loop's work: its stages timed frame after frame, as fast as they can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.bench.frame_stages import open_frame_work
from device.bench.timing import WARM_UP, CallTimes
from device.clock import Clock
from device.config import Settings
from device.vision.pipeline import Pipeline

if TYPE_CHECKING:
    import numpy as np

LEAST_FRAMES = 20
FPS = 10.0  # at which the processor's share is told


@dataclass(frozen=True, slots=True)
class SceneTimes:
    """Frames of one scene, one after another, each network on one thread."""

    scene: str
    frames: int
    with_face: int  # of them
    stages: dict[str, CallTimes]  # a stage that a frame did not need has no time of it
    frame: CallTimes  # all stages of a frame together
    cpu_share: float  # of one core, while it ran; under 1, others had the rest
    cpu_ms: float  # of the process, a frame

    @property
    def frames_per_s(self) -> float:
        """How many frames a second this work allows; a camera may give fewer."""
        return 1e3 / self.frame.mean_ms

    @property
    def share_at_fps(self) -> float:
        """The share of one core at FPS frames a second; more than a core cannot be had."""
        return self.cpu_ms * FPS / 1e3

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "scene": self.scene,
            "frames": self.frames,
            "with_face": self.with_face,
            "stages": {name: times.to_json() for name, times in self.stages.items()},
            "frame": self.frame.to_json(),
            "frames_per_s": round(self.frames_per_s, 2),
            "cpu_share": round(self.cpu_share, 3),
            "cpu_ms_per_frame": round(self.cpu_ms, 3),
            "cpu_share_at_10_fps": round(self.share_at_fps, 4),
        }


def time_scene(
    name: str,
    scene: Callable[[Settings], tuple[np.ndarray, ...]],
    pipeline: Pipeline,
    clock: Clock,
    seconds: float,
    folder: Path,
) -> SceneTimes:
    """The laps of `pipeline` with the default settings on `scene`, over about so many seconds and 20 frames at least.

    Its journal is written in `folder`. Raises UsageError when nothing can be written there.
    """
    spans_ns: dict[str, list[int]] = {}
    frames_ns: list[int] = []
    from_ns = 0

    def lap(stage: str) -> None:
        nonlocal from_ns
        now_ns = clock.mono_ns()
        spans_ns.setdefault(stage, []).append(now_ns - from_ns)
        from_ns = clock.mono_ns()

    with open_frame_work(pipeline, scene, Settings(), clock, folder) as stages:
        for _ in range(WARM_UP):
            stages.turn(lap)
        spans_ns.clear()
        with_face = 0
        cpu_ns, begun_ns = clock.cpu_ns(), clock.mono_ns()
        from_ns = begun_ns
        while len(frames_ns) < LEAST_FRAMES or from_ns - begun_ns < seconds * 1e9:
            frame_ns = from_ns
            with_face += bool(stages.turn(lap).readings)
            frames_ns.append(from_ns - frame_ns)
        cpu_ns = clock.cpu_ns() - cpu_ns
    return SceneTimes(
        scene=name,
        frames=len(frames_ns),
        with_face=with_face,
        stages={stage: CallTimes.of(spans) for stage, spans in spans_ns.items()},
        frame=CallTimes.of(frames_ns),
        cpu_share=cpu_ns / (from_ns - begun_ns),
        cpu_ms=cpu_ns / 1e6 / len(frames_ns),
    )


def memory_usage(root: Path = Path("/")) -> dict[str, int]:
    """The bytes of memory that this process holds, `now` and at `most` so far; empty where proc(5) does not tell."""
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    sizes = {line.split(":")[0]: line.split() for line in lines if line.endswith(" kB")}
    names = {"now": "VmRSS", "most": "VmHWM"}
    return {name: int(sizes[field][1]) * 1024 for name, field in names.items() if field in sizes}
