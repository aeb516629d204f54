"""When frames arrive at the loop, which processes or drops each: how long the next one may take. A pure value.

A frame that is dropped, because the processor is hot or over its budget, shows that the camera works: the faces of the frame
before it are still there, for UNSEEN_S at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from device.vision.search import MAX_FORGET_S

PATIENCE_S = 2.0  # after which a frame counts as missing, where frames are close
UNSEEN_S = 10.0  # after which nothing is known of what the camera shows, where all frames are dropped
_MOST_UNSEEN_S = 300.0  # and where the processed ones are usually further apart
_PATIENCE_FRAMES = 3  # and where they are further apart
_MOST_GAPS = 1.5  # for which a frame may be awaited, in usual gaps between two frames
_LONGEST_NS = round(MAX_FORGET_S * 1e9)  # wait in which nothing is forgotten, as of tracks


def patience_s(fps: float) -> float:
    """After how many seconds the next frame of a run at `fps` counts as missing."""
    return max(PATIENCE_S, _PATIENCE_FRAMES / fps)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The frames so far, by the times at which they were taken; None before the first.

    `gaps_ns` are the last two gaps, of which the shorter is the usual one: a single stall changes nothing. `widest_ns` is the
    widest gap since the last processed frame. `processed_gaps_ns` are the last two gaps between processed frames.
    """

    last_ns: int | None = None  # processed or dropped
    processed_ns: int | None = None
    gaps_ns: tuple[int, ...] = ()
    widest_ns: int = 0
    processed_gaps_ns: tuple[int, ...] = ()

    def add(self, mono_ns: int, processed: bool) -> Arrivals:
        """The arrivals after one more frame."""
        gap_ns = 0 if self.last_ns is None else min(max(0, mono_ns - self.last_ns), _LONGEST_NS)
        gaps_ns = () if self.last_ns is None else (*self.gaps_ns[-1:], gap_ns)
        if processed:
            since_ns = () if self.processed_ns is None else (max(0, mono_ns - self.processed_ns),)
            return Arrivals(mono_ns, mono_ns, gaps_ns, 0, (*self.processed_gaps_ns[-1:], *since_ns))
        widest_ns = max(self.widest_ns, gap_ns)
        return Arrivals(mono_ns, self.processed_ns, gaps_ns, widest_ns, self.processed_gaps_ns)

    def patience_ns(self, least_ns: int) -> int:
        """For how long the next frame may be awaited: `least_ns`, and longer where frames are usually further apart."""
        usual_ns = min(self.gaps_ns, default=0)
        return max(least_ns, min(_LONGEST_NS, round(_MOST_GAPS * usual_ns)))

    def unseen_ns(self, least_ns: int) -> int:
        """After how long without a processed frame nothing is known: UNSEEN_S, `least_ns`, or longer where they are rarer."""
        usual_ns = min(round(_MOST_GAPS * min(self.processed_gaps_ns, default=0)), round(_MOST_UNSEEN_S * 1e9))
        return max(round(UNSEEN_S * 1e9), self.patience_ns(least_ns), usual_ns)

    def is_present(self, seen_ns: int, mono_ns: int, away_ns: int) -> bool:
        """Whether a face of the frame of `seen_ns` counts as the same face in a frame of `mono_ns`, the next to be added.

        So it does within `away_ns`; and after more, up to 10 s, if it was in the last processed frame and no frame since was
        late.
        """
        if mono_ns - seen_ns <= away_ns:
            return True
        if self.last_ns is None or self.processed_ns is None or seen_ns < self.processed_ns:
            return False
        widest_ns = max(self.widest_ns, mono_ns - self.last_ns)
        return mono_ns - seen_ns <= _LONGEST_NS and widest_ns <= self.patience_ns(away_ns)
