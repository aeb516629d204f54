"""A thread that reads a source into a slot of one frame: the loop has the newest and never waits for a driver.

A live source overwrites the slot and the frame lost is counted; a recording waits until the slot is empty. When a live
source stops, it is opened again, each attempt after twice the wait of the one before, for a bounded time.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from types import TracebackType

from device.camera import Source, SourceLost
from device.clock import Clock
from device.config import Settings
from device.vision.frames import Frame
from fer_edge.errors import CameraNotOpened, RestartMe

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
_GOODBYE_S = 5.0  # a read that is stuck in a driver is left behind after that


@dataclass(frozen=True, slots=True)
class Change:
    """A live source was lost, or came back after `gap_s` without a frame."""

    state: str  # lost or back
    reason: str
    gap_s: float


class Capture:
    """A source being read. A context manager: entering opens the source and starts the thread, leaving stops both.

    `read` counts the pictures that came, readable or not; `drops` those that never reached the loop, by reason: `busy`
    (a newer one came first), `unread` (the loop ended), `unreadable` (no picture could be made of it). What was read is
    what was taken plus what was dropped. `opened_ns` is when the source was first open, before any frame.
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
        self._changes: deque[Change] = deque()
        self._failure: BaseException | None = None
        self._last_ns = 0  # when the last frame came; when the source was opened, before the first
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def __enter__(self) -> Capture:
        self.source.open()
        self.opened_ns = self._clock.mono_ns()
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
        self._thread.join(_GOODBYE_S)
        with self._turn:
            if self._slot is not None:
                self._slot = None
                self.drops["unread"] += 1

    def take(self, timeout_s: float) -> Frame | None:
        """The newest frame not taken yet, or None when none came within `timeout_s`.

        Raises EndOfStream after the last frame of a recording, CameraNotOpened when no first frame came, RestartMe when
        a lost source did not come back, and whatever else ended the thread.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._slot is not None or self._failure is not None, timeout_s)
            frame, self._slot = self._slot, None
            self._turn.notify_all()
            if frame is None and self._failure is not None:
                raise self._failure
            return frame

    def change(self) -> Change | None:
        """The next change of a live source's state that was not asked for yet, or None."""
        return self._changes.popleft() if self._changes else None

    def _run(self) -> None:
        try:
            self._first_frame()
            while not self._stop.is_set():
                try:
                    self._one_frame(self._settings.stall_s)
                except SourceLost as lost:
                    self._bring_back(str(lost))
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
        """Reads the source once. Raises SourceLost when a live one gave nothing for `patience_s`."""
        frame = self.source.read()
        if frame is None and self.source.live:
            waited_s = (self._clock.mono_ns() - self._last_ns) / 1e9
            if waited_s > patience_s:
                raise SourceLost(f"no picture for {waited_s:.1f} s")
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

    def _bring_back(self, reason: str) -> None:
        """Returns once the lost source gives frames again or the run is stopped. Raises RestartMe after `reopen_s`."""
        gone_ns, wait_s = self._last_ns, _FIRST_WAIT_S
        self._changes.append(Change("lost", reason, self._since_s(gone_ns)))
        while not self._stop.is_set():
            self.source.close()
            if self._stop.wait(wait_s):
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            try:
                self.source.open()
                self._first_frame()
            except CameraNotOpened as error:
                if self._since_s(gone_ns) > self._settings.reopen_s:
                    raise RestartMe(
                        f"the camera was lost ({reason}) and did not come back in {self._settings.reopen_s:g} s "
                        f"({error}); start again once it is there"
                    ) from error
                continue
            if not self._stop.is_set():
                self._changes.append(Change("back", reason, (self._last_ns - gone_ns) / 1e9))
            return

    def _since_s(self, mono_ns: int) -> float:
        return (self._clock.mono_ns() - mono_ns) / 1e9
