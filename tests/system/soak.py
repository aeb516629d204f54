"""`python -m tests.system.soak --minutes 30 --kills 200 --out DIR`: a fault every 5 to 10 s, every second accounted for.

`fer-edge run` as a process of its own looks at a network camera with a drawn face and writes its journal on a small file
system in memory. The camera dies, hangs, freezes and sends garbage; the disk fills up; the process is killed, stopped,
told to read its settings again, paused and resumed. In the end the journal must tell of every second: looked at, camera
away, paused, lost to a crash, or not running. After it, writers of a journal are killed at random moments. Needs the right
to mount.
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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fer_edge.synthetic_face import face_frame
from tests.killed_writer import kill_journal_writer
from tests.system.dated_result import ROOT, stamped, write
from tests.system.network_cameras import FPS, MjpegCamera
from tests.system.time_account import account_of

SETTINGS = {"fps": 5.0, "stall_s": 2.0, "same_s": 3.0, "sync_s": 1.0, "health_s": 2.0, "reopen_s": 600.0}
PAUSE_S = (5.0, 10.0)  # between two faults
LASTS_S = (2.0, 6.0)  # a fault that has a length
RSS_MB = 5.0  # that a run of the process may grow by after its first minute
BATCH_S = 60.0 + 10 * SETTINGS["sync_s"] + 5.0  # a minute's tally and a small batch may be lost to kill -9


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
        account = account_of(folder / "disk" / "log", began_mono, ended_mono)
    return {
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
        with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):  # until it is full
            while True:
                file.write(bytes(1 << 16))

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
        "the camera answers nothing": lasting(lambda: camera.behave("mute"), well),
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


def kill(times: int, seed: int) -> dict[str, Any]:
    """What so many writers left behind that were killed at random moments."""
    rng, found = random.Random(seed), []
    for number in range(times):
        with tempfile.TemporaryDirectory() as folder:
            found.append(kill_journal_writer(Path(folder), number, rng.uniform(0.0, 0.05)))
    return {
        "writers_killed": times,
        "their_forced_lines": sum(killed.safe for killed in found),
        "their_lines_found": sum(killed.found for killed in found),
        "their_torn_ends": sum(killed.repairs for killed in found),
        "their_faults": [killed.wrong() for killed in found if killed.wrong()],
    }


def verdict(result: dict[str, Any]) -> list[str]:
    """What does not hold, in sentences."""
    parts = ("observed_s", "unavailable_s", "paused_s", "crashed_s", "not_running_s")
    wrong = []
    if abs(sum(result[name] for name in parts) - result["seconds"]) > 1 + 0.002 * result["seconds"]:
        wrong.append(f"the parts make {sum(result[name] for name in parts):.1f} of {result['seconds']} s")
    if result["unexplained_s"] > 0.1 * result["runs"]:
        wrong.append(f"{result['unexplained_s']} s are not told of")
    if result["longest_crashed_s"] > BATCH_S:
        wrong.append(f"a crash took {result['longest_crashed_s']} s of the journal")
    if result["runs_without_end"] > result["faults"].get("kill -9", 0):
        wrong.append(f"{result['runs_without_end']} runs have no end line")
    if result["grown_mb"] > RSS_MB:
        wrong.append(f"the process grew by {result['grown_mb']} MB")
    if set(result["exit_codes"]) - {"0", "-9"}:
        wrong.append(f"it ended with {result['exit_codes']}")
    if result["damaged"]:
        wrong.append(f"{result['damaged']} lines cannot be read")
    return wrong + result.get("their_faults", [])


def main(argv: list[str] | None = None) -> int:
    """Soaks, writes what was seen, and says what does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=200, help="writers of a journal that are killed after it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for soak-DATE.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        result = soak(args.minutes, Path(folder), args.seed) | kill(args.kills, args.seed)
    result = stamped({**result, "wrong": verdict(result)})
    print(json.dumps(result, indent=1))
    if args.out:
        write("soak", result, args.out)
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
