"""A month of one camera in a household, generated: visits by the hour of the day, a weak moment now and then.

python -m tests.generated_month --days 1 --out DIR      a journal to try `fer-edge log` on; nobody in it ever lived
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fer_edge.events import UNSURE
from tests.simulated_life import Life, utc_s

# How likely somebody is there, by the hour (UTC), and what is shown, by the third of the day.
_THERE = (0, 0, 0, 0, 0, 0, 0.3, 0.6, 0.5, 0.15, 0.1, 0.1, 0.4, 0.3, 0.1, 0.1, 0.2, 0.5, 0.7, 0.7, 0.6, 0.5, 0.3, 0.1)
_SHOWN = {
    "morning": {"neutral": 60, "sad": 14, "happy": 8, "angry": 6, "surprise": 3, "fear": 1, "disgust": 1, UNSURE: 12},
    "day": {"neutral": 55, "happy": 18, "sad": 6, "angry": 3, "surprise": 5, "fear": 2, "disgust": 1, UNSURE: 9},
    "evening": {"neutral": 42, "happy": 34, "sad": 4, "angry": 3, "surprise": 8, "fear": 2, "disgust": 1, UNSURE: 7},
}
_WHY = ("confidence", "confidence", "blurred", "tiny", "dark")


def live(life: Life, days: float, busy: float = 1.0) -> Life:
    """Lives through so many days; `busy` times as likely somebody is there. Ends with the run's end."""
    rng, until_s = life.rng, life.true_s + days * 86_400
    life.start()
    while life.true_s < until_s:
        hour = int(life.true_s % 86_400 // 3600)
        if rng.random() < 0.002:
            life.lose(rng.choice((20.1, 65.1, 600.1)))
        elif rng.random() < 0.001:
            life.pause(1800)
        elif rng.random() < 0.0006:
            life.end("stopped by SIGTERM")
            life.off(rng.choice((40, 900, 5400)))
            life.start()
        elif rng.random() < 0.002:
            life.health(True, ("undervoltage", "throttled"), 71.5)
            life.idle(60)
            life.health(False, (), 58.0)
        elif rng.random() < min(0.97, busy * _THERE[hour]):
            shown = _SHOWN["morning" if hour < 11 else "day" if hour < 17 else "evening"]
            for _ in range(rng.randrange(3, 40)):
                labels = rng.choices(list(shown), list(shown.values()), k=2 if rng.random() < 0.1 else 1)
                seconds = min(2 + rng.expovariate(1 / 6), 90)
                life.watch(
                    seconds, *labels, quality=rng.uniform(0.4, 0.95), p=rng.uniform(0.5, 0.97), why=rng.choice(_WHY)
                )
        else:
            life.idle(rng.uniform(30, 400))
    life.end()
    return life


def day(folder: Path, name: str = "kitchen", seed: int = 4) -> Life:
    """A day in March, in which the camera was away for a while, the run paused, and the plug pulled."""
    life = Life(folder, utc_s("2026-03-05T00:00:00"), name, seed=seed)
    live(life, 9.4 / 24)
    life.off(60)
    life.start()
    life.idle(40 * 60)
    life.lose(47 * 60.0, "no picture for 5.1 s")
    life.idle(60 * 60 - (47 * 60))
    life.watch(60, "happy")
    life.end()
    live(life, 2.2 / 24)
    life.start()
    life.pause(75 * 60)
    life.watch(5 * 60, "neutral", UNSURE)
    life.crash(35 * 60)
    life.boot(power_off_s=60)
    live(life, (utc_s("2026-03-05T23:50:00") - life.true_s) / 86_400)
    return life


def main(argv: list[str] | None = None) -> int:
    """Writes the journal; prints its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0, help="1: the day of the README's picture; default: 30")
    parser.add_argument("--busy", type=float, default=1.0, help="times as many visits")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is not there yet")
    args = parser.parse_args(argv)
    if args.days == 1.0:
        day(args.out)
    else:
        live(Life(args.out, utc_s("2026-03-01T00:00:00"), "kitchen", seed=1), args.days, args.busy)
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
