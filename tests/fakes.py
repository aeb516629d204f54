"""Fakes of what a test machine lacks: a clock that a test moves, a scripted camera, picamera2, and a network camera."""

# ruff: noqa: ARG002 - a fake has the signature of what it replaces

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from device.camera.frame import Frame
from device.camera.source import EndOfStream, SourceDescription
from device.clock import Stamp
from fer_edge.detection.types import Face


class FakeClock:
    """A clock that moves when a test sets it, or when somebody sleeps by it.

    `wall_s` is what the wall clock shows at boot (POSIX seconds), `state` whether it can be believed: both may be set.
    """

    def __init__(self, mono_ns: int = 5_000_000_000, boot: str = "fake-boot") -> None:
        self.now_ns = mono_ns
        self.boot = boot
        self.wall_s, self.state = 1_714_564_800.0, "unsynced"  # 2024-05-01T12:00:00Z
        self.slept_s: list[float] = []
        self.spent_ns = 0  # of processor time
        self.asleep_ns = 0  # of `now_ns`, while the machine was suspended

    def mono_ns(self) -> int:
        return self.now_ns

    def awake_ns(self) -> int:
        return self.now_ns - self.asleep_ns

    def stamp(self, mono_ns: int | None = None) -> Stamp:
        then_ns = self.now_ns if mono_ns is None else mono_ns
        wall = datetime.fromtimestamp(self.wall_s + then_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        return Stamp(then_ns, wall.replace("+00:00", "Z"), self.state)

    def started_ns(self) -> int:
        return 0

    def cpu_ns(self) -> int:
        return self.spent_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(max(0.0, seconds) * 1e9)


class ScriptedSource:
    """A source that plays a list: a frame's gray value, None for "nothing came", or an exception to raise.

    After the list a recording ends; a live source gives nothing more. `opens` and `closes` count; `failing_opens` holds
    the exceptions of the next attempts to open. With `gate` each reading waits for a permit, so that a test sets the pace;
    `stored` is released once a frame, when its reader comes back for the next one.
    """

    def __init__(self, script: list[Any], live: bool, clock: Any, gate: threading.Semaphore | None = None) -> None:
        self.live = live
        self.opens = self.closes = 0
        self.failing_opens: deque[Exception] = deque()
        self._script, self._clock, self._gate = deque(script), clock, gate
        self._seq = 0
        self._handed = False
        self.stored = threading.Semaphore(0)

    def open(self) -> None:
        self.opens += 1
        if self.failing_opens:
            raise self.failing_opens.popleft()

    def read(self) -> Frame | None:
        if self._handed:
            self._handed = False
            self.stored.release()
        if self._gate is not None and not self._gate.acquire(timeout=0.05):
            return None
        if not self._script:
            if not self.live:
                raise EndOfStream
            self._clock.sleep(0.01)
            return None
        item = self._script.popleft()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return None
        gray = item if isinstance(item, np.ndarray) else np.full((48, 64), item, np.uint8)
        frame = Frame(self._seq, self._clock.mono_ns(), gray)
        self._seq += 1
        self._handed = True
        return frame

    def describe(self) -> SourceDescription:
        return SourceDescription("scripted", "scripted", time="when read")

    def close(self) -> None:
        self.closes += 1


class FixedFaces:
    """A detector that finds the same faces in every frame, whatever it shows."""

    name = "fixed"

    def __init__(self, *faces: Face) -> None:
        self.faces = faces

    def detect(self, gray: np.ndarray) -> list[Face]:
        return list(self.faces)


class CompletedRequest:
    """A frame of the fake picamera2 with its metadata; the test counts that each is released."""

    def __init__(self, request: Any, picam2: Picamera2) -> None:
        self.request, self.picam2 = request, picam2
        picam2.held += 1

    def make_array(self, name: str) -> np.ndarray:
        """YUV420 as picamera2 gives it: uint8 (3 H / 2, stride), the Y plane first, each row padded to the stride."""
        config = self.picam2.stream_configuration(name)
        width, height = config["size"]
        array = np.full((height * 3 // 2, config["stride"]), 255, np.uint8)  # chroma and padding no gray frame may show
        array[:height, :width] = self.request["y"]
        return array

    def get_metadata(self) -> dict[str, Any]:
        return dict(self.request["metadata"])

    def release(self) -> None:
        self.picam2.held -= 1


class Picamera2:
    """The part of picamera2 that csi.py uses, with the signatures of 0.3.38 (a test compares them with its source).

    `served` is what cameras give: requests as {"y": uint8 (H, W), "metadata": {...}}; TimeoutError when it is empty.
    """

    cameras: list[dict[str, Any]] = []  # noqa: RUF012 - shared on purpose, as the machine's list is
    served: deque[dict[str, Any]] = deque()  # noqa: RUF012
    made: list[Picamera2] = []  # noqa: RUF012

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.cameras

    def __init__(
        self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None, allocator: Any = None
    ) -> None:
        if camera_num not in [camera["Num"] for camera in Picamera2.cameras]:
            raise IndexError("list index out of range")
        self.camera_num = camera_num
        self.calls: list[str] = []
        self.config: dict[str, Any] = {}
        self.held = 0
        Picamera2.made.append(self)

    def create_video_configuration(
        self,
        main: Any = {},  # noqa: B006 - as picamera2 has it
        lores: Any = None,
        raw: Any = {},  # noqa: B006
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: Any = {},  # noqa: B006
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
        sensor: Any = {},  # noqa: B006
        use_case: str = "video",
    ) -> dict[str, Any]:
        return {"main": dict(main), "lores": dict(lores), "buffer_count": buffer_count, "controls": dict(controls)}

    def configure(self, camera_config: Any = None) -> None:
        for name in ("main", "lores"):
            width = camera_config[name]["size"][0]
            camera_config[name]["stride"] = (width + 63) // 64 * 64
        self.config = camera_config
        self.calls.append("configure")

    def stream_configuration(self, name: str = "main") -> dict[str, Any]:
        return self.config[name]

    def start(self, config: Any = None, show_preview: Any = False) -> None:
        self.calls.append("start")

    def capture_request(self, wait: Any = None, signal_function: Any = None, flush: Any = None) -> CompletedRequest:
        if not Picamera2.served:
            assert wait is not None, "a capture without a limit waits for ever on a loose cable"
            raise TimeoutError
        return CompletedRequest(Picamera2.served.popleft(), self)

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel_all_and_flush")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


class NetworkCamera:
    """A camera on loopback that serves MJPEG at `fps` to every client until `stop()`.

    `picture` gives the frame of a time in seconds, uint8 (H, W). `requests` holds the request line and headers of each
    connection. `hang()` keeps connections open without another picture until `go_on()`; `stop()` closes them and the server.
    """

    def __init__(self, picture: Callable[[float], np.ndarray], fps: float = 20.0) -> None:
        self._stopped, self._hung = threading.Event(), threading.Event()
        self.requests: list[str] = []
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append(f"{self.requestline}\n{self.headers}")
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                try:
                    while not camera._stopped.wait(1 / fps):
                        if camera._hung.is_set():
                            continue
                        good, jpeg = cv2.imencode(".jpg", picture(number / fps))
                        assert good
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                        number += 1
                except OSError:
                    pass  # the reader went away
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def address(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}/stream"

    def hang(self) -> None:
        self._hung.set()

    def go_on(self) -> None:
        self._hung.clear()

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def network_camera(picture: Callable[[float], np.ndarray], fps: float = 20.0) -> Iterator[NetworkCamera]:
    """A NetworkCamera for the time of the block."""
    camera = NetworkCamera(picture, fps)
    try:
        yield camera
    finally:
        camera.stop()


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port of loopback that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
