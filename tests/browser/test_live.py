"""The live page in a real browser, of a real run: loads, updates, comes back after a restart, refuses without the token."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser_tab import Tab, contrasts
from fakes import network_camera
from processes import start_run

from fer_edge.palette import COLOURS
from fer_edge.synthetic_face import face_frame

AWAY = "The device does not answer"


@contextmanager
def running(folder: Path, *more: str, address: str = "127.0.0.1:0", **settings: Any) -> Iterator[tuple[Any, str]]:
    """A run on a drawn face with a live page, and the page's address as it was said."""
    folder.mkdir(exist_ok=True)
    run = start_run(folder, "synthetic", "--live", address, *more, **settings)
    try:
        assert run.stderr is not None
        line = run.stderr.readline()
        assert "the live page is " in line, line + run.stderr.read()
        yield run, re.split(r"[ ,\n]", line.split("the live page is ")[1])[0]
    finally:
        ended(run)


def ended(run: subprocess.Popen[str]) -> None:
    run.terminate()
    run.communicate(timeout=30)


FACE = "document.querySelector('#faces .face .probability')?.textContent.includes('%')"
HAPPY = """getComputedStyle(document.documentElement).getPropertyValue(
  `--label-${[...document.querySelectorAll('#faces dt')].findIndex((term) => term.textContent === 'happy')}`)"""
BAR = "document.querySelectorAll('#day-chart path').length > 0"
COLUMNS = "document.querySelectorAll('#chart path').length > 0"


@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_shows_the_day(tab: Callable[..., Tab], tmp_path: Path, width_px: int, scheme: str) -> None:
    with running(tmp_path) as (_, url):
        one = tab(width_px, scheme, timezone_id="Asia/Kolkata", locale="de-DE")
        one.page.goto(url)
        one.until(BAR)
        assert one.text("#day-title").lower() == "the last 3 hours", "as much as there is, or will be soon"
        since = re.match(r"Known since (\w{3}) (\d\d):(\d\d)[.] Observed for ", one.text("#day-summary"))
        unset = re.match(r"Known since .* ago[.] Observed for ", one.text("#day-summary"))
        assert since or unset, one.text("#day-summary")
        hours = one.page.locator("#day-chart text").all_text_contents()[3:]  # behind the shares
        assert 2 <= len(hours) <= 4 and all(re.fullmatch(r"\d\d:00|now|−\d h", hour) for hour in hours), hours
        names = one.page.locator("#day-legend li").all_text_contents()
        assert len(names) >= 8 and one.page.locator("#day-legend .dot.unsure").count() == 1
        one.page.locator("#day-chart").focus()
        one.page.keyboard.press("ArrowLeft")
        assert re.match(r"(\w{3} \d\d:\d\d to \d\d:\d\d|.* ago): .*\d %", one.text("#day-at")), one.text("#day-at")
    one.until("document.getElementById('notice').textContent.startsWith('The run has ended')")
    one.page.evaluate(FULL_DAY)
    assert one.text("#day-title").lower() == "the last 24 hours"
    hours = one.page.locator("#day-chart text").all_text_contents()[3:]
    assert hours == [f"{h:02}:00" for h in ((18, 0, 6, 12) if width_px == 390 else (15, 18, 21, 0, 3, 6, 9, 12))]
    fills = one.page.locator("#day-chart path").evaluate_all("(all) => all.map((path) => path.style.fill)")
    assert fills == ["var(--label-1)", 'url("#unsure")'], "colours of the one palette, `unsure` hatched"
    away = one.page.locator("#day-chart rect[fill='url(#absent)']")
    assert away.count() == (2 if width_px == 390 else 4), "an hour in bars of 30 or of 15 minutes"
    assert away.first.bounding_box()["width"] >= 5, "bars wide enough to be seen"
    assert "b 50 %, unsure 50 % of the faces’ time" in one.text("#day-summary")
    assert one.page.evaluate("document.documentElement.scrollWidth") == width_px, "nothing sticks out"
    assert contrasts(one.page) == []
    assert set(one.said) <= {_REFUSED}


# The page's own chart of a full day, at 14:00 in India: `b` and `unsure` by halves, and an hour without a camera.
FULL_DAY = """import('./day.js').then(({ DayChart }) => {
  const day = new DayChart();
  const bar = (n, observed_s, labels_s) => ({
    from_s: 900 * n, seconds: 900, observed_s, unavailable_s: 900 - observed_s, paused_s: 0, face_s: observed_s, labels_s,
  });
  const bars = Array.from({ length: 97 }, (_, n) => (n >= 40 && n < 44 ? bar(n, 0, {}) : bar(n, 900, { b: 450, unsure: 450 })));
  day.startRun(["a", "b"], 900, 96, false);
  day.setClock({ clock: "synced", wall: "2024-05-02T08:30:00.000Z", mono_s: 900 * 97 }, true);
  day.addColumns(bars);
})"""


@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_it_loads_and_goes_on(tab: Callable[..., Tab], tmp_path: Path, width_px: int, scheme: str) -> None:
    with running(tmp_path) as (_, url):
        one = tab(width_px, scheme)
        one.page.goto(url)
        one.until(FACE)
        one.until(COLUMNS)
        assert not one.page.locator("#frames").is_visible(), "an engineer's figures are folded"
        one.page.locator("#figures summary").click()
        before = one.text("#frames dd:nth-of-type(3)")
        one.until(f"document.querySelector('#frames dd:nth-of-type(3)').textContent !== '{before}'")
        assert one.text("#state") == "running" and not one.page.locator("#notice").is_visible()
        assert re.fullmatch(r"track \d+", one.text("#faces .track")) and one.page.locator("#faces dt").count() == 7
        shown = one.page.locator("#faces .bar:visible")
        assert shown.count() == 2, "two bars a face, and all of them when asked for"
        assert one.page.locator("#last").bounding_box()["y"] < 1200, "the chart is within two screens of a phone"
        one.page.locator("#faces .more").click()
        assert shown.count() == 7
        assert one.page.locator("#legend li").count() >= 8 and one.page.locator("#legend .dot.unsure").count() == 1
        place = COLOURS["happy"].dark if scheme == "dark" else COLOURS["happy"].light
        assert one.page.evaluate(HAPPY) == place, "the colours of `log plot` and of the reports"
        view = one.page.locator("#view").bounding_box()
        assert view["width"] / view["height"] == pytest.approx(640 / 480, abs=0.02), "the frame's own proportions"
        assert "a face was in view for" in one.text("#summary")
        assert one.page.locator("#view rect.at").count() == 1 and one.page.locator("#view image").count() == 0
        assert one.page.evaluate("document.documentElement.scrollWidth") == width_px, "nothing sticks out"
        assert re.match(r"1 face: |No face in view", one.page.locator("#spoken").text_content())
        ink, paper = (
            one.page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor")
        )
        assert (sum(rgb(ink)) > sum(rgb(paper))) == (scheme == "dark")
        assert contrasts(one.page) == []
        one.page.locator("#chart").focus()
        one.page.keyboard.press("ArrowLeft")
        assert " ago: " in one.text("#at")
    assert one.said == [] or set(one.said) == {_REFUSED}
    assert one.hosts == {url.split("/")[2]}, "nothing from another host"


_REFUSED = "Failed to load resource: net::ERR_CONNECTION_REFUSED"  # Chromium's own words, once the run is over


def test_it_comes_back_after_a_restart_and_says_so_while_the_device_is_away(
    tab: Callable[..., Tab], tmp_path: Path
) -> None:
    one = tab()
    with running(tmp_path / "first") as (_, url):
        one.page.goto(url)
        one.until(FACE)
        one.until(COLUMNS)
    one.until("document.getElementById('notice').textContent.startsWith('The run has ended (stopped by SIGTERM)')")
    assert one.text("#state") == "ended" and "trying again" in one.text("#notice")
    one.until(r"/read ([2-9]|\d\d+)[.]/.test(document.querySelector('#faces .facts').textContent)")
    assert contrasts(one.page) == []
    with running(tmp_path / "second", address=url.split("/")[2]) as (again, same):
        assert same == url
        one.until("document.getElementById('notice').textContent.startsWith('The run was restarted')")
        one.until(FACE)
        assert one.text("#state") == "running"
        one.until("document.querySelector('#chart rect[fill=\"url(#absent)\"]') !== null")
        again.kill()
        one.until(f"document.getElementById('notice').textContent.startsWith('{AWAY}')")
        assert one.text("#state") == "away"
    assert {text for text in one.said if "ERR_" not in text} == set()


def test_it_shows_a_run_whose_camera_takes_long_to_open(tab: Callable[..., Tab], tmp_path: Path) -> None:
    """The page is served before that, and the run is described only then."""
    one = tab()
    with network_camera(face_frame) as camera:
        camera.hang()
        run = start_run(tmp_path, camera.address(), "--live", "127.0.0.1:0", open_s=60.0)
        try:
            assert run.stderr is not None
            while "the live page is " not in (line := run.stderr.readline()):
                assert line
            one.page.goto(re.split(r"[ ,\n]", line.split("the live page is ")[1])[0])
            one.until("document.getElementById('state').textContent === 'starting'")
            one.until("document.getElementById('no-face').textContent === 'The camera is being opened.'")
            camera.go_on()
            one.until(FACE)
            assert one.text("#state") == "running"
        finally:
            ended(run)
    assert one.said == []


def test_a_device_that_says_nothing_is_noticed(tab: Callable[..., Tab], tmp_path: Path) -> None:
    import signal

    with running(tmp_path) as (run, url):
        one = tab()
        one.page.goto(url)
        one.until(FACE)
        run.send_signal(signal.SIGSTOP)
        try:
            one.until(f"document.getElementById('notice').textContent.startsWith('{AWAY}')")
        finally:
            run.send_signal(signal.SIGCONT)
        one.until("document.getElementById('state').textContent === 'running'")


def test_it_refuses_without_the_token_and_the_token_does_not_stay_in_the_address(
    tab: Callable[..., Tab], tmp_path: Path
) -> None:
    with running(tmp_path, address="0.0.0.0:0") as (_, said):
        url, token = said.split("#token=")
        url = f"http://127.0.0.1:{url.rstrip('/').rpartition(':')[2]}/"
        stranger = tab()
        stranger.page.goto(url)
        stranger.until("!document.getElementById('entry').hidden")
        assert not stranger.page.locator("#main").is_visible() and stranger.text("#state") == "locked"
        stranger.page.fill("#token", "something else that is long enough")
        stranger.page.keyboard.press("Enter")
        stranger.until("document.getElementById('token-error').textContent !== ''")
        assert (
            stranger.text("#token-error") == "That is not the token of this run."
            and not stranger.page.locator("#main").is_visible()
        )
        stranger.page.fill("#token", token)
        stranger.page.keyboard.press("Enter")
        stranger.until(FACE)
        assert stranger.page.locator("#token").input_value() == ""

        owner = tab()
        owner.page.goto(f"{url}#token={token}")
        owner.until(FACE)
        assert owner.page.url == url and token not in owner.page.content()
        assert owner.page.evaluate("document.cookie") == "" and owner.page.evaluate("localStorage.length") == 0
        (cookie,) = owner.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and token not in cookie["value"]
        owner.page.reload()
        owner.until(FACE)
        assert owner.said == []


def test_pictures_are_shown_for_a_while_only(tab: Callable[..., Tab], tmp_path: Path) -> None:
    with running(tmp_path, "--show-pixels", "6s") as (_, url):
        one = tab()
        one.page.goto(url)
        one.until("document.querySelector('#view image') !== null")
        assert "Small pictures for 0:0" in one.text("#view-text")
        one.until("document.getElementById('view-text').textContent.includes('The time for pictures is over')")
        assert one.page.locator("#view image").count() == 0
        assert one.page.evaluate("fetch('picture.jpg').then((answer) => answer.status)") == 404


def test_it_moves_nothing_for_who_asked_for_rest(tab: Callable[..., Tab], tmp_path: Path) -> None:
    with running(tmp_path) as (_, url):
        durations = {}
        for motion in ("reduce", "no-preference"):
            one = tab(reduced_motion=motion)
            one.page.goto(url)
            one.until(FACE)
            durations[motion] = one.page.evaluate(
                "getComputedStyle(document.querySelector('.bar i')).transitionDuration"
            )
    assert durations == {"reduce": "0s", "no-preference": "0.18s"}


def test_it_is_looked_at(tab: Callable[..., Tab], tmp_path: Path) -> None:
    """Pictures of the page for people: in $FER_EDGE_SHOTS, of $FER_EDGE_SHOTS_AFTER seconds of a drawn face."""
    shots = Path(os.environ.get("FER_EDGE_SHOTS") or tmp_path / "shots")
    shots.mkdir(exist_ok=True)
    after_s = float(os.environ.get("FER_EDGE_SHOTS_AFTER", "3"))
    with running(tmp_path) as (run, url):
        tabs = {(w, s): tab(w, s) for w in (390, 1280) for s in ("light", "dark")}
        for one in tabs.values():
            one.page.goto(url)
            one.until(COLUMNS)
        end = time.monotonic() + after_s
        while time.monotonic() < end:
            tabs[1280, "light"].until("document.getElementById('state').textContent === 'running'")
            run.poll()
            tabs[1280, "light"].page.wait_for_timeout(200)
        for (width_px, scheme), one in tabs.items():
            path = shots / f"live-{width_px}-{scheme}.png"
            one.page.screenshot(path=path, full_page=True)
            assert path.stat().st_size > 10_000


def rgb(css: str) -> list[int]:
    """The three numbers of “rgb(1, 2, 3)”."""
    return [int(part) for part in css.strip("rgb()").split(",")]
