"""The review page in a real browser: faces are labelled by keyboard and by touch, on a telephone's width and a desktop's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from browser_tab import Tab, contrasts

from device.output.collected.face_folder import CollectedFace, FaceFolder
from device.review import served
from fer_edge.synthetic_face import face_frame


@pytest.fixture
def folder(tmp_path: Path) -> FaceFolder:
    """Six drawn faces without a label."""
    folder = FaceFolder.create(tmp_path / "faces", 14)
    for number in range(6):
        crop = cv2.resize(face_frame(number / 2)[100:400, 150:450], (48, 48), interpolation=cv2.INTER_AREA)
        name, png = f"2026112715565869{number}-1.png", cv2.imencode(".png", crop)[1].tobytes()
        folder.add(
            CollectedFace(name, "2026-11-27T15:56:58.690Z", 1, (0, 0, 9, 9), 0.9, 1.0, "happy", 0.5, "a", 1.0), png
        )
    return folder


def left(count: int) -> str:
    text = f"{count} left" if count else "done"
    return f"document.getElementById('state').textContent === '{text}'"


@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_faces_are_labelled_by_keyboard(
    tab: Callable[..., Tab], folder: FaceFolder, width_px: int, scheme: str
) -> None:
    names = folder.waiting()
    with served(folder, ("calm", "tense"), 0, print) as url:
        one = tab(width_px, scheme)
        one.page.goto(url)
        one.until(left(6))
        assert "token" not in one.page.url
        one.until("document.getElementById('face').naturalWidth === 48")
        assert one.page.evaluate("document.documentElement.scrollWidth") == width_px, "nothing sticks out"
        assert one.page.locator("#face").bounding_box()["width"] > 250
        assert contrasts(one.page) == []
        for count, key in ((5, "1"), (4, "2"), (3, "0")):
            one.page.keyboard.press(key)
            one.until(left(count))
        assert folder.counts() == {"calm": 1, "none": 1, "tense": 1} and folder.waiting() == names[3:]
        one.page.keyboard.press("u")
        one.until(left(4))
        assert folder.counts() == {"calm": 1, "tense": 1}
        assert one.page.locator("#face").get_attribute("src") == f"face/{names[2]}", "it is shown again"
        one.page.keyboard.press("ArrowRight")  # put off
        assert one.page.locator("#face").get_attribute("src") == f"face/{names[3]}"
        one.page.keyboard.press("2")
        one.until(left(3))
        assert (folder.labelled / "tense" / names[3]).exists()
        one.page.fill("#name", "sleepy 2")  # letters and digits typed into a field label nothing
        one.page.keyboard.press("Enter")
        one.until("document.querySelectorAll('#classes button').length === 4")
        one.page.keyboard.press("3")
        one.until(left(2))
        one.page.get_by_role("button", name="calm").click()
        one.until(left(1))
        assert one.page.locator("#face").get_attribute("src") == f"face/{names[2]}", "what was put off comes last"
        one.page.keyboard.press("x")
        one.until(left(0))
        assert not one.page.locator("#face").is_visible() and "No face waits" in one.text("#facts")
        assert folder.counts() == {"calm": 2, "sleepy 2": 1, "tense": 2} and folder.waiting() == []
        assert one.page.evaluate("document.documentElement.scrollWidth") == width_px
        assert contrasts(one.page) == []
    assert one.said == [] and one.hosts == {url.split("/")[2]}


def test_two_windows_and_a_folder_that_changes_do_not_mislabel(tab: Callable[..., Tab], folder: FaceFolder) -> None:
    names = folder.waiting()
    with served(folder, ("calm", "tense"), 0, print) as url:
        first, second = tab(), tab()
        for one in (first, second):
            one.page.goto(url)
            one.until(left(6))
        first.page.keyboard.press("1")
        first.until(left(5))
        second.page.keyboard.press("2")
        second.until(left(5))
        assert second.text("#notice") == "that face is not there any more."
        assert (folder.labelled / "calm" / names[0]).exists() and folder.counts() == {"calm": 1}
        assert second.page.locator("#face").get_attribute("src") == f"face/{names[1]}"


def test_without_the_token_no_face_is_shown(tab: Callable[..., Tab], folder: FaceFolder) -> None:
    with served(folder, (), 0, print) as url:
        address, token = url.split("#token=")
        one = tab(390)
        one.page.goto(address)
        one.until("!document.getElementById('entry').hidden")
        assert not one.page.locator("#main").is_visible() and one.text("#state") == "locked"
        one.page.fill("#token", "something else that is long enough")
        one.page.keyboard.press("Enter")
        one.until("document.getElementById('token-error').textContent !== ''")
        one.page.fill("#token", token)
        one.page.keyboard.press("Enter")
        one.until(left(6))
    one.page.keyboard.press("1")
    one.until("document.getElementById('state').textContent === 'away'")
