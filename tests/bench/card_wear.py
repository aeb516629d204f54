"""`python -m tests.bench.card_wear --hours 2 --out DIR`: bytes that a run writes to a card, over bytes of events.

Hours of a run are lived through on a clock that is moved by hand, with somebody before the camera now and then; episodes,
tallies and journal are those of `fer-edge run`, and the files are real. The journal forces at once whatever it hands to the
kernel, so the kernel has nothing to write at another time, and the hours need not be waited for.

    process    /proc/self/io: the pages of files that this process had written
    disk       with --loop, as root: all that reaches a fresh ext4 on a loop device, its own journal and inodes included
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from device.clock import Stamp
from device.output import episodes, tally
from device.output.clock_changes import WallClock, detect_change
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder
from device.vision.readings import Reading
from fer_edge.argument_types import whole_number
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments
from fer_edge.labels import LABELS
from tests.system.dated_result import stamped, write

SCENES = {"somebody": 120.0, "nobody": 0.0, "a crowd": 2000.0}  # the mean seconds of a visit
# So often an event's bytes may be written; an empty room's, of which a batch fills no page, where that is very little a day.
TIMES, LITTLE_MB_A_DAY = 2.0, 2.0
_AWAY_S, _DWELL_S = 100.0, 4.0  # means: between two visits, of one expression
_SHARES = (3, 1, 2, 18, 60, 12, 4)  # how often each label is shown


@dataclass(slots=True)
class HandClock:
    """A clock that stands until it is moved, set from the network after half a minute as on a Pi."""

    now_ns: int = 12_000_000_000
    boot: str = "00000000-0000-4000-8000-000000000000"
    right_s: int = 1_767_225_600  # wall less mono once it is set; before that, 1970

    def mono_ns(self) -> int:
        return self.now_ns

    def awake_ns(self) -> int:
        return self.now_ns

    def stamp(self, mono_ns: int | None = None) -> Stamp:
        then_ns = self.now_ns if mono_ns is None else mono_ns
        synced = self.now_ns > 42_000_000_000
        wall_s = (self.right_s if synced else 0) + then_ns / 1e9
        wall = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Stamp(then_ns, wall, "synced" if synced else "unsynced")

    def started_ns(self) -> int:
        return 10_000_000_000

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def cpu_ns(self) -> int:
        return 0


@dataclass(slots=True)
class Visitor:
    """Somebody who comes, shows one expression after another and goes, as a detector and a classifier would see it."""

    rng: random.Random
    visit_s: float
    track: int
    is_present: bool = False
    changes_s: float = 0.0
    label: int = 4
    expression_s: float = 0.0
    xywh: tuple[int, int, int, int] = (200, 120, 160, 160)

    def reading(self, seq: int, mono_ns: int) -> Reading | None:
        """What is read of this visitor in a frame; None where there is nobody, or the detector missed the face."""
        now_s, rng = mono_ns / 1e9, self.rng
        if now_s >= self.changes_s:
            self.is_present = not self.is_present and self.visit_s > 0
            self.changes_s = now_s + rng.expovariate(1 / (self.visit_s if self.is_present else _AWAY_S))
        if not self.is_present or rng.random() < 0.02:
            return None
        if now_s >= self.expression_s:
            self.label = rng.choices(range(len(LABELS)), _SHARES)[0]
            self.expression_s = now_s + rng.expovariate(1 / _DWELL_S)
        shown = self.label if rng.random() > 0.04 else rng.randrange(len(LABELS))
        p = np.array([rng.expovariate(1.0) for _ in LABELS])
        p[shown] = 12 + 6 * rng.random()
        x, y, w, h = (value + rng.randrange(-4, 5) for value in self.xywh)
        label, face = LABELS[shown], Face((x, y, w, h), 0.9)
        return Reading(seq, mono_ns, face, label, np.float32(p / p.sum()), label, self.track, 0.8)


@dataclass(frozen=True, slots=True)
class Wear:
    """What one run cost. `lines_bytes` are all its events; `process_bytes` and `disk_bytes` what was written for them."""

    scene: str
    per_frame: bool
    hours: float
    lines: dict[str, int]
    lines_bytes: int
    forces: int
    process_bytes: int
    disk_bytes: int | None

    @property
    def times(self) -> float:
        """Bytes written by the process over bytes of events."""
        return self.process_bytes / self.lines_bytes

    @property
    def mb_a_day(self) -> float:
        """Megabytes that the process would write in a day."""
        return self.process_bytes / self.hours * 24 / 1e6

    def wrong(self) -> str:
        """What is too much, as a sentence; empty when nothing is."""
        if self.times <= TIMES or self.mb_a_day <= LITTLE_MB_A_DAY:
            return ""
        return f"{self.scene}: each byte is written {self.times:.2f} times, {self.mb_a_day:.1f} MB a day"

    def row(self) -> str:
        """The line of a table in Markdown."""
        lines = ", ".join(f"{n} {kind}" for kind, n in self.lines.items() if n > 1)
        name = f"{self.scene}, each frame's readings too" if self.per_frame else self.scene
        disk = "" if self.disk_bytes is None else f"{self.disk_bytes:,}"
        return (
            f"| {name} | {lines} | {self.lines_bytes:,} | {self.forces} | {self.process_bytes:,} | {self.times:.2f}× | "
            f"{self.mb_a_day:.1f} | {disk} |"
        )


def live(
    folder: Path, hours: float, scene: str, per_frame: bool = False, fps: float = 10.0, seed: int = 0
) -> Counter[str]:
    """The events of a run that was lived through into `folder`, counted by kind."""
    clock, rng, kinds = HandClock(), random.Random(seed), Counter[str]()
    visitors = [Visitor(rng, SCENES[scene], track) for track in range(3 if scene == "a crowd" else 1)]
    rules = episodes.EpisodeRules()
    with Journal(folder, clock) as journal:

        class Counting(EventRecorder):
            def record(self, kind: str, body: dict[str, object], mono_ns: int | None = None) -> Event:
                kinds[kind] += 1
                return super().record(kind, body, mono_ns)

        recorder = Counting(journal, clock)
        recorder.record("header", _header())
        open_ones, minute = episodes.NO_EPISODES, tally.start_tally(clock.now_ns)
        wall: WallClock | None = None
        for seq in range(round(hours * 3600 * fps)):
            clock.sleep(1 / fps)
            counts = tally.FrameCounts(seq + 1 + seq // 50, {"busy": seq // 50})
            readings = [r for visitor in visitors if (r := visitor.reading(seq, clock.now_ns))]
            if per_frame:
                for reading in readings:
                    recorder.record("reading", _reading(reading), reading.mono_ns)
            open_ones, ended = episodes.update_episodes(open_ones, readings, clock.now_ns, rules)
            minute, over = tally.update_tally(minute, readings, clock.now_ns, counts)
            for kind, bodies in (("episode", ended), ("tally", over)):
                for body in bodies:
                    recorder.record(kind, body, clock.now_ns)
            wall, moved = detect_change(wall, clock.stamp())
            if moved:
                recorder.record("clock", moved)
            journal.tick()
        for kind, bodies in (
            ("episode", episodes.close_episodes(open_ones, "end")),
            ("tally", tally.finish_tally(minute, clock.now_ns, counts)),
        ):
            for body in bodies:
                recorder.record(kind, body)
    return kinds


def measure(folder: Path, hours: float, scene: str, per_frame: bool = False, loop: bool = False) -> Wear:
    """The wear of a run in a fresh folder below `folder`. Raises UsageError where nobody tells what was written."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh, _disk(Path(fresh), loop) as (place, written):
        before, disk_before = _io(), written()
        kinds = live(place / "log", hours, scene, per_frame)
        os.sync()
        after, disk_after = _io(), written()
        lines_bytes = sum(path.stat().st_size for path in segments(place / "log"))
    process_bytes = after["write_bytes"] - before["write_bytes"]
    if not process_bytes:
        raise UsageError(f"no write to {folder} reached a disk, as in a tmpfs; give a folder on a disk with --folder")
    forces = after["syscw"] - before["syscw"]  # one write a batch
    disk_bytes = disk_after - disk_before if loop else None
    return Wear(scene, per_frame, hours, dict(sorted(kinds.items())), lines_bytes, forces, process_bytes, disk_bytes)


def _io() -> Counter[str]:
    counters = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return Counter({name: int(value) for name, value in counters})


@contextmanager
def _disk(fresh: Path, loop: bool) -> Iterator[tuple[Path, Callable[[], int]]]:
    """A place for files and, for a loop device with an ext4 of its own, how many bytes were written to that."""
    if not loop:
        yield fresh, lambda: 0
        return
    image, place = fresh / "image", fresh / "disk"
    image.touch()
    os.truncate(image, 256 << 20)
    place.mkdir()
    _sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)  # or the kernel writes on by itself
    device = _sh("losetup", "--find", "--show", image)
    try:
        _sh("mount", device, place)
        try:
            stat = Path("/sys/block") / Path(device).name / "stat"
            os.sync()
            yield place, lambda: int(stat.read_text().split()[6]) * 512
        finally:
            _sh("umount", place)
    finally:
        _sh("losetup", "--detach", device)


def _sh(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout.strip()


def _header() -> dict[str, object]:
    start_s = {"import": 0.4, "model": 0.5, "camera": 0.9}
    camera = {"live": True, "kind": "usb", "name": "usb:0", "width_px": 640, "height_px": 480, "time": "when read"}
    runtime = "litert 2.3.0, default, aarch64"
    verified = {"runtime": runtime, "compared_with": runtime, "proved": True, "steps": 0.0, "crop_levels": 0}
    bundle = {"name": "edge", "sha256": "0" * 64}
    body = {"schema": SCHEMA, "software": "fer-edge 0.1.0", "name": "camera", "settings": "0" * 12, "bundle": bundle}
    body |= {"labels": list(LABELS), "verified": verified}
    body |= {
        "preprocess": "gray-square-replicate-area/1",
        "detector": "blazeface-short-range",
        "runtime": "litert 2.3.0",
    }
    return body | {"camera": camera, "start_s": start_s}


def _reading(reading: Reading) -> dict[str, object]:
    body: dict[str, object] = {"frame": reading.frame, "track": reading.track, "xywh": list(reading.face.xywh)}
    body |= {"score": reading.face.score, "label": reading.label, "p": [round(float(p), 4) for p in reading.probs]}
    return body | {"quality": reading.quality, "age_ms": 41.5}


def main(argv: list[str] | None = None) -> int:
    """Measures the three scenes, and the first with each frame's readings too; a table, or --json; 1 where it is too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=whole_number(1), default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--loop", action="store_true", help="on a fresh ext4 on a loop device there; needs root")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for card-wear-DATE.json")
    args = parser.parse_args(argv)

    def run() -> int:
        runs = [(scene, False) for scene in SCENES] + [("somebody", True)]
        rows = [measure(args.folder, args.hours, scene, per_frame, args.loop) for scene, per_frame in runs]
        wrong = [row.wrong() for row in rows if row.wrong()]
        shown = [{**asdict(w), "times": round(w.times, 3), "mb_a_day": round(w.mb_a_day, 1)} for w in rows]
        result = stamped({"hours": args.hours, "runs": shown, "wrong": wrong})
        if args.out:
            write("card-wear", result, args.out)
        if args.json:
            print(json.dumps(result, indent=1))
        else:
            heads = "before the camera, lines, their bytes, forces, bytes by the process, times, MB a day, by the disk"
            print(f"| {heads.replace(', ', ' | ')} |\n|{'---|' * 8}")
            print("\n".join(wear.row() for wear in rows))
        return 1 if wrong else 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
