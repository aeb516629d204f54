"""The parts of a run: what `run` composes and the loop uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.camera.capture import Capture
from device.camera.source import Source
from device.clock import Clock
from device.config import Settings
from device.heartbeat import Heartbeat
from device.output.frame_observers import FrameObservers
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder, FanOut, Output
from device.run_totals import RunTotals
from device.signals import SignalRequests
from device.system.control import Pause
from device.vision.pipeline import Pipeline

if TYPE_CHECKING:
    from fer_edge.golden_check import Verification


@dataclass(frozen=True, slots=True)
class RunParts:
    """All parts of a run. `capture` is None when the run starts paused; `read_settings` reads the settings again on SIGHUP."""

    settings: Settings
    clock: Clock
    source: Source
    capture: Capture | None
    pipeline: Pipeline
    verification: Verification
    recorder: EventRecorder
    sinks: FanOut
    journal: Journal
    heartbeat: Heartbeat
    pause: Pause
    requests: SignalRequests
    totals: RunTotals
    read_settings: Callable[[], Settings] | None
    observers: FrameObservers
    outputs: Mapping[str, Output]  # beside the journal, by name
