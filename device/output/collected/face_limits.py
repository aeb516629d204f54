"""How many pictures of faces `fer-edge collect` stores, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.errors import UsageError

_LIMITS = {
    "every_s": (0.1, 86_400),
    "max_pictures": (1, 100_000),
    "max_size": (10_000, 10**9),
    "expire_days": (0.01, 365),
}


@dataclass(frozen=True, slots=True)
class FaceLimits:
    """How much is stored: a crop of each track every `every_s`, at most `max_pictures` and `max_size` bytes in all.

    A crop without a label is deleted after `expire_days`.
    """

    every_s: float = 3.0
    max_pictures: int = 2000
    max_size: int = 20_000_000
    expire_days: float = 14.0

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                flag = "--every" if name == "every_s" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} must be from {least:g} to {most:,}, not {getattr(self, name):g}")
