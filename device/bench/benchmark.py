"""`fer-edge bench`: measures the stages of a frame on this machine, and its networks by runtime and number of threads.

Everything is measured except the estimates of `device.bench.board_estimates`, which are marked. The machine's health is read
before, between and after the measurements, so that results of a throttled processor are marked.
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
from fer_edge.limits import THREADS

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle

SECONDS = 20.0
SCENES = {"face": face_scene, "still": still_scene}  # a moving face; an empty, still scene
FAR_SCENE, FAR_FRAME_PX = "far", (1920, 1080)  # with --far: a moving face in a large frame, width and height
_MOST_THREADS = 4  # by default
_PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "ai-edge-litert", "tflite-runtime")


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The result of a benchmark, without anything that identifies the machine's owner."""

    board: Board
    versions: dict[str, str]
    bundle: str
    bundle_sha256: str
    detector: str
    multiply_adds: dict[str, int]  # of one image, by network, if known
    frame_px: tuple[int, int]  # width, height
    runtime: str  # of the loop's networks, with one thread each
    scenes: tuple[SceneTimes, ...]
    memory_bytes: dict[str, int]  # `now`: after the scenes; `most`: the maximum
    batch_bytes: int  # of a batch of journal lines
    batch_writes: CallTimes  # of synced writes of one batch
    networks: tuple[NetworkTimes, ...]
    not_measured: tuple[NotMeasured, ...]
    conditions: Conditions
    estimates: tuple[Estimate, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as `fer-edge bench --json` prints it."""
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
                "forced_write": {**self.batch_writes.to_json(), "bytes": self.batch_bytes},
            },
            "networks": [network.to_json() for network in self.networks],
            "left_out": [asdict(entry) for entry in self.not_measured],
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
    log: Callable[[str], object] = lambda _: None,
    get_throttled: Callable[[], str] = vcgencmd,
    root: Path = Path("/"),
    far_px: int | None = None,
) -> BenchReport:
    """Measures for about `seconds`, with 1 to `threads` threads (None: the number of cores, at most 4).

    With `far_px`, a frame of 1920×1080 with the search for faces of this side is measured too.
    `float_model` is a float .tflite of the bundle's network. `log` gets a sentence before each part, `get_throttled` returns
    what `vcgencmd get_throttled` prints, and system files are read below `root`. Raises UsageError without a runtime, for an
    invalid number, or when nothing can be written, BundleRefused for an invalid file.
    """
    from fer_edge.detection.registry import find_detector

    if threads is not None and not 1 <= threads <= THREADS:
        raise UsageError(f"{threads} threads cannot be measured; give 1 to {THREADS}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds:g} seconds cannot be measured; give more than 0")
    board, load = Board.find(root), os.getloadavg()[0]
    counts = range(1, (threads or min(_MOST_THREADS, board.cores)) + 1)
    float_model = find_float_model(bundle, float_model)
    pipeline = Pipeline(find_detector(far_px=far_px), bundle)
    detector = pipeline.detector.name
    with tempfile.TemporaryDirectory(
        prefix="fer-edge-bench-", dir=_writable_folder(default_journal_folder())
    ) as scratch:
        sensors = Sensors(Path(scratch), clock, get_throttled, root)
        readings = [sensors.read()]
        log(f"bundle {bundle.name}, detector {detector}: frames with a face and without, for {seconds / 2:g} s")
        scenes = []
        measured = [(name, scene, Settings()) for name, scene in SCENES.items()]
        if far_px is not None:
            width_px, height_px = FAR_FRAME_PX
            far_settings = Settings(width_px=width_px, height_px=height_px, far_px=far_px)
            measured.append((FAR_SCENE, face_scene, far_settings))
        for name, scene, settings in measured:
            share_s = seconds / 2 / len(measured)
            scenes.append(time_scene(name, scene, pipeline, clock, share_s, Path(scratch) / name, settings))
            readings.append(sensors.read())
        memory_bytes = memory_usage(root)
        batch_bytes, batch_writes = time_forced_writes(Path(scratch) / "forced", clock, bundle.labels)
        log(f"each network, threads: {', '.join(map(str, counts))}, for {seconds / 2:g} s or a little more")
        rows, not_measured = time_networks(
            bundle,
            networks_of(detector),
            counts,
            seconds / 2,
            clock,
            float_model,
            lambda: readings.append(sensors.read()),
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
        scenes=tuple(scenes),
        memory_bytes=memory_bytes,
        batch_bytes=batch_bytes,
        batch_writes=batch_writes,
        networks=rows,
        not_measured=not_measured,
        conditions=assess_conditions(readings, board, load, min(scene.cpu_share for scene in scenes)),
        estimates=estimate_times(tuple(works)),
    )


def _writable_folder(folder: Path) -> Path | None:
    """The nearest writable parent of `folder`, so that the journal's disk is measured; None if there is none."""
    parents = (parent for parent in (folder, *folder.parents) if parent.is_dir())
    return next((parent for parent in parents if os.access(parent, os.W_OK)), None)


def _versions() -> dict[str, str]:
    """The versions of the measured software."""
    versions = {"fer-edge": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
