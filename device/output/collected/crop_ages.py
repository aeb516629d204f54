"""The age of each collected crop by the monotonic clock: file times are wrong where the wall clock was set since.

A Pi without a battery has a clock that is behind until the network sets it, and fresh crops would look expired then.
"""

from __future__ import annotations

import json

from device.clock import Clock
from device.output.collected.face_folder import INDEX, FaceFolder


def correct_ages(folder: FaceFolder, clock: Clock) -> None:
    """Sets the file time of each crop without a label that was stored since this boot, where the wall clock was set since."""
    now_s, ages_s = clock.mono_ns() / 1e9, {}
    try:
        lines = (folder.path / INDEX).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            row = json.loads(line)
            if row["boot"] == clock.boot != "unknown" and (age_s := now_s - float(row["mono_s"])) >= 0:
                ages_s[str(row["file"])] = age_s
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    folder.set_ages(ages_s)
