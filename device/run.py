"""`run` composes source, pipeline, sinks and heartbeat: the one place where the parts of a run are created."""

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
from device.config import Settings
from device.default_folders import default_journal_folder, default_runtime_folder
from device.heartbeat import Heartbeat
from device.loop import Loop
from device.memory_limit import limited_memory_growth
from device.output.frame_observers import FrameObserver, FrameObservers
from device.output.journal.journal import Journal
from device.output.live import live_page
from device.output.sinks import PRINTED_KINDS, EventRecorder, FanOut, JsonLinesSink, Output, Sink, TerminalSink
from device.run_parts import RunParts
from device.run_totals import RunTotals
from device.service.sd_notify import Notifier
from device.signals import handle_signals
from device.system.control import Pause
from device.system.health import Sensors, vcgencmd
from device.system.status import StatusFile
from device.system.status_record import Status
from device.vision.pipeline import Pipeline
from fer_edge.console import discard_stdout, message, reporter
from fer_edge.detection.download import fallback_warning
from fer_edge.errors import EXIT_DONE, CameraNotOpened, NotEnoughData, Unhealthy
from fer_edge.limits import FRAME_PIXELS
from fer_edge.log.event_text import end_text

if TYPE_CHECKING:
    from device.output.collected.face_store import FaceCollection, FaceStore
    from device.output.metrics.exporter import MetricsExporter
    from device.output.metrics.run_metrics import RunMetrics
    from device.output.mqtt.publisher import MqttPublisher
    from fer_edge.golden_check import Verification

_STORING = "This run stores pictures of the faces in view (fer-edge collect)."  # on the live page


def run(
    settings: Settings,
    clock: Clock | None = None,
    source: Source | None = None,
    sink: Sink | None = None,
    read_settings: Callable[[], Settings] | None = None,
    observers: Sequence[FrameObserver] = (),
    limit_memory: bool = False,
    collection: FaceCollection | None = None,
) -> int:
    """The exit code, after the loop ended: with the recording, after the duration, or by SIGINT or SIGTERM.

    It is 0, or 7 if lines of the journal, or of stdout, could not be written until the end.

    `clock` and `source` replace this machine's clock and the source of `settings.camera`; `sink` receives the events beside
    the journal and stdout, and `observers` each frame; `read_settings` reads the settings again on SIGHUP. `limit_memory`:
    this process is for the run alone, and its memory is limited (device.memory_limit). `collection`: pictures of faces are
    stored (`fer-edge collect`). Raises
    CameraNotOpened, BundleRefused or UsageError when it cannot start, NotEnoughData when `once` found no face, RestartNeeded
    when a camera was lost for good; the journal is complete then, with an `end` line.
    """
    clock = clock or SystemClock()
    totals = RunTotals()
    if limit_memory:
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(FRAME_PIXELS)  # OpenCV reads it when it is loaded
    folder = settings.log or default_journal_folder(name=settings.name)
    runtime = settings.runtime or default_runtime_folder()
    faces = _face_store(collection, settings, clock)
    live = live_page(settings, clock, message, storing=_STORING if faces else "")
    report = reporter(settings.detail == "none")
    with handle_signals() as requests, ExitStack() as stack:
        source = source or create_source(settings, clock)
        journal = Journal(folder, clock, settings.sync_s, settings.budget_bytes, settings.keep_days, log=message)
        pause = Pause(settings.name, runtime, folder)
        if settings.paused:
            pause.set()
        status_file = StatusFile(runtime, settings.name, clock, settings.health_s, settings.stall_s)
        if (other := stack.enter_context(status_file).running_pid) is not None:
            message(f"another run has the name {settings.name} (process {other}); start this one with another `--name`")
        heartbeat = Heartbeat(clock, Sensors(folder, clock, vcgencmd), status_file, Notifier(clock))
        heartbeat.update(Status("starting", source.describe().name, str(folder)), settings)
        exporter, metrics = _metrics(settings, clock, journal, heartbeat)
        pipeline, verification = _load(settings, clock, totals)
        if limit_memory:
            stack.enter_context(limited_memory_growth())
        if (
            settings.wait_camera or pause.requested()
        ):  # otherwise only once the camera is open, so that a start can fail
            heartbeat.notifier.ready("starting")
        # closed after the journal: neither the wait for a broker nor a last message may delay the journal's last batch
        mqtt = _mqtt(settings, clock)
        lines = (
            JsonLinesSink(sys.stdout, {"reading"} if settings.once else None)
            if settings.json
            else TerminalSink(sys.stdout, {"reading"} if settings.once else PRINTED_KINDS[settings.detail])
        )
        live_sinks: list[Sink] = [*([sink] if sink else []), lines, *metrics]
        named: dict[str, Sequence[Output]] = {
            "stdout": [lines],
            "mqtt": mqtt,
            "live": live,
            "metrics": [exporter] if exporter else [],
        }
        if exporter:
            stack.enter_context(exporter)  # closed after the journal, so that it exports the journal's last batch too
        sinks = stack.enter_context(FanOut([*mqtt, *live, journal, *live_sinks]))
        if exporter:
            exporter.start()
        # the camera after the journal: a second run must report the first one, not a busy camera
        try:
            capture = None if pause.requested() else stack.enter_context(Capture(source, settings, clock))
        except CameraNotOpened:
            if not requests.stop:
                raise
            message(f"stopped by {requests.stop} before the camera gave a picture")  # a requested end is no failure
            return EXIT_DONE
        totals.mark_reached("camera", clock)
        stored = [stack.enter_context(store).observe(pipeline) for store in faces]
        parts = RunParts(
            settings=settings,
            clock=clock,
            source=source,
            capture=capture,
            pipeline=pipeline,
            verification=verification,
            recorder=EventRecorder(sinks, clock, [*mqtt, *live_sinks]),
            sinks=sinks,
            journal=journal,
            heartbeat=heartbeat,
            pause=pause,
            requests=requests,
            totals=totals,
            read_settings=read_settings,
            observers=FrameObservers(clock, [*observers, *metrics, *mqtt, *live, *stored]),
            outputs={name: output for name, several in named.items() for output in several},
        )
        loop = Loop(parts)
        camera, bundle, detector = source.describe().name, pipeline.bundle.name, pipeline.detector.name
        report(f"camera {camera}, detector {detector}, bundle {bundle}, journal {journal.path or journal.folder}")
        if warning := fallback_warning(detector, settings.detector):
            message(warning)
        heartbeat.notifier.ready("running")
        try:
            reason = loop.run()
        except BrokenPipeError:  # the reader of stdout has ended, as in `… | head`
            discard_stdout()
            return EXIT_DONE
    counts = loop.counts()
    summary = f"{totals.processed} frames, {totals.with_face} with a face, {sum(counts.drops.values())} dropped"
    if settings.once and not totals.readings and not requests.stop:
        raise NotEnoughData(
            f"no face was found ({end_text(reason)}: {summary}); look into the camera, from nearer, with more light"
        )
    report(f"{end_text(reason)}: {summary}")
    if lines.failure:
        discard_stdout()
    return Unhealthy.exit_code if journal.unwritten or lines.failure else EXIT_DONE


def _metrics(
    settings: Settings, clock: Clock, journal: Journal, heartbeat: Heartbeat
) -> tuple[MetricsExporter | None, list[RunMetrics]]:
    """The exporter and the counts for Prometheus; None and an empty list where the settings ask for neither."""
    if settings.metrics is None and settings.metrics_file is None:
        return None, []
    from device.output.metrics.exporter import MetricsExporter
    from device.output.metrics.run_metrics import RunMetrics
    from device.system.mounts import MEMORY_FILE_SYSTEMS, mount_of, read_mounts

    metrics = RunMetrics(settings.name, clock, journal, lambda: heartbeat.health)
    address, file = None if settings.metrics is None else Address.parse(settings.metrics), settings.metrics_file
    mount = None if file is None else mount_of(file.resolve(), read_mounts(Path("/")))
    if mount and mount.kind not in MEMORY_FILE_SYSTEMS:
        message(f"{file} is not in memory ({mount.kind}), and frequent writes wear a card; use /run/… or /dev/shm/…")
    return MetricsExporter(metrics, file, address, settings.metrics_every_s, message), [metrics]


def _face_store(collection: FaceCollection | None, settings: Settings, clock: Clock) -> list[FaceStore]:
    """The store of pictures of faces, after it was reported; an empty list where none are stored."""
    if collection is None:
        return []
    from device.output.collected.face_store import FaceStore

    store = FaceStore(collection, settings.min_quality, clock, message)
    message(f"{collection.sentence()}; the people in view must know of it and agree")
    return [store]


def _mqtt(settings: Settings, clock: Clock) -> list[MqttPublisher]:
    if settings.mqtt is None:
        return []
    from device.output.mqtt.publisher import MqttPublisher

    return [MqttPublisher(settings, clock, message)]


def _load(settings: Settings, clock: Clock, totals: RunTotals) -> tuple[Pipeline, Verification]:
    """The pipeline with its networks loaded, and the verification of its classifier against the bundle's golden vectors.

    The slow imports are here and not at the top of the file.
    """
    import cv2  # noqa: F401 - so that its time counts as import
    import numpy  # noqa: F401

    from fer_edge.bundle import Bundle
    from fer_edge.detection.registry import find_detector
    from fer_edge.golden_check import verify

    totals.mark_reached("import", clock)
    bundle = Bundle.load(settings.bundle)
    _ = bundle.classifier  # loads the model
    detector = find_detector(settings.detector, settings.threads, settings.far_px)
    pipeline = Pipeline(detector, bundle)
    pipeline.require_prior(settings)
    totals.mark_reached("model", clock)
    verification = verify(bundle)
    if verification.remark:
        message(verification.remark)
    totals.mark_reached("verified", clock)
    gc.freeze()  # the loaded objects stay for the whole run: excluding them from collections avoids pauses
    return pipeline, verification
