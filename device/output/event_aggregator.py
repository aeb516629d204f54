"""Aggregates frames into the events that a journal holds beside readings: episodes, tallies and changes of the wall clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from device.clock import Clock
from device.output import clock_changes, episodes, tally
from device.output.episodes import EpisodeRules
from device.output.tally import FrameCounts

if TYPE_CHECKING:
    from device.output.event_bodies import RecordEvent, TallyBody
    from device.vision.readings import Reading

_CLOCK_CHECK_NS = 1_000_000_000  # between two checks of the wall clock


class EventAggregator:
    """Passes the events that follow from frames, and from moments without a frame, to `record`; stores only sums.

    Times are those of the frames: of a recording, its position after the start of the run. `rules` may be changed during the
    run. `patience_s` is longer than the time between two frames should be. `prior` returns the device's own prior by
    label, which each tally then has, or None.
    """

    def __init__(
        self,
        record: RecordEvent,
        clock: Clock,
        rules: EpisodeRules,
        start_ns: int,
        patience_s: float,
        prior: Callable[[], Mapping[str, float] | None] = lambda: None,
    ) -> None:
        self.rules = rules
        self._record, self._clock, self._prior = record, clock, prior
        self._episodes = episodes.NO_EPISODES
        self._tally = tally.start_tally(start_ns, patience_s)
        self._wall: clock_changes.WallClock | None = None
        self._clock_check_ns = 0

    def add_frame(self, readings: Sequence[Reading], mono_ns: int, counts: FrameCounts) -> None:
        """Adds a frame with these readings."""
        self._check_clock()
        self._episodes, ended = episodes.update_episodes(self._episodes, readings, mono_ns, self.rules)
        for body in ended:
            self._record("episode", body, mono_ns)
        self._tally, minutes = tally.update_tally(self._tally, readings, mono_ns, counts)
        self._record_tallies(minutes, mono_ns)

    def add_dropped_frame(self, mono_ns: int, counts: FrameCounts) -> None:
        """Adds a frame that was dropped although the camera works: the processor is hot or over its budget."""
        self._check_clock()
        self._episodes = episodes.add_dropped_frame(self._episodes, mono_ns)
        self._tally, minutes = tally.add_dropped_frame(self._tally, mono_ns, counts)
        self._record_tallies(minutes, mono_ns)

    def advance(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """Advances the time without a frame: none arrived, or the run is paused."""
        self._check_clock()
        self._tally, minutes = tally.update_tally(self._tally, None, mono_ns, counts, paused)
        self._record_tallies(minutes, mono_ns)

    def interrupt(self, why: str, mono_ns: int) -> None:
        """Ends all open episodes: the camera was `lost`, or the run was paused (`pause`)."""
        for body in episodes.close_episodes(self._episodes, why):
            self._record("episode", body, mono_ns)
        self._episodes = episodes.NO_EPISODES

    def pause(self, mono_ns: int, counts: FrameCounts) -> None:
        """Accounts for the time up to a pause, and ends all open episodes."""
        self._tally, minutes = tally.settle_tally(self._tally, mono_ns, counts)
        self._record_tallies(minutes, mono_ns)
        self.interrupt("pause", mono_ns)

    def end_tally(self, mono_ns: int, counts: FrameCounts) -> None:
        """Records the tally up to the last frame, before something changes that holds for a whole tally."""
        self._tally, bodies = tally.end_tally(self._tally, counts)
        self._record_tallies(bodies, mono_ns)

    def finish(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """Records what is open at the end of the run."""
        self.interrupt("end", mono_ns)
        self._record_tallies(tally.finish_tally(self._tally, mono_ns, counts, paused), mono_ns)

    def _record_tallies(self, bodies: Sequence[TallyBody], mono_ns: int) -> None:
        for body in bodies:
            if (prior := self._prior()) is not None:
                body["prior"] = dict(prior)
            self._record("tally", body, mono_ns)

    def _check_clock(self) -> None:
        now_ns = self._clock.mono_ns()
        if now_ns < self._clock_check_ns:
            return
        self._clock_check_ns = now_ns + _CLOCK_CHECK_NS
        self._wall, body = clock_changes.detect_change(self._wall, self._clock.stamp())
        if body:
            self._record("clock", body)
