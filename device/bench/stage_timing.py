"""Times of the loop's stages over frames of a scene, processed as fast as possible."""

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
FPS = 10.0  # frame rate for which the processor share is reported


@dataclass(frozen=True, slots=True)
class SceneTimes:
    """Times over the frames of one scene, with one thread per network."""

    scene: str
    frames: int
    with_face: int  # frames with a face
    stages: dict[str, CallTimes]  # a frame that skips a stage has no time for it
    frame: CallTimes  # all stages of a frame together
    cpu_share: float  # of one core during the measurement; below 1, other processes had the rest
    cpu_ms: float  # processor time per frame

    @property
    def frames_per_s(self) -> float:
        """Frames per second that this work allows; a camera may deliver fewer."""
        return 1e3 / self.frame.mean_ms

    @property
    def share_at_fps(self) -> float:
        """The share of one core at FPS frames per second."""
        return self.cpu_ms * FPS / 1e3

    def to_json(self) -> dict[str, Any]:
        """The times as `fer-edge bench --json` prints them."""
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
    settings: Settings | None = None,
) -> SceneTimes:
    """The laps of `pipeline` on `scene` over about so many seconds, 20 frames at least, with these or the default settings.

    Its journal is written in `folder`. Raises UsageError when nothing can be written there.
    """
    spans_ns: dict[str, list[int]] = {}
    frames_ns: list[int] = []
    from_ns = 0

    def end_stage(stage: str) -> None:
        nonlocal from_ns
        now_ns = clock.mono_ns()
        spans_ns.setdefault(stage, []).append(now_ns - from_ns)
        from_ns = clock.mono_ns()

    with open_frame_work(pipeline, scene, settings or Settings(), clock, folder) as work:
        for _ in range(WARM_UP):
            work.process_next(end_stage)
        spans_ns.clear()
        with_face = 0
        cpu_ns, start_ns = clock.cpu_ns(), clock.mono_ns()
        from_ns = start_ns
        while len(frames_ns) < LEAST_FRAMES or from_ns - start_ns < seconds * 1e9:
            frame_ns = from_ns
            with_face += bool(work.process_next(end_stage).readings)
            frames_ns.append(from_ns - frame_ns)
        cpu_ns = clock.cpu_ns() - cpu_ns
    return SceneTimes(
        scene=name,
        frames=len(frames_ns),
        with_face=with_face,
        stages={stage: CallTimes.of(spans) for stage, spans in spans_ns.items()},
        frame=CallTimes.of(frames_ns),
        cpu_share=cpu_ns / (from_ns - start_ns),
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
