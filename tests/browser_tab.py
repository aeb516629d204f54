"""A page of a real browser that records what it complained of and which hosts it asked, for tests of our pages."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any


class Tab:
    """A page of the browser that notes what it complained of and which hosts it asked."""

    def __init__(self, chromium: Any, width_px: int = 1280, scheme: str = "light", **more: Any) -> None:
        self.said: list[str] = []
        self.hosts: set[str] = set()
        self.context = chromium.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme, **more)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(re.sub(r"^\w+://([^/]*)/.*", r"\1", request.url)))

    def until(self, script: str, limit_s: float = 20) -> None:
        """Returns as soon as that is true in the page."""
        end = time.monotonic() + limit_s
        while not self.page.evaluate(script):  # the page's policy allows no function that waits in it
            assert time.monotonic() < end, f"not in {limit_s:g} s: {script}; {self.said}"
            self.page.wait_for_timeout(30)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())


def contrasts(page: Any) -> list[str]:
    """The texts of a page that are too faint."""
    return list(page.evaluate((Path(__file__).parent / "browser" / "contrast.js").read_text()))
