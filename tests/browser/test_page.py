"""The parity page of each shipped bundle in a real browser, on a phone's width and on a desk's, light and dark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convert.report.__main__ import main
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from fer_edge.shipped_bundles import shipped_path

SPILLED = """[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest("svg, .wide")
  && (e.getBoundingClientRect().right > innerWidth + 0.5
    || e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"))
  .map((e) => `${e.tagName} ${e.id} ${e.textContent.slice(0, 20)}`)"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each bundle, rendered once."""
    found = {name: tmp_path_factory.mktemp(name) / "page.html" for name in ("edge", "nano")}
    for name, path in found.items():
        assert main([name, "--out", str(path)]) == 0
    return found


@pytest.mark.parametrize("name", ["edge", "nano"])
@pytest.mark.parametrize(("width_px", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_page_shows_the_whole_report_and_fits_the_screen(
    chromium: Any, name: str, width_px: int, scheme: str, pages: dict[str, Path]
) -> None:
    path = pages[name]
    messages: list[str] = []
    page = chromium.new_page(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: request.url.startswith("file:") or messages.append(request.url))
    page.goto(path.as_uri())
    assert messages == [], "no message, no error, and no request to another host"
    assert page.evaluate("document.documentElement.scrollWidth") == width_px, "tables scroll, the page does not"

    parity = json.loads((shipped_path(name) / "parity.json").read_text())
    verdict = page.locator("#verdict strong")
    assert verdict.inner_text() == parity["verdict"] and verdict.bounding_box()["y"] < 400, "visible without scrolling"
    first = page.locator("#classes svg")
    assert first.is_visible() and first.bounding_box()["y"] < 700, "one picture opens the page, below the verdict"
    assert page.locator("details").count() >= 7 and page.locator("details[open]").count() == 0, "long tables are folded"
    assert not page.locator("#layers").is_visible()
    assert page.evaluate(SPILLED) == []
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    assert page.evaluate(SPILLED) == [], "nothing is cut off, and no table scrolls sideways"
    words = page.locator("table.part td.word").all_inner_texts()
    assert set(words) <= {"within", "undecided", "lost"} and "within" in words
    assert "{" not in page.locator("#provenance").inner_text(), "sentences, not JSON"
    assert page.locator("#runtimes tr").count() == 1 + len(parity["runtimes"])
    rows = page.locator("table.part").first.locator("tr")
    assert rows.count() == 1 + 2 + 2 * 7
    cells = [cell.strip() for cell in rows.nth(1).locator("td").all_inner_texts()]
    accuracy = parity["parts"]["together"]["accuracy"]
    assert cells[:4] == ["accuracy %", "7,178", f"{accuracy['float'] * 100:.2f}", f"{accuracy['int8'] * 100:.2f}"]
    graph = Graph((shipped_path(name) / "model.tflite").read_bytes())
    operators = [op for op in operator_types(graph) if "QUANTIZE" not in op.name]
    assert page.locator("#layers tr").count() == 1 + len(operators)
    assert page.locator("figure svg").count() == 4
    for svg in page.locator("figure svg").all():
        box = svg.bounding_box()
        assert box["width"] > 300 and box["height"] > 200
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor"))
    assert (sum(rgb(ink)) > sum(rgb(paper))) == (scheme == "dark")
    page.close()


def rgb(css: str) -> list[int]:
    """The three numbers of “rgb(1, 2, 3)”."""
    return [int(part) for part in css.strip("rgb()").split(",")]
