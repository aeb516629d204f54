"""Brokers for tests: a real Mosquitto on loopback that can be killed and started again, one who listens, and bad ones."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.loopback import free_port


class Mosquitto:
    """Debian's Mosquitto, a plain process with a configuration of its own in `folder`. A context manager.

    It keeps what it knows on each change, so that even one that is killed has forgotten nothing that it acknowledged; with
    `durable` false once a second, since each time it writes all that it keeps of all devices.
    """

    def __init__(self, folder: Path, *config: str, port: int | None = None, durable: bool = True) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert program, "no mosquitto; on Debian: apt install mosquitto"
        self.port = port or free_port()
        self._folder = folder
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
        lines += [
            f"autosave_on_changes {str(durable).lower()}",
            "autosave_interval 1",
            "max_queued_messages 0",
            "max_inflight_messages 0",
        ]
        lines += ["set_tcp_nodelay true", *(config or ("allow_anonymous true",))]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # a descriptor for each device
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 65_536), hard), hard))
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._started = time.monotonic()
        until(lambda: reachable(self.port), 10.0)

    def log(self) -> str:
        """What it said so far."""
        return (self._folder / "mosquitto.log").read_text()

    def cost(self) -> dict[str, float]:
        """What its process has taken: seconds of a processor, memory, and the seconds since its start."""
        assert self._process is not None
        folder = Path(f"/proc/{self._process.pid}")
        ticks = sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:13]))
        pages = int((folder / "statm").read_text().split()[1])
        return {
            "cpu_s": ticks / os.sysconf("SC_CLK_TCK"),
            "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") / 1000,
            "age_s": time.monotonic() - self._started,
        }

    def freeze(self) -> None:
        """Lets it hang: the kernel accepts connections for it, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends what `freeze` began."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)  # one that hangs could not end
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """Who subscribes to everything with QoS 1 and a session that the broker keeps. `heard`: topic, payload, retained."""

    def __init__(self, port: int, name: str = "listener", **tls: Any) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        if tls:
            self._client.tls_set(**tls)
        self.subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("localhost" if tls else "127.0.0.1", port)
        self._client.loop_start()
        assert self.subscribed.wait(10)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.heard.append((message.topic, message.payload, message.retain))

    def of(self, what: str) -> list[Any]:
        """The payloads of the topics that end so, JSON parsed."""
        found = [payload for topic, payload, _ in list(self.heard) if topic.rpartition("/")[2] == what]
        return [json.loads(payload) if payload[:1] == b"{" else payload.decode() for payload in found]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int, **tls: Any) -> Iterator[Listener]:
    """A Listener for the time of the block."""
    listener = Listener(port, **tls)
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def slow_proxy(port: int, bytes_per_s: int) -> Iterator[int]:
    """A port that leads to `port` of loopback, both ways so slowly."""
    stopped = threading.Event()
    sockets: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(max(1, bytes_per_s // 10)):
                if stopped.wait(len(data) / bytes_per_s):
                    return
                sink.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def serve() -> None:
            while not stopped.is_set():
                with suppress(OSError):
                    near, _ = server.accept()
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    near.settimeout(None)
                    far = socket.create_connection(("127.0.0.1", port))
                    sockets.extend((near, far))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stopped.set()
            thread.join()
            for end in sockets:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def until(holds: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Returns as soon as that holds. Raises AssertionError when it takes too long."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"not in {limit_s:g} s"
        time.sleep(0.01)


def certificates(folder: Path, *names: str) -> dict[str, Path]:
    """A new authority (`ca`) and, signed by it, NAME.crt and NAME.key for each name, which is a host; by openssl."""
    made = {}

    def openssl(words: str) -> None:
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)

    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt")
    for name in names:
        openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        (folder / "ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl(f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -days 2 -extfile ext -out {name}.crt")
        (folder / f"{name}.key").chmod(0o644)  # Mosquitto leaves root before it reads
        made |= {name: folder / f"{name}.crt", f"{name}.key": folder / f"{name}.key"}
    return {"ca": folder / "ca.crt", **made}


def with_password(folder: Path, user: str, password: str) -> tuple[str, ...]:
    """The configuration of a broker that lets in that user alone."""
    path = folder / "users"
    path.write_text("")
    subprocess.run(["mosquitto_passwd", "-b", str(path), user, password], check=True, capture_output=True)
    path.chmod(0o644)
    return "allow_anonymous false", f"password_file {path}"
