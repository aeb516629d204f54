"""The tables of docs/pages/many-devices.md are those of the committed results."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from tests.bench.figures import newest
from tests.bench.many_devices_figures import PAGE, archive_block, fleet_block, page


def test_the_page_has_the_figures_of_the_results() -> None:
    assert page(PAGE.read_text()) == PAGE.read_text(), "run `make figures`"
    for name in ("archive", "fleet"):
        assert newest(name)["wrong"] == []


def test_the_figures_are_those_of_the_file(tmp_path: Path) -> None:
    result = newest("fleet") | {"missing": 4711, "broker_mb": 12.34}
    assert "| of these never received by the subscriber | none | 4711 |" in fleet_block(result)
    assert "| 12.3 MB, " in fleet_block(result)
    result = newest("archive")
    result["all"] |= {"a question": {"seconds": 7.04, "rss_mb": 123.4}}
    assert "| a question | 200 device-months | 7.0 s | 123 MB |" in archive_block(result)
    with pytest.raises(UsageError, match="archive-DATE"):
        page("", tmp_path)
