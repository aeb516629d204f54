"""The conditions under which something was measured: whether the processor was slowed down, hot, or busy with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from device.system.health import BITS, Health
from fer_edge.hardware import Board

_BUSY_LOAD = 0.5  # a load average from which others may have had a core when it was wanted
_LEAST_CPU_SHARE = 0.9  # of a core, under which the loop waited for others
_HOT_C = 80.0  # a Pi slows down from there


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was seen at so many looks before, between and after the measurements. None: nobody tells."""

    looks: int
    slowed: tuple[str, ...] | None  # of health.BITS: at a look, or between two by what the firmware keeps since boot
    power_source: str
    first_c: float | None  # the processor's temperature
    most_c: float | None
    load: float  # the average of the minute before
    marks: tuple[str, ...]  # sentences without full stops: why the figures are not the machine's own

    @property
    def throttled(self) -> bool | None:
        """Whether the processor was held back while it was measured."""
        return None if self.slowed is None else bool(self.slowed)

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
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
    """The conditions that `looks`, one or more in order, tell of, on a board with such a load average before.

    `cpu_share` is what of one core the loop had.
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
        marks.append("nobody told whether the processor was slowed down; `vcgencmd get_throttled` would")
    if degrees and max(degrees) >= _HOT_C:
        marks.append(f"the processor reached {max(degrees):g} °C; give it air and measure again")
    if load >= _BUSY_LOAD:
        marks.append(f"others were at work before it began (load {load:.1f}, {board.cores} cores)")
    if cpu_share < _LEAST_CPU_SHARE:
        marks.append(f"the loop had {cpu_share:.0%} of a core; others, or a limit, had the rest")
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
    """What held the processor back from the first look to the last, in the order of BITS."""
    told = [look for look in looks if look.throttled_now is not None]
    if not told and not any(look.undervoltage for look in looks):
        return None
    found = {BITS[0]} if any(look.undervoltage for look in looks) else set()
    for look in told:
        found |= set(look.throttled_now or ()) | set(look.throttled_since_boot or ()) - set(
            told[0].throttled_since_boot or ()
        )
    return tuple(bit for bit in BITS if bit in found)
