"""Bytes written to a card: the budget that every change of the journal has to keep, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from tests.bench.card_wear import measure


def test_events_are_written_at_most_twice(tmp_path: Path) -> None:
    try:
        wear = measure(tmp_path, 0.75, "somebody")
    except UsageError as error:
        assert "reached a disk" in str(error)
        pytest.skip("the temporary folder is no disk")
    assert wear.lines["episode"] > 50 and wear.lines["tally"] == 45
    assert 1.0 < wear.times <= 2.0 and wear.wrong() == "", wear
    assert wear.forces < 20
