"""The settings of a run: what the command line gives, the defaults, and the one place that reads the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run can be told. Raises UsageError for a value that makes no sense."""

    camera: str = "0"  # 0, usb:0, csi:0, a video file, a folder of images, an http:// or rtsp:// address, synthetic
    bundle: Path | None = None  # None: the one that came with the package
    log: Path | None = None  # the journal's folder; None: default_log()
    json: bool = False  # journal lines to stdout instead of readable ones
    once: bool = False  # one reading, then end
    duration_s: float | None = None  # None: until it is stopped or the recording ends
    detector: str | None = None  # None: the best that is installed
    width_px: int = 640  # asked of a camera, which may give another size; drawn by the synthetic one
    height_px: int = 480
    fps: float = 10.0  # asked of a camera; the pace of the synthetic one; the time between the images of a folder
    threads: int = 1  # of the detector's interpreter
    open_s: float = 5.0  # a camera that gave no frame by then never opened
    stall_s: float = 5.0  # a live camera that gave no frame for so long is lost
    reopen_s: float = 60.0  # for so long a lost camera is tried again before the process asks to be restarted
    once_s: float = 10.0  # for so long --once waits for a face
    sync_s: float = 30.0  # written lines are forced to the card this often, and at the end

    def __post_init__(self) -> None:
        if not self.camera.strip():
            raise UsageError("the camera has no name; give 0, usb:0, csi:0, a file, a folder, an address or synthetic")
        for name, value in (
            ("duration", self.duration_s),
            ("width", self.width_px),
            ("height", self.height_px),
            ("frame rate", self.fps),
            ("number of threads", self.threads),
        ):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"the {name} must be more than 0, not {value:g}")


def default_log(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the journal when none is named: $STATE_DIRECTORY (the first), else below $XDG_STATE_HOME or ~."""
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:  # systemd lists all that a unit has, with colons
        return Path(given)
    home = environ.get("XDG_STATE_HOME", "")
    # The specification has relative values ignored.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state") / "fer-edge"
