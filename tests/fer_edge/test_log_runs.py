"""A journal as a sequence of runs: every second between its first and its last is in exactly one state, with its reason."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from builders import write_video

from fer_edge.cli import main
from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import segments
from fer_edge.log.audit import audit_journal
from fer_edge.log.devices import Device
from fer_edge.log.items import UnobservedSpan
from fer_edge.log.runs import read_runs
from fer_edge.log.time_window import TimeZone
from fer_edge.synthetic_face import face_frame
from tests.simulated_device import SimulatedDevice, utc_s

NINE = "2026-03-01T09:10:00"


def spans(folder: Path) -> list[UnobservedSpan]:
    items = read_runs(folder, ClockCorrection(folder))
    return sorted((item for item in items if isinstance(item, UnobservedSpan)), key=lambda span: span.from_s)


def test_a_pause_before_a_crash_is_a_part_of_the_time_that_is_cut_off(tmp_path: Path) -> None:
    """No minute is about it; the rows' sum was more than the time between the two runs."""
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.start()
    life.watch(120, "happy")
    life.pause(60)
    life.crash(10)
    life.start()
    life.watch(60, "sad")
    life.end()
    first = segments(life.folder)[0]
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(line for line in lines if not (b"tally" in line and b'"paused_s":60' in line)))
    assert len(first.read_bytes().splitlines()) == len(lines) - 1
    (span,) = spans(life.folder)
    assert span.state == "cut off" and span.seconds == pytest.approx(70, abs=1)


def test_a_pause_that_goes_on_is_shown(tmp_path: Path) -> None:
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.start()
    life.watch(120, "happy")
    life.pause(600)
    life.crash(5)
    paused = [span for span in spans(life.folder) if span.state == "paused"]
    assert sum(span.seconds for span in paused) == pytest.approx(600, abs=1)
    assert all(before.to_s <= after.from_s for before, after in pairwise(spans(life.folder)))


def test_a_recording_that_was_read_slowly_has_no_hole(tmp_path: Path) -> None:
    """Lines about the machine have the machine's time, which goes on for longer than the recording."""
    clip = tmp_path / "clip.mp4"
    write_video(clip, (face_frame(n / 10) for n in range(40)))
    folder = tmp_path / "log"
    assert main(["run", "--camera", str(clip), "--log", str(folder), "--detector", "haar", "-q"]) == 0
    (segment,) = segments(folder)
    *lines, end = segment.read_text().splitlines()
    at = json.loads(end)
    health = {"kind": "health", "seq": at["seq"], "boot": at["boot"], "mono_s": at["mono_s"] + 20.0}
    health |= {"wall": at["wall"], "clock": at["clock"], "undervoltage": None, "changed": ["undervoltage"]}
    segment.write_text("\n".join([*lines, json.dumps(health), json.dumps({**at, "seq": at["seq"] + 1})]) + "\n")
    assert spans(folder) == []
    assert audit_journal(Device("kitchen", folder), TimeZone(utc=True)).whole


def test_a_run_whose_last_line_was_lost_ended(tmp_path: Path) -> None:
    """The disk was full: what is missing is missing for a reason that the journal gives, and nothing was cut off."""
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.start()
    life.watch(180, "happy")
    life.end()
    (segment,) = segments(life.folder)
    *lines, end = segment.read_bytes().splitlines(keepends=True)
    while b'"kind":"tally"' not in lines[-1]:
        lines.pop()
    lost = lines.pop()
    at = float(end.split(b'"mono_s":')[1].split(b",")[0])
    gap = b'{"kind":"gap",' + end.split(b",", 1)[1].split(b'"reason"')[0]
    gap += b'"reason":"No space left on device","lost":{"tally":1,"end":1},"from_mono_s":%.3f,"to_mono_s":%.3f}\n' % (
        at,
        at,
    )
    assert b'"kind":"tally"' in lost
    segment.write_bytes(b"".join([*lines, gap]))
    life.off(60)
    life.start()
    life.watch(60, "sad")
    life.end()
    missing, stopped = spans(life.folder)
    assert (missing.state, missing.why) == ("missing", "2 lines were lost: No space left on device")
    assert missing.seconds == pytest.approx(60, abs=1.5)
    assert stopped.state == "stopped" and stopped.why == "it ended, and its last line was lost: No space left on device"
    assert stopped.seconds == pytest.approx(60, abs=1.5) and missing.to_s == stopped.from_s


def test_the_time_between_two_runs_is_as_well_known_as_their_boots(tmp_path: Path) -> None:
    """Without a clock that was set, its position is a guess and its length is not."""
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.boot(0.0, synced=False, wall_s=0.0)
    for _ in range(2):
        life.start()
        life.watch(60, "happy")
        life.end()
        life.off(30)
    (span,) = spans(life.folder)
    assert span.state == "stopped" and not span.known and span.length_known
    assert span.seconds == pytest.approx(30, abs=1)
    told = audit_journal(Device("kitchen", life.folder), TimeZone(utc=True))
    (why,) = [finding.why for finding in told.findings if finding.kind == "stopped"]
    assert why.startswith("30.0 s:"), why
