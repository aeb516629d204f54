"""`fer-edge bench`: what a frame's work takes on this machine, stage by stage, and its networks on each runtime and thread.

Only what `device.bench.board_estimates` adds is not measured here, and that is marked. Before, between and after the
measurements the machine's health is looked at, so that figures of a slowed-down processor are known as such.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.bench.board_estimates import DETECTORS, Estimate, EstimatedNetwork, estimate_times, published_sources
from device.bench.frame_stages import face_scene, still_scene, time_forced_writes
from device.bench.network_timing import NetworkTimes, NotMeasured, find_float_model, networks_of, time_networks
from device.bench.stage_timing import SceneTimes, memory_usage, time_scene
from device.bench.throttling import Conditions, assess_conditions
from device.bench.timing import CallTimes
from device.clock import Clock
from device.config import Settings
from device.default_folders import default_journal_folder
from device.system.health import Sensors, vcgencmd
from device.vision.pipeline import Pipeline
from fer_edge import __version__
from fer_edge.errors import UsageError
from fer_edge.hardware import Board

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle

SECONDS = 20.0
SCENES = {"face": face_scene, "still": still_scene}  # a face that moves; nobody, and nothing moves
_MOST_THREADS = 4  # at most, where nobody says how many
_PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "ai-edge-litert", "tflite-runtime")


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that a benchmark found, and nothing that tells whose machine it was."""

    board: Board
    versions: dict[str, str]
    bundle: str
    bundle_sha256: str
    detector: str
    multiply_adds: dict[str, int]  # of one image, by network, where they are known
    frame_px: tuple[int, int]  # width, height
    runtime: str  # of the loop's networks, one thread each
    scenes: tuple[SceneTimes, ...]
    memory_bytes: dict[str, int]  # `now`, after them, and at `most`
    forced_bytes: int  # of a batch of the journal
    forced: CallTimes  # writes of one
    networks: tuple[NetworkTimes, ...]
    left_out: tuple[NotMeasured, ...]
    conditions: Conditions
    estimates: tuple[Estimate, ...]

    def to_json(self) -> dict[str, Any]:
        """The whole for programs."""
        return {
            "format": 1,
            "versions": self.versions,
            "board": asdict(self.board),
            "bundle": {"name": self.bundle, "sha256": self.bundle_sha256},
            "detector": self.detector,
            "multiply_adds": self.multiply_adds,
            "loop": {
                "threads": 1,
                "runtime": self.runtime,
                "frame_px": list(self.frame_px),
                "scenes": [scene.to_json() for scene in self.scenes],
                "memory_bytes": self.memory_bytes,
                "forced_write": {**self.forced.to_json(), "bytes": self.forced_bytes},
            },
            "networks": [network.to_json() for network in self.networks],
            "left_out": [asdict(left) for left in self.left_out],
            "health": self.conditions.to_json(),
            "estimates": [row.to_json() for row in self.estimates],
            "estimates_from": list(published_sources()),
        }


def run_bench(
    bundle: Bundle,
    clock: Clock,
    threads: int | None = None,
    seconds: float = SECONDS,
    float_model: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
    ask: Callable[[], str] = vcgencmd,
    root: Path = Path("/"),
) -> BenchReport:
    """What was found in about so many seconds, with 1 to `threads` threads (None: to as many as there are cores, up to 4).

    `float_model` is a float .tflite of the bundle's network. `say` is told what is being done, `ask` gives what `vcgencmd
    get_throttled` prints, and facts of the system are read below `root`. Raises UsageError without a runtime, for a number
    that makes no sense, or where nothing can be written, BundleRefused for a file that is not what it should be.
    """
    from fer_edge.detection.registry import find_detector

    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads cannot be measured; give 1 or more")
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds:g} seconds cannot be measured; give more than 0")
    board, load = Board.find(root), os.getloadavg()[0]
    counts = range(1, (threads or min(_MOST_THREADS, board.cores)) + 1)
    float_model = find_float_model(bundle, float_model)
    pipeline = Pipeline(find_detector(), bundle)
    detector = pipeline.detector.name
    with tempfile.TemporaryDirectory(
        prefix="fer-edge-bench-", dir=_writable_folder(default_journal_folder())
    ) as scratch:
        sensors = Sensors(Path(scratch), clock, ask, root)
        looks = [sensors.read()]
        say(f"bundle {bundle.name}, detector {detector}: frames with a face and without, for {seconds / 2:g} s")
        seen = []
        for name, scene in SCENES.items():
            share_s = seconds / 2 / len(SCENES)
            seen.append(time_scene(name, scene, pipeline, clock, share_s, Path(scratch) / name))
            looks.append(sensors.read())
        memory_bytes = memory_usage(root)
        forced_bytes, writes = time_forced_writes(Path(scratch) / "forced", clock, bundle.labels)
        say(f"each network, threads: {', '.join(map(str, counts))}, for {seconds / 2:g} s or a little more")
        rows, left_out = time_networks(
            bundle, networks_of(detector), counts, seconds / 2, clock, float_model, lambda: looks.append(sensors.read())
        )
    multiply_adds = {"classifier": bundle.spec.cost.multiply_adds}
    multiply_adds |= {name: DETECTORS[name] for name in networks_of(detector) if name in DETECTORS}
    kinds = {"classifier": ("int8", "float")}
    works = (
        EstimatedNetwork(name, kind, count)
        for name, count in multiply_adds.items()
        for kind in kinds.get(name, ("float",))
    )
    return BenchReport(
        board=board,
        versions=_versions(),
        bundle=bundle.name,
        bundle_sha256=bundle.sha256,
        detector=detector,
        multiply_adds=multiply_adds,
        frame_px=(Settings().width_px, Settings().height_px),
        runtime=bundle.classifier.runtime.id,
        scenes=tuple(seen),
        memory_bytes=memory_bytes,
        forced_bytes=forced_bytes,
        forced=writes,
        networks=rows,
        left_out=left_out,
        conditions=assess_conditions(looks, board, load, min(scene.cpu_share for scene in seen)),
        estimates=estimate_times(tuple(works)),
    )


def _writable_folder(folder: Path) -> Path | None:
    """The nearest folder to `folder` that can be written, so that the same disk is; None where there is none."""
    near = (place for place in (folder, *folder.parents) if place.is_dir())
    return next((place for place in near if os.access(place, os.W_OK)), None)


def _versions() -> dict[str, str]:
    """Of what was measured with."""
    found = {"fer-edge": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
