"""The conditions of a measurement: whether the processor was throttled, hot, or busy with other processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from device.system.health import BITS, Health
from fer_edge.hardware import Board

_BUSY_LOAD = 0.5  # load average from which other processes may have taken a core
_LEAST_CPU_SHARE = 0.9  # of a core; below it the loop waited for other processes
_HOT_C = 80.0  # a Pi slows down from there


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine's state at `looks` health readings before, between and after the measurements. None: not reported."""

    looks: int
    slowed: tuple[str, ...] | None  # of health.BITS: at a reading, or between two by the firmware's flags since boot
    power_source: str
    first_c: float | None  # the processor's temperature
    most_c: float | None
    load: float  # load average of the minute before
    marks: tuple[str, ...]  # sentences without full stops: why the figures are not representative

    @property
    def throttled(self) -> bool | None:
        """Whether the processor was slowed down during the measurements."""
        return None if self.slowed is None else bool(self.slowed)

    def to_json(self) -> dict[str, Any]:
        """The conditions as `fer-edge bench --json` prints them."""
        return {
            "looks": self.looks,
            "throttled": self.throttled,
            "slowed_by": None if self.slowed is None else list(self.slowed),
            "power_source": self.power_source,
            "temperature_c": {"first": self.first_c, "most": self.most_c},
            "load_before": round(self.load, 2),
            "marks": list(self.marks),
        }


def assess_conditions(looks: Sequence[Health], board: Board, load: float, cpu_share: float) -> Conditions:
    """The conditions by `looks`, one or more health readings in order. `load` is the load average before.

    `cpu_share` is the share of one core that the loop had.
    """
    slowed = _slowdown_causes(looks)
    degrees = [look.temperature_c for look in looks if look.temperature_c is not None]
    marks = []
    if slowed:
        marks.append(
            f"the processor was slowed down while it was measured ({', '.join(slowed).replace('_', ' ')}): "
            "the board itself is faster"
        )
    elif slowed is None and board.is_pi:
        marks.append("it is unknown whether the processor was slowed down; `vcgencmd get_throttled` would report it")
    if degrees and max(degrees) >= _HOT_C:
        marks.append(f"the processor reached {max(degrees):g} °C; improve the cooling and measure again")
    if load >= _BUSY_LOAD:
        marks.append(f"other processes were running before the start (load {load:.1f}, {board.cores} cores)")
    if cpu_share < _LEAST_CPU_SHARE:
        marks.append(f"the loop had {cpu_share:.0%} of a core; other processes, or a limit, took the rest")
    return Conditions(
        looks=len(looks),
        slowed=slowed,
        power_source=looks[-1].power_source,
        first_c=degrees[0] if degrees else None,
        most_c=max(degrees, default=None),
        load=load,
        marks=tuple(marks),
    )


def _slowdown_causes(looks: Sequence[Health]) -> tuple[str, ...] | None:
    """What slowed the processor down between the first and the last reading, in the order of BITS."""
    reporting = [look for look in looks if look.throttled_now is not None]
    if not reporting and not any(look.undervoltage for look in looks):
        return None
    causes = {BITS[0]} if any(look.undervoltage for look in looks) else set()
    for look in reporting:
        causes |= set(look.throttled_now or ()) | set(look.throttled_since_boot or ()) - set(
            reporting[0].throttled_since_boot or ()
        )
    return tuple(bit for bit in BITS if bit in causes)
