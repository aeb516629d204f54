"""`fer-edge run` as a process of its own, for tests: started, looked at from outside, told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def start(folder: Path, camera: str, *more: str, **settings: Any) -> subprocess.Popen[str]:
    """A run that looks at `camera`, its journal in `folder`/log, what it shows in `folder`/run; `settings` as in a file."""
    config = folder / "settings.toml"
    lines = (f"{name} = {json.dumps(value)}" for name, value in settings.items())
    config.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "fer_edge", "run", "--camera", camera, "--config", str(config)]
    command += ["--log", str(folder / "log"), *more]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run"), "XDG_CONFIG_HOME": "/nonexistent"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ)


def state(folder: Path) -> str:
    """What the run says that it does, or nothing yet."""
    try:
        told: str = json.loads((folder / "run" / "camera.status.json").read_text())["state"]
    except (OSError, ValueError):
        return ""
    return told


def until(process: subprocess.Popen[str], holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Returns as soon as that holds. Raises AssertionError when the process ends before, or it takes too long."""
    end = time.monotonic() + limit_s
    while not holds():
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < end, f"not in {limit_s:g} s"
        time.sleep(0.005)
