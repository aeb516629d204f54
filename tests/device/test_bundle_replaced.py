"""A bundle that is replaced under a running loop: the one that was loaded stays, a sentence says so, and no label changes."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import journal_events
from processes import start_run, wait_until

from fer_edge.bundle import Bundle
from fer_edge.events import Event
from fer_edge.shipped_bundles import shipped_path


def another(folder: Path) -> None:
    """Another good bundle, file by file over the old one, as scp does it."""
    shutil.copytree(shipped_path("edge"), folder, dirs_exist_ok=True)


def damaged(folder: Path) -> None:
    size = (folder / "model.tflite").stat().st_size
    (folder / "model.tflite").write_bytes(random.Random(0).randbytes(size))


def torn(folder: Path) -> None:
    """The copy of the model broke off."""
    with (folder / "model.tflite").open("r+b") as file:
        file.truncate(1000)


def labels_in_another_order(folder: Path) -> None:
    edit(folder, lambda labels: labels[::-1])


def a_label_too_few(folder: Path) -> None:
    edit(folder, lambda labels: labels[:-1])


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def edit(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    spec: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**spec, "labels": change(spec["labels"])}))


# What is done to it, what is said while it runs, and how the next start ends.
CASES = [
    (another, "now holds another bundle", 0),
    (damaged, "its hash differs", 5),
    (torn, "its hash differs", 5),
    (labels_in_another_order, "now holds another bundle", 5),
    (a_label_too_few, "now holds another bundle", 5),
    (remove, "is not a bundle", 2),
]


@pytest.mark.parametrize(("replace", "message", "next_code"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_old_one_stays(tmp_path: Path, replace: Callable[[Path], None], message: str, next_code: int) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(shipped_path("nano"), folder)
    old = Bundle.load(folder)
    process = start_run(tmp_path, "synthetic", "--bundle", str(folder), per_frame=True, sync_s=0.0)
    wait_until(process, lambda: len(readings(tmp_path)) >= 3)
    replace(folder)
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    sentence = next(line for line in process.stderr if "stays in use" in line)
    assert message in sentence and str(folder) in sentence
    seen = len(readings(tmp_path))
    wait_until(process, lambda: len(readings(tmp_path)) >= seen + 3)
    process.send_signal(signal.SIGTERM)
    _, spoken = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in spoken
    events = journal_events(tmp_path / "log")
    assert events[0].body["bundle"] == {"name": "nano", "sha256": old.sha256}
    assert len([event for event in events if event.kind == "header"]) == 1
    for reading in readings(tmp_path):
        p = reading.body["p"]
        assert reading.body["label"] == old.labels[p.index(max(p))], "by the labels in the header"
    process = start_run(tmp_path, "synthetic", "--bundle", str(folder), "--duration", "0.5")
    _, spoken = process.communicate(timeout=60)
    assert process.returncode == next_code, spoken
    assert (str(folder) in spoken) if next_code else "stopped after 0.5 s: " in spoken


def readings(tmp_path: Path) -> list[Event]:
    """Those whose line is whole by now."""
    text = "".join(segment.read_text() for segment in sorted((tmp_path / "log").glob("*.jsonl")))
    complete_lines = text[: text.rfind("\n") + 1].splitlines()
    return [event for event in map(Event.parse, complete_lines) if event.kind == "reading"]
