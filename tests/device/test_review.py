"""The review page over HTTP: the real server on loopback, asked as its page asks and as others might."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from collected_faces import face, png
from processes import ROOT

from device.output.collected.face_folder import FaceFolder
from device.output.review.labelling import MAX_CLASSES, Labelling
from device.review import served
from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS

NAMES = [f"2026112715565869{number}-1.png" for number in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> FaceFolder:
    folder = FaceFolder.create(tmp_path / "faces", 14)
    for number, name in enumerate(NAMES):
        folder.add(face(name), png(number))
    return folder


class Client:
    """A client of a served page."""

    def __init__(self, url: str) -> None:
        self.port, self.token = urlsplit(url).port, url.partition("#token=")[2]

    def ask(
        self, path: str, body: Any = None, authorised: bool = True, method: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Status and body; the body parsed where it is JSON."""
        connection = HTTPConnection("127.0.0.1", self.port or 0, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self.token}"} if authorised else {}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method or ("GET" if raw is None else "POST"), path, raw, sent)
        response = connection.getresponse()
        try:
            content = response.read()
        except ConnectionResetError:  # a body over the limit is not read before the connection is closed
            assert response.status == 400
            content = b""
        self.headers = response.headers
        connection.close()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(content) if is_json else content


@pytest.fixture
def client(folder: FaceFolder) -> Iterator[Client]:
    with served(folder, ("calm", "tense"), 0, print) as url:
        assert url.startswith("http://127.0.0.1:")
        yield Client(url)


def test_faces_are_labelled_and_labels_undone(client: Client, folder: FaceFolder) -> None:
    status, state = client.ask("/state")
    assert status == 200 and state["waiting"] == 4 and state["faces"] == NAMES and not state["can_undo"]
    keys = [(one["label"], one["key"], one["count"]) for one in state["classes"]]
    assert keys == [("calm", "1", 0), ("tense", "2", 0), ("none", "0", 0)]
    for name, label in zip(NAMES, ("calm", "none", "tense", "calm"), strict=True):
        status, state = client.ask("/label", {"face": name, "label": label})
        assert status == 200
    assert state["waiting"] == 0 and folder.counts() == {"calm": 2, "none": 1, "tense": 1}
    for left in (1, 2):
        status, state = client.ask("/undo", {})
        assert (status, state["waiting"]) == (200, left)
        assert state["faces"][0] == NAMES[4 - left], "the face whose label was undone is shown first"
    assert folder.counts() == {"calm": 1, "none": 1}
    status, state = client.ask("/delete", {"face": NAMES[3]})
    assert state["faces"] == [NAMES[2]] and folder.size()[0] == 3
    assert NAMES[3] not in (folder.path / "index.jsonl").read_text()


def test_another_class_is_offered_and_one_that_no_training_reads_is_refused(client: Client) -> None:
    assert client.ask("/class", {"label": " sleepy "})[1]["classes"][2] == {"label": "sleepy", "key": "3", "count": 0}
    status, sentence = client.ask("/class", {"label": "test"})
    assert (
        status == 400 and sentence.decode() == "“test” cannot be the folder of a class; give the class another name.\n"
    )
    assert client.ask("/label", {"face": NAMES[0], "label": "unheard"})[0] == 400
    for number in range(MAX_CLASSES - 3):
        assert client.ask("/class", {"label": f"class {number}"})[0] == 200
    status, sentence = client.ask("/class", {"label": "one more"})
    assert status == 400 and b"32 classes already" in sentence
    keys = [one["key"] for one in client.ask("/state")[1]["classes"]]
    assert len(set(keys)) == len(keys) and not {"u", "x"} & set(keys)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/label", {"face": "gone-1.png", "label": "calm"}, 404),
        ("/label", {"face": "../../secret.png", "label": "calm"}, 400),
        ("/label", {"face": NAMES[0], "label": "../calm"}, 400),
        ("/label", {"face": NAMES[0]}, 400),
        ("/label", {"face": 3, "label": "calm"}, 400),
        ("/label", [], 400),
        ("/label", b"{" * 900, 400),
        ("/label", b"x" * 2000, 400),
        ("/delete", {"face": "gone-1.png"}, 404),
        ("/face/..%2f..%2fsecret.png", None, 404),
        ("/face/gone-1.png", None, 404),
        ("/label", None, 405),
        ("/elsewhere", None, 404),
    ],
)
def test_what_cannot_be_done_is_refused(client: Client, folder: FaceFolder, path: str, body: Any, status: int) -> None:
    assert client.ask(path, body)[0] == status
    assert folder.waiting() == NAMES and folder.counts() == {}


PATHS = [
    ("/state", None),
    (f"/face/{NAMES[0]}", None),
    ("/label", {"face": NAMES[0], "label": "calm"}),
    ("/delete", {"face": NAMES[0]}),
    ("/undo", {}),
    ("/class", {"label": "x"}),
]


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_without_the_token_or_from_another_page_nothing_is_shown_or_done(
    client: Client, folder: FaceFolder, path: str, body: Any
) -> None:
    assert client.ask(path, body, authorised=False)[0] == 401
    assert client.ask(path, body, authorised=False, Authorization="Bearer wrong-token-0123456789")[0] == 401
    assert client.ask(path, body, Host="attacker.example")[0] == 421
    assert client.ask(path, body, Origin="http://attacker.example")[0] == 403
    assert client.ask(path, body, Sec_Fetch_Site="cross-site")[0] == 403
    assert folder.waiting() == NAMES
    assert client.ask(path, body)[0] == 200


def test_the_page_needs_no_other_host_and_its_files_hold_no_data(client: Client) -> None:
    for path in ("/", "/review.js", "/review.css", "/page.css", "/session.js", "/words.js", "/icon.svg"):
        status, content = client.ask(path, authorised=False)
        assert status == 200 and content
        assert client.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert b"http:" not in content.replace(b"http://www.w3.org/2000/svg", b"") and b"https:" not in content
    assert client.ask(f"/face/{NAMES[1]}")[1] == png(1)
    assert client.headers["Cache-Control"] == "no-store" and client.headers["Content-Type"] == "image/png"


def test_the_classes_are_those_named_then_those_with_a_folder_else_the_expressions(folder: FaceFolder) -> None:
    assert [one["label"] for one in Labelling(folder).to_json()["classes"]] == [*LABELS, "none"]
    folder.label(NAMES[0], "none")
    assert [one["label"] for one in Labelling(folder).to_json()["classes"]] == [*LABELS, "none"]
    folder.label(NAMES[1], "b")
    assert [one["label"] for one in Labelling(folder).to_json()["classes"]] == ["b", "none"]
    assert [one["label"] for one in Labelling(folder, ["a", "b"]).to_json()["classes"]] == ["a", "b", "none"]
    with pytest.raises(UsageError):
        Labelling(folder, ["a/b"])


def review_command(folder: FaceFolder, port: int | None, *words: str) -> list[str]:
    return [*(sys.executable, "-m", "fer_edge", "collect", "review", str(folder.path), "--port", str(port)), *words]


def test_the_command_serves_until_it_is_stopped_and_says_what_was_labelled(folder: FaceFolder) -> None:
    for name in NAMES[:2]:
        os.utime(folder.unlabelled / name, (0, 0))
    command = review_command(folder, 0, "--classes", "calm")
    ran = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ran.stderr is not None
    assert "2 faces without a label were older than 14 days, and are deleted" in ran.stderr.readline()
    line = ran.stderr.readline()
    (url,) = re.findall(r"the review page is (http://127\.0\.0\.1:\d+/#token=\S+) for this run", line)
    assert Client(url).ask("/label", {"face": NAMES[2], "label": "calm"})[0] == 200
    ran.send_signal(signal.SIGINT)
    out, err = ran.communicate(timeout=30)
    assert (ran.returncode, out) == (0, "") and f"labelled in {folder.labelled}: calm 1; 1 wait" in err


def test_it_refuses_what_it_cannot_serve(
    tmp_path: Path, folder: FaceFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    assert main(["collect", "review", str(tmp_path / "photos")]) == 2
    assert main(["collect", "review", str(folder.path), "--port", "70000"]) == 2
    assert "--port must be from 0 to 65535" in capsys.readouterr().err
    with served(folder, (), 0, print) as url:
        command = review_command(folder, urlsplit(url).port)
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "the review page cannot be served at 127.0.0.1" in ran.stderr
    assert "name another with --port N" in ran.stderr
