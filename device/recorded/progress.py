"""How far a long command is and how long it will go on, in one line on stderr that is written over and over."""

from __future__ import annotations

from collections import deque
from shutil import get_terminal_size
from typing import TextIO

from device.clock import Clock

_REWRITE_EVERY_S = 0.5  # between two lines that are written over one another
_LOG_EVERY_S = 60.0  # between two lines where they stay: a file, a journal of the system
_PACE_WINDOW_S = 120.0  # the pace of so long is what the rest is expected to go at


class Progress:
    """A line of progress: `begin` is told how much work there is, in whatever it is counted, `show` how much is done."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self._rewrites = stream.isatty()
        self._seen: deque[tuple[int, float]] = deque()
        self.begin(1)

    def begin(self, total: int) -> None:
        """Work begins now; the time left is reckoned from here."""
        self._total = max(1, total)
        self._shown_ns = self._clock.mono_ns()
        self._seen.clear()
        self._seen.append((self._shown_ns, 0.0))

    def show(self, done: float, what: str) -> None:
        """Writes the line, if it is time for one: share, time left, and what is being done."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._shown_ns < (_REWRITE_EVERY_S if self._rewrites else _LOG_EVERY_S) * 1e9:
            return
        self._shown_ns = now_ns
        self._seen.append((now_ns, done))
        while len(self._seen) > 2 and now_ns - self._seen[1][0] > _PACE_WINDOW_S * 1e9:
            self._seen.popleft()
        line = f"{min(1.0, done / self._total):.0%}, {self._left(done)}, {what}"
        self._stream.write(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}" if self._rewrites else f"{line}\n")
        self._stream.flush()

    def say(self, sentence: str) -> None:
        """Writes a sentence that stays, above the line."""
        self.clear()
        self._stream.write(f"fer-edge: {sentence}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if self._rewrites:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _left(self, done: float) -> str:
        then_ns, before = self._seen[0]
        if done <= before:
            return "time left not known yet"
        left_s = round((self._total - done) * (self._shown_ns - then_ns) / 1e9 / (done - before))
        minutes, seconds = divmod(max(0, left_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
