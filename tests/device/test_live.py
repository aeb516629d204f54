"""The live page over HTTP: the real server on loopback, asked as a browser asks and as others might."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import cv2
import numpy as np
import pytest
from builders import event
from builders import reading as a_reading
from fakes import FakeClock
from processes import ROOT

from device.address import Address
from device.camera.frame import Frame
from device.clock import Clock, SystemClock
from device.output.live.pixelated_picture import PixelatedPictures, pixelated_copy
from device.output.live.sink import LivePage, PageOptions
from device.output.live.viewers import MAX_VIEWERS
from device.output.minute_log import MinuteLog
from device.vision.readings import FrameResult

HEADER = {
    "labels": ["happy", "sad", "neutral"],
    "camera": {"live": True, "name": "drawn"},
    "name": "door",
    "verified": {},
}
SECRET = "a-token-of-this-test-0123456789"
SESSION = b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CONNECTIONS = 96  # that are open at a time, of all addresses together


@contextmanager
def shown(clock: Clock | None = None, secret: str | None = None, pixels_s: float | None = None) -> Iterator[LivePage]:
    """A page that is open on a port of loopback, told of a run that has begun."""
    options = PageOptions(Address("127.0.0.1", 0), token_of=lambda: secret, pixels_s=pixels_s)
    with LivePage(options, clock or SystemClock(), print) as live:
        live.append(event("header", **HEADER))
        yield live


def answer(live: LivePage, path: str = "/state", method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """What the page answers: status and headers, and the body."""
    connection = HTTPConnection("127.0.0.1", live.address.port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with connection.getresponse() as response:
        body = response.read()
    connection.close()
    return response, body


@contextmanager
def streamed(live: LivePage, **headers: str) -> Iterator[HTTPResponse]:
    """The answer to a request for the stream of events, still open."""
    connection = HTTPConnection("127.0.0.1", live.address.port, timeout=10)
    connection.request("GET", "/events", headers=headers)
    with connection.getresponse() as response:
        yield response
    connection.close()


def next_event(response: HTTPResponse) -> tuple[str, dict[str, Any]]:
    """The next event of a stream: its kind and its data."""
    kind, data, end = (response.readline() for _ in range(3))
    assert end == b"\n"
    return kind.removeprefix(b"event: ").decode().strip(), json.loads(data.removeprefix(b"data: "))


def frame(seq: int, clock: Clock, gray: np.ndarray | None = None) -> Frame:
    return Frame(seq, clock.mono_ns(), np.full((480, 640), 90, np.uint8) if gray is None else gray)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/page.css",
        "/page.js",
        "/faces.js",
        "/chart.js",
        "/words.js",
        "/session.js",
        "/icon.svg",
        "/state",
        "/no",
        "/day.js",
    ],
)
def test_every_response_has_the_security_headers(path: str) -> None:
    with shown() as live:
        response, body = answer(live, path)
    assert response.status == (404 if path == "/no" else 200) and body
    policy = response.headers["Content-Security-Policy"]
    assert (
        policy.startswith("default-src 'none'; script-src 'self'") and "unsafe" not in policy and "http" not in policy
    )
    assert "frame-ancestors 'none'" in policy and response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer" and response.headers["Server"] == "fer-edge"
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_the_page_names_no_other_host() -> None:
    for file in (ROOT / "device/output/live/page").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "") or file.suffix == ".js", file
        assert "http:" not in text and "https:" not in text, file


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:9999"}, 200),  # through a tunnel
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8780"}, 200),
        ({"Host": "attacker.example"}, 421),  # a name that somebody pointed to 127.0.0.1
        ({"Host": "127.0.0.1.attacker.example"}, 421),
        ({"Host": "192.168.1.5"}, 421),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Origin": "http://attacker.example"}, 403),
        ({"Host": "127.0.0.1:8780", "Origin": "http://127.0.0.1:8780"}, 200),
        ({"Host": "127.0.0.1:8780", "Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_foreign_hosts_and_origins_are_rejected(headers: dict[str, str], status: int) -> None:
    with shown() as live:
        assert [answer(live, path, **headers)[0].status for path in ("/state", "/picture.jpg")] == [
            status,
            404 if status == 200 else status,
        ]


def test_without_the_token_there_is_no_data() -> None:
    with shown(secret=SECRET) as live:
        refused = [answer(live, path) for path in ("/state", "/events", "/picture.jpg")]
        wrong = [
            answer(live, "/state", Authorization=f"Bearer {SECRET[:-1]}"),
            answer(live, "/state", Cookie=f"fer-edge={SECRET}"),
        ]
        wrong.append(answer(live, f"/state?token={SECRET}"))
        page = answer(live, "/")
        accepted = answer(live, "/state", Authorization=f"Bearer {SECRET}")
    for response, body in [*refused, *wrong]:
        assert response.status == 401 and response.headers["WWW-Authenticate"] == "Bearer"
        assert b"needs the token" in body and b"happy" not in body
    assert page[0].status == 200 and b"happy" not in page[1], "the page itself holds nothing that was seen"
    assert accepted[0].status == 200 and b"happy" in accepted[1]


def test_the_token_is_exchanged_for_an_http_only_cookie_that_does_not_reveal_it() -> None:
    with shown(secret=SECRET) as live:
        wrong, _ = answer(live, "/session", "POST", Authorization="Bearer something-else-of-that-length")
        authorised, _ = answer(live, "/session", "POST", Authorization=f"Bearer {SECRET}")
        cookie = authorised.headers["Set-Cookie"]
        cookie_pair = cookie.split(";")[0]
        seen, _ = answer(live, "/state", Cookie=cookie_pair)
    assert wrong.status == 401 and wrong.headers["Set-Cookie"] is None
    assert authorised.status == 204 and SECRET not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert seen.status == 200
    with shown(secret="another-token-0123456789") as live:
        assert answer(live, "/state", Cookie=cookie_pair)[0].status == 401


def test_the_cookies_of_two_machines_behind_one_name_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser stores them by the host's name alone, and both are reached as localhost through tunnels."""
    names = []
    for machine in ("kitchen", "hall"):
        monkeypatch.setattr("socket.gethostname", lambda machine=machine: machine)
        with shown(secret=SECRET) as live:
            authorised, _ = answer(live, "/session", "POST", Authorization=f"Bearer {SECRET}")
        name = authorised.headers["Set-Cookie"].partition("=")[0]
        names.append(re.sub(r"\d+", "", name, count=1))
    assert names[0] != names[1] and all(name.startswith("fer-edge--") for name in names)


def test_a_page_whose_server_ends_is_reported_without_what_it_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def broken(_: object) -> None:
        raise ValueError("happy 0.93")

    monkeypatch.setattr("device.output.live.viewers.Viewers.send_update", broken)
    with LivePage(PageOptions(Address("127.0.0.1", 0)), SystemClock(), said.append) as live, streamed(live):
        deadline = time.monotonic() + 10
        while live.trouble is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert live.trouble == "the page is no longer served (ValueError); start again"
    assert live.trouble in said and not any("happy" in text for text in said)


def test_a_stream_sends_the_full_state_and_then_updates() -> None:
    clock = SystemClock()
    with shown(clock) as live, streamed(live) as stream:
        assert stream.status == 200 and stream.headers["Content-Type"] == "text/event-stream"
        kind, data = next_event(stream)
        assert kind == "whole" and data["run"]["labels"] == HEADER["labels"] and data["now"]["viewers"] == 1
        live.on_frame(frame(7, clock), FrameResult((a_reading("happy", 3),), 2), {"detect": 0.004}, 0.05)
        live.view_state.on_turn(_status("running"))
        while True:
            kind, data = next_event(stream)
            assert kind == "now"
            if data["now"]["frame"]:
                break
    seen = data["now"]["frame"]
    assert (seen["seq"], seen["size_px"], seen["skipped"], seen["late_ms"]) == (7, [640, 480], 2, 50.0)
    assert seen["stages_ms"] == {"detect": 4.0} and 0 <= seen["age_s"] < 60
    assert [(f["track"], f["label"], f["p"][0], f["xywh"]) for f in seen["faces"]] == [
        (3, "happy", 0.8, [0, 0, 100, 100])
    ]
    assert data["now"]["pixels"] is None


def test_the_end_of_a_run_is_sent_and_its_port_is_free() -> None:
    with ExitStack() as stack:
        live = stack.enter_context(shown())
        stream = stack.enter_context(streamed(live))
        next_event(stream)
        live.append(event("end", reason="enough"))
        live.__exit__(None, None, None)
        kinds = []
        while line := stream.readline():
            kinds.append(line)
        assert b"event: bye\n" in kinds and b'data: {"ended":"enough"}\n' in kinds
        port = live.address.port
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_the_number_of_viewers_is_limited() -> None:
    with shown() as live, ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            assert next_event(stack.enter_context(streamed(live)))[0] == "whole"
        refused, message = answer(live, "/events")
        assert refused.status == 503 and message == b"this page already has 32 viewers; try again later.\n"
        assert refused.getheader("Retry-After") == "10"
        assert json.loads(answer(live)[1])["now"]["viewers"] == MAX_VIEWERS


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "nonsense", "http://"])
def test_an_origin_that_is_none_is_a_bad_request_without_a_message(origin: str) -> None:
    lines: list[str] = []
    options = PageOptions(Address("127.0.0.1", 0), token_of=lambda: None)
    with LivePage(options, SystemClock(), lines.append) as live:
        for _ in range(3):
            response, _ = answer(live, **{"Origin": origin})
            assert response.status == 400
    assert len(lines) == 1, "the page's address"


def test_messages_about_clients_are_one_a_minute() -> None:
    lines: list[str] = []
    clock = FakeClock()
    log = MinuteLog(clock, lines.append)
    for _ in range(3000):
        log("an error")
    clock.sleep(60)
    log("another")
    assert lines == ["an error", "another (and 2999 more messages about clients since the last one)"]


def test_one_address_leaves_connections_for_others() -> None:
    with shown() as live, ExitStack() as stack:
        target = ("127.0.0.1", live.address.port)
        for _ in range(110):
            stack.enter_context(socket.create_connection(target))
        other = HTTPConnection(*target, source_address=("127.0.0.2", 0), timeout=10)
        other.request("GET", "/", headers={"Host": "127.0.0.1"})
        assert other.getresponse().status == 200
        other.close()


def test_excess_connections_are_closed_at_once() -> None:
    with shown() as live, ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", live.address.port))) for _ in range(100)]
        for one in opened[-4:]:
            one.settimeout(10)
            assert one.recv(1) == b""
        opened[0].close()
        assert live.view_state.watched is False


def test_connections_that_were_closed_count_no_more() -> None:
    with shown() as live:
        for _ in range(CONNECTIONS + 10):  # each answer is of a connection of its own
            assert answer(live)[0].status == 200


def test_many_addresses_together_leave_descriptors_for_the_journal() -> None:
    with shown() as live, ExitStack() as stack:
        target = ("127.0.0.1", live.address.port)

        def connected(host: str) -> socket.socket:
            client = stack.enter_context(socket.create_connection(target, 10, (host, 0)))
            client.sendall(b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return client

        for number in range(CONNECTIONS):
            assert connected(f"127.0.1.{1 + number % 4}").recv(12) == b"HTTP/1.1 200", number
        with suppress(ConnectionError):
            assert connected("127.0.1.9").recv(12) == b""


def test_a_body_that_is_longer_than_a_token_is_refused_before_it_is_read() -> None:
    with (
        shown(secret=SECRET) as live,
        socket.create_connection(("127.0.0.1", live.address.port), 20) as client,
    ):
        client.sendall(SESSION + b"Content-Length: 2000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400"), "an answer, and not the end of waiting for it"


def test_a_client_that_sends_no_body_is_disconnected() -> None:
    with (
        shown(secret=SECRET) as live,
        socket.create_connection(("127.0.0.1", live.address.port), 20) as client,  # less than the time of an idle one
    ):
        client.sendall(SESSION + b"Content-Length: 20\r\n\r\n")
        assert client.recv(100) == b""


def wait_until_unwatched(live: LivePage) -> None:
    never_set = threading.Event()
    for _ in range(500):
        if not live.view_state.watched:
            break
        never_set.wait(0.01)
    assert not live.view_state.watched


def test_without_viewers_the_state_is_unwatched() -> None:
    with shown() as live:
        with streamed(live) as stream:
            next_event(stream)
            assert live.view_state.watched
        wait_until_unwatched(live)


def test_pictures_are_disabled_by_default() -> None:
    with shown() as live:
        live.on_frame(frame(0, SystemClock()), FrameResult(), {}, None)
        refused, message = answer(live, "/picture.jpg")
    assert refused.status == 404 and b"--show-pixels" in message


def test_pictures_are_small_gray_pixelated_at_faces_and_limited_in_time() -> None:
    clock = FakeClock()
    noise = np.random.default_rng(1).integers(0, 256, (480, 640), np.uint8)
    with shown(clock, pixels_s=60) as live:
        live.view_state.watched = True
        assert answer(live, "/picture.jpg")[0].status == 404, "no frame yet"
        live.on_frame(frame(0, clock, noise), FrameResult((a_reading("happy", side=200),)), {}, 0.0)
        got, jpeg = answer(live, "/picture.jpg")
        assert got.headers["Content-Type"] == "image/jpeg" and got.headers["Cache-Control"] == "no-store"
        gray = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        assert gray.shape == (240, 320)
        assert gray[10:90, 10:90].std() < 12 < gray[150:, 200:].std(), "the face is flat, the rest is not"
        clock.now_ns += 500_000_000
        live.on_frame(frame(1, clock, noise), FrameResult(), {}, 0.0)
        assert answer(live, "/picture.jpg")[1] == jpeg, "one a second"
        clock.now_ns += 500_000_000
        live.on_frame(frame(2, clock, noise), FrameResult((), 1), {}, 0.0)
        crowd = cv2.imdecode(np.frombuffer(answer(live, "/picture.jpg")[1], np.uint8), cv2.IMREAD_UNCHANGED)
        assert crowd.std() < 12, "nobody says where the others are"
        assert json.loads(answer(live)[1])["now"]["pixels"] == {"left_s": 59, "seq": 2}
        live.on_turn(_status("paused"))
        assert answer(live, "/picture.jpg")[0].status == 404, "an old one is none"
        live.on_turn(_status("running"))
        live.on_frame(frame(2, clock, noise), FrameResult(), {}, 0.0)
        assert answer(live, "/picture.jpg")[0].status == 200
        clock.now_ns += 59_000_000_000
        assert answer(live, "/picture.jpg")[0].status == 404
        live.on_frame(frame(3, clock, noise), FrameResult(), {}, 0.0)
        assert answer(live, "/picture.jpg")[0].status == 404
        assert json.loads(answer(live)[1])["now"]["pixels"] == {"left_s": 0, "seq": None}


def test_after_the_limited_time_no_frame_is_copied_and_the_last_picture_is_gone() -> None:
    clock = FakeClock()
    pictures = PixelatedPictures(clock, for_s=60)
    pictures.offer(frame(0, clock), FrameResult())
    assert pictures.jpeg() is not None
    clock.now_ns += 61_000_000_000
    pictures.offer(frame(1, clock), FrameResult())
    clock.now_ns -= 30_000_000_000
    assert pictures.jpeg() is None, "there is none, even for a clock by which it could be shown"


def test_hair_and_chin_beside_a_face_are_pixelated_too() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 320), np.uint8)
    seen = a_reading("happy", side=80)
    seen = replace(seen, face=replace(seen.face, xywh=(120, 80, 80, 80)))
    gray = pixelated_copy(frame(0, FakeClock(), noise), FrameResult((seen,)))
    sides = {
        "left": gray[90:150, 92:116],
        "right": gray[90:150, 204:228],
        "above": gray[52:76, 130:190],
        "below": gray[164:188, 130:190],
    }
    assert {name: part.std() < 25 for name, part in sides.items()} == dict.fromkeys(sides, True)
    assert gray[:40].std() > 60, "the rest is not"


def test_the_picture_is_deleted_when_the_last_viewer_leaves() -> None:
    clock = SystemClock()
    with shown(clock, pixels_s=600) as live:
        with streamed(live) as stream:
            next_event(stream)
            live.on_frame(frame(0, clock), FrameResult(), {}, 0.0)
            assert answer(live, "/picture.jpg")[0].status == 200
        wait_until_unwatched(live)
        assert answer(live, "/picture.jpg")[0].status == 404


def test_a_failure_of_the_page_is_logged_once_and_the_run_continues() -> None:
    messages: list[str] = []
    live = LivePage(PageOptions(Address("127.0.0.1", 0)), FakeClock(), messages.append)
    live.append(event("header"))  # without a camera
    live.append(event("header"))
    assert len(messages) == 1 and "no longer updated" in messages[0]


def _status(state: str) -> Any:
    from device.system.status_record import Status

    return Status(state, "drawn", "/log", None, {"read": 8, "processed": 7}, {"busy": 1})
