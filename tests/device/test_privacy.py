"""What --explain-privacy says follows from the settings, and leaves out nothing that a journal holds."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from device.config import Settings
from device.output.collected.face_limits import FaceLimits
from device.output.collected.face_store import FaceCollection
from device.privacy import explain_label, explain_run
from fer_edge.events import KINDS

ROOM = Path(__file__).parents[2] / "device"


def privacy_text(**values: Any) -> str:
    """The text for settings, its lines unwrapped."""
    return " ".join(explain_run(Settings(**values), {"STATE_DIRECTORY": "/var/lib/fer-edge"}).split())


@pytest.mark.parametrize(
    ("values", "words", "absent"),
    [
        ({}, ["in /var/lib/fer-edge, readable", "camera 0", "nothing: no network socket"], ["· reading:"]),
        ({"per_frame": True}, ["· reading: one face of one frame"], ["`per_frame` would add them"]),
        ({"log": Path("/srv/log"), "runtime": Path("/run/x")}, ["in /srv/log", "in /run/x, in memory"], ["/var/lib"]),
        ({"budget_bytes": 5_000_000}, ["larger than 5 MB"], []),
        (
            {"keep_days": 30.0},
            ["30 days (keep_days) and up to one more", "journald.conf"],
            ["no limit by age"],
        ),
        ({}, ["no limit by age"], ["days (keep_days)"]),
        ({"detail": "none"}, [], ["journald"]),
        ({"name": "front"}, ["`fer-edge pause --name front`", "/var/lib/fer-edge/front"], []),
        ({"camera": "rtsp:/me:secret@cam.local"}, ["camera …,"], ["secret"]),
        ({"paused": True}, ["the run starts paused"], []),
        ({"region": (0, 0, 0.5, 1)}, ["only the region [0, 0, 0.5, 1]"], []),
        (
            {"camera": "RTSP://me:secret@cam.local/1?key=hidden"},
            ["to the camera at", "cam.local/…", "nothing else"],
            ["secret", "hidden", "no network socket"],
        ),
        ({"camera": "/home/anna/clip.mp4"}, ["camera clip.mp4"], ["anna"]),
        ({"camera": "/dev/video0"}, ["camera /dev/video0"], []),
        (
            {"live": "127.0.0.1:8780"},
            [
                "the live page, at 127.0.0.1:8780, to anyone who opens it on this machine:",
                "no picture on that page",
                "a picture, a part",
            ],
            ["no network socket", "token", "small gray"],
        ),
        ({"live": "0.0.0.0:8780"}, ["has its token, unencrypted"], ["no network socket"]),
        ({"live": "[::1]:8780", "live_token_file": Path("t")}, ["on this machine and has its token"], []),
        (
            {"live": "127.0.0.1:8780", "show_pixels_s": 300.0},
            [
                "for 5 minutes after the start: a small gray picture a second",
                "a picture, except the small ones described above",
            ],
            ["a picture, a part of one", "no picture on that page"],
        ),
    ],
)
def test_the_text_follows_from_the_settings(values: dict[str, Any], words: list[str], absent: list[str]) -> None:
    text = privacy_text(**values)
    assert [word for word in words if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_the_text_of_collect_says_what_is_stored_of_a_face_and_for_how_long() -> None:
    limits = FaceLimits(every_s=5, max_pictures=300, max_size=1_000_000, expire_days=7)
    collection = FaceCollection(Path("/srv/faces"), limits)
    text = " ".join(explain_run(Settings(), {"STATE_DIRECTORY": "/srv/log"}, collection).split())
    for words in (
        "in /srv/faces, readable only for its owner, not encrypted: pictures of the faces in view",
        "one of each face every 5 s, at most 300 and 1 MB; people can be recognized in them",
        "a picture without a label: 7 days",
        "a picture that you label: until you delete it from /srv/faces/labelled",
        "a picture, except those described above",
        "in /srv/log, readable",
    ):
        assert words in text
    assert "a picture, a part of one" not in text


def test_every_kind_of_journal_line_is_listed() -> None:
    text = privacy_text(per_frame=True)
    assert [kind for kind in KINDS if f"· {kind}:" not in text] == []


def test_only_the_named_modules_write_pictures_or_open_sockets() -> None:
    """No name of this room makes an image file, a window or an internet socket, but for the live page and the metrics port."""
    banned = {"imwrite", "imencode", "VideoWriter", "imshow", "AF_INET", "AF_INET6", "create_connection", "urlopen"}
    modules = {"requests", "http", "urllib.request", "smtplib", "ftplib", "asyncio", "socketserver", "PIL", "imageio"}
    found = []
    for file in sorted(
        set(ROOM.rglob("*.py")) - {*(ROOM / "output/live").rglob("*.py"), ROOM / "output/metrics/server.py"}
    ):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            imported += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if (file.name, name) in (("annotate.py", "VideoWriter"), ("face_store.py", "imencode")):
                continue  # of no run: `label --annotate` and `collect` say themselves what they store
            if name in banned or modules.intersection(imported) or banned.intersection(imported):
                found.append(f"{file.relative_to(ROOM)}:{getattr(node, 'lineno', 0)}")
    assert found == []


def test_no_line_is_longer_than_a_narrow_terminal() -> None:
    assert max(map(len, explain_run(Settings(), {"STATE_DIRECTORY": "/var/lib/fer-edge"}).splitlines())) <= 110


@pytest.mark.parametrize(
    ("annotate", "show_faces", "words", "absent"),
    [
        (False, False, ["in /srv/out, as csv", "a picture, a part of one"], ["copy of its pictures"]),
        (
            True,
            False,
            ["a copy of its pictures", "detected face pixelated; a face that was not detected is visible"],
            ["a picture, a part"],
        ),
        (True, True, ["a copy of its pictures", "faces as they are"], ["a picture, a part of one", "pixelated"]),
    ],
)
def test_the_text_of_label_follows_from_its_options(
    annotate: bool, show_faces: bool, words: list[str], absent: list[str]
) -> None:
    text = " ".join(explain_label(Path("/srv/out"), "csv", annotate, show_faces).split())
    assert [word for word in [*words, "no network socket", "sound"] if word not in text] == []
    assert [word for word in absent if word in text] == []
