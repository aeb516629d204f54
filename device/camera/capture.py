"""A thread that reads a source into a slot of one frame: the loop gets the newest frame and never waits for a driver.

A live source overwrites the slot, and the overwritten frame is counted as dropped; a recording waits until the slot is empty.
When a live source stops, the following happens in this order:

1. A read returns nothing: reading continues, up to `stall_s`.
2. Still nothing, or an identical picture for `same_s` (a sensor always has noise, so it is dead): the source is lost. It is
   closed and opened again repeatedly, first after a short delay, later after a twentieth of the time that it was lost.
3. A new picture arrives: the source is back. One that was lost for an identical picture must give three pictures that are
   different from those it froze on and from each other: a decoder that joins a frozen stream may give one or two.
4. It does not come back within `reopen_s`, or a driver call never returns: RestartNeeded, so that a new process starts.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.source import CameraChange, Source, SourceLost
from device.camera.time_limits import longest_call_s, reopen_delay_s, stuck_limit_s
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened, RestartNeeded, UsageError

if TYPE_CHECKING:
    import numpy as np

_JOIN_TIMEOUT_S = 5.0  # at the end of a run a thread that is stuck in a driver is abandoned after that
_OVERDUE_S = 2.0  # a driver that is over its limit must stay so for that long
# A frozen stream repeats several encodings of one picture, the same ones after each key frame.
_REMEMBERED_PICTURES = 32
_NEW_PICTURES_AFTER_FREEZE = 3


class _FrozenPicture(SourceLost):
    """The source returns pictures, and none of them is new."""


class Capture:
    """Reads a source in a thread. A context manager: entering opens the source and starts the thread, leaving stops both.

    `read` counts all pictures that arrived, decodable or not. `drops` counts those that never reached the loop, by reason:
    `busy` (a newer one arrived first), `unread` (the loop ended), `unreadable` (could not be decoded). `read` equals the
    frames returned by `next_frame` plus `drops`. `opened_ns` is when the source was first open, before any frame; 0 while a
    source that may appear later is absent or has given no picture yet. `lost` is true from a loss until the picture is back.
    """

    def __init__(self, source: Source, settings: Settings, clock: Clock) -> None:
        self.source = source
        self.read = 0
        self.opened_ns = 0
        self.drops: Counter[str] = Counter()
        self._settings, self._clock = settings, clock
        self._condition = threading.Condition()
        self._stop = threading.Event()
        self._stop_ns = 0  # when it was set
        self._slot: Frame | None = None
        self._changes: deque[CameraChange] = deque()
        self._failure: BaseException | None = None
        self._last_ns = 0  # when the last frame arrived; before the first, when the source was opened
        self._recent_checksums: deque[int] = deque(
            maxlen=_REMEMBERED_PICTURES
        )  # of the last new pictures, live sources only
        self._new_picture_ns = 0  # when the newest of them arrived
        self._frozen = False  # whether the last loss was for an identical picture
        self._new_since_open = 0  # pictures, while lost
        self._overdue_ns: int | None = None  # when that call was first seen to be over the limit
        self._call_started_ns: int | None = None  # of the call into the source that is in progress, by awake_ns
        self.lost, self._lost_ns, self._reason = False, 0, ""
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether the thread was asked to end: no more frames are returned."""
        return self._stop.is_set()

    @property
    def silent(self) -> bool:
        """Whether nothing has arrived for more than a second, and not for longer than `stall_s` or an opening allows."""
        return 1.0 < self._elapsed_s(self._last_ns) <= longest_call_s(self._settings)

    def __enter__(self) -> Capture:
        try:
            self.source.open()
            self.opened_ns = self._clock.mono_ns()
        except (CameraNotOpened, UsageError) as error:  # the file with a camera's password may come later too
            if not self._waits:
                raise
            self._mark_lost("waiting", str(error), self._clock.mono_ns())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stop(self) -> bool:
        """Asks the thread to end. Whether it has ended, so that the source is closed and may be used again.

        It does not wait; a loop asks again at each turn, and `next_frame` waits meanwhile. A driver's call cannot be
        interrupted, and nothing else may use the source before it returns. It is given as long as a healthy driver may take,
        because a run that ends with RestartNeeded is started again only by a service manager. Raises RestartNeeded after
        that: only the end of the process closes the device then.
        """
        self._ask_to_stop()
        if not self._thread.is_alive():
            return True
        if (waited_s := self._elapsed_s(self._stop_ns)) > longest_call_s(self._settings):
            raise RestartNeeded(
                f"the camera does not close: its driver has not returned for {waited_s:.0f} s; the end of this process closes "
                "it, and a pause stays in force at the next start"
            )
        return False

    def close(self) -> None:
        """Ends the thread, closes the source and counts a frame left in the slot as unread; may be called twice.

        For the end of a process, which closes a device whose driver does not return within 5 s. Before a source is used again
        `stop` must have returned True.
        """
        self._ask_to_stop()
        self._thread.join(_JOIN_TIMEOUT_S)
        with self._condition:
            if self._slot is not None:
                self._slot = None
                self.drops["unread"] += 1

    def _ask_to_stop(self) -> None:
        if not self._stop.is_set():
            self._stop_ns = self._clock.mono_ns()
            self._stop.set()
        with self._condition:
            self._condition.notify_all()

    def next_frame(self, timeout_s: float) -> Frame | None:
        """The newest frame that was not returned yet, or None when none arrived within `timeout_s`, or after `stop`.

        Raises EndOfStream after the last frame of a recording, CameraNotOpened when no first frame arrived, RestartNeeded when
        a lost source did not come back or its driver does not return, and any other error that ended the thread.
        """
        if self._stop.is_set():
            self._thread.join(timeout_s)
            return None
        with self._condition:
            started_ns = self._call_started_ns
            now_ns = self._clock.awake_ns()
            stuck_s = 0.0 if started_ns is None else (now_ns - started_ns) / 1e9
            if stuck_s <= stuck_limit_s(self._settings):
                self._overdue_ns = None
            elif self._overdue_ns is None:
                self._overdue_ns = now_ns  # the process may have been stopped (Ctrl-Z), and the driver with it
            elif now_ns - self._overdue_ns >= _OVERDUE_S * 1e9:
                raise RestartNeeded(
                    f"the camera's driver has not returned for {stuck_s:.0f} s; start again; if it stays so, unplug the camera"
                )
            self._condition.wait_for(lambda: self._slot is not None or self._failure is not None, timeout_s)
            frame, self._slot = self._slot, None
            self._condition.notify_all()
            if frame is None and self._failure is not None:
                raise self._failure
            return frame

    def next_change(self) -> CameraChange | None:
        """The oldest change of a live source's state that was not returned yet, or None."""
        return self._changes.popleft() if self._changes else None

    def _run(self) -> None:
        try:
            try:
                if not self.lost:
                    self._read_first_frame()
            except CameraNotOpened as error:
                if not self._waits:
                    raise
                since_ns, self.opened_ns = self.opened_ns, 0  # without a picture it is absent
                self._mark_lost("waiting", str(error), since_ns)
            if self.lost:
                self._reopen()
            while not self._stop.is_set():
                try:
                    self._read_frame(self._settings.stall_s)
                except SourceLost as lost:
                    self._frozen = isinstance(lost, _FrozenPicture)
                    if not self._frozen:
                        self._recent_checksums.clear()  # any picture counts as new once the source is back
                    self._mark_lost("lost", str(lost), self._last_ns)
                    self._reopen()
        except BaseException as error:  # whatever it is, the loop must receive it and not wait for ever
            with self._condition:
                self._failure = error
                self._condition.notify_all()
        finally:
            self.source.close()

    def _read_first_frame(self) -> None:
        """Waits until the source returned a frame since it was opened. Raises CameraNotOpened when it returns none."""
        self._last_ns = self._clock.mono_ns()
        before = self.read
        try:
            while self.read == before and not self._stop.is_set():
                self._read_frame(self._settings.open_s)
        except SourceLost as lost:
            raise CameraNotOpened(f"the camera opened but gave no picture: {lost}") from lost

    def _read_frame(self, timeout_s: float) -> None:
        """Reads the source once. Raises SourceLost when a live source returned nothing new for `timeout_s`."""
        self._call_started_ns = self._clock.awake_ns()
        frame = self.source.read()
        self._call_started_ns = None
        if self.source.live and (frame is None or self._is_frozen(frame.gray)):
            waited_s = self._elapsed_s(max(self._last_ns, self._new_picture_ns))
            if waited_s > timeout_s:
                raise SourceLost(f"no picture for {waited_s:.1f} s" if frame is None else "the same picture as before")
            return
        self._last_ns = self._clock.mono_ns()
        with self._condition:
            self.read += 1
            if frame is None:
                self.drops["unreadable"] += 1
                return
            if not self.source.live:
                self._condition.wait_for(lambda: self._slot is None or self._stop.is_set())
            if self._slot is not None:
                self.drops["unread" if self._stop.is_set() else "busy"] += 1
            self._slot = frame
            self._condition.notify_all()

    def _is_frozen(self, gray: np.ndarray) -> bool:
        """Whether a lost source still gives the pictures that it froze on. Raises SourceLost when none was new for `same_s`."""
        same_s = self._settings.same_s
        if not same_s:
            return False
        if (checksum := _picture_checksum(gray)) not in self._recent_checksums:
            self._recent_checksums.append(checksum)
            self._new_picture_ns = self._clock.mono_ns()
            self._new_since_open += 1
            return self.lost and self._frozen and self._new_since_open < _NEW_PICTURES_AFTER_FREEZE
        if self.lost:
            return True
        if (frozen_s := self._elapsed_s(self._new_picture_ns)) > same_s:
            raise _FrozenPicture(f"the same picture for {frozen_s:.1f} s")
        return False

    def _mark_lost(self, state: str, reason: str, since_ns: int) -> None:
        self.lost, self._lost_ns, self._reason = True, since_ns, reason
        self._changes.append(CameraChange(state, reason, self._elapsed_s(since_ns)))

    def _reopen(self) -> None:
        """Returns once the lost source returns frames again or the run is stopped. Raises RestartNeeded after `reopen_s`."""
        while not self._stop.is_set():
            self.source.close()
            if self._stop.wait(reopen_delay_s(self._elapsed_s(self._lost_ns))):
                return
            try:
                self._call_started_ns = self._clock.awake_ns()
                self.source.open()
                self._call_started_ns = None
                self._new_since_open = 0
                self._read_first_frame()
            except (CameraNotOpened, UsageError) as error:
                self._call_started_ns = None
                lost_s = self._elapsed_s(self._lost_ns)
                if lost_s > self._settings.reopen_s and not self._settings.wait_camera:
                    raise RestartNeeded(
                        f"the camera was lost ({self._reason}) and did not come back in {self._settings.reopen_s:g} s "
                        f"({error}); start again once it is there"
                    ) from error
                continue
            if not self._stop.is_set():
                self.lost = False
                self._new_picture_ns = self._last_ns
                self.opened_ns = self.opened_ns or self._last_ns
                self._changes.append(CameraChange("back", "", (self._last_ns - self._lost_ns) / 1e9))
            return

    @property
    def _waits(self) -> bool:
        return self._settings.wait_camera and self.source.live

    def _elapsed_s(self, since_ns: int) -> float:
        return (self._clock.mono_ns() - since_ns) / 1e9


def _picture_checksum(gray: np.ndarray) -> int:
    """A checksum of every eighth row of a picture uint8 (H, W); a sensor's noise is in every row, so this is enough."""
    import numpy as np

    return zlib.crc32(np.ascontiguousarray(gray[::8]).data, gray.shape[0] << 16 | gray.shape[1])
