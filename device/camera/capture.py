"""A thread that reads a source into a slot of one frame: the loop has the newest and never waits for a driver.

A live source overwrites the slot and the frame lost is counted; a recording waits until the slot is empty. What happens
when a live source stops, in this order:

1. a read gives nothing: go on, up to `stall_s`;
2. still nothing, or the very same picture for `same_s` (a sensor has noise, so that is a dead one): the source is lost, is
   closed, and opened again and again, soon at first and later at a twentieth of the time it was gone;
3. a new picture, which is none of those it froze on: it is back;
4. not within `reopen_s`, or a call that never returns from the driver: RestartMe, so that a clean process begins.
"""

from __future__ import annotations

import random
import threading
import zlib
from collections import Counter, deque
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.source import Source, SourceLost
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened, RestartMe

if TYPE_CHECKING:
    import numpy as np

_MIN_REOPEN_DELAY_S, _MAX_REOPEN_DELAY_S = 0.25, 30.0
_REOPEN_DELAY_SHARE = 1 / 20  # of the time it was gone, before the next attempt
_REOPEN_DELAY_JITTER = 0.1  # so that cameras that were lost together do not come back together
_JOIN_TIMEOUT_S = 5.0  # a read that is stuck in a driver is left behind after that
_REMEMBERED_PICTURES = 32  # pictures: one that stands still comes in several encodings, the same after each key frame


class _FrozenPicture(SourceLost):
    """The source gives pictures, and none of them is new."""


@dataclass(frozen=True, slots=True)
class CameraChange:
    """A live source was lost, came back after `gap_s` without a frame, or was not there yet when the run began."""

    state: str  # waiting, lost or back
    reason: str
    gap_s: float


class Capture:
    """A source being read. A context manager: entering opens the source and starts the thread, leaving stops both.

    `read` counts the pictures that came, readable or not; `drops` those that never reached the loop, by reason: `busy`
    (a newer one came first), `unread` (the loop ended), `unreadable` (no picture could be made of it). What was read is
    what was taken plus what was dropped. `opened_ns` is when the source was first open, before any frame; 0 while one
    that may come later is not there yet. `lost` is true from a loss until the picture is back.
    """

    def __init__(self, source: Source, settings: Settings, clock: Clock) -> None:
        self.source = source
        self.read = 0
        self.opened_ns = 0
        self.drops: Counter[str] = Counter()
        self._settings, self._clock = settings, clock
        self._turn = threading.Condition()
        self._stop = threading.Event()
        self._slot: Frame | None = None
        self._changes: deque[CameraChange] = deque()
        self._failure: BaseException | None = None
        self._last_ns = 0  # when the last frame came; when the source was opened, before the first
        self._pictures: deque[int] = deque(maxlen=_REMEMBERED_PICTURES)  # the last of a live source that were new
        self._changed_ns = 0  # when the newest of them came
        self._called_ns: int | None = None  # since when a call into the source has been going on
        self.lost, self._gone_ns, self._reason = False, 0, ""
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def __enter__(self) -> Capture:
        try:
            self.source.open()
            self.opened_ns = self._clock.mono_ns()
        except CameraNotOpened as error:
            if not (self._settings.wait_camera and self.source.live):
                raise
            self._lose("waiting", str(error), self._clock.mono_ns())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the thread, closes the source and counts the frame nobody took; may be called twice."""
        self._stop.set()
        with self._turn:
            self._turn.notify_all()
        self._thread.join(_JOIN_TIMEOUT_S)
        with self._turn:
            if self._slot is not None:
                self._slot = None
                self.drops["unread"] += 1

    def take(self, timeout_s: float) -> Frame | None:
        """The newest frame not taken yet, or None when none came within `timeout_s`.

        Raises EndOfStream after the last frame of a recording, CameraNotOpened when no first frame came, RestartMe when
        a lost source did not come back or its driver does not, and whatever else ended the thread.
        """
        with self._turn:
            called_ns = self._called_ns
            if called_ns is not None and self._since_s(called_ns) > self._settings.stuck_s:
                raise RestartMe(
                    f"the camera's driver has not returned for {self._since_s(called_ns):.0f} s; start again, and if it "
                    "stays so, unplug the camera"
                )
            self._turn.wait_for(lambda: self._slot is not None or self._failure is not None, timeout_s)
            frame, self._slot = self._slot, None
            self._turn.notify_all()
            if frame is None and self._failure is not None:
                raise self._failure
            return frame

    def change(self) -> CameraChange | None:
        """The next change of a live source's state that was not asked for yet, or None."""
        return self._changes.popleft() if self._changes else None

    def _run(self) -> None:
        try:
            if self.lost:
                self._bring_back()
            else:
                self._first_frame()
            while not self._stop.is_set():
                try:
                    self._one_frame(self._settings.stall_s)
                except SourceLost as lost:
                    if not isinstance(lost, _FrozenPicture):
                        self._pictures.clear()  # whatever it shows when it is there again will do
                    self._lose("lost", str(lost), self._last_ns)
                    self._bring_back()
        except BaseException as error:  # whatever it is, the loop must hear of it and not wait for ever
            with self._turn:
                self._failure = error
                self._turn.notify_all()
        finally:
            self.source.close()

    def _first_frame(self) -> None:
        """Waits until the source gave a frame since it was opened. Raises CameraNotOpened when it gives none."""
        self._last_ns = self._clock.mono_ns()
        before = self.read
        try:
            while self.read == before and not self._stop.is_set():
                self._one_frame(self._settings.open_s)
        except SourceLost as lost:
            raise CameraNotOpened(f"the camera opened but gave no picture: {lost}") from lost

    def _one_frame(self, patience_s: float) -> None:
        """Reads the source once. Raises SourceLost when a live one gave nothing new for `patience_s`."""
        self._called_ns = self._clock.mono_ns()
        frame = self.source.read()
        self._called_ns = None
        if self.source.live and (frame is None or self._is_frozen(frame.gray)):
            waited_s = self._since_s(self._last_ns)
            if waited_s > patience_s:
                raise SourceLost(f"no picture for {waited_s:.1f} s" if frame is None else "the same picture as before")
            return
        self._last_ns = self._clock.mono_ns()
        with self._turn:
            self.read += 1
            if frame is None:
                self.drops["unreadable"] += 1
                return
            if not self.source.live:
                self._turn.wait_for(lambda: self._slot is None or self._stop.is_set())
            if self._slot is not None:
                self.drops["unread" if self._stop.is_set() else "busy"] += 1
            self._slot = frame
            self._turn.notify_all()

    def _is_frozen(self, gray: np.ndarray) -> bool:
        """Whether this is a picture that a lost source froze on. Raises SourceLost when none was new for `same_s`."""
        same_s = self._settings.same_s
        if not same_s:
            return False
        if (picture := _picture_checksum(gray)) not in self._pictures:
            self._pictures.append(picture)
            self._changed_ns = self._clock.mono_ns()
            return False
        if self.lost:
            return True
        if (stood_s := self._since_s(self._changed_ns)) > same_s:
            raise _FrozenPicture(f"the same picture for {stood_s:.1f} s")
        return False

    def _lose(self, state: str, reason: str, since_ns: int) -> None:
        self.lost, self._gone_ns, self._reason = True, since_ns, reason
        self._changes.append(CameraChange(state, reason, self._since_s(since_ns)))

    def _bring_back(self) -> None:
        """Returns once the lost source gives frames again or the run is stopped. Raises RestartMe after `reopen_s`."""
        while not self._stop.is_set():
            self.source.close()
            if self._stop.wait(_reopen_delay_s(self._since_s(self._gone_ns))):
                return
            try:
                self._called_ns = self._clock.mono_ns()
                self.source.open()
                self._called_ns = None
                self._first_frame()
            except CameraNotOpened as error:
                self._called_ns = None
                gone_s = self._since_s(self._gone_ns)
                if gone_s > self._settings.reopen_s and not self._settings.wait_camera:
                    raise RestartMe(
                        f"the camera was lost ({self._reason}) and did not come back in {self._settings.reopen_s:g} s "
                        f"({error}); start again once it is there"
                    ) from error
                continue
            if not self._stop.is_set():
                self.lost = False
                self._changed_ns = self._last_ns
                self.opened_ns = self.opened_ns or self._last_ns
                self._changes.append(CameraChange("back", self._reason, (self._last_ns - self._gone_ns) / 1e9))
            return

    def _since_s(self, mono_ns: int) -> float:
        return (self._clock.mono_ns() - mono_ns) / 1e9


def _reopen_delay_s(gone_s: float) -> float:
    """How long to wait before the next attempt to open a source that has been gone for `gone_s`."""
    wait_s = min(max(gone_s * _REOPEN_DELAY_SHARE, _MIN_REOPEN_DELAY_S), _MAX_REOPEN_DELAY_S)
    return wait_s * random.uniform(1 - _REOPEN_DELAY_JITTER, 1 + _REOPEN_DELAY_JITTER)


def _picture_checksum(gray: np.ndarray) -> int:
    """A number by which pictures uint8 (H, W) are told apart: of every eighth row, since a sensor's noise is in all."""
    import numpy as np

    return zlib.crc32(np.ascontiguousarray(gray[::8]).data, gray.shape[0] << 16 | gray.shape[1])
