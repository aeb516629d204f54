"""The walk-through of docs/pages/own-faces.md, typed word for word: collect, label by keyboard, train, prove, run.

The camera is a folder of scenes with faces of FER2013, which the settings file names; all else is what a reader types.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_tab import Tab

from convert.crops.synthetic_scenes import paste_face
from convert.data.loader import load
from fer_edge.labels import LABELS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/pages/own-faces.md"
CLASSES = ("happy", "neutral", "surprise")
EACH = 20  # faces of a class


def typed() -> list[list[str]]:
    """The commands of the page, in words, in order."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


class Shell:
    """Types commands in a folder in which the settings file names the camera."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config" / "fer-edge").mkdir(parents=True)
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "TF_NUM_INTRAOP_THREADS": "2",
        }

    def command(self, words: list[str]) -> list[str]:
        """`fer-edge` and `python` of this environment."""
        return (
            [sys.executable, "-m", "fer_edge", *words[1:]] if words[0] == "fer-edge" else [sys.executable, *words[1:]]
        )

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(words), cwd=self.folder, env=self.environ, stdout=pipe, stderr=pipe, text=True
        )

    def type(self, words: list[str]) -> tuple[str, str]:
        """What the command printed on stdout and stderr; it must end with 0."""
        ran = self.start(words)
        out, err = ran.communicate(timeout=600)
        assert ran.returncode == 0, f"{words}: {ran.returncode}\n{out}\n{err}"
        return out, err


@pytest.fixture
def shell(tmp_path: Path, fer2013: Path) -> Shell:
    """With a camera: a folder of scenes, each shown for more than 3 s, whose class is in its file's name."""
    samples = load(fer2013, classes=CLASSES).part("validation")
    camera = tmp_path / "camera"
    camera.mkdir()
    rows = np.stack([np.flatnonzero(samples.y == index)[:EACH] for index in range(len(CLASSES))], axis=1).ravel()
    for number, row in enumerate(rows):
        cv2.imwrite(str(camera / f"{number:03d}.png"), paste_face(samples.x[row, :, :, 0], 200, (220, 140)))
    shell = Shell(tmp_path)
    settings = f"camera = {json.dumps(str(camera))}\nfps = 0.3\n"
    (tmp_path / "config" / "fer-edge" / "config.toml").write_text(settings)
    return shell


def label_all(tab: Callable[..., Tab], url: str, waiting: int) -> None:
    """Labels every face by its key; every fifth label is undone and given again, and one face becomes `none`."""
    one = tab(390)
    one.page.goto(url)
    for left in range(waiting, 0, -1):
        one.until(f"document.getElementById('state').textContent === '{left} left'")
        one.page.keyboard.press(str(1 + left % len(CLASSES)))
        if left % 5 == 0:
            one.until(
                f"document.getElementById('state').textContent === '{f'{left - 1} left' if left > 1 else 'done'}'"
            )
            one.page.keyboard.press("u")
            one.until(f"document.getElementById('state').textContent === '{left} left'")
            one.page.keyboard.press("0" if left == 10 else str(1 + left % len(CLASSES)))
    one.until("document.getElementById('state').textContent === 'done'")


def test_the_walk_through_is_typed_word_for_word(shell: Shell, tab: Callable[..., Tab]) -> None:
    explain, collect, review, data, train, quantize, run = typed()
    faces = shell.folder / "my-faces"
    out, _ = shell.type(explain)
    assert "in my-faces, readable only for its owner, not encrypted: pictures of the faces in view" in " ".join(
        out.split()
    )
    assert not faces.exists()

    _, err = shell.type(collect)
    (stored,) = map(int, re.findall(r"(\d+) faces wait for a label", err))
    assert stored == len(list((faces / "unlabelled").iterdir())) >= 0.9 * EACH * len(CLASSES)

    ran = shell.start(review)
    assert ran.stderr is not None
    (url,) = re.findall(r"the review page is (\S+) ", ran.stderr.readline())
    label_all(tab, url, stored)
    ran.send_signal(signal.SIGINT)
    assert "; 0 wait" in ran.communicate(timeout=30)[1] and ran.returncode == 0
    counts = {folder.name: len(list(folder.iterdir())) for folder in (faces / "labelled").iterdir()}
    assert set(counts) == {*CLASSES, "none"} and sum(counts.values()) == stored and counts["none"] == 1

    out, err = shell.type(data)
    assert all(name in out for name in CLASSES) and "left out as none of happy, neutral, surprise: none 1" in err
    shell.type(train)
    history = json.loads((shell.folder / "my-run/history.json").read_text())
    assert history["labels"] == list(CLASSES) and len(history["epochs"]) == 2 and history["init"]

    out, _ = shell.type(quantize)
    assert "pass on logits" in out
    spec = json.loads((shell.folder / "my-bundle/bundle.json").read_text())
    assert spec["labels"] == list(CLASSES) != list(LABELS)
    out, _ = shell.type(run)
    assert set(re.findall(r"\b(?:happy|neutral|surprise|unsure|angry|sad)\b", out)) <= {*CLASSES, "unsure"} and out
