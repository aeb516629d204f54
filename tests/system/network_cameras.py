"""Network cameras on loopback that misbehave when they are told to: MJPEG by the standard library, RTSP by GStreamer."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from tests.loopback import free_port

FPS = 20.0
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")


def picture(number: int, width_px: int = 320, height_px: int = 240) -> np.ndarray:
    """A gray frame uint8 (H, W) unlike the one before: a bar that moves."""
    gray = np.full((height_px, width_px), 90, np.uint8)
    x = number * 7 % width_px
    gray[:, x : x + 20] = 200
    return gray


class Camera(Protocol):
    """A camera that can be told to fail. `start` after `stop` is the same camera, on the same port."""

    address: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def behave(self, how: str) -> None: ...


class MjpegCamera:
    """MJPEG over HTTP. `behave`: well, hang (connections stay open, no picture comes), mute (nothing is answered at all),
    freeze (one picture for ever), garbage (instead of each picture), small (another size).
    """

    def __init__(self, draw: Callable[..., np.ndarray] = picture) -> None:
        self.port = free_port()
        self._draw = draw
        self.address = f"http://127.0.0.1:{self.port}/stream"
        self.how = "well"
        self.number = 0  # of the picture, whoever looks at it
        self._server: socket.socket | None = None
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def behave(self, how: str) -> None:
        self.how = how

    def start(self) -> None:
        self._stopped = threading.Event()
        self._server = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._spawn(self._listen, self._server, self._stopped)

    def stop(self) -> None:
        self._stopped.set()
        if self._server is not None:
            self._server.close()
            self._server = None
        for thread in self._threads:
            thread.join(5)
        self._threads = []

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _listen(self, server: socket.socket, stopped: threading.Event) -> None:
        server.settimeout(0.1)
        while not stopped.is_set():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._spawn(self._serve, client, stopped)

    def _serve(self, client: socket.socket, stopped: threading.Event) -> None:
        with client:
            try:
                client.settimeout(1.0)
                client.recv(4096)
                while self.how == "mute" and not stopped.wait(0.05):
                    pass
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n")
                while not stopped.wait(1 / FPS):
                    how = self.how
                    if how in ("hang", "mute"):
                        continue
                    if how != "freeze":
                        self.number += 1
                    number = self.number
                    size = (160, 120) if how == "small" else (320, 240)
                    jpeg = cv2.imencode(".jpg", self._draw(number, *size))[1].tobytes()
                    if how == "garbage":
                        jpeg = np.random.default_rng(number).bytes(len(jpeg))
                    head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    client.sendall(head.encode() + jpeg + b"\r\n")
            except OSError:
                pass  # the reader went away


class RtspCamera:
    """RTSP, H.264, a key frame a second, in a process of its own: the system's Python with GStreamer's server.

    `behave` as MjpegCamera's; garbage is the bytes of coded pictures, and mute a process that stands still.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"rtsp://127.0.0.1:{self.port}/stream"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = ["/usr/bin/python3", str(RTSP_SERVER), str(self.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        missing = "GStreamer's RTSP server did not start: xargs apt-get install -y < tests/system/packages.txt"
        assert self._process.stdout.readline().strip() == "ready", missing

    def behave(self, how: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.send_signal(signal.SIGSTOP if how == "mute" else signal.SIGCONT)
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            time.sleep(0.05)  # the port is free a moment later
