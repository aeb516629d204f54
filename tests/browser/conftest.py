"""A real Chromium, the system's own; FER_EDGE_CHROMIUM names another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_tab import Tab


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, headless. `make test-browser` fails without one: it is all that it tests."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("FER_EDGE_CHROMIUM") or next((p for name in names if (p := shutil.which(name))), None)
    assert program and Path(program).exists(), "no Chromium; on Debian: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Makes tabs, which are closed afterwards."""
    opened: list[Tab] = []

    def made(*args: Any, **more: Any) -> Tab:
        opened.append(Tab(chromium, *args, **more))
        return opened[-1]

    yield made
    for one in opened:
        one.context.close()
