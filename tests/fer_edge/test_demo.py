"""The demo's log: a folder of its own for each run, and whether it has an episode."""

from __future__ import annotations

import shutil
from pathlib import Path

from fer_edge.commands.demo import _has_episode, _steps, _unused_folder

JOURNAL = Path(__file__).parents[1] / "fixtures/journals/v1"


def test_each_demo_logs_into_a_folder_of_its_own(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folder = _unused_folder(tmp_path / "log")
        folder.mkdir()
        names.append(folder.name)
    assert names == ["log", "log-2", "log-3"]


def test_the_run_of_a_demo_has_no_settings_of_the_owner(tmp_path: Path) -> None:
    run = next(
        words for _, words in _steps(tmp_path, tmp_path, tmp_path, tmp_path / "settings.toml", 1.0) if words[0] == "run"
    )
    assert run[run.index("--config") + 1] == str(tmp_path / "settings.toml") and run[run.index("--name") + 1] == "demo"


def test_a_log_without_an_episode_is_recognized(tmp_path: Path) -> None:
    shutil.copytree(JOURNAL, tmp_path / "log")
    assert _has_episode(tmp_path / "log")
    for segment in (tmp_path / "log").glob("journal-*.jsonl"):
        lines = segment.read_text().splitlines(keepends=True)
        segment.write_text("".join(line for line in lines if not line.startswith('{"kind":"episode"')))
    assert not _has_episode(tmp_path / "log")
