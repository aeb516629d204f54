"""Milliseconds of things that are done again and again, in turns, so that what else the machine does hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from device.clock import Clock

Key = TypeVar("Key", bound=Hashable)
WARM_UP = 5  # calls before the first that counts
_ROUNDS = 5
_LEAST_CALLS = 4  # calls a round, however long one takes


@dataclass(frozen=True, slots=True)
class CallTimes:
    """The times of so many calls, the warm-up not among them."""

    p50_ms: float
    p95_ms: float
    mean_ms: float
    calls: int

    @staticmethod
    def of(spans_ns: Sequence[int]) -> CallTimes:
        """Those of calls, one or more, that took so many ns."""
        import numpy as np

        spans_ms = np.asarray(spans_ns) / 1e6
        p50_ms, p95_ms = np.quantile(spans_ms, (0.5, 0.95)).tolist()
        return CallTimes(p50_ms, p95_ms, float(spans_ms.mean()), len(spans_ns))

    def to_json(self) -> dict[str, float]:
        """Median, 95th percentile and number, times to the microsecond."""
        return {"p50_ms": round(self.p50_ms, 3), "p95_ms": round(self.p95_ms, 3), "calls": self.calls}


def time_in_turns(
    calls: Mapping[Key, Callable[[], object]],
    seconds: float,
    clock: Clock,
    between: Callable[[], object] = lambda: None,
) -> dict[Key, CallTimes]:
    """The times of each call by its key, after about so many seconds for all; at least 20 of each, however long they take.

    In each round every call is made for as long as every other, after once that does not count, because the caches still
    hold what was called before. `between` is called after each round and is not timed.
    """
    spans_ns: dict[Key, list[int]] = {key: [] for key in calls}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    slice_ns = seconds * 1e9 / (_ROUNDS * max(1, len(calls)))
    for _ in range(_ROUNDS):
        for key, call in calls.items():
            call()
            begun_ns = done_ns = clock.mono_ns()
            made = 0
            while made < _LEAST_CALLS or done_ns - begun_ns < slice_ns:
                from_ns = done_ns
                call()
                done_ns = clock.mono_ns()
                spans_ns[key].append(done_ns - from_ns)
                made += 1
        between()
    return {key: CallTimes.of(spans) for key, spans in spans_ns.items()}
