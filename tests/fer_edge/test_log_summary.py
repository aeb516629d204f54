"""The summary against the truth of generated journals: where each second went, hour by hour, in every kind of trouble."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.cli import main
from fer_edge.events import UNSURE
from fer_edge.log.aggregation import Periods
from fer_edge.log.devices import Device, devices
from fer_edge.log.summary import Summary, summarise
from fer_edge.log.time_window import TimeWindow, TimeZone
from tests.simulated_device import GroundTruth, SimulatedDevice, utc_s

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
UTC = TimeZone(utc=True)
EVERYTHING = TimeWindow(zone=UTC)
NINE = "2026-03-01T09:10:00"


def begun(folder: Path, **told: Any) -> SimulatedDevice:
    life = SimulatedDevice(folder, utc_s(NINE), "kitchen", **told)
    life.start()
    return life


def plain(folder: Path) -> SimulatedDevice:
    """Two faces, one of them unsure for a while, over two hours."""
    life = begun(folder)
    life.idle(600)
    life.watch(1200, "happy")
    life.watch(90, "happy", UNSURE, why="blurred")
    life.watch(1200, "neutral", "sad")
    life.watch(45, UNSURE)
    life.idle(2000)
    life.end()
    return life


def camera_away(folder: Path) -> SimulatedDevice:
    """Lost twice, once over the hour; and late without being lost."""
    life = begun(folder)
    life.watch(600, "neutral")
    life.lose(65.1)
    life.watch(1800, "neutral")
    life.lose(1300)
    life.idle(100)
    life.hang(30)
    life.idle(300)
    life.end()
    return life


def paused(folder: Path) -> SimulatedDevice:
    """Paused over the hour, and stopped in order, and started again."""
    life = begun(folder)
    life.watch(100, "angry")
    life.pause(3600)
    life.watch(100, "fear")
    life.end()
    life.off(1234)
    life.start()
    life.watch(500, "disgust")
    life.end()
    return life


def crashed(folder: Path) -> SimulatedDevice:
    """Killed, its last line torn; then the power was cut."""
    life = begun(folder)
    life.watch(600, "happy")
    life.crash(500, torn=b'{"kind":"tally","seq":1')
    life.start()
    life.watch(1200, "happy")
    life.crash(100)
    life.boot(power_off_s=4000)
    life.start()
    life.watch(120, "sad")
    life.end()
    return life


def no_clock_at_first(folder: Path) -> SimulatedDevice:
    """Booted in 1970, set after a while; then a year ahead, and put right."""
    life = SimulatedDevice(folder, utc_s(NINE), "kitchen")
    life.boot(0.0, synced=False, wall_s=0.0)
    life.start()
    life.watch(1500, "happy")
    life.set_clock()
    life.watch(1500, "sad")
    life.set_clock(off_by_s=365 * 86_400)
    life.watch(60, "sad")
    life.set_clock()
    life.idle(60)
    life.end()
    return life


def full_disk(folder: Path) -> SimulatedDevice:
    """The journal could not be written for so long that lines were lost."""
    life = begun(folder)
    life.end()
    life.start(ring_bytes=3000)
    life.watch(120, "happy")
    life.fill_disk(50)
    life.watch(60, "happy")
    life.end()
    return life


LIVES = [plain, camera_away, paused, crashed, no_clock_at_first, full_disk]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimulatedDevice]:
    """Each of them lived once, by its name."""
    folder = tmp_path_factory.mktemp("lives")
    return {lived.__name__: lived(folder / lived.__name__) for lived in LIVES}


def of(folder: Path, by: str = "hour", window: TimeWindow = EVERYTHING) -> Summary:
    summary = summarise(Device("kitchen", folder), window, by)
    assert summary is not None
    return summary


def expected(truth: GroundTruth, hour: int) -> Counter[str]:
    """The seconds of each state; what came late counts as unavailable, as tallies have it."""
    told = Counter(truth.state_s[hour])
    told["unavailable"] += told.pop("late", 0)
    return told


@pytest.mark.parametrize("name", [lived.__name__ for lived in LIVES])
def test_each_second_of_each_hour_is_accounted_for(name: str, lives: dict[str, SimulatedDevice]) -> None:
    truth, summary = lives[name].truth, of(lives[name].folder)
    assert [part.from_s for part in summary.parts] == sorted(truth.state_s)
    for part in summary.parts:
        hour = int(part.from_s)
        told = {state: seconds for state, seconds in part.state_s.items() if seconds > 0.01}
        wanted = {state: seconds for state, seconds in expected(truth, hour).items() if seconds > 0.01}
        assert told == pytest.approx(wanted, abs=0.1), UTC.short(hour)
        assert dict(part.labels_s) == pytest.approx(dict(truth.labels_s[hour]), abs=0.1)
        assert part.face_s == pytest.approx(truth.face_s[hour], abs=0.1)
        assert part.total_s <= 3600.1
    assert summary.whole.state_s["unexplained"] == 0
    assert summary.whole.total_s == pytest.approx(summary.whole.to_s - summary.whole.from_s, abs=0.5)


@pytest.mark.parametrize("name", [lived.__name__ for lived in LIVES])
def test_the_blind_spans_are_the_true_ones(name: str, lives: dict[str, SimulatedDevice]) -> None:
    truth, spans = lives[name].truth, of(lives[name].folder).blind
    assert [span.state for span in spans] == [state for state, *_ in truth.spans]
    for span, (state, from_s, to_s) in zip(spans, truth.spans, strict=True):
        assert span.known and span.seconds == pytest.approx(to_s - from_s, abs=0.1)
        if state == "late":  # in one of these minutes, no event says where
            assert span.from_s <= from_s and to_s <= span.to_s
        else:
            assert (span.from_s, span.to_s) == pytest.approx((from_s, to_s), abs=0.1)


def test_unsure_counts_in_the_denominator_and_has_reasons(lives: dict[str, SimulatedDevice]) -> None:
    whole = of(lives["plain"].folder).whole
    faces_s = 1200 + 2 * 90 + 2 * 1200 + 45
    assert whole.share(UNSURE) == pytest.approx((90 + 45) / faces_s)
    assert whole.share("happy") == pytest.approx((1200 + 90) / faces_s)
    assert dict(whole.unsure_s) == pytest.approx({"blurred": 90, "confidence": 45})
    assert sum(whole.share(label) or 0 for label in whole.labels_s) == pytest.approx(1)
    assert whole.presence == pytest.approx((1200 + 90 + 1200 + 45) / (600 + 1200 + 90 + 1200 + 45 + 2000))
    assert (whole.faces_max, whole.episodes["neutral"], whole.mean_p("happy")) == (2, 2, pytest.approx(0.8))
    assert whole.mean_quality() == pytest.approx(0.8)


def test_quality_has_a_mean_by_label_and_frames_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life = begun(tmp_path / "log")
    life.watch(300, "happy", quality=0.9)
    life.frames_idle, life.faces_skipped = 40, 1234
    life.watch(100, "sad", quality=0.3)
    life.end()
    whole = of(tmp_path / "log").whole
    assert (whole.mean_quality("happy"), whole.mean_quality("sad")) == pytest.approx((0.9, 0.3))
    assert whole.mean_quality() == pytest.approx((300 * 0.9 + 100 * 0.3) / 400)
    assert whole.mean_quality("fear") is None
    told = whole.to_json(UTC)
    # of 50 frames one more is read and dropped; the first frame, without a face, is processed but not counted as read
    assert told["frames"] == {"read": 408, "processed": 401, "idle": 40} and told["faces_skipped"] == 1234
    assert main(["log", "summary", str(tmp_path / "log")]) == 0
    assert "\n  1,234 faces were not classified: there were too many at once\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("since", "until", "between", "seconds"),
    [
        ("2026-03-01T10:00", None, None, 5135 - 3000),
        (None, "2026-03-01T09:15:30", None, 330),
        ("2026-03-01T09:20:10", "2026-03-01T09:20:50", None, 40),
        (None, None, "09:30-09:45", 900),
        (None, None, "10:30-09:15", 5 * 60 + 5 * 60 + 35),  # over midnight: to 09:15 and from 10:30 on
    ],
)
def test_a_window_counts_its_part_of_each_minute(
    lives: dict[str, SimulatedDevice], since: str | None, until: str | None, between: str | None, seconds: float
) -> None:
    summary = of(lives["plain"].folder, window=TimeWindow.of(since, until, between, UTC))
    assert summary.whole.total_s == pytest.approx(seconds, abs=0.1)
    assert sum(part.total_s for part in summary.parts) == pytest.approx(seconds, abs=0.1)


def test_a_time_before_the_journal_has_no_summary(lives: dict[str, SimulatedDevice]) -> None:
    assert summarise(Device("kitchen", lives["plain"].folder), TimeWindow.of(None, "2025-01-01", None, UTC)) is None


def test_a_boot_without_a_synced_clock_keeps_its_length_and_is_doubtful(tmp_path: Path) -> None:
    life = begun(tmp_path / "log")
    life.watch(300, "happy")
    life.end()
    life.boot(power_off_s=100, synced=False, wall_s=0.0)
    life.start()
    life.watch(1200, "sad")
    life.end()
    life.boot(power_off_s=100)
    life.start()
    life.watch(300, "happy")
    life.end()
    whole = of(tmp_path / "log").whole
    assert whole.labels_s["sad"] == pytest.approx(1200, abs=0.1)
    assert whole.doubtful_s == pytest.approx(1200 + 200, abs=1)
    assert (whole.from_s, whole.to_s) == pytest.approx((utc_s(NINE), life.true_s), abs=0.1)


def test_the_reliability_figures(tmp_path: Path) -> None:
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.boot(0.0, synced=False, wall_s=0.0)
    life.start(proved=False)
    life.set_clock()
    life.watch(60, "happy")
    life.health(True, ("undervoltage", "throttled"), 81.0)
    life.idle(120)
    life.health(False, ("throttled",), 60.0)
    life.idle(60)
    life.crash(10)
    life.start(bundle="nano")
    life.lose(65.1)
    life.end()
    trust = of(tmp_path / "log").trust
    assert [(model.bundle, model.proved, round(model.seconds)) for model in trust.models.values()] == [
        ("edge", False, 240),
        ("nano", True, 65),
    ]
    assert (trust.starts, trust.cut_off, trust.clock_steps, trust.camera_losses) == (2, 1, 1, 1)
    assert dict(trust.trouble_s) == pytest.approx({"undervoltage": 120, "throttled": 180}, abs=0.1)
    assert trust.hottest_c == 81.0


def test_devices_with_overlapping_times_stay_apart(tmp_path: Path) -> None:
    for name, label in (("hall", "happy"), ("porch", "sad")):
        life = SimulatedDevice(tmp_path / name, utc_s(NINE), name)
        life.start()
        life.watch(600, label)
        life.end()
    found = devices([tmp_path])
    told = {device.name: dict(of(device.folder).whole.labels_s) for device in found}
    assert told == {"hall": pytest.approx({"happy": 600}, abs=0.1), "porch": pytest.approx({"sad": 600}, abs=0.1)}


@pytest.mark.parametrize(
    ("names", "folders", "expected"),
    [
        (["hall", "porch"], ["a", "b"], ["hall", "porch"]),
        (["camera", "camera"], ["a", "b"], ["a", "b"]),
        (["camera", "camera"], ["a/log", "b/log"], ["a", "b"]),
        (["camera"], ["a"], ["camera"]),
    ],
)
def test_each_device_has_a_unique_name(
    tmp_path: Path, names: list[str], folders: list[str], expected: list[str]
) -> None:
    for name, folder in zip(names, folders, strict=True):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        begun_one = SimulatedDevice(tmp_path / folder, utc_s(NINE), name)
        begun_one.start()
        begun_one.end()
    found = devices([tmp_path / folder for folder in folders])
    assert [device.name for device in found] == expected


def test_the_sums_of_the_fixture() -> None:
    whole = of(JOURNALS / "v1").whole
    assert whole.state_s["missing"] == pytest.approx(180, abs=0.1), "three tallies were lost"
    assert whole.state_s["paused"] == pytest.approx(90, abs=0.1)
    assert whole.state_s["unexplained"] == 0


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("at", "by", "hours"),
    [
        ("2026-03-28T23:00", "day", 23),  # the day that summer time begins
        ("2026-10-24T22:00", "day", 25),
        ("2026-06-01T22:00", "day", 24),
        ("2026-10-25T00:30", "hour", 1),
        ("2026-10-25T01:30", "hour", 1),
    ],
)
def test_hours_and_days_follow_the_time_zone(at: str, by: str, hours: int) -> None:
    (sums, seconds), *_ = Periods(by, TimeZone()).parts(utc_s(at), utc_s(at) + 60)
    assert (sums.to_s - sums.from_s, seconds) == (hours * 3600, 60)
    assert sums.from_s <= utc_s(at) < sums.to_s


@pytest.mark.usefixtures("berlin")
def test_local_time_is_read_printed_and_named(
    lives: dict[str, SimulatedDevice], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(lives["plain"].folder)
    assert main(["log", "summary", folder, "--by", "hour", "--since", "2026-03-01T11:00"]) == 0
    out, err = capsys.readouterr()
    assert "2026-03-01 11:00:00" in out and "local time (now UTC+0" in err
    assert main(["log", "summary", folder, "--by", "hour", "--utc", "--since", "2026-03-01T11:00"]) == 6
    assert "no journal has a line in the selected time" in capsys.readouterr().err
