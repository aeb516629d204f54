"""`run` puts source, pipeline, sinks and signs of life together: the one place where a run is composed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from device.address import Address
from device.camera.capture import Capture
from device.camera.factory import create_source
from device.camera.source import Source
from device.clock import Clock, SystemClock
from device.config import Settings, default_journal_folder, default_runtime_folder
from device.heartbeat import Heartbeat
from device.loop import Loop
from device.output.frame_observers import FrameObserver, FrameObservers
from device.output.journal.journal import Journal
from device.output.live import live_page
from device.output.sinks import EventRecorder, FanOut, JsonLinesSink, Sink, TerminalSink
from device.run_totals import RunTotals
from device.service.sd_notify import Notifier
from device.signals import handle_signals
from device.system.control import Pause
from device.system.health import Sensors, vcgencmd
from device.system.status import Status, StatusFile
from device.vision.pipeline import Pipeline
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, CameraNotOpened, NotEnoughData

if TYPE_CHECKING:
    from device.output.metrics.exporter import MetricsExporter
    from device.output.metrics.run_metrics import RunMetrics
    from device.output.mqtt.sink import MqttSink
    from fer_edge.verify import Verification


def run(
    settings: Settings,
    clock: Clock | None = None,
    source: Source | None = None,
    sink: Sink | None = None,
    reread: Callable[[], Settings] | None = None,
    watchers: Sequence[FrameObserver] = (),
) -> int:
    """Exit code 0, after the loop ran to its end: of the recording or the duration, or by SIGINT or SIGTERM.

    `clock` and `source` stand in for this machine's and the one that `settings.camera` names; `sink` is fed beside the
    journal and stdout, and `watchers` are shown each frame; `reread` gives the settings anew on SIGHUP. Raises
    CameraNotOpened, BundleRefused or UsageError when it cannot start, NotEnoughData when `once` saw no face, RestartNeeded when
    a camera was lost for good; the journal is complete then, with an `end` line.
    """
    clock = clock or SystemClock()
    totals = RunTotals()
    folder = settings.log or default_journal_folder(name=settings.name)
    runtime = settings.runtime or default_runtime_folder()
    live = live_page(settings, clock, message)
    with handle_signals() as asked, ExitStack() as stack:
        source = source or create_source(settings, clock)
        journal = Journal(folder, clock, settings.sync_s, settings.budget_bytes, settings.keep_days)
        pause = Pause(settings.name, runtime, folder)
        if settings.paused:
            pause.set()
        file = StatusFile(runtime, settings.name, clock, settings.health_s, settings.stall_s)
        if (status_file := stack.enter_context(file)).running_pid:
            message(
                f"another run is called {settings.name} (process {status_file.running_pid}); `name` tells them apart"
            )
        heartbeat = Heartbeat(clock, Sensors(folder, clock, vcgencmd), status_file, Notifier(clock))
        heartbeat.update(Status("starting", source.describe().name, str(folder)), settings)
        exposed, metrics = _metrics(settings, clock, journal, heartbeat)
        pipeline, verified = _load(settings, clock, totals)
        if (
            settings.wait_camera or pause.requested()
        ):  # else only with a camera: systemd waits so long for a start, no longer
            heartbeat.notifier.ready("starting")
        # left after the journal, too: who waits for a broker, or says goodbye, must not keep the last batch off the card
        mqtt = _mqtt(settings, clock)
        lines = (
            JsonLinesSink(sys.stdout, {"reading"} if settings.once else None)
            if settings.json
            else TerminalSink(sys.stdout)
        )
        onlookers: list[Sink] = [*([sink] if sink else []), lines, *metrics]
        if exposed:
            stack.enter_context(exposed)  # left after the journal, so that its last batch is told of too
        sinks = stack.enter_context(FanOut([*mqtt, *live, journal, *onlookers]))
        if exposed:
            exposed.open()
        # the journal first: who starts a second run should hear of the first one, not that the camera is busy
        try:
            capture = None if pause.requested() else stack.enter_context(Capture(source, settings, clock))
        except CameraNotOpened:
            if not asked.stop:
                raise
            message(f"stopped by {asked.stop} before the camera gave anything")  # who ends a run has not had it fail
            return EXIT_DONE
        totals.mark("camera", clock)
        recorder = EventRecorder(sinks, clock, [*mqtt, *onlookers])
        loop = Loop(
            settings,
            clock,
            source,
            capture,
            pipeline,
            verified,
            recorder,
            sinks,
            journal,
            heartbeat,
            pause,
            asked,
            totals,
            reread,
            FrameObservers(clock, [*watchers, *metrics, *mqtt, *live]),
        )
        camera, bundle = source.describe().name, pipeline.bundle.name
        message(
            f"camera {camera}, detector {pipeline.detector.name}, bundle {bundle}, journal {journal.path or journal.folder}"
        )
        heartbeat.notifier.ready("running")
        try:
            reason = loop.run()
        except BrokenPipeError:  # whoever read stdout has had enough: `… | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would fail again
            return EXIT_DONE
    counts = loop.counts()
    seen = f"{totals.processed} frames, {totals.with_face} with a face, {sum(counts.drops.values())} dropped"
    if settings.once and not totals.readings and not asked.stop:
        raise NotEnoughData(f"no face was seen ({reason}: {seen}); look into the camera, from nearer, with more light")
    message(f"{reason}: {seen}")
    return EXIT_DONE


def _metrics(
    settings: Settings, clock: Clock, journal: Journal, heartbeat: Heartbeat
) -> tuple[MetricsExporter | None, list[RunMetrics]]:
    """What counts the run for Prometheus, and where that can be read; nothing where nobody asked."""
    if settings.metrics is None and settings.metrics_file is None:
        return None, []
    from device.doctor.system_checks import MEMORY_FILE_SYSTEMS, mount_of, read_mounts
    from device.output.metrics.exporter import MetricsExporter
    from device.output.metrics.run_metrics import RunMetrics

    metrics = RunMetrics(settings.name, clock, journal, lambda: heartbeat.health)
    at, file = None if settings.metrics is None else Address.parse(settings.metrics), settings.metrics_file
    if (
        file is not None
        and (mount := mount_of(file.resolve(), read_mounts(Path("/"))))
        and mount.kind not in MEMORY_FILE_SYSTEMS
    ):
        message(
            f"{file} is not in memory ({mount.kind}), and a card wears by what is written often; /run/… is, and /dev/shm/…"
        )
    return MetricsExporter(metrics, file, at, settings.metrics_every_s, message), [metrics]


def _mqtt(settings: Settings, clock: Clock) -> list[MqttSink]:
    if settings.mqtt is None:
        return []
    from device.output.mqtt.sink import MqttSink

    return [MqttSink(settings, clock, message)]


def _load(settings: Settings, clock: Clock, totals: RunTotals) -> tuple[Pipeline, Verification]:
    """The pipeline, its networks loaded, and what was found when its classifier was given the bundle's golden vectors.

    Here, and not at the top, stand the imports that take long.
    """
    import cv2  # noqa: F401 - so that its time is counted as what it is
    import numpy  # noqa: F401

    from fer_edge.bundle import Bundle
    from fer_edge.detection.registry import find_detector
    from fer_edge.verify import verify

    totals.mark("import", clock)
    bundle = Bundle.load(settings.bundle)
    _ = bundle.classifier  # loads the model
    detector = find_detector(settings.detector, settings.threads)
    totals.mark("model", clock)
    verified = verify(bundle)
    if verified.remark:
        message(verified.remark)
    totals.mark("verified", clock)
    gc.freeze()  # what is loaded by now stays: never to look through it again spares some frames a wait
    return Pipeline(detector, bundle), verified
