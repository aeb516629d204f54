"""The loop as a process of its own: signals, a reader that goes away, and what it must never import."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from builders import journal_events
from processes import ROOT

from fer_edge.events import Event


def start(tmp_path: Path, bundle_path: Path, *more: str, **settings: float) -> subprocess.Popen[str]:
    return processes.start_run(tmp_path, "synthetic", "--bundle", str(bundle_path), "--per-frame", *more, **settings)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_complete_journal(tmp_path: Path, bundle_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, bundle_path, "--json")
    assert process.stdout is not None
    lines = []
    while not lines or Event.parse(lines[-1]).kind != "reading":
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended before a reading"
    process.send_signal(number)
    rest, spoken = process.communicate(timeout=30)
    assert process.returncode == 0, spoken
    shown = [Event.parse(line) for line in "".join([*lines, rest]).splitlines()]
    written = journal_events(tmp_path / "log")
    assert written == shown
    assert [event.seq for event in written] == list(range(len(written)))
    end = written[-1]
    assert (end.kind, end.body["reason"]) == ("end", f"stopped by {number.name}")
    assert end.body["frames"]["read"] == end.body["frames"]["processed"] + sum(end.body["drops"].values())
    assert "Traceback" not in spoken


def test_a_killed_process_loses_no_forced_line_and_the_next_run_repairs(tmp_path: Path, bundle_path: Path) -> None:
    """The header is forced at once; a batch is forced each `sync_s`, here at each turn."""
    process = start(tmp_path, bundle_path, "--json", sync_s=0.0)
    assert process.stdout is not None
    shown = [process.stdout.readline() for _ in range(12)]
    process.kill()
    process.communicate(timeout=30)
    (segment,) = (tmp_path / "log").glob("*.jsonl")
    lines_kept = segment.read_text().splitlines(keepends=True)
    assert lines_kept == shown[: len(lines_kept)] and len(lines_kept) >= 10
    with segment.open("a") as torn:
        torn.write('{"kind":"reading","seq":1')
    process = start(tmp_path, bundle_path, "--json", "--duration", "0.5")
    written, spoken = process.communicate(timeout=60)
    assert segment.read_text() == "".join(lines_kept)
    repair = Event.parse(written.splitlines()[1])
    assert (repair.kind, repair.body) == ("repair", {"segment": segment.name, "cut_bytes": 25})
    assert "25 bytes were cut off" in spoken


def test_a_second_run_on_one_journal_is_rejected(tmp_path: Path, bundle_path: Path) -> None:
    first = start(tmp_path, bundle_path, "-v")
    assert first.stdout is not None and "camera synthetic opened" in first.stdout.readline()
    assert "face" in first.stdout.readline()
    second = start(tmp_path, bundle_path, "--name", "second")
    out, spoken = second.communicate(timeout=60)
    assert (second.returncode, out) == (2, "")
    assert f"the journal in {tmp_path / 'log'} is being written by another fer-edge" in spoken
    assert "face" in first.stdout.readline()
    first.send_signal(signal.SIGTERM)
    _, spoken = first.communicate(timeout=30)
    assert first.returncode == 0, spoken
    events = journal_events(tmp_path / "log")
    assert [event.kind for event in events].count("header") == 1
    assert (events[-1].kind, events[-1].body["reason"]) == ("end", "stopped by SIGTERM")


def test_a_closed_stdout_ends_the_run_cleanly(tmp_path: Path, bundle_path: Path) -> None:
    process = start(tmp_path, bundle_path, "-v")
    assert process.stdout is not None and process.stderr is not None
    assert "camera synthetic opened" in process.stdout.readline()
    assert "face" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    spoken = process.stderr.read()
    process.stderr.close()
    assert "Broken pipe" not in spoken and "Traceback" not in spoken
    assert journal_events(tmp_path / "log")[-1].body["reason"] == "the reader of stdout went away"


def test_a_service_goes_on_without_journald(tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """journald stops, and nobody reads stdout any more: systemd would not start a service again that ends with 0 for it."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    process = start(tmp_path, bundle_path, "-v", health_s=0.2)
    assert process.stdout is not None and process.stderr is not None
    assert "camera synthetic opened" in process.stdout.readline()
    process.stdout.close()
    status = tmp_path / "run/camera.status.json"

    def reported() -> bool:
        return "Broken pipe" in (json.loads(status.read_text())["outputs"].get("stdout") or "")

    processes.wait_until(process, reported)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 7
    spoken = process.stderr.read()
    process.stderr.close()
    assert spoken.count("stdout cannot be written (Broken pipe)") == 1 and "Traceback" not in spoken
    assert journal_events(tmp_path / "log")[-1].body["reason"] == "stopped by SIGTERM"


FORBIDDEN = ("tensorflow", "keras", "sklearn", "matplotlib", "convert", "picamera2")
WITHOUT = """
import importlib, pkgutil, sys
from pathlib import Path

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden}:
            raise AssertionError(f"the device room imports {{name}}")

sys.meta_path.insert(0, Forbid())
import device
names = [found.name for found in pkgutil.walk_packages(device.__path__, "device.")]
for name in names:
    importlib.import_module(name)
assert len(names) >= 17, names

from device.camera.source import EndOfStream
from device.camera.synthetic import SyntheticCamera
from device.clock import SystemClock
from device.config import Settings
from device.run import run

class Twenty(SyntheticCamera):
    live = False
    left = 20
    def read(self):
        if not self.left:
            raise EndOfStream
        self.left -= 1
        return super().read()

settings = Settings("synthetic", bundle=Path(sys.argv[1]), log=Path(sys.argv[2]), fps=100.0)
run(settings, source=Twenty(settings, SystemClock()))
print(sorted(name for name in sys.modules if name.partition(".")[0] in {forbidden}))
"""


def test_the_device_imports_nothing_of_the_host(tmp_path: Path, bundle_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT.format(forbidden=FORBIDDEN), str(bundle_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert journal_events(tmp_path)[-1].body["frames"] == {"read": 20, "processed": 20, "with_face": 20}
