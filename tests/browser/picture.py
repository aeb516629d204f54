"""`python -m tests.browser.picture --out device/live.png`: the picture of the live page that the documentation shows.

A real run on drawn faces, six times as fast as they would be lived through: ten minutes in which nobody is there for a
while, the camera is lost, the run is paused, and a second face comes. Then the page is left to go on at its own pace, and a
headless Chromium takes its picture. No picture of anyone has a part in it.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np

from device.camera.frame import Frame
from device.camera.source import SourceDescription, SourceLost
from device.clock import SystemClock
from device.config import Settings
from device.run import run
from device.system.control import Pause
from fer_edge.errors import CameraNotOpened
from fer_edge.synthetic_face import face_frame

RATE, FPS, SIDE_PX = 6.0, 8.0, 480
SLOWER = 0.3  # than a drawn face moves else
END_S = 600.0
# Seconds of the run in which there is no first face, no second one, no camera, and in which it is paused.
NOBODY = ((70, 105), (262, 300), (431, 440))
ALONE = ((0, 470),)
LOST, PAUSED = (352.0, 378.0), (186.0, 206.0)
_PICTURES = 160


class Hastened(SystemClock):
    """The machine's clock, six times as fast until it is `calm`."""

    def __init__(self) -> None:
        super().__init__()
        self._from_ns, self._real_ns, self._rate = super().mono_ns(), super().mono_ns(), RATE
        self.begun_ns = self._from_ns

    def mono_ns(self) -> int:
        return self._from_ns + round((super().mono_ns() - self._real_ns) * self._rate)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / self._rate)

    def now_s(self) -> float:
        """Seconds since it was made."""
        return (self.mono_ns() - self.begun_ns) / 1e9

    def calm(self) -> None:
        """From here on it goes as all clocks do."""
        self._from_ns, self._real_ns, self._rate = self.mono_ns(), super().mono_ns(), 1.0


class Played:
    """A live source that plays what `NOBODY`, `ALONE` and `LOST` say, two drawn faces side by side."""

    live = True

    def __init__(self, clock: Hastened) -> None:
        self._clock, self._seq, self._due_ns = clock, 0, 0
        self._faces = [face_frame(n / FPS, SIDE_PX, SIDE_PX) for n in range(_PICTURES)]
        self._noise = np.random.default_rng(1)  # a picture that is always the same is that of a dead camera
        self._empty = cv2.GaussianBlur(self._faces[0], (0, 0), 90)

    def open(self) -> None:
        if within(self._clock.now_s(), (LOST,)):
            raise CameraNotOpened("the camera is not there")
        self._due_ns = self._clock.mono_ns()

    def read(self) -> Frame | None:
        self._clock.sleep(max(0.0, (self._due_ns - self._clock.mono_ns()) / 1e9))
        now_s, now_ns = self._clock.now_s(), self._clock.mono_ns()
        if within(now_s, (LOST,)):
            raise SourceLost("the camera was unplugged")
        self._due_ns = max(self._due_ns + round(1e9 / FPS), now_ns)
        first = self._empty if within(now_s, NOBODY) else self._picture(now_s)
        second = self._empty if within(now_s, ALONE) else self._picture(now_s * 0.7 + 9)
        self._seq += 1
        both = np.hstack([first, second])
        both[0] = self._noise.integers(100, 110, both.shape[1])
        return Frame(self._seq, now_ns, both)

    def _picture(self, t_s: float) -> np.ndarray:
        place = int(t_s * FPS * SLOWER) % (2 * _PICTURES - 2)
        return self._faces[min(place, 2 * _PICTURES - 2 - place)]

    def describe(self) -> SourceDescription:
        return SourceDescription("drawn", "drawn", width_px=2 * SIDE_PX, height_px=SIDE_PX, time="when drawn")

    def close(self) -> None:
        pass


def within(t_s: float, spans: tuple[tuple[float, float], ...]) -> bool:
    """Whether the moment is in one of the spans."""
    return any(start <= t_s < end for start, end in spans)


def take(out: Path, width_px: int, scheme: str, end_s: float) -> None:
    """Leaves the picture at `out`."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    program = os.environ.get("FER_EDGE_CHROMIUM") or shutil.which("chromium")
    clock = Hastened()
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        log, runtime, said = Path(folder) / "log", Path(folder) / "run", Path(folder) / "said"
        settings = Settings("drawn", log=log, runtime=runtime, fps=FPS, wait_camera=True, live="127.0.0.1:0")
        pause = Pause(settings.name, runtime, log)
        with said.open("w") as speech, redirect_stdout(nowhere), redirect_stderr(speech):
            thread = threading.Thread(target=run, args=(settings, clock, Played(clock)), daemon=True)
            thread.start()
            while (now_s := clock.now_s()) < end_s:
                if within(now_s, (PAUSED,)) != pause.requested():
                    (pause.clear if pause.requested() else pause.set)()
                time.sleep(0.05)
            clock.calm()
            url = said.read_text().split("the live page is ")[1].split()[0]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
                page.goto(url)
                page.wait_for_timeout(3000)
                while page.locator("#faces .face:not(.unsure)").count() < 2:
                    page.wait_for_timeout(100)
                taken = page.screenshot(full_page=True)
                with Image.open(io.BytesIO(taken)) as picture:  # 256 colours are enough for it, and half the bytes
                    picture.convert("RGB").quantize(256).save(out, "PNG", optimize=True)
                browser.close()


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, and takes the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.picture", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--width", type=int, default=1280, metavar="PX", help="default 1280")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--until", type=float, default=END_S, metavar="S", help="of the run; default 600")
    args = parser.parse_args(argv)
    take(args.out, args.width, args.scheme, args.until)
    return 0


if __name__ == "__main__":
    sys.exit(main())
