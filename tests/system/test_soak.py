"""A minute of `make soak`, and the result that its command writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.dated_result import ROOT


def test_a_minute_of_faults_is_accounted_for(tmp_path: Path) -> None:
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
        subprocess.run(["umount", str(tmp_path)], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system may be mounted here")
    command = [sys.executable, "-m", "tests.system.soak", "--minutes", "1", "--kills", "10", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = tmp_path.glob("soak-*.json")
    report = json.loads(result.read_text())
    assert report == json.loads(done.stdout)
    assert sum(report["faults"].values()) >= 3 and report["writers_killed"] == 10 and report["wrong"] == []
