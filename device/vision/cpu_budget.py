"""How many frames are worth the processor's time: as a budget allows it, and fewer while it is hot.

The budget is an account of processor time: it fills at the share that was given, what the process spends is taken off, and
while it is empty frames are left out. What is overdrawn is paid back, so that over seconds the share is held exactly,
whatever a frame costs. It is the time of the whole process, reading the camera included.
"""

from __future__ import annotations

from device.clock import Clock
from device.config import Settings
from device.system.health import BITS, Health

_MAX_CREDIT_S = 0.5  # of the budget, that a quiet while may leave for a busy one
_COOL_MARGIN_C = 5.0  # below the limit, before the pace goes up again
_MAX_HALVINGS = 4  # steps, each half as many frames as the one before


class CpuBudget:
    """Says of each frame whether there is time for it. What was spent before the first frame is not in the account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = False  # for a budget, when the account was last brought up to date
        self._mono_ns, self._busy_ns, self._credit_ns = 0, 0, 0.0
        self._health: Health | None = None
        self._steps = 0
        self._due_ns = 0.0  # when the next frame is wanted, while it is hot

    @property
    def steps(self) -> int:
        """How often the frame rate was halved because the processor is hot."""
        return self._steps

    def look(self, health: Health | None, hot_c: float) -> None:
        """Takes note of the machine's health, where it is another than the one before."""
        if health is None or health is self._health:
            return
        self._health = health
        slowed = set(health.throttled_now or ()) - {BITS[0]}  # a weak supply is no heat
        degrees = health.temperature_c
        if slowed or (degrees is not None and degrees >= hot_c):
            self._steps = min(self._steps + 1, _MAX_HALVINGS)
        elif degrees is None or degrees <= hot_c - _COOL_MARGIN_C:
            self._steps = max(self._steps - 1, 0)

    def refusal(self, frame_ns: int, settings: Settings) -> str:
        """Why there is no time for a frame taken at `frame_ns`: `hot` or `budget`; empty where there is."""
        overdrawn_ns = self._overdrawn_ns(settings.cpu_budget)
        gap_ns = 1e9 / settings.fps * 2**self._steps
        if self._steps and frame_ns < self._due_ns - 0.5e9 / settings.fps:  # cameras are not exact
            return "hot"
        if overdrawn_ns > 0:
            return "budget"
        self._due_ns = max(self._due_ns, frame_ns - gap_ns) + gap_ns
        return ""

    def wait_s(self, settings: Settings) -> float:
        """For how long a recording, whose frames can wait, is to wait before the next."""
        if settings.cpu_budget is None:
            return 0.0
        return self._overdrawn_ns(settings.cpu_budget) / 1e9 / (settings.cpu_budget / 100)

    def _overdrawn_ns(self, percent: float | None) -> float:
        """Processor time that was spent and not allowed, brought up to now."""
        if percent is None:
            self._asked = False
            return 0.0
        mono_ns, busy_ns, share = self._clock.mono_ns(), self._clock.busy_ns(), percent / 100
        saved_ns = share * _MAX_CREDIT_S * 1e9
        if self._asked:
            earned_ns = share * (mono_ns - self._mono_ns) - (busy_ns - self._busy_ns)
            self._credit_ns = min(self._credit_ns + earned_ns, saved_ns)
        else:
            self._credit_ns = saved_ns
        self._asked, self._mono_ns, self._busy_ns = True, mono_ns, busy_ns
        return max(0.0, -self._credit_ns)
