"""The journal of `fer-edge run` and the table of `fer-edge label` tell of the same pictures what they told before."""

from __future__ import annotations

from pathlib import Path

from tests.frozen import recorded
from tests.frozen.normalise import SEEN, differences, kinds, lines, read


def test_the_lines_of_a_run_over_pictures(tmp_path: Path) -> None:
    """Promised: the same lines in the same order, names and words exactly, numbers within .02, boxes within 2 px."""
    found, frozen = lines(recorded.journal(tmp_path)), read(recorded.JOURNAL)
    assert kinds(found) == kinds(frozen)
    assert list(differences(frozen, found, SEEN)) == []


def test_the_rows_of_a_labelled_video(tmp_path: Path) -> None:
    """Promised: the same columns and rows, words exactly, numbers within .02, boxes within 2 px; the same file beside."""
    found, frozen = recorded.table(tmp_path), read(recorded.TABLE)
    assert found["columns"] == frozen["columns"] and found["files"] == frozen["files"]
    assert len(found["rows"]) == len(frozen["rows"])
    for before, row in zip(frozen["rows"], found["rows"], strict=True):
        told, stored = (dict(zip(found["columns"], cells, strict=True)) for cells in (row, before))
        assert list(differences(stored, told, SEEN)) == [], f"frame {row[0]}"
    assert list(differences(frozen["beside"], found["beside"], SEEN)) == []


def test_the_lines_of_a_live_run(tmp_path: Path) -> None:
    """Promised: the order of the kinds of lines, and the fields of each kind, whatever the pace."""
    found, frozen = recorded.shape(recorded.live(tmp_path)), read(recorded.LIVE)
    assert found["kinds"] == frozen["kinds"]
    for kind, names in frozen["fields"].items():
        assert kind == "episode" or kind in found["fields"]  # two seconds on a busy machine may be too few for one
        assert found["fields"].get(kind, names) == names, kind
