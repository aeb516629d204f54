"""`fer-edge run` in a process of its own, for tests: starting it, reading its state, waiting for a condition."""

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


def start_run(folder: Path, camera: str, *more: str, **settings: Any) -> subprocess.Popen[str]:
    """A started run: journal in `folder`/log, status in `folder`/run, `settings` in a file."""
    config = folder / "settings.toml"
    lines = (f"{name} = {json.dumps(value)}" for name, value in settings.items())
    config.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "fer_edge", "run", "--camera", camera, "--config", str(config)]
    command += ["--log", str(folder / "log"), *more]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run"), "XDG_CONFIG_HOME": "/nonexistent"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ)


def run_state(folder: Path) -> str:
    """The state in the status file of the run; empty while there is none."""
    try:
        state: str = json.loads((folder / "run" / "camera.status.json").read_text())["state"]
    except (OSError, ValueError):
        return ""
    return state


def wait_until(process: subprocess.Popen[str], holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Returns as soon as `holds` is true. Raises AssertionError when the process ends before, or after `limit_s`."""
    end = time.monotonic() + limit_s
    while not holds():
        if process.poll() is not None:
            raise AssertionError(f"the run ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < end, f"the condition did not hold within {limit_s:g} s"
        time.sleep(0.005)
