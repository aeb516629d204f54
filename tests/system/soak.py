"""`python -m tests.system.soak --minutes 30 --out DIR`: a real run, a fault every 5 to 10 s, and an account of every second.

`fer-edge run` as a process of its own looks at a network camera with a drawn face and writes its journal on a small file
system in memory. The camera dies, hangs, freezes and sends garbage; the disk fills up; the process is killed, stopped,
told to read its settings again, paused and resumed. In the end the journal must tell of every second: looked at, camera
away, paused, lost to a crash, or not running. Needs the right to mount.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convert.checkpoint import write_beside
from convert.cost import host_name
from fer_edge import __version__
from fer_edge.drawn import face_frame
from fer_edge.events import Event
from fer_edge.logbook import read
from fer_edge.segments import Damage
from tests.system.cameras import FPS, MjpegCamera

ROOT = Path(__file__).parents[2]
SETTINGS = {"fps": 5.0, "stall_s": 2.0, "same_s": 3.0, "sync_s": 5.0, "health_s": 2.0, "reopen_s": 600.0}
PAUSE_S = (5.0, 10.0)  # between two faults
LASTS_S = (2.0, 6.0)  # a fault that has a length
RSS_MB = 5.0  # that a run of the process may grow by after its first minute
BATCH_S = 60.0 + 10 * 5.0 + 5.0  # a minute's tally and a small batch may be lost to kill -9


@dataclass(slots=True)
class Run:
    """The process under test, started again and again, and what was seen of it."""

    camera: MjpegCamera
    folder: Path
    process: subprocess.Popen[str] | None = None
    faults: Counter[str] = field(default_factory=Counter)
    rss_mb: list[tuple[float, float]] = field(default_factory=list)  # seconds since this process began, and its size
    grown_mb: float = 0.0
    descriptors: set[int] = field(default_factory=set)
    codes: Counter[int] = field(default_factory=Counter)
    kills: int = 0

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "RUNTIME_DIRECTORY": str(self.folder / "run")}

    def start(self) -> None:
        config = self.folder / "settings.toml"
        config.write_text("".join(f"{name} = {value}\n" for name, value in SETTINGS.items()) + "wait_camera = true\n")
        command = [sys.executable, "-m", "fer_edge", "run", "--camera", self.camera.address, "--config", str(config)]
        command += ["--log", str(self.folder / "disk" / "log")]
        out = (self.folder / "said").open("a")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environ, stdout=subprocess.DEVNULL, stderr=out, text=True
        )
        out.close()
        self.rss_mb = []
        self._began = time.monotonic()

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.codes[self.process.wait(60)] += 1

    def ask(self, word: str) -> None:
        command = [sys.executable, "-m", "fer_edge", word]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def look(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(
                f"it ended with {self.process.returncode}: {(self.folder / 'said').read_text()[-2000:]}"
            )
        proc = Path(f"/proc/{self.process.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        lived = time.monotonic() - self._began
        self.rss_mb.append((lived, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
        later = [mb for at, mb in self.rss_mb if at > 60]
        if later:
            self.grown_mb = max(self.grown_mb, max(later) - later[0])
        self.descriptors.add(len(list((proc / "fd").iterdir())))

    _began: float = 0.0


def soak(minutes: float, folder: Path, seed: int) -> dict[str, Any]:
    """What was done and seen. Raises AssertionError when the run ends by itself."""
    rng = random.Random(seed)
    camera = MjpegCamera(lambda number, width, height: face_frame(number / FPS, width, height))
    camera.start()
    run = Run(camera, folder)
    with _small_disk(folder / "disk", "4m"):
        began_mono = time.clock_gettime(time.CLOCK_BOOTTIME)
        run.start()
        end = time.monotonic() + minutes * 60
        faults = _faults(run, rng)
        try:
            while (left := end - time.monotonic()) > 0:
                _watch(run, min(rng.uniform(*PAUSE_S), left))
                if end - time.monotonic() > LASTS_S[1] + 2:
                    name = rng.choice(list(faults))
                    run.faults[name] += 1
                    faults[name]()
            _watch(run, 5.0)
            run.end(signal.SIGTERM)
        finally:
            if run.process is not None and run.process.poll() is None:
                run.process.kill()
            camera.stop()
        ended_mono = time.clock_gettime(time.CLOCK_BOOTTIME)
        account = accounted(folder / "disk" / "log", began_mono, ended_mono)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "software": f"fer-edge {__version__}",
        "host": host_name()[0],
        "minutes": minutes,
        "seed": seed,
        "faults": dict(sorted(run.faults.items())),
        "exit_codes": {str(code): n for code, n in sorted(run.codes.items())},
        "grown_mb": round(run.grown_mb, 1),
        "descriptors": [min(run.descriptors), max(run.descriptors)],
        **asdict(account),
    }


def _faults(run: Run, rng: random.Random) -> dict[str, Callable[[], None]]:
    camera, disk = run.camera, run.folder / "disk"

    def lasting(begin: Callable[[], None], over: Callable[[], None]) -> Callable[[], None]:
        def fault() -> None:
            begin()
            _watch(run, rng.uniform(*LASTS_S))
            over()

        return fault

    def fill() -> None:
        with (disk / "filler").open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass  # it is full

    def again(number: signal.Signals) -> Callable[[], None]:
        def fault() -> None:
            run.end(number)
            run.start()

        return fault

    def reload() -> None:
        assert run.process is not None
        run.process.send_signal(signal.SIGHUP)

    well = lambda: camera.behave("well")  # noqa: E731
    return {
        "the camera dies": lasting(camera.stop, camera.start),
        "the camera hangs": lasting(lambda: camera.behave("hang"), well),
        "the camera freezes": lasting(lambda: camera.behave("freeze"), well),
        "the camera sends garbage": lasting(lambda: camera.behave("garbage"), well),
        "the camera changes its size": lasting(lambda: camera.behave("small"), well),
        "the disk is full": lasting(fill, (disk / "filler").unlink),
        "kill -9": again(signal.SIGKILL),
        "SIGTERM": again(signal.SIGTERM),
        "SIGHUP": reload,
        "pause and resume": lasting(lambda: run.ask("pause"), lambda: run.ask("resume")),
    }


def _watch(run: Run, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        run.look()


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True, slots=True)
class Accounted:
    """Where every second of the soak went, as the journal alone tells it; `unexplained_s` must be nothing."""

    seconds: float
    observed_s: float
    unavailable_s: float
    paused_s: float
    crashed_s: float  # in runs without an `end` line, after their last tally
    not_running_s: float  # between a run's end and the next one's header, starting up included
    unexplained_s: float
    runs: int
    runs_without_end: int
    longest_crashed_s: float
    losses: int  # camera lost
    returns: int  # camera back
    lines: int
    lines_lost: int  # as gap lines tell
    damaged: int


def accounted(folder: Path, began_s: float, ended_s: float) -> Accounted:
    """The account of a journal between two moments of one boot, in seconds since that boot."""
    runs: list[list[Event]] = []
    damaged = lines = 0
    for item in read(folder):
        if isinstance(item, Damage):
            damaged += 1
            continue
        lines += 1
        if item.kind == "header" and "continues" not in item.body:
            runs.append([])
        if runs:
            runs[-1].append(item)
    told: Counter[str] = Counter()
    at_s, longest_s = began_s, 0.0
    unexplained_s = 0.0
    for number, events in enumerate(runs):
        tallies = [event for event in events if event.kind == "tally"]
        start_s = min([events[0].mono_s, *(event.body["from_mono_s"] for event in tallies)])
        whole = events[-1].kind == "end"
        told["not_running" if number == 0 or runs[number - 1][-1].kind == "end" else "crashed"] += start_s - at_s
        if number and runs[number - 1][-1].kind != "end":
            longest_s = max(longest_s, start_s - at_s)
        at_s = start_s
        for event in tallies:
            body = event.body
            unexplained_s += abs(body["from_mono_s"] - at_s)
            for name in ("observed", "unavailable", "paused"):
                told[name] += body[f"{name}_s"]
            at_s = body["from_mono_s"] + body["seconds"]
        if whole:
            unexplained_s += max(0.0, events[-1].mono_s - at_s - 0.5)
            at_s = max(at_s, events[-1].mono_s)
    told["not_running"] += ended_s - at_s
    states = Counter(event.body["state"] for events in runs for event in events if event.kind == "camera")
    lost = sum(sum(event.body["lost"].values()) for events in runs for event in events if event.kind == "gap")
    return Accounted(
        seconds=round(ended_s - began_s, 1),
        **{
            f"{name}_s": round(told[name], 1)
            for name in ("observed", "unavailable", "paused", "crashed", "not_running")
        },
        unexplained_s=round(unexplained_s, 2),
        runs=len(runs),
        runs_without_end=sum(events[-1].kind != "end" for events in runs),
        longest_crashed_s=round(longest_s, 1),
        losses=states["lost"] + states["waiting"],
        returns=states["back"],
        lines=lines,
        lines_lost=lost,
        damaged=damaged,
    )


def verdict(told: dict[str, Any]) -> list[str]:
    """What does not hold, in sentences."""
    parts = ("observed_s", "unavailable_s", "paused_s", "crashed_s", "not_running_s")
    wrong = []
    if abs(sum(told[name] for name in parts) - told["seconds"]) > 1 + 0.002 * told["seconds"]:
        wrong.append(f"the parts make {sum(told[name] for name in parts):.1f} of {told['seconds']} s")
    if told["unexplained_s"] > 0.1 * told["runs"]:
        wrong.append(f"{told['unexplained_s']} s are not told of")
    if told["longest_crashed_s"] > BATCH_S:
        wrong.append(f"a crash took {told['longest_crashed_s']} s of the journal")
    if told["runs_without_end"] > told["faults"].get("kill -9", 0):
        wrong.append(f"{told['runs_without_end']} runs have no end line")
    if told["grown_mb"] > RSS_MB:
        wrong.append(f"the process grew by {told['grown_mb']} MB")
    if set(told["exit_codes"]) - {"0", "-9"}:
        wrong.append(f"it ended with {told['exit_codes']}")
    if told["damaged"]:
        wrong.append(f"{told['damaged']} lines cannot be read")
    return wrong


def main(argv: list[str] | None = None) -> int:
    """Soaks, writes what was seen, and says what does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for soak-DATE.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        told = soak(args.minutes, Path(folder), args.seed)
    told["wrong"] = verdict(told)
    text = json.dumps(told, indent=1) + "\n"
    print(text, end="")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        write_beside(args.out / f"soak-{told['date']}.json", lambda path: Path(path).write_text(text))
    return 1 if told["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
