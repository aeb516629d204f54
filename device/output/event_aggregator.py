"""Aggregates frames into the events that a journal holds beside readings: episodes, tallies and changes of the wall clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from device.clock import Clock
from device.output import clock_changes, episodes, tally
from device.output.episodes import EpisodeRules
from device.output.tally import FrameCounts

if TYPE_CHECKING:
    from device.output.event_bodies import EpisodeBody, RecordEvent, TallyBody
    from device.vision.readings import Reading

_CLOCK_CHECK_NS = 1_000_000_000  # between two checks of the wall clock


class EventAggregator:
    """Passes the events that follow from frames, and from moments without a frame, to `record`; stores only sums.

    Times are those of the frames: of a recording, its position after the start of the run. `rules` may be changed during the
    run. `patience_s` is longer than the time between two frames ever should be.
    """

    def __init__(
        self, record: RecordEvent, clock: Clock, rules: EpisodeRules, start_ns: int, patience_s: float
    ) -> None:
        self.rules = rules
        self.prior: Mapping[str, float] | None = None  # the device's own, by label; each tally then has it
        self._record, self._clock = record, clock
        self._episodes = episodes.NO_EPISODES
        self._tally = tally.start_tally(start_ns, patience_s)
        self._wall: clock_changes.WallClock | None = None
        self._clock_check_ns = 0

    def add_frame(self, readings: Sequence[Reading], mono_ns: int, counts: FrameCounts) -> None:
        """Adds a frame with these readings."""
        self._check_clock()
        self._episodes, ended = episodes.update_episodes(self._episodes, readings, mono_ns, self.rules)
        self._record_all("episode", ended, mono_ns)
        self._tally, minutes = tally.update_tally(self._tally, readings, mono_ns, counts, self.rules)
        self._record_all("tally", minutes, mono_ns)

    def advance(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """Advances the time without a frame: none arrived, or the run is paused."""
        self._check_clock()
        self._tally, minutes = tally.update_tally(self._tally, None, mono_ns, counts, self.rules, paused)
        self._record_all("tally", minutes, mono_ns)

    def interrupt(self, why: str, mono_ns: int) -> None:
        """Ends all open episodes: the camera was `lost`, or the run was paused (`pause`)."""
        self._record_all("episode", episodes.close_episodes(self._episodes, why), mono_ns)
        self._episodes = episodes.NO_EPISODES

    def finish(self, mono_ns: int, counts: FrameCounts, paused: bool = False) -> None:
        """Records what is open at the end of the run."""
        self.interrupt("end", mono_ns)
        self._record_all("tally", tally.finish_tally(self._tally, mono_ns, counts, self.rules, paused), mono_ns)

    def _record_all(self, kind: str, bodies: Sequence[EpisodeBody | TallyBody], mono_ns: int) -> None:
        prior = {"prior": dict(self.prior)} if kind == "tally" and self.prior is not None else {}
        for body in bodies:
            self._record(kind, cast("EpisodeBody | TallyBody", {**body, **prior}), mono_ns)

    def _check_clock(self) -> None:
        now_ns = self._clock.mono_ns()
        if now_ns < self._clock_check_ns:
            return
        self._clock_check_ns = now_ns + _CLOCK_CHECK_NS
        self._wall, body = clock_changes.detect_change(self._wall, self._clock.stamp())
        if body:
            self._record("clock", body)
