"""Stores crops of the faces of a run, as the model sees them: a frame observer, and a thread that writes.

Only `fer-edge collect` makes one, on request (device.collect).
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.clock import Clock
from device.output.collected.crop_ages import correct_ages
from device.output.collected.face_folder import CollectedFace, FaceFolder
from device.output.collected.face_limits import FaceLimits

if TYPE_CHECKING:
    import numpy as np

    from device.camera.frame import Frame
    from device.config import Settings
    from device.system.status_record import Status
    from device.vision.pipeline import Pipeline
    from device.vision.readings import FrameResult, Reading

_QUEUE = 32  # crops that wait to be written
_PRUNE_S = 3600.0
_CHECK_S = 60.0  # how often is looked whether to prune, while there is nothing to write
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class FaceCollection:
    """What a run stores of the faces in view: where, and how much."""

    folder: Path
    limits: FaceLimits = FaceLimits()  # noqa: RUF009 - it is immutable

    def sentence(self) -> str:
        """What is stored, in a sentence without its full stop."""
        limits = self.limits
        return (
            f"pictures of faces are stored in {self.folder}: one of each face every {limits.every_s:g} s, at most "
            f"{limits.max_pictures:,} and {limits.max_size / 1e6:g} MB; those without a label are deleted after "
            f"{limits.expire_days:g} days"
        )


class FaceStore:
    """Between `__enter__` and `__exit__`, a crop of each track every `every_s`, of faces of `min_quality` and more.

    `observe` gives the pipeline whose crops are stored. A failure to write is logged, and the run goes on. `__enter__` raises
    UsageError where another process stores faces in the folder.
    """

    def __init__(
        self,
        collection: FaceCollection,
        min_quality: float,
        clock: Clock,
        log: Callable[[str], None],
        check_s: float = _CHECK_S,
    ) -> None:
        self.stored = 0
        self._limits, self._min_quality, self._clock, self._log = collection.limits, min_quality, clock, log
        self._folder = FaceFolder.create(collection.folder, collection.limits.expire_days)
        self._pipeline: Pipeline | None = None
        self._last_ns: dict[int, int] = {}  # by track, of its last crop
        self._queue: queue.Queue[tuple[CollectedFace, np.ndarray] | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._write_all, name="face store", daemon=True)
        self._count, self._bytes = 0, 0
        self._pruned_ns, self._check_s = 0, check_s
        self._trouble = ""  # as last reported

    def observe(self, pipeline: Pipeline) -> Self:
        """This store, for the faces of a pipeline."""
        self._pipeline = pipeline
        return self

    def __enter__(self) -> Self:
        self._held = self._folder.hold()
        self._prune()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join(_STOP_S)
        with suppress(OSError):  # the folder may be gone by now
            correct_ages(self._folder, self._clock)
        os.close(self._held)

    def on_frame(self, frame: Frame, result: FrameResult, *_others: object) -> None:
        """Passes the crops that are due to the writing thread; a crop for which there is no room is dropped."""
        for reading in result.readings:
            if self._pipeline is None or not self._is_due(reading) or self._queue.full():
                continue
            crop, _ = self._pipeline.crop(frame.gray, reading.face)
            self._queue.put_nowait((self._face(reading), crop))

    def on_turn(self, _: Status) -> None:
        """Does nothing."""

    def on_settings(self, settings: Settings) -> None:
        """Takes the quality that is required from now on."""
        self._min_quality = settings.min_quality

    def _is_due(self, reading: Reading) -> bool:
        """Whether a crop of the reading's track is to be stored now; it counts as stored then."""
        track, now_ns = reading.track, reading.mono_ns
        if track is None or (reading.quality or 0.0) < self._min_quality:
            return False
        every_ns = self._limits.every_s * 1e9
        if now_ns - self._last_ns.get(track, -(1 << 62)) < every_ns:
            return False
        self._last_ns = {other: ns for other, ns in self._last_ns.items() if now_ns - ns < every_ns} | {track: now_ns}
        return True

    def _face(self, reading: Reading) -> CollectedFace:
        wall = self._clock.stamp(reading.mono_ns).wall
        digits = "".join(sign for sign in wall if sign.isdigit())
        return CollectedFace(
            file=f"{digits}-{reading.track}.png",
            time=wall,
            track=reading.track or 0,
            xywh=reading.face.xywh,
            score=round(reading.face.score, 3),
            quality=round(reading.quality or 0.0, 3),
            label=reading.label,
            p=round(float(reading.probs.max()), 4),
            boot=self._clock.boot,
            mono_s=round(reading.mono_ns / 1e9, 3),
        )

    def _write_all(self) -> None:
        while True:
            item, trouble = None, self._trouble
            try:
                if (item := self._queue.get(timeout=self._check_s)) is None:
                    return
            except queue.Empty:  # crops expire while nobody is in view too
                pass
            try:
                if self._clock.mono_ns() - self._pruned_ns > _PRUNE_S * 1e9:
                    self._prune()
                if item is not None:
                    trouble = self._write(*item)
            except Exception as error:  # whatever happens to the folder, the run goes on
                trouble = f"a face could not be stored: {error}"
            if trouble and trouble != self._trouble:
                self._log(trouble)
            self._trouble = trouble

    def _write(self, face: CollectedFace, crop: np.ndarray) -> str:
        """Why the crop was not stored; empty when it was."""
        import cv2

        png = cv2.imencode(".png", crop)[1].tobytes()
        if self._count >= self._limits.max_pictures or self._bytes + len(png) > self._limits.max_size:
            return "the folder of faces is full; no more are stored until some are deleted or expire"
        self._folder.add(face, png)
        self._count, self._bytes, self.stored = self._count + 1, self._bytes + len(png), self.stored + 1
        return ""

    def _prune(self) -> None:
        correct_ages(self._folder, self._clock)
        self._folder.prune(self._limits.expire_days)
        self._count, self._bytes = self._folder.size()
        self._pruned_ns = self._clock.mono_ns()
