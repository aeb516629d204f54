"""A generated month of one camera in a household: visits by the hour of the day, and a fault now and then.

python -m tests.generated_month --days 1 --out DIR      a journal to try `fer-edge log` on; nobody in it is real
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fer_edge.events import UNSURE
from tests.simulated_device import SimulatedDevice, utc_s

# The probability that somebody is present, by the hour (UTC), and the weights of the labels, by the part of the day.
_PRESENCE = (
    *(0, 0, 0, 0, 0, 0, 0.3, 0.6, 0.5, 0.15, 0.1, 0.1),
    *(0.4, 0.3, 0.1, 0.1, 0.2, 0.5, 0.7, 0.7, 0.6, 0.5, 0.3, 0.1),
)
_LABEL_WEIGHTS = {
    "morning": {"neutral": 60, "sad": 14, "happy": 8, "angry": 6, "surprise": 3, "fear": 1, "disgust": 1, UNSURE: 12},
    "day": {"neutral": 55, "happy": 18, "sad": 6, "angry": 3, "surprise": 5, "fear": 2, "disgust": 1, UNSURE: 9},
    "evening": {"neutral": 42, "happy": 34, "sad": 4, "angry": 3, "surprise": 8, "fear": 2, "disgust": 1, UNSURE: 7},
}
_UNSURE_REASONS = ("confidence", "confidence", "blurred", "tiny", "dark")


def simulate_days(device: SimulatedDevice, days: float, busy: float = 1.0) -> SimulatedDevice:
    """The device after so many more days, whose run has ended; presence is `busy` times as likely."""
    rng, until_s = device.rng, device.true_s + days * 86_400
    device.start()
    while device.true_s < until_s:
        hour = int(device.true_s % 86_400 // 3600)
        if rng.random() < 0.002:
            device.lose(rng.choice((20.1, 65.1, 600.1)))
        elif rng.random() < 0.001:
            device.pause(1800)
        elif rng.random() < 0.0006:
            device.end("stopped by SIGTERM")
            device.off(rng.choice((40, 900, 5400)))
            device.start()
        elif rng.random() < 0.002:
            device.health(True, ("undervoltage", "throttled"), 71.5)
            device.idle(60)
            device.health(False, (), 58.0)
        elif rng.random() < min(0.97, busy * _PRESENCE[hour]):
            shown = _LABEL_WEIGHTS["morning" if hour < 11 else "day" if hour < 17 else "evening"]
            for _ in range(rng.randrange(3, 40)):
                labels = rng.choices(list(shown), list(shown.values()), k=2 if rng.random() < 0.1 else 1)
                seconds = min(2 + rng.expovariate(1 / 6), 90)
                device.watch(
                    seconds,
                    *labels,
                    quality=rng.uniform(0.4, 0.95),
                    p=rng.uniform(0.5, 0.97),
                    why=rng.choice(_UNSURE_REASONS),
                )
        else:
            device.idle(rng.uniform(30, 400))
    device.end()
    return device


def simulate_example_day(folder: Path, name: str = "kitchen", seed: int = 4) -> SimulatedDevice:
    """A device after a day in March: its camera was lost for a while, the run paused, and the power cut."""
    device = SimulatedDevice(folder, utc_s("2026-03-05T00:00:00"), name, seed=seed)
    simulate_days(device, 9.4 / 24)
    device.off(60)
    device.start()
    device.idle(40 * 60)
    device.lose(47 * 60.0, "no picture for 5.1 s")
    device.idle(60 * 60 - (47 * 60))
    device.watch(60, "happy")
    device.end()
    simulate_days(device, 2.2 / 24)
    device.start()
    device.pause(75 * 60)
    device.watch(5 * 60, "neutral", UNSURE)
    device.crash(35 * 60)
    device.boot(power_off_s=60)
    simulate_days(device, (utc_s("2026-03-05T23:50:00") - device.true_s) / 86_400)
    return device


def main(argv: list[str] | None = None) -> int:
    """Writes the journal and prints its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0, help="1: the day of the README's picture; default: 30")
    parser.add_argument("--busy", type=float, default=1.0, help="factor on the probability of presence")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet")
    args = parser.parse_args(argv)
    if args.days == 1.0:
        simulate_example_day(args.out)
    else:
        simulate_days(SimulatedDevice(args.out, utc_s("2026-03-01T00:00:00"), "kitchen", seed=1), args.days, args.busy)
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
