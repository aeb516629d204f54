"""`make train-models`: eight runs, each after those whose answers or weights it takes; they share a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEACHERS = {
    "large": ["teacher1", "teacher2", "teacher3"],
    "edge": ["large"],
    "nano": ["large"],
    "edge-crops": ["large"],
    "large-crops": ["large", "edge-crops"],
}
RECORD = """
import json, os, sys, time
start = time.time()
time.sleep(0.2)
with open(sys.argv[1], "a") as file:
    memory = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE")
    print(json.dumps({"arguments": sys.argv[2:], "start": start, "end": time.time(), "memory": memory}), file=file)
"""


def make(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "record.py"
    script.write_text(RECORD)
    trainer = f"{sys.executable} {script} {tmp_path / 'runs.jsonl'}"
    command = ["make", "-j3", "train-models", f"TRAIN={trainer}", f"RUNS={tmp_path / 'runs'}", *more]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "XLA"))}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_each_run_waits_for_its_teachers(tmp_path: Path) -> None:
    ran = make(tmp_path, "FER2013=set", "VOTES=votes", "EPOCHS=7")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    runs = {Path(row["arguments"][row["arguments"].index("--out") + 1]).name: row for row in rows}
    assert sorted(runs) == sorted([*TEACHERS, "teacher1", "teacher2", "teacher3"]) and len(rows) == 8
    for name, row in runs.items():
        arguments = row["arguments"]
        assert row["memory"] == "false", "and nothing behind it"
        assert arguments[arguments.index("--data") + 1] == "set" and arguments[arguments.index("--epochs") + 1] == "7"
        assert ("--votes" in arguments) == (name in ("teacher1", "teacher3"))
        assert arguments[arguments.index("--preset") + 1] == name.rstrip("123")
        teachers = arguments[arguments.index("--teacher") + 1 :] if "--teacher" in arguments else []
        assert [Path(path).name for path in teachers] == TEACHERS.get(name, [])
        initial = [arguments[arguments.index("--init") + 1]] if "--init" in arguments else []
        assert [Path(path).name for path in initial] == {"edge-crops": ["edge"], "large-crops": ["large"]}.get(name, [])
        for teacher in [*teachers, *initial]:
            assert runs[Path(teacher).name]["end"] <= row["start"]


def test_without_data_or_votes_nothing_runs(tmp_path: Path) -> None:
    ran = make(tmp_path, "FER2013=set")
    assert ran.returncode == 2 and "VOTES=" in ran.stderr
    assert not (tmp_path / "runs.jsonl").exists()
