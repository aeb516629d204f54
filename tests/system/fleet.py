"""Many devices at one broker: each with the publisher of a run, minutes of a real pace or faster, and a health that changes.

`tests.system.many_devices` runs it. The devices are spread over a few processes, because one interpreter runs one thread at a
time. The broker is killed once and starts again; the devices connect again with the delays of a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from device.clock import SystemClock
from device.config import Settings
from device.output.mqtt.publisher import MqttPublisher
from device.system.status_record import Status
from fer_edge.events import Event
from tests.system.brokers import Listener, Mosquitto, until
from tests.system.dated_result import ROOT

PREFIX = "fleet"
_TURN_S = 0.5  # of each device
_AWAY_S = 5.0  # for which the killed broker is away
_DRAIN_S = 90.0  # for the last acknowledgements, after the longest retry delay


@dataclass(frozen=True, slots=True)
class Share:
    """What one process does: `count` devices from number `first` on, for so many seconds, a minute every `pace_s`."""

    port: int
    first: int
    count: int
    seconds: float
    pace_s: float


def run_share(share: Share) -> dict[str, Any]:
    """The devices of a process, until their messages are acknowledged; what they sent and cost."""
    from tests.system.many_devices import TALLY

    clock, again = SystemClock(), dict[int, float]()  # device: when it was connected again first

    def log(device: int, sentence: str) -> None:
        if "connected again" in sentence:
            again.setdefault(device, time.time())

    before_kb, ns = _memory_kb(), range(share.first, share.first + share.count)
    with ExitStack() as stack:
        address = f"mqtt://127.0.0.1:{share.port}"
        sinks = [
            stack.enter_context(
                MqttPublisher(Settings(name=f"device{n}", mqtt=address, mqtt_topic=PREFIX), clock, partial(log, n))
            )
            for n in ns
        ]
        began, began_cpu_s = time.monotonic(), time.process_time()
        due_s = [(place + 1) / share.count * share.pace_s for place in range(share.count)]  # not all at once
        seqs = [0] * share.count
        slowest_s = 0.0
        while (now_s := time.monotonic() - began) < share.seconds:
            for place, sink in enumerate(sinks):
                call_s = time.perf_counter()
                if now_s >= due_s[place]:
                    due_s[place] += share.pace_s
                    seqs[place] += 1
                    sink.append(Event("tally", seqs[place], "boot", now_s, "2026-01-01T00:00:00.000Z", "synced", TALLY))
                problems = (f"problem {seqs[place]}",) if seqs[place] else ()
                sink.on_turn(Status("running", "0", "/log", problems=problems))
                slowest_s = max(slowest_s, time.perf_counter() - call_s)
            time.sleep(max(0.0, _TURN_S - (time.monotonic() - began - now_s)))
        cpu_s, wall_s, memory_kb = time.process_time() - began_cpu_s, time.monotonic() - began, _memory_kb()
        end = time.monotonic() + _DRAIN_S
        while (pending := sum(bool(sink.outbox.unacknowledged_counts()) for sink in sinks)) and time.monotonic() < end:
            time.sleep(0.2)
        topics = {sink.topics.id: seq for sink, seq in zip(sinks, seqs, strict=True)}
        lost = sum(sink.outbox.lost.total() for sink in sinks)
    return {
        "sent": topics,
        "lost": lost,
        "pending": pending,
        "connected_again": sorted(again.values()),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "kb_a_device": (memory_kb - before_kb) / share.count,
        "slowest_call_ms": slowest_s * 1e3,
    }


def run_fleet(folder: Path, devices: int, seconds: float, pace_s: float, processes: int) -> dict[str, Any]:
    """What became of the messages of so many devices, and what they and the broker cost. `folder`: the broker's own files."""
    share = -(-devices // processes)
    with Mosquitto(folder, durable=False) as broker:
        listener = Listener(broker.port)
        starts = range(0, devices, share)
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.system.fleet", json.dumps(asdict(one))],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for one in (Share(broker.port, n, min(share, devices - n), seconds, pace_s) for n in starts)
        ]
        try:
            until(lambda: len(set(_topics(listener, "availability"))) >= devices, 60.0 + seconds)
            connected_s = seconds / 3
            time.sleep(connected_s)
            before = broker.cost()
            broker.stop(kill=True)
            time.sleep(_AWAY_S)
            broker.start()
            restarted = time.time()
            results = [json.loads(worker.communicate(timeout=seconds + 4 * _DRAIN_S)[0]) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        after = broker.cost()
        last = {name: seq for one in results for name, seq in one["sent"].items()}
        sent = {(f"{PREFIX}/{name}/tally", n) for name, seq in last.items() for n in range(1, seq + 1)}
        heard = Counter[tuple[str, int]]()

        def missing() -> set[tuple[str, int]]:
            heard.clear()
            heard.update((t, json.loads(p)["seq"]) for t, p, _ in list(listener.heard) if t.endswith("/tally"))
            return sent - heard.keys()

        end = time.monotonic() + 20.0
        while missing() and time.monotonic() < end:
            time.sleep(0.2)
        listener.close()
        late = Listener(broker.port, "late")  # finds what the broker keeps of each device
        until(lambda: len(set(_topics(late, "health"))) >= devices, 60.0)
        newest = {
            topic.split("/")[1]: json.loads(payload) for topic, payload, _ in late.heard if topic.endswith("/health")
        }
        words = {
            topic.split("/")[1]: payload.decode() for topic, payload, _ in late.heard if topic.endswith("/availability")
        }
        late.close()
    lost, pending = sum(one["lost"] for one in results), sum(one["pending"] for one in results)
    stale = sum(newest[name]["problems"] != [f"problem {seq}"] for name, seq in last.items() if seq)
    stopped = sum(words.get(name) == "stopped" for name in last)
    present = sum(
        words.get(name) not in ("stopped", "offline") for name in last
    )  # a slow end leaves it to the last will
    again = sorted(at for one in results for at in one["connected_again"])
    gone = len(missing())
    wrong = [
        f"{n} {what}"
        for n, what in (
            (gone, "minutes acknowledged and never heard"),
            (lost, "dropped"),
            (pending, "devices with unacknowledged messages"),
            (stale, "devices whose retained health is not the last one"),
            (present, "devices that have ended and whose retained availability does not say so"),
            (devices - len(again), "devices that did not connect again"),
        )
        if n
    ]
    wall_s = max(one["wall_s"] for one in results)
    cpu_s = sum(one["cpu_s"] for one in results)
    return {
        "devices": devices,
        "processes": len(workers),
        "seconds": seconds,
        "pace_s": pace_s,
        "minutes": len(sent),
        "heard": heard.total(),
        "missing": gone,
        "lost": lost,
        "connected_again": len(again),
        "connected_again_s": round(again[-1] - restarted, 1) if again else None,
        "stopped": stopped,
        "messages_received": len(listener.heard),
        "device_kb": round(max(one["kb_a_device"] for one in results)),
        "device_cpu_percent": round(100 * cpu_s / wall_s / devices, 3),
        "slowest_call_ms": round(max(one["slowest_call_ms"] for one in results), 1),
        "broker_mb": round(max(before["rss_kb"], after["rss_kb"]) / 1e3, 1),
        "broker_cpu_percent": round(100 * (before["cpu_s"] + after["cpu_s"]) / (before["age_s"] + after["age_s"]), 1),
        "wrong": wrong,
    }


def _topics(listener: Listener, what: str) -> list[str]:
    return [topic for topic, _, _ in list(listener.heard) if topic.endswith(f"/{what}")]


def _memory_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1000


if __name__ == "__main__":
    print(json.dumps(run_share(Share(**json.loads(sys.argv[1])))))
