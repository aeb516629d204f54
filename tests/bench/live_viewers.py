"""`python -m tests.bench.live_viewers`: frames per second and processor time of the loop with 20 viewers of the live page.

One run reads drawn pictures as fast as it can, with its live page open. In turns nobody looks, and then `--viewers` streams
do, each of which takes all that it is sent and throws it away, in another process. The turns alternate within the one run,
and each pair is compared by itself: what else the machine does changes more slowly than they do. On a machine that has other
work, give the measured process the right of way: `chrt --rr 1 python -m tests.bench.live_viewers`.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device.camera.frame import Frame
from device.camera.source import SourceDescription
from device.clock import Clock, SystemClock
from device.config import Settings
from device.run import run
from device.system.status_record import Status
from device.vision.readings import FrameResult
from fer_edge.bundle import Bundle
from fer_edge.errors import exit_code_of
from fer_edge.synthetic_face import face_frame
from tests.loopback import free_port
from tests.system.dated_result import bench_parser, bundle_facts, reported

PICTURES = 60
SETTLED_S = 1.0  # after a change: streams open, the page's first messages


class Endless:
    """A recording of drawn pictures, back and forth, for `seconds`; a loop reads it as fast as it can."""

    live = False

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._pictures = [face_frame(n / 10) for n in range(PICTURES)]
        self._seq, self._until_ns = 0, 0

    def open(self) -> None:
        self._until_ns = self._clock.mono_ns() + round(self._seconds * 1e9)

    def read(self) -> Frame | None:
        from device.camera.source import EndOfStream

        if (now_ns := self._clock.mono_ns()) > self._until_ns:
            raise EndOfStream
        place = self._seq % (2 * PICTURES - 2)
        frame = Frame(self._seq, now_ns, self._pictures[min(place, 2 * PICTURES - 2 - place)])
        self._seq += 1
        return frame

    def describe(self) -> SourceDescription:
        return SourceDescription("drawn", "drawn", time="when handed out")

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured while so many looked: frames and seconds, processor time of the loop's thread and of the process."""

    viewers: int
    frames: int
    seconds: float
    loop_s: float
    process_s: float

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


class Turns:
    """A watcher that counts frames, and tells the viewers when to come and to go."""

    def __init__(self, seconds: float, viewers: int) -> None:
        self.rounds: list[Round] = []
        self._seconds, self._viewers = seconds, viewers
        self._looking = 0
        self._from_s = time.perf_counter() + SETTLED_S
        self._begun: tuple[float, float, float] | None = None
        self._frames = 0
        self.process: subprocess.Popen[str] | None = None

    def on_frame(self, _frame: Frame, _seen: FrameResult, _laps_s: Mapping[str, float], _age_s: float | None) -> None:
        now_s = time.perf_counter()
        if now_s < self._from_s:
            return
        if self._begun is None:
            self._begun, self._frames = (now_s, time.thread_time(), time.process_time()), 0
            return
        self._frames += 1
        if now_s - self._begun[0] < self._seconds:
            return
        wall, loop, process = self._begun
        times_s = (now_s - wall, time.thread_time() - loop, time.process_time() - process)
        self.rounds.append(Round(self._looking, self._frames, *times_s))
        self._looking = 0 if self._looking else self._viewers
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(f"{self._looking}\n")
        self.process.stdin.flush()
        self._from_s, self._begun = time.perf_counter() + SETTLED_S, None

    def on_turn(self, status: Status) -> None:
        pass


def measure(bundle: Path, pairs: int, seconds: float, viewers: int) -> dict[str, Any]:
    """The rounds, and what they come to: `cost` is the share of frames a second lost, the median of the pairs."""
    clock, turns, port = SystemClock(), Turns(seconds, viewers), free_port()
    length_s = 2 * pairs * (seconds + SETTLED_S) + 2 * SETTLED_S
    command = [sys.executable, "-m", "tests.bench.live_viewers", "--look", str(port)]
    turns.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        settings = Settings(
            "drawn",
            bundle=bundle,
            log=Path(folder) / "log",
            runtime=Path(folder) / "run",
            live=f"127.0.0.1:{port}",
        )
        run(settings, clock, Endless(clock, length_s), observers=[turns])
    received_json, _ = turns.process.communicate()
    return {**summed(turns.rounds), "taken": json.loads(received_json), "rounds": [asdict(one) for one in turns.rounds]}


def summed(rounds: Sequence[Round]) -> dict[str, Any]:
    """What the rounds come to, in pairs of one without and the next with viewers."""
    pairs = list(zip(rounds[::2], rounds[1::2], strict=False))
    without_viewers, with_viewers = [one for one, _ in pairs], [two for _, two in pairs]
    lost = [1 - two.fps / one.fps for one, two in pairs]
    return {
        "viewers": with_viewers[0].viewers,
        "pairs": len(pairs),
        "cost": statistics.median(lost),
        "cost_least": min(lost),
        "cost_most": max(lost),
        "fps": [statistics.median(one.fps for one in some) for some in (without_viewers, with_viewers)],
        "loop_ms": [
            statistics.median(1e3 * one.loop_s / one.frames for one in some) for some in (without_viewers, with_viewers)
        ],
        "process_ms": [
            statistics.median(1e3 * one.process_s / one.frames for one in some)
            for some in (without_viewers, with_viewers)
        ],
    }


def look(port: int) -> dict[str, int]:
    """What so many streams took: bytes and messages. Reads from stdin how many there should be, until it ends."""
    # They do not have the right of way that the measured process was given: their own work is none of the loop's.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    chosen, opened, received = selectors.DefaultSelector(), [], {"bytes": 0, "messages": 0, "streams": 0}
    chosen.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in chosen.select():
            if key.fileobj is sys.stdin:
                if not (line := os.read(sys.stdin.fileno(), 64)):
                    return received
                for one in opened:
                    chosen.unregister(one)
                    one.close()
                opened = [_opened(port) for _ in range(int(line.split()[-1]))]
                for one in opened:
                    chosen.register(one, selectors.EVENT_READ)
                received["streams"] += len(opened)
            elif data := key.fileobj.recv(1 << 20):  # type: ignore[union-attr]
                received["bytes"] += len(data)
                received["messages"] += data.count(b"event: ")
            else:
                chosen.unregister(key.fileobj)
                opened.remove(key.fileobj)  # type: ignore[arg-type]


def _opened(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return stream


def text(result: dict[str, Any]) -> str:
    """The same for people."""
    fps, loop, process, received = (result[name] for name in ("fps", "loop_ms", "process_ms", "taken"))
    per_viewer_s = received["messages"] / max(1, received["streams"]) / (result["round_s"] + SETTLED_S)
    return "\n".join(
        [
            f"{result['bundle']}, on {result['host']}, load {result['load']:g} of {result['cores']}, {result['scheduled']};"
            f" medians of {result['pairs']} pairs of {result['round_s']:g} s",
            f"viewers                  {0:>8}{result['viewers']:>8}",
            f"frames a second          {fps[0]:>8.1f}{fps[1]:>8.1f}",
            f"the loop's thread, ms    {loop[0]:>8.3f}{loop[1]:>8.3f}   of processor time a frame",
            f"the whole process, ms    {process[0]:>8.3f}{process[1]:>8.3f}",
            f"lost: {result['cost']:.1%} of the frame rate ({result['cost_least']:.1%} to {result['cost_most']:.1%}); each"
            f" viewer received {per_viewer_s:.1f} messages a second,"
            f" {received['bytes'] / max(1, received['messages']):.0f} bytes each",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("live_viewers", __doc__)
    parser.add_argument("--viewers", type=int, default=20, metavar="N", help="default 20")
    parser.add_argument("--pairs", type=int, default=10, metavar="N", help="of rounds, without and with (default 10)")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="each round (default 4)")
    parser.add_argument("--look", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.look:
        print(json.dumps(look(args.look)))
        return 0
    bundle = Bundle.load(args.bundle)
    policy = {os.SCHED_OTHER: "ordinary", os.SCHED_RR: "with the right of way (SCHED_RR)"}
    result: dict[str, Any] = {
        **bundle_facts(bundle),
        "scheduled": policy.get(os.sched_getscheduler(0), "otherwise"),
        "round_s": args.seconds,
        **measure(bundle.path, args.pairs, args.seconds, args.viewers),
    }
    return reported("live-viewers", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
