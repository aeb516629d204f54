"""A camera run in the machine, during which a script makes faults; what came of it: exit code, messages, journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.vm.image import SITE
from tests.vm.machine import CODE, Machine

# Functions for the scripts. `await N PATTERN` returns once N lines of the journal or of the messages match, or the run ended.
_PRELUDE = """mkdir -p -m 777 /srv/watch; cd /srv/watch; rm -rf log messages code out held
await() { i=0; until [ "$(cat log/*.jsonl messages 2>/dev/null | grep -c -- "$2")" -ge "$1" ]; do
  [ -e code ] && return; i=$((i+1)); [ $i -gt 1800 ] && { echo "TIMEOUT: $2"; return; }; sleep 0.5; done; }
webcam() { python3 /opt/vm/usb_camera.py /opt/vm/faces "$1" "${2:-0}" "${3:-0001}" >/root/webcam.txt 2>&1 &
  echo $! >/root/webcam${2:-0}.pid; i=0
  until [ -e /dev/v4l/by-id/usb-fer-edge_Test_Webcam_${3:-0001}-video-index0 ] || [ $i -gt 600 ]; do
    sleep 0.5; i=$((i+1)); done; }
unplug() { kill "$(cat /root/webcam${1:-0}.pid)"; i=0
  while [ -e /dev/v4l/by-id/usb-fer-edge_Test_Webcam_${2:-0001}-video-index0 ] && [ $i -lt 600 ]; do
    sleep 0.5; i=$((i+1)); done; }
stop() { kill -INT $p 2>/dev/null; }
readings() { await "$1" '"kind":"reading"'; }
lost() { await "$1" '"state":"lost"'; }
back() { await "$1" '"state":"back"'; }
"""
_SETTINGS = {
    "sync_s": "0.0",
    "per_frame": "true",
    "same_s": "20.0",
    "width_px": "320",
    "height_px": "240",
    "open_s": "60.0",
}
BY_ID = "/dev/v4l/by-id/usb-fer-edge_Test_Webcam_{}-video-index0"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code and messages of a run, the events of its journal, and what the script wrote."""

    code: int
    messages: str
    events: list[dict[str, Any]]
    script_output: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The camera's states and their reasons, in order."""
        return [(event["state"], event.get("reason", "")) for event in self.of("camera")]

    @property
    def says(self) -> str:
        """The camera's states and the exit code, or the sentence of a run that did not begin."""
        if self.events:
            states = [f"{state} ({reason})" if reason else state for state, reason in self.changes]
            return f"{', '.join(states)}; exit {self.code}"
        return f"{self.messages.strip().splitlines()[-1]}; exit {self.code}"


def watch(
    machine: Machine,
    camera: str,
    script: str,
    before: str = "",
    flags: str = "",
    user: str = "",
    settings: Mapping[str, str] | None = None,
    paths: str = f"{CODE}:{SITE}",
) -> Outcome:
    """What came of `fer-edge run --camera` while `script` ran; `before` runs first. Raises AssertionError on a time-out."""
    text = "".join(f"{name} = {value}\\n" for name, value in {**_SETTINGS, **(settings or {})}.items())
    lines = [
        _PRELUDE,
        before,
        f"printf '{text}' >settings.toml",
        f"( {user} env PYTHONPATH={paths} python3 -m fer_edge run --camera {camera} --config settings.toml "
        f"--bundle nano --detector haar {flags} --log /srv/watch/log >out 2>messages; echo $? >code ) & sub=$!",
        "await 1 'camera .*, detector'; p=$(pgrep -of '^python3 -m fer_edge run')",
        script,
        "wait $sub; echo; echo ==code; cat code; echo ==messages; cat messages; echo ==journal; cat log/*.jsonl",
    ]
    text = machine.run("\n".join(lines)).stdout
    output, _, rest = text.partition("\n==code\n")
    code, _, rest = rest.partition("\n==messages\n")
    messages, _, journal = rest.partition("==journal\n")
    assert "TIMEOUT" not in output and code.strip().isdigit(), text[-4000:]
    events = [json.loads(line) for line in journal.splitlines() if line.startswith("{")]
    return Outcome(int(code), messages, events, output)
