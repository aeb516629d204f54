"""The times of a camera: how long a call into its driver may take, and how long to wait before it is opened again."""

from __future__ import annotations

import random

from device.config import Settings

_READ_MARGIN_S = (
    5.0  # beyond `stall_s`: a read of V4L2 ends on a whole second, then udev may remove the device (UDEV_S)
)
_OPEN_WAITS = 3  # of `open_s` each: FFmpeg's, and two where a redirection is looked for: to connect, and for the answer
_MIN_REOPEN_DELAY_S, _MAX_REOPEN_DELAY_S = 0.25, 30.0
_REOPEN_DELAY_SHARE = 1 / 20  # of the time since the loss
_REOPEN_DELAY_JITTER = 0.1  # so that cameras that were lost together are not all opened at the same moment


def longest_call_s(settings: Settings) -> float:
    """How long one call into a healthy driver may take: a read that gets nothing, or an attempt to open."""
    return max(settings.stall_s + _READ_MARGIN_S, _OPEN_WAITS * settings.open_s)


def stuck_limit_s(settings: Settings) -> float:
    """After which time in one call a driver is stuck: `stuck_s`, or longer where the other settings allow it longer calls."""
    return max(settings.stuck_s, longest_call_s(settings))


def reopen_delay_s(lost_s: float) -> float:
    """The delay before the next attempt to open a source that was lost `lost_s` ago."""
    delay_s = min(max(lost_s * _REOPEN_DELAY_SHARE, _MIN_REOPEN_DELAY_S), _MAX_REOPEN_DELAY_S)
    return delay_s * random.uniform(1 - _REOPEN_DELAY_JITTER, 1 + _REOPEN_DELAY_JITTER)
