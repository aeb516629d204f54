"""The day on the live page: exact sums over 24 hours, at midnight, at a step of the wall clock, in bounded memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from dataclasses import replace

import numpy as np
from builders import event, reading
from fakes import FakeClock

from device.camera.frame import Frame
from device.output.live.day import BAR_S, BARS, DayBar, add_columns
from device.output.live.view_state import ViewState
from device.output.live.viewers import Viewers
from device.system.status_record import Status
from device.vision.readings import FrameResult

GRAY = np.zeros((48, 64), np.uint8)
S = 1_000_000_000
STEP_S = 10  # between two frames: as long as the patience
LABELS = ["happy", "sad", "neutral"]
DAY_S = 86_400


def begun(from_s: int) -> tuple[ViewState, FakeClock]:
    """A view state after the header of a run, and its clock."""
    clock = FakeClock(from_s * S)
    view_state = ViewState(clock, STEP_S)
    header = event("header", labels=LABELS, camera={"live": True}, name="camera")
    view_state.on_event(replace(header, mono_s=float(from_s)))
    return view_state, clock


def go_on(view_state: ViewState, clock: FakeClock, seconds: int, *labels: str) -> None:
    """Frames with these faces for so long."""
    for _ in range(seconds // STEP_S):
        clock.now_ns += STEP_S * S
        faces = tuple(
            replace(reading("sad", n), steady=label, mono_ns=clock.now_ns) for n, label in enumerate(labels, 1)
        )
        view_state.on_frame(Frame(0, clock.now_ns, GRAY), FrameResult(faces), {}, None)


def rest(view_state: ViewState, clock: FakeClock, seconds: int, state: str) -> None:
    """Turns without a frame for so long."""
    for _ in range(seconds // STEP_S):
        clock.now_ns += STEP_S * S
        view_state.on_turn(Status(state, "drawn", "/log", None, {}, {}))


def day(view_state: ViewState, clock: FakeClock) -> tuple[DayBar, ...]:
    """The bars of a snapshot that is taken now."""
    view_state.on_event(event("camera", state="up", reason=""))
    return view_state.latest.day


def total(bars: tuple[DayBar, ...], name: str) -> int:
    return sum(getattr(bar, name) for bar in bars)


def test_the_sums_of_a_day_are_exact_and_older_time_leaves() -> None:
    view_state, clock = begun(0)
    rest(view_state, clock, 900 - STEP_S, "lost")
    go_on(view_state, clock, STEP_S + 3600, "happy")  # the first frame ends the loss
    for _ in range(22):  # hours
        go_on(view_state, clock, 600, "sad", "unsure")
        rest(view_state, clock, 300, "paused")
        go_on(view_state, clock, 2700)
    go_on(view_state, clock, 2700, "neutral")
    bars = day(view_state, clock)
    assert clock.now_ns == DAY_S * S and len(bars) == BARS and {bar.length_ms for bar in bars} == {900_000}
    assert [bar.from_ms for bar in bars] == [number * 900_000 for number in range(BARS)]
    assert [total(bars, name) for name in ("length_ms", "unavailable_ms", "paused_ms", "observed_ms", "face_ms")] == [
        86_400_000,
        900_000,
        22 * 300_000,
        86_400_000 - 900_000 - 22 * 300_000,
        3_600_000 + 22 * 600_000 + 2_700_000,
    ]
    sums = {label: sum(bar.labels_ms.get(label, 0) for bar in bars) for label in (*LABELS, "unsure")}
    assert sums == {"happy": 3_600_000, "sad": 13_200_000, "neutral": 2_700_000, "unsure": 13_200_000}
    go_on(view_state, clock, 2 * 900 + 450)
    later = day(view_state, clock)
    assert len(later) == BARS + 1 and later[: BARS - 2] == bars[2:], "the two oldest bars have left, no other changed"
    assert [bar.length_ms for bar in later[-3:]] == [900_000, 900_000, 450_000]


def test_neither_midnight_nor_a_step_of_the_wall_clock_changes_a_sum() -> None:
    plain = begun(12)
    stepped = begun(12)
    stepped[1].wall_s += 43_200 - 4_500  # boots at 22:45
    for view_state, clock in (plain, stepped):
        for step_s in (0, 7_200, -10_800, 86_400 * 365):
            if clock is stepped[1]:
                clock.wall_s += step_s
            go_on(view_state, clock, 1800, "happy")
    bars = day(*plain)
    assert day(*stepped) == bars and total(bars, "length_ms") == 7_200_000
    assert [bar.from_ms for bar in bars[:3]] == [12_000, 900_000, 1_800_000]
    walls = [view_state.latest.at.wall[:10] for view_state, _ in (plain, stepped)]
    assert walls == ["2024-05-01", "2025-05-01"], "the page learns the wall clock apart from the bars"


def test_a_long_silence_is_time_not_observed() -> None:
    view_state, clock = begun(0)
    go_on(view_state, clock, 900, "happy")
    clock.now_ns += (DAY_S + 3600) * S  # asleep for longer than a day
    go_on(view_state, clock, STEP_S, "happy")
    bars = day(view_state, clock)
    assert len(bars) == BARS + 1 and total(bars, "face_ms") == 0 == total(bars, "observed_ms")
    assert total(bars, "unavailable_ms") == total(bars, "length_ms") == BARS * 900_000 + 10_000


def test_a_viewer_gets_the_day_once_and_then_the_bar_that_grows() -> None:
    sent: list[tuple[str, dict]] = []

    class Wire:
        def send(self, data: bytes) -> asyncio.Future[None]:
            kind, body = data.decode().removesuffix("\n\n").split("\n")
            sent.append((kind.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        def abort(self) -> None: ...

    async def watch() -> None:
        view_state, clock = begun(0)
        go_on(view_state, clock, 2 * 900, "happy")
        viewers = Viewers(view_state, None, clock)
        viewers.add(Wire())
        for seconds in (10, 10, 0, 880, 10):
            go_on(view_state, clock, seconds, "sad")
            day(view_state, clock)
            viewers.send_update()

    asyncio.run(watch())
    numbers = [[round(bar["from_s"] // BAR_S) for bar in message["day"]] for _, message in sent]
    # The first update repeats the day, since nothing was sent before it; 900 s complete a bar.
    assert numbers == [[0, 1], [0, 1, 2], [2], [], [2], [3]]
    assert sent[0][1]["bar_s"] == 900 and sent[0][1]["bars_kept"] == 96
    assert sent[0][1]["day"][1]["labels_s"] == {"happy": 900.0} and sent[-1][1]["day"][0]["labels_s"] == {"sad": 10.0}


def test_a_day_of_any_length_takes_less_than_100_kb() -> None:
    labels = dict.fromkeys(("neutral", "happy", "surprise", "sad", "angry", "fear", "disgust", "unsure"), 22.5)
    column = {"observed_s": 180.0, "unavailable_s": 0.0, "paused_s": 0.0, "face_s": 180.0, "labels_s": labels}
    bars: tuple[DayBar, ...] = ()
    for n in range(5 * 300):
        if n == 5 * 100:  # each of the bars is made anew after it
            tracemalloc.start()
        bars = add_columns(bars, [{**column, "from_mono_s": 180.0 * n, "seconds": 180.0}])  # type: ignore[typeddict-item]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bars) == BARS + 1 and 20_000 < size < 100_000, size
