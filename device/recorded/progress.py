"""The progress of a long command and its remaining time, in one line on stderr that is rewritten."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from shutil import get_terminal_size
from typing import TextIO

from device.clock import Clock
from fer_edge.text_cleaning import clean, clean_lines

_REWRITE_EVERY_S = 0.5  # on a terminal: time between two rewrites of the line
_LOG_EVERY_S = 60.0  # in a file or the system's log: time between two lines
_PACE_WINDOW_S = 120.0  # the remaining time is estimated from the pace of that period


class Progress:
    """A progress line. `begin` gets the amount of work in any unit, `show` the finished amount; `quiet`: there is no line."""

    def __init__(self, stream: TextIO, clock: Clock, quiet: bool = False, pace_from_start: bool = False) -> None:
        """`pace_from_start`: for work whose parts take longer than _PACE_WINDOW_S, the pace is that of the whole time."""
        self._stream, self._clock, self._quiet, self._pace_from_start = stream, clock, quiet, pace_from_start
        self._rewrites = stream.isatty()
        self._history: deque[tuple[int, float]] = deque()
        self.begin(1)

    def begin(self, total: int) -> None:
        """Starts the measurement of the pace."""
        self._total = max(1, total)
        self._shown_ns = self._clock.mono_ns()
        self._history.clear()
        self._history.append((self._shown_ns, 0.0))

    def show(self, done: float, what: str) -> None:
        """Writes the line if it is due: finished share, remaining time, and `what` is being done."""
        now_ns = self._clock.mono_ns()
        if self._quiet or now_ns - self._shown_ns < (_REWRITE_EVERY_S if self._rewrites else _LOG_EVERY_S) * 1e9:
            return
        self._shown_ns = now_ns
        if not self._pace_from_start:
            self._history.append((now_ns, done))
        while len(self._history) > 2 and now_ns - self._history[1][0] > _PACE_WINDOW_S * 1e9:
            self._history.popleft()
        line = f"{min(1.0, done / self._total):.0%}, {self._remaining(done)}, {what}"
        line = clean(line, 2000)
        self._write(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}" if self._rewrites else f"{line}\n")

    def message(self, sentence: str) -> None:
        """Writes a permanent sentence above the line."""
        self.clear()
        self._write(f"fer-edge: {clean_lines(sentence)}\n")

    def clear(self) -> None:
        """Removes the line."""
        if self._rewrites:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        """Writes a text, or drops it where nobody reads the stream: the work goes on."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _remaining(self, done: float) -> str:
        then_ns, before = self._history[0]
        if done <= before:
            return "remaining time unknown"
        left_s = round((self._total - done) * (self._shown_ns - then_ns) / 1e9 / (done - before))
        minutes, seconds = divmod(max(0, left_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
