"""Limits how many frames are processed: by a budget of processor time, and by fewer frames while the processor is hot.

The budget is an account of processor time. It is credited with the configured share of the elapsed time and debited with the
processor time of the process; while it is overdrawn, frames are skipped. The overdraft is carried over, so that the share
holds exactly over seconds, whatever a frame costs. It covers the whole process, reading the camera included.
"""

from __future__ import annotations

from device.clock import Clock
from device.config import Settings
from device.system.health import BITS, Health

_MAX_CREDIT_S = 0.5  # of the budget; the most that a quiet period saves for a busy one
_STARVED_S, _STARVED_FRAMES = (
    60.0,
    10.0,
)  # seconds, or frames at the run's rate, without a processed frame are a problem
_MAX_DEBT_S = 60.0  # of the budget; more than one frame overdraws it by, on the slowest Pi
_COOL_MARGIN_C = 5.0  # below the limit, before the frame rate rises again
_MAX_HALVINGS = 4  # of the frame rate


class CpuBudget:
    """Decides for each frame whether it is processed. Processor time before the first frame is not counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limited = False  # whether there was a budget when the account was last updated
        self._mono_ns, self._cpu_ns, self._credit_ns = 0, 0, 0.0
        self._health: Health | None = None
        self._halvings = 0  # of the frame rate, because the processor is hot
        self._due_ns = 0.0  # the time of the next frame, while the processor is hot

    def update_health(self, health: Health | None, hot_c: float) -> None:
        """Adapts the frame rate to the machine's health, once for each new measurement."""
        if health is None or health is self._health:
            return
        self._health = health
        slowed = set(health.throttled_now or ()) - {BITS[0]}  # undervoltage is not heat
        degrees = health.temperature_c
        if slowed or (degrees is not None and degrees >= hot_c):
            self._halvings = min(self._halvings + 1, _MAX_HALVINGS)
        elif degrees is None or degrees <= hot_c - _COOL_MARGIN_C:
            self._halvings = max(self._halvings - 1, 0)

    def drop_reason(self, frame_ns: int, settings: Settings) -> str:
        """Why the frame taken at `frame_ns` must be dropped: `hot` or `budget`; empty when it is to be processed."""
        overdrawn_ns = self._overdrawn_ns(settings.cpu_budget)
        gap_ns = 1e9 / settings.fps * 2**self._halvings
        if self._halvings and frame_ns < self._due_ns - 0.5e9 / settings.fps:  # a camera's intervals vary
            return "hot"
        if overdrawn_ns > 0:
            return "budget"
        self._due_ns = max(self._due_ns, frame_ns - gap_ns) + gap_ns
        return ""

    def wait_s(self, settings: Settings) -> float:
        """How long a recording, whose frames can wait, must wait before the next frame."""
        if settings.cpu_budget is None:
            return 0.0
        return self._overdrawn_ns(settings.cpu_budget) / 1e9 / (settings.cpu_budget / 100)

    def _overdrawn_ns(self, percent: float | None) -> float:
        """Processor time used beyond the budget, up to now."""
        if percent is None:
            self._limited = False
            return 0.0
        mono_ns, cpu_ns, share = self._clock.mono_ns(), self._clock.cpu_ns(), percent / 100
        max_credit_ns = share * _MAX_CREDIT_S * 1e9
        if self._limited:
            earned_ns = share * (mono_ns - self._mono_ns) - (cpu_ns - self._cpu_ns)
            # a debt without a limit would keep frames away for as long as another load had lasted
            least_ns = -share * _MAX_DEBT_S * 1e9
            self._credit_ns = max(min(self._credit_ns + earned_ns, max_credit_ns), least_ns)
        else:
            self._credit_ns = max_credit_ns
        self._limited, self._mono_ns, self._cpu_ns = True, mono_ns, cpu_ns
        return max(0.0, -self._credit_ns)


def starvation_problems(reason: str, starved_s: float, fps: float) -> tuple[str, ...]:
    """The problem that all frames of the last `starved_s` seconds were dropped for `reason`, if that is long at this rate."""
    if not reason or starved_s <= max(_STARVED_S, _STARVED_FRAMES / fps):
        return ()
    remedy = "lower fps, width_px or height_px"
    if reason == "budget":
        remedy = f"reading the camera may take all of it: raise cpu_budget, or {remedy}"
    return (f"no frame was processed for {starved_s:.0f} s (dropped: {reason}); {remedy}",)
