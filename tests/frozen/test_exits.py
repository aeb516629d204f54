"""Each command ends with the exit code that README lists for what happened, and says why on stderr in a line of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.frozen.commands import ROOT, ran
from tests.frozen.scenes import faces, write_pictures

STRICT = "[logits]\nrms = 0.0001\n"

# What is typed, in a folder that has the things `things` makes; {} is that folder.
CASES = [
    ("fer-edge", 2),
    ("fer-edge run --no-such-flag", 2),
    ("fer-edge run --camera synthetic --fps -1", 2),
    ("fer-edge run --explain-privacy", 0),
    ("fer-edge run --camera {}/nothing.mp4", 4),
    ("fer-edge run --camera {}/empty", 4),
    ("fer-edge run --camera {}/wall --once", 6),
    ("fer-edge run --camera {}/face --once --json", 0),
    ("fer-edge run --camera {}/face --bundle {}/damaged", 5),
    ("fer-edge predict {}/face/000.png", 0),
    ("fer-edge predict {}/wall/000.png", 6),
    ("fer-edge predict {}/nothing.png", 2),
    ("fer-edge verify models/nano", 0),
    ("fer-edge verify {}/damaged", 5),
    ("fer-edge verify {}/nothing", 2),
    ("fer-edge label {}/nothing.mp4 --out {}/out", 2),
    ("fer-edge health", 8),
    ("fer-edge pause", 8),
    ("fer-edge reload", 8),
    ("fer-edge config show", 0),
    ("fer-edge config show --config {}/nothing.toml", 2),
    ("fer-edge log check {}/journal", 0),
    ("fer-edge log check {}/gapped", 7),
    ("fer-edge log summary {}/journal --since 2999-01-01", 6),
    ("fer-edge log summary {}/nothing", 2),
    ("fer-edge log purge --before soon", 2),
    ("fer-edge bundle use nothing", 2),
    ("fer-edge detectors install --wheel {}/nothing.whl", 2),
    ("python -m convert.data {}/nothing.zip", 2),
    ("python -m convert.data {}/empty", 2),
    ("python -m convert.train --preset none", 2),
    ("python -m convert.evaluate {}/nothing --data {}/empty", 2),
    ("python -m convert.quantize --seed -1", 2),
    ("python -m convert.quantize --model {}/nothing", 2),
    ("python -m convert.parity {}/damaged", 5),
    ("python -m convert.parity models/nano --margins {}/strict.toml --compare one", 3),
    ("python -m convert.synthesize {}/nothing", 2),
    ("python -m convert.report {}/nothing", 2),
    ("python -m convert.export_float {}/nothing --out {}/float.tflite", 2),
    ("python -m convert.golden {}/nothing", 2),
]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a damaged bundle, a journal and one with a line missing, pictures of a face, of a wall, and of nothing."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "empty").mkdir()
    (folder / "strict.toml").write_text(STRICT)
    damaged = Path(shutil.copytree(ROOT / "models" / "nano", folder / "damaged")) / "model.tflite"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    write_pictures(folder / "face", [faces()[0]] * 3)
    write_pictures(folder / "wall", [faces()[0] // 200] * 3)
    made = ran(["fer-edge", "run", "--camera", str(folder / "face"), "--log", str(folder / "journal")], folder)
    assert made.returncode == 0, made.stderr
    (segment,) = Path(shutil.copytree(folder / "journal", folder / "gapped")).glob("*.jsonl")
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join(lines[:2] + lines[3:]))
    return folder


@pytest.mark.parametrize(("typed", "code"), CASES, ids=[typed for typed, _ in CASES])
def test_the_exit_code(typed: str, code: int, things: Path) -> None:
    """Promised: this exit code, words on stderr where it is not 0, and no traceback."""
    ended = ran(typed.replace("{}", str(things)).split(), things)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert code == 0 or ended.stderr
