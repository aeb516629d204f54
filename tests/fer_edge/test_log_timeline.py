"""`log plot`: letters in proportion, and pictures that hold what was seen, with colours that can be told apart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_edge.cli import main
from fer_edge.events import UNSURE
from fer_edge.labels import LABELS
from fer_edge.log import timeline
from fer_edge.log.aggregation import PeriodSums
from fer_edge.log.devices import Device
from fer_edge.log.summary import summarise
from fer_edge.log.terminal_bars import WIDTH, bar_lines, composed, letters_of
from fer_edge.log.time_window import TimeWindow, TimeZone
from fer_edge.log.timeline import SHADES
from fer_edge.palette import COLOURS, MUTE, colour_of
from tests.simulated_device import SimulatedDevice, utc_s

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    life = SimulatedDevice(tmp_path_factory.mktemp("plots") / "log", utc_s("2026-03-01T09:00:00"), "kitchen")
    life.start()
    life.watch(600, "happy")
    life.watch(300, UNSURE)
    life.watch(300, "sad")
    life.idle(1200)
    life.lose(1200.1)
    life.pause(1800)
    life.watch(600, "neutral")
    life.end()
    life.off(600)
    life.start()
    life.watch(60, "angry")
    life.end()
    return life.folder


def test_bars_are_in_proportion(journal: Path) -> None:
    summary = summarise(Device("kitchen", journal), TimeWindow(zone=TimeZone(utc=True)), "hour")
    assert summary is not None
    title, key, head, nine, ten = bar_lines(summary)
    assert title == "kitchen, UTC" and "H happy" in key and "? unsure" in key
    assert head.split("  ")[-1].strip() == "expressions, one letter for 2 % of the face time" and "with a face " in head
    assert head.index("expressions") == nine.index("H"), "the heading stands over its column"
    assert nine.count("H") == 25 and {nine.count("S"), nine.count("?")} == {12, 13}
    assert "20 min" in nine and "50.0%" in nine
    assert ten.count("N") + ten.count("A") == WIDTH and "40 min" in ten


@pytest.mark.parametrize(
    "shares", [{"happy": 1.0}, {"happy": 1, "sad": 1, "fear": 1}, {label: n + 1 for n, label in enumerate(LABELS)}, {}]
)
def test_every_bar_has_the_same_length(shares: dict[str, float]) -> None:
    sums = PeriodSums(0.0, 3600.0)
    sums.labels_s.update(shares)
    letters = letters_of(list(shares))
    assert len(composed(sums, list(shares), letters)) == (WIDTH if shares else 0)


def test_each_label_has_a_letter_and_a_colour_of_its_own() -> None:
    own = [*LABELS, "bored", "asleep", UNSURE]
    assert len(set(letters_of(own).values())) == len(own)
    assert len({colour_of(label, own) for label in own if label != UNSURE}) == len(own) - 1
    assert set(LABELS) == set(COLOURS)


# How colours look to eyes without red, green or blue receptors: Machado, Oliveira and Fernandes 2009, severity 1.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("eyes", [*BLIND, "all"])
def test_colours_can_be_told_apart_by_the_colour_blind(eyes: str, ground: str) -> None:
    matrix = np.array(BLIND.get(eyes, np.eye(3)))
    rgb = np.array([[int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)] for colour in colours(ground)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(shown.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]
    for (one, first), (other, second) in combinations(zip(COLOURS, lab, strict=True), 2):
        assert np.linalg.norm(first - second) > 10, f"{one} and {other} look the same"


def colours(ground: str) -> list[str]:
    """The colours of all expressions on a light or on a dark ground."""
    return [getattr(pair, ground) for pair in COLOURS.values()]


@pytest.mark.parametrize(("ground", "paper"), [("light", "#ffffff"), ("dark", "#182028")])
def test_colours_stand_out_against_the_ground(ground: str, paper: str) -> None:
    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    own = [getattr(colour_of(f"own {n}", [f"own {k}" for k in range(8)]), ground) for n in range(8)]
    for colour in [*colours(ground), *own]:
        low, high = sorted((luminance(colour), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour
    assert len({*colours(ground), *own, getattr(MUTE, ground)}) == 16


def test_a_picture_is_written_whole(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png, svg = tmp_path / "day.png", tmp_path / "day.svg"
    for path in (png, svg):
        assert main(["log", "plot", str(journal), "--out", str(path), "--by", "15min", "--utc"]) == 0
    picture = cv2.imread(str(png))
    assert picture is not None and picture.shape[1] == 1100
    packed = np.unique(picture.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32))  # blue, green, red
    colours = {f"#{int(colour):06x}" for colour in packed}
    assert {COLOURS[label].light for label in ("happy", "sad", "neutral", "angry")} <= colours
    assert {SHADES[state][1] for state in ("paused", "stopped")} <= colours
    text = svg.read_text()
    assert {"happy", "unsure", "paused", "camera away or late", "kitchen, 2026-03-01"} <= {
        word.partition(" (a bar")[0] for word in re.findall(r"<text[^>]*>([^<]*)</text>", text)
    }
    again = tmp_path / "again.svg"
    assert main(["log", "plot", str(journal), "--out", str(again), "--by", "15min", "--utc"]) == 0
    assert again.read_text() == text, "the same journal gives the same picture"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.svg", "day.png", "day.svg"]


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("by", "hours"), [("hour", 1.0), ("day", 24.0)])
@pytest.mark.parametrize(("zone", "hour"), [("Europe/Berlin", 7), ("Europe/Berlin", 22), ("UTC", 9)])
def test_bars_stand_at_their_hour_on_both_sides_of_a_change_of_the_clock(
    zone: str, hour: int, by: str, hours: float, in_zone: Callable[[str], None], tmp_path: Path
) -> None:
    """The clock of Berlin is set forward in the night to 29 March 2026."""
    in_zone(zone)
    days = [datetime(2026, 3, day, hour).astimezone().timestamp() for day in (28, 30)]
    life = SimulatedDevice(tmp_path / "log", days[0], "kitchen")
    for at_s, label in zip(days, ("happy", "sad"), strict=True):
        life.off(at_s - life.true_s)
        life.start()
        life.watch(1800, label)
        life.end()
    summary = summarise(Device("kitchen", life.folder), TimeWindow(zone=TimeZone()), by)
    assert summary is not None
    upper, lower = Figure().subplots(2)
    timeline._device(summary, upper, lower, ["happy", "sad"], {})
    bars = [bar for bar in upper.patches if isinstance(bar, Rectangle) and bar.get_height() == 1 and bar.get_y() == 0]
    bars = [bar for bar in bars if bar.get_width() * 24 == pytest.approx(hours)]
    starts = [datetime.fromtimestamp(bar.get_x() * 86_400) for bar in bars]
    assert (
        [(start.day, start.hour) for start in starts] == [(28, hour), (30, hour)]
        if by == "hour"
        else [(28, 0), (30, 0)]
    )
    assert ("a bar is an hour" if by == "hour" else "a bar is a day") in upper.get_title(loc="left")
    zoned = lower.xaxis.get_major_locator().tz
    assert [num2date(bar.get_x(), zoned).hour for bar in bars] == [start.hour for start in starts], "what the axis says"


@pytest.mark.parametrize("seconds", [82_800.0, 86_400.0, 90_000.0])
def test_a_day_of_23_or_25_hours_is_a_day(seconds: float) -> None:
    assert timeline._width(seconds) == "a bar is a day"


def test_time_without_a_journal_differs_from_time_without_a_face(journal: Path, tmp_path: Path) -> None:
    """Of two devices in one picture, one began later; and with --between most of the day was not asked about."""
    later = SimulatedDevice(tmp_path / "hall", utc_s("2026-03-01T10:00:00"), "hall")
    later.start()
    later.idle(600)
    later.end()
    for number, (arguments, told) in enumerate(
        [
            ([str(journal)], False),
            ([str(journal), str(later.folder)], True),
            ([str(journal), "--between", "09:00-09:30"], False),  # one part of the day: the picture ends with it
        ]
    ):
        out = tmp_path / f"{number}.svg"
        assert main(["log", "plot", *arguments, "--out", str(out), "--by", "15min", "--utc"]) == 0
        assert (">no journal<" in out.read_text()) == told


def test_two_minutes_are_bars_of_a_minute_and_the_legend_has_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = SimulatedDevice(tmp_path / "log", utc_s("2026-03-01T09:00:00"), "kitchen")
    life.start()
    life.watch(60, "happy")
    life.watch(60, "sad")
    life.end()
    assert main(["log", "plot", str(life.folder), "--utc"]) == 0
    title, key, _, *bars = capsys.readouterr().out.splitlines()
    assert title == "kitchen, UTC" and key.split("  ") == ["H happy", "S sad"], "nothing was unobserved"
    assert [line[:16] for line in bars][:2] == ["2026-03-01 09:00", "2026-03-01 09:01"] and len(bars) <= 3
    assert bars[0].count("H") == WIDTH and bars[1].count("S") > bars[1].count("H")
    svg = tmp_path / "two.svg"
    assert main(["log", "plot", str(life.folder), "--utc", "--out", str(svg)]) == 0
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())
    assert "kitchen, 2026-03-01 (a bar is 1 min)" in words and "paused" not in words and "unsure" not in words


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_names_of_a_journal_from_elsewhere_are_drawn_as_text(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a terminal's commands, nor characters that XML does not have, nor matplotlib's mathematics."""
    bad, dollars = "\x1b]0;x\x07\u202e", r"a$\foo$"
    lives = [SimulatedDevice(tmp_path / folder, utc_s("2026-03-01T09:00:00"), folder) for folder in ("one", "two")]
    for life in lives:
        life.start()
        life.watch(60, "happy", "sad")
        life.end()
    names = {"happy": bad, "sad": dollars, "one": f"kitchen{bad}", "two": dollars}
    for segment in tmp_path.glob("*/journal-*.jsonl"):
        text = segment.read_text()
        for name, other in names.items():
            text = text.replace(f'"{name}"', json.dumps(other))
        segment.write_text(text)
    out = tmp_path / f"day{suffix}"
    assert main(["log", "plot", *(str(life.folder) for life in lives), "--out", str(out), "--utc"]) == 0
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1 and err.rstrip("\n").isprintable(), ascii(err)
    if suffix == ".svg":
        words = [text.text or "" for text in ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text")]
        escaped = r"\x1b]0;x\x07\u202e"
        assert {escaped, dollars} <= set(words)
        assert [word for word in words if word.startswith((f"kitchen{escaped}, 2026", f"{dollars}, 2026"))][1:]


def test_a_picture_needs_a_known_suffix(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "plot", str(journal), "--out", str(tmp_path / "day.jpg")]) == 2
    assert "neither .png nor .svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "module", "command"),
    [
        (["plot", "--out", "day.png"], "matplotlib", "pip install 'fer-edge[plots]'"),
        (["export", "episodes", "--out", "day.parquet"], "pyarrow", "pip install 'fer-edge[parquet]'"),
    ],
)
def test_a_missing_extra_is_reported_with_the_command_that_installs_it(
    journal: Path, tmp_path: Path, arguments: list[str], module: str, command: str
) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('not installed')")
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from fer_edge.cli import main; sys.exit(main())"
    where = tmp_path / "out"
    where.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", script, "log", *arguments, str(journal)],
        cwd=where, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2 and command in ran.stderr, ran.stderr
    assert list(where.iterdir()) == []
