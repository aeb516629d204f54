"""Twenty devices publish to one broker for a minute; the broker restarts, and a subscriber disconnects and returns.

    python -m tests.system.many_devices --seconds 60 --out tests/system/results
    python -m tests.system.many_devices --devices 1000 --seconds 120 --out tests/system/results     tests.system.fleet

Each device is a sink as a run has it, with made-up minutes. What it counted as acknowledged, the listener must have heard.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from device.clock import SystemClock
from device.config import Settings
from device.output.mqtt.connection import RetryDelays
from device.output.mqtt.publisher import MqttPublisher
from device.system.status_record import Status
from fer_edge.events import Event
from tests.system.brokers import Listener, Mosquitto, until
from tests.system.dated_result import stamped, write
from tests.system.fleet import run_fleet

TALLY: dict[str, Any] = {
    **{"from_mono_s": 0.0, "seconds": 60.0, "observed_s": 58.0, "unavailable_s": 2.0, "paused_s": 0.0, "face_s": 40.0},
    **{
        "labels_s": {"happy": 30.0, "unsure": 10.0},
        "unsure_s": {"confidence": 10.0},
        "faces_max": 1,
        "faces_skipped": 0,
    },
    **{"frames": {"read": 600, "processed": 590}, "frames_idle": 10, "drops": {"busy": 10}},
}
_PACE_S = 0.2
_IN_ONE_PROCESS = 100
_QUICK = RetryDelays(retry_s=0.5, longest_retry_s=2.0)


def many(folder: Path, devices: int, seconds: float, kill: bool = False) -> dict[str, Any]:
    """What became of the messages of so many devices in so many seconds. `folder` is for the broker's own files.

    A broker that is killed (`kill`) may itself lose what it acknowledged: it says so before its disk has it.
    """
    clock, slowest_s, seq = SystemClock(), 0.0, 0
    messages: list[str] = []
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder))
        listener = Listener(broker.port)

        def away() -> None:
            listener.close()  # the broker keeps what comes until it is back

        def again() -> None:
            broker.stop(kill)
            broker.start()

        def back() -> None:
            nonlocal listener
            received = listener.heard
            listener = Listener(broker.port)
            listener.heard[:0] = received

        settings = [
            Settings(name=f"device{n}", mqtt=f"mqtt://127.0.0.1:{broker.port}", mqtt_topic="many")
            for n in range(devices)
        ]
        sinks = [stack.enter_context(MqttPublisher(one, clock, messages.append, _QUICK)) for one in settings]
        began = time.monotonic()
        plan = [(1 / 6, away), (1 / 3, again), (2 / 3, back)]
        while (now_s := time.monotonic() - began) < seconds:
            seq += 1
            event = Event("tally", seq, "boot", seq * 60.0, "2026-01-01T00:00:00.000Z", "synced", TALLY)
            before = time.perf_counter()
            for sink in sinks:
                sink.append(replace(event))
                sink.on_turn(Status("running", "0", "/log"))
            slowest_s = max(slowest_s, time.perf_counter() - before)
            if plan and now_s > plan[0][0] * seconds:
                plan.pop(0)[1]()
            time.sleep(_PACE_S)
        until(lambda: not any(sink.outbox.unacknowledged_counts() for sink in sinks), 30.0)
        sent = {(sink.topics.topic("tally"), n) for sink in sinks for n in range(1, seq + 1)}

        def missing() -> int:
            tallies = [(t, json.loads(p)["seq"]) for t, p, _ in list(listener.heard) if t.endswith("/tally")]
            return len(sent - set(tallies))

        end = time.monotonic() + 10.0
        while missing() and time.monotonic() < end:
            time.sleep(0.1)
        listener.close()
        heard_tallies = sum(topic.endswith("/tally") for topic, _, _ in listener.heard)
    missing_messages, lost = missing(), sum(sink.outbox.lost.total() for sink in sinks)
    wrong = [f"{n} {what}" for n, what in ((lost, "dropped"), (missing_messages, "acknowledged and never heard")) if n]
    return {
        "devices": devices,
        "seconds": seconds,
        "sent": len(sent),
        "acknowledged": len(sent) - lost,
        "lost": lost,
        "heard": heard_tallies,
        "missing": missing_messages,
        "connections": sum("is connected" in sentence for sentence in messages),
        "slowest_call_ms": round(slowest_s / devices * 1e3, 3),
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.many_devices", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--devices", type=int, default=20, metavar="N", help="above 100: many, in processes of their own"
    )
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    parser.add_argument("--kill", action="store_true", help="the broker does not end in good order")
    parser.add_argument("--pace", type=float, default=10.0, metavar="S", help="of many: seconds between two minutes")
    parser.add_argument("--processes", type=int, default=4, metavar="N", help="of many: over which they are spread")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write mqtt-DATE.json there, of many fleet-DATE.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if large := args.devices > _IN_ONE_PROCESS:
            result = run_fleet(Path(folder), args.devices, args.seconds, args.pace, args.processes)
        else:
            result = many(Path(folder), args.devices, args.seconds, args.kill)
    print(json.dumps(result, indent=1))
    if args.out:
        print(write("fleet" if large else "mqtt", stamped(result), args.out), file=sys.stderr)
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
