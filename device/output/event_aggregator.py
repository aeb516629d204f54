"""The account of a run: what its journal is told beside the readings: episodes, minutes, and that the wall clock was set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from device.clock import Clock
from device.output import clock_changes, episodes, tally
from device.output.episodes import EpisodeRules
from device.output.tally import FrameCounts

if TYPE_CHECKING:
    from device.vision.readings import Reading

_CLOCK_CHECK_NS = 1_000_000_000  # between two looks at the wall clock


class RecordEvent(Protocol):
    """What takes an event: its kind, its body, and when it happened."""

    def __call__(self, kind: str, body: dict[str, Any], mono_ns: int | None = None) -> Any: ...


class EventAggregator:
    """Hands the events that follow from frames, and from moments without one, to `record`; keeps only sums.

    Times are the frames' own: of a recording, its position after the start of the run. `rules` may be changed while it
    runs. `patience_s` is more than the time between two frames ever should be.
    """

    def __init__(
        self, record: RecordEvent, clock: Clock, rules: EpisodeRules, start_ns: int, patience_s: float
    ) -> None:
        self.rules = rules
        self._record, self._clock = record, clock
        self._faces = episodes.NO_EPISODES
        self._minute = tally.start_tally(start_ns, patience_s)
        self._wall: clock_changes.WallClock | None = None
        self._look_ns = 0

    def frame(self, readings: Sequence[Reading], mono_ns: int, counts: FrameCounts) -> None:
        """A frame came, and these are the readings of its faces."""
        self._watch()
        self._faces, over = episodes.update_episodes(self._faces, readings, mono_ns, self.rules)
        self._all("episode", over, mono_ns)
        self._minute, minutes = tally.update_tally(self._minute, readings, mono_ns, counts, self.rules)
        self._all("tally", minutes, mono_ns)

    def moment(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """No frame came by then, or none was looked for."""
        self._watch()
        self._minute, minutes = tally.update_tally(self._minute, None, mono_ns, counts, self.rules, paused)
        self._all("tally", minutes, mono_ns)

    def interrupt(self, why: str, mono_ns: int) -> None:
        """The camera was `lost`, or the run was paused (`pause`): no episode reaches beyond that."""
        self._all("episode", episodes.close_episodes(self._faces, why), mono_ns)
        self._faces = episodes.NO_EPISODES

    def finish(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """The run is over."""
        self.interrupt("end", mono_ns)
        self._all("tally", tally.finish_tally(self._minute, mono_ns, counts, self.rules, paused), mono_ns)

    def _all(self, kind: str, bodies: Sequence[dict[str, Any]], mono_ns: int) -> None:
        for body in bodies:
            self._record(kind, body, mono_ns)

    def _watch(self) -> None:
        now_ns = self._clock.mono_ns()
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + _CLOCK_CHECK_NS
        self._wall, body = clock_changes.detect_change(self._wall, self._clock.stamp())
        if body:
            self._record("clock", body)
