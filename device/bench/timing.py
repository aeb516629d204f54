"""Times of repeated calls, measured in turns, so that other load affects all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from device.clock import Clock

Key = TypeVar("Key", bound=Hashable)
WARM_UP = 5  # calls before the first that counts
_ROUNDS = 5
_LEAST_CALLS = 4  # calls per round, however long one takes


@dataclass(frozen=True, slots=True)
class CallTimes:
    """The times of `calls` calls, without the warm-up."""

    p50_ms: float
    p95_ms: float
    mean_ms: float
    calls: int

    @staticmethod
    def of(spans_ns: Sequence[int]) -> CallTimes:
        """The statistics of the durations of one or more calls."""
        import numpy as np

        spans_ms = np.asarray(spans_ns) / 1e6
        p50_ms, p95_ms = np.quantile(spans_ms, (0.5, 0.95)).tolist()
        return CallTimes(p50_ms, p95_ms, float(spans_ms.mean()), len(spans_ns))

    def to_json(self) -> dict[str, float]:
        """Median, 95th percentile and number of calls, times rounded to microseconds."""
        return {"p50_ms": round(self.p50_ms, 3), "p95_ms": round(self.p95_ms, 3), "calls": self.calls}


def time_in_turns(
    calls: Mapping[Key, Callable[[], object]],
    seconds: float,
    clock: Clock,
    between: Callable[[], object] = lambda: None,
) -> dict[Key, CallTimes]:
    """The times of each call by its key, measured for about `seconds` in all, at least 20 times each.

    In each round every call is repeated for the same time. Its first repetition is not counted, because the caches hold the
    data of the call before. `between` is called after each round and is not timed.
    """
    spans_ns: dict[Key, list[int]] = {key: [] for key in calls}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    slice_ns = seconds * 1e9 / (_ROUNDS * max(1, len(calls)))
    for _ in range(_ROUNDS):
        for key, call in calls.items():
            call()
            start_ns = done_ns = clock.mono_ns()
            count = 0
            while count < _LEAST_CALLS or done_ns - start_ns < slice_ns:
                from_ns = done_ns
                call()
                done_ns = clock.mono_ns()
                spans_ns[key].append(done_ns - from_ns)
                count += 1
        between()
    return {key: CallTimes.of(spans) for key, spans in spans_ns.items()}
