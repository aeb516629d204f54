"""A USB webcam for the kernel's own uvcvideo driver, without hardware: a USB/IP device on vhci_hcd. It runs in the machine.

    python3 usb_camera.py FOLDER FORMATS PORT SERIAL

FOLDER holds the pictures WIDTHxHEIGHT-NUMBER.gray (bytes of rows) and .jpg. FORMATS is yuyv, mjpg or both with a comma. PORT is
that of the virtual host controller. It streams in bulk, 640×480 and 320×240, at 10 or 30 frames a second. SIGUSR1 stops the
frames, SIGUSR2 lets them go on, SIGTERM unplugs the camera. Standard library only.

Sources: USB Video Class 1.0 (descriptors, probe and commit), the kernel's Documentation/usb/usbip_protocol.rst.
"""

from __future__ import annotations

import collections
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

SIZES = ((640, 480), (320, 240))
INTERVALS = (1_000_000, 333_333)  # in units of 100 ns; the first is the default
PAYLOAD_BYTES = 16384
CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
HIGH_SPEED = 3
STALL, CANCELLED = -32, -104  # EPIPE, ECONNRESET


def descriptor(*content: int) -> bytes:
    """A USB descriptor: its length, then the content."""
    return bytes([len(content) + 1, *content])


def words(pattern: str, *values: int) -> list[int]:
    """Numbers as little-endian bytes."""
    return list(struct.pack(f"<{pattern}", *values))


def text(value: str) -> bytes:
    """A string descriptor."""
    encoded = value.encode("utf-16-le")
    return bytes([len(encoded) + 2, 3]) + encoded


def streaming_descriptors(formats: list[str]) -> bytes:
    """The class-specific descriptors of the streaming interface: a format each, with its sizes."""
    yuy2 = b"YUY2\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    body = b""
    for number, name in enumerate(formats, 1):
        count = len(SIZES)
        if name == "yuyv":
            body += descriptor(0x24, 4, number, count, *yuy2, 16, 1, 0, 0, 0, 0)
        else:
            body += descriptor(0x24, 6, number, count, 1, 1, 0, 0, 0, 0)
        for index, (width, height) in enumerate(SIZES, 1):
            rates, bits = words("II", *sorted(INTERVALS)), width * height * 160
            limits = words("HHIIII", width, height, bits, 3 * bits, width * height * 2, INTERVALS[0])
            body += descriptor(0x24, 5 if name == "yuyv" else 7, index, 0, *limits, len(INTERVALS), *rates)
        body += descriptor(0x24, 13, 1, 1, 4)
    total = 13 + len(formats) + len(body)
    return descriptor(0x24, 1, len(formats), *words("H", total), 0x81, 0, 2, 0, 0, 0, 1, *([0] * len(formats))) + body


def configuration(formats: list[str]) -> bytes:
    """The configuration: a control interface with a camera terminal, and a streaming interface with one bulk endpoint."""
    units = descriptor(0x24, 2, 1, *words("H", 0x0201), *([0] * 7), 3, 0, 0, 0)
    units += descriptor(0x24, 3, 2, *words("H", 0x0101), 0, 1, 0)
    control = descriptor(0x24, 1, *words("HHI", 0x100, 13 + len(units), 48_000_000), 1, 1) + units
    body = descriptor(11, 0, 2, 14, 3, 0, 2) + descriptor(4, 0, 0, 0, 14, 1, 0, 2) + control
    body += descriptor(4, 1, 0, 1, 14, 2, 0, 0) + streaming_descriptors(formats)
    body += descriptor(5, 0x81, 2, *words("H", 512), 0)
    return descriptor(2, *words("H", 9 + len(body)), 2, 1, 0, 0x80, 50) + body


class Camera:
    """The device's side of the connection to the virtual host controller."""

    def __init__(self, folder: Path, formats: list[str], port: int, serial: str) -> None:
        self.formats, self.port, self.folder = formats, port, folder
        self.format, self.size, self.interval = 1, 1, INTERVALS[0]
        self.strings = [bytes([4, 3, 9, 4]), text("fer-edge"), text("Test Webcam"), text(serial)]
        self.device = descriptor(1, 0, 2, 0xEF, 2, 1, 64, *words("HHH", 0x1D6B, 0x0102, 0x0100), 1, 2, 3, 1)
        self.configuration = configuration(formats)
        self.streams = threading.Event()
        self.streams.set()
        self.changed = threading.Condition()
        self.requests: collections.OrderedDict[int, int] = collections.OrderedDict()  # bulk reads: number, bytes
        self.socket, self.kernel_socket = socket.socketpair()

    def attach(self) -> None:
        """Plugs the camera in. The threads must run before."""
        subprocess.run(["modprobe", "vhci_hcd"], check=True)
        identity = (self.port + 1) << 16 | 1
        line = f"{self.port} {self.kernel_socket.fileno()} {identity} {HIGH_SPEED}"
        (CONTROLLER / "attach").write_text(line)
        self.kernel_socket.close()

    def detach(self) -> None:
        """Unplugs the camera."""
        (CONTROLLER / "detach").write_text(str(self.port))

    def control_state(self) -> bytes:
        """The answer to a probe: format, size, interval, and how much a frame and a transfer may have."""
        width, height = SIZES[self.size - 1]
        sizes = (0, 0, 0, 0, 0, width * height * 2, PAYLOAD_BYTES)
        return struct.pack("<HBBIHHHHHII", 1, self.format, self.size, self.interval, *sizes)

    def answer(self, setup: bytes, data: bytes) -> tuple[int, bytes]:
        """Status and data for a request on the control endpoint."""
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        if kind == 0x80 and request == 6:
            return self.describe(value >> 8, value & 255, length)
        if kind in (0x80, 0x81, 0x82) and request == 0:
            return 0, b"\0\0"[:length]
        if kind == 0x81 and request == 10:
            return 0, b"\0"
        if not kind & 0xE0:
            return 0, b""
        if kind & 0x60 == 0x20 and index & 255 == 1 and value >> 8 in (1, 2):
            if kind & 0x80:
                return 0, {0x86: b"\x03", 0x85: struct.pack("<H", 26)}.get(request, self.control_state())[:length]
            _, number, size, interval = struct.unpack_from("<HBBI", data)
            self.format = min(max(number, 1), len(self.formats))
            self.size = min(max(size, 1), len(SIZES))
            self.interval = min(INTERVALS, key=lambda known: abs(known - (interval or INTERVALS[0])))
            return 0, b""
        return STALL, b""

    def describe(self, kind: int, index: int, length: int) -> tuple[int, bytes]:
        """The descriptor of that kind."""
        if kind == 3:
            found = self.strings[index] if index < len(self.strings) else b""
        else:
            found = {1: self.device, 2: self.configuration}.get(kind, b"")
        return (0, found[:length]) if found else (STALL, b"")

    def pictures(self) -> list[bytes]:
        """The pictures in the chosen format and size, as they are sent."""
        width, height = SIZES[self.size - 1]
        if self.formats[self.format - 1] == "mjpg":
            return [path.read_bytes() for path in sorted(self.folder.glob(f"{width}x{height}-*.jpg"))]
        sent = []
        for path in sorted(self.folder.glob(f"{width}x{height}-*.gray")):
            yuyv = bytearray(b"\x80" * (2 * width * height))
            yuyv[::2] = path.read_bytes()
            sent.append(bytes(yuyv))
        return sent

    def send_pictures(self) -> None:
        """Fills the bulk reads with pictures at the chosen rate, for ever."""
        kept: dict[tuple[int, int], list[bytes]] = {}
        toggle, number, due_s = 0, 0, time.monotonic()
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.requests)
            self.streams.wait()
            due_s = max(due_s + self.interval / 1e7, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            key = self.format, self.size
            if key not in kept:
                kept[key] = self.pictures()
            picture = kept[key][number % len(kept[key])]
            number, toggle, sent = number + 1, toggle ^ 1, 0
            while sent < len(picture):
                with self.changed:
                    if not self.changed.wait_for(lambda: self.requests, 0.5):
                        break  # the stream was stopped in the middle of a picture
                    sequence, length = self.requests.popitem(last=False)
                    part = picture[sent : sent + min(length, PAYLOAD_BYTES) - 2]
                    sent += len(part)
                    last = 2 if sent >= len(picture) else 0
                    self.reply(sequence, 0, 2 + len(part), bytes([2, 0x80 | toggle | last]) + part)

    def reply(self, sequence: int, status: int, length: int, data: bytes = b"") -> None:
        """Sends USBIP_RET_SUBMIT; the caller holds the lock."""
        self.socket.sendall(struct.pack(">5I5i8x", 3, sequence, 0, 0, 0, status, length, 0, 0, 0) + data)

    def exactly(self, length: int) -> bytes:
        """The next bytes of the connection; the process ends with it."""
        received = b""
        while len(received) < length:
            part = self.socket.recv(length - len(received))
            if not part:
                os._exit(0)
            received += part
        return received

    def serve(self) -> None:
        """Answers USB/IP's commands, for ever."""
        while True:
            header = self.exactly(48)
            command, sequence, _, to_host, endpoint = struct.unpack(">5I", header[:20])
            if command == 1:
                (length,) = struct.unpack(">i", header[24:28])
                data = self.exactly(length) if not to_host and length > 0 else b""
                with self.changed:
                    if endpoint == 0:
                        status, answer = self.answer(header[40:48], data)
                        self.reply(sequence, status, len(answer if to_host else data), answer if to_host else b"")
                    else:
                        self.requests[sequence] = length
                        self.changed.notify_all()
            elif command == 2:
                (cancelled,) = struct.unpack(">I", header[20:24])
                with self.changed:
                    status = CANCELLED if self.requests.pop(cancelled, None) is not None else 0
                    self.socket.sendall(struct.pack(">5Ii24x", 4, sequence, 0, 0, 0, status))


def main(folder: str, formats: str, port: str, serial: str) -> None:
    """Plugs the camera in and stays until SIGTERM."""
    camera = Camera(Path(folder), formats.split(","), int(port), serial)
    signal.signal(signal.SIGUSR1, lambda *_: camera.streams.clear())
    signal.signal(signal.SIGUSR2, lambda *_: camera.streams.set())
    signal.signal(signal.SIGTERM, lambda *_: (camera.detach(), os._exit(0)))
    threading.Thread(target=camera.send_pictures, daemon=True).start()
    threading.Thread(target=camera.serve, daemon=True).start()
    camera.attach()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
