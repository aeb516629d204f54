"""Notifications to systemd on a real datagram socket; without a listener nothing is sent."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import FakeClock

from device.service.sd_notify import Notifier

SECOND = 1_000_000_000


@contextmanager
def listener(name: str) -> Iterator[tuple[dict[str, str], socket.socket]]:
    """The environment that systemd would give, and the socket it hears on; it never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as node:
        node.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        yield {"NOTIFY_SOCKET": name}, node


def datagrams(node: socket.socket) -> list[str]:
    """All received datagrams in order."""
    found = []
    while True:
        try:
            found.append(node.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.mark.parametrize("name", ["{}/notify", "@fer-edge-test-{pid}"])
def test_each_state_of_a_run_is_sent_once(tmp_path: Path, name: str) -> None:
    with listener(name.format(tmp_path, pid=os.getpid())) as (environ, node):
        notifier = Notifier(FakeClock(), environ)
        notifier.status("waiting for the camera")
        notifier.status("waiting for the camera")
        notifier.ready("running")
        notifier.status("running")
        notifier.status("two\nlines")
        notifier.reloading(1_234_567_899)
        notifier.ready("running")
        notifier.feed_watchdog()
        notifier.stopping("stopped by SIGTERM")
        assert datagrams(node) == [
            "STATUS=waiting for the camera",
            "READY=1\nSTATUS=running",
            "STATUS=two lines",
            # one datagram: systemd 253 and later take no reload without its time
            "RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=reading the settings again",
            "READY=1\nSTATUS=running",
            "STOPPING=1\nSTATUS=stopped by SIGTERM",
        ], "without a watchdog nothing is fed"


def watched(environ: dict[str, str], **more: str) -> tuple[FakeClock, Notifier]:
    clock = FakeClock()
    return clock, Notifier(clock, {**environ, "WATCHDOG_USEC": "30000000", **more})


def test_the_watchdog_is_fed_by_frames_each_half_interval(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        clock, notifier = watched(environ, WATCHDOG_PID=str(os.getpid()))
        assert notifier.watchdog_s == 30.0
        fed_s = []
        for tenth in range(601):  # a minute at ten frames a second
            notifier.feed_watchdog()
            fed_s += [tenth / 10] * len(datagrams(node))
            clock.sleep(0.1)
        assert fed_s == [0, 15, 30, 45, 60]


def test_without_a_frame_nothing_feeds_the_watchdog(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        clock, notifier = watched(environ)
        notifier.feed_watchdog()
        for _ in range(40):
            clock.sleep(1.0)
            notifier.status(f"turn {clock.mono_ns()}")
        assert [text for text in datagrams(node) if "WATCHDOG" in text] == ["WATCHDOG=1"]
        notifier.feed_watchdog_without_frame()
        assert datagrams(node) == ["WATCHDOG=1"]


@pytest.mark.parametrize("usec", ["", "0", "-5", "soon", "²"])
def test_an_invalid_watchdog_interval_means_no_watchdog(tmp_path: Path, usec: str) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        notifier = Notifier(FakeClock(), {**environ, "WATCHDOG_USEC": usec})
        notifier.feed_watchdog()
        assert notifier.watchdog_s == 0 and datagrams(node) == []


def test_the_watchdog_of_another_process_is_not_fed(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        _, notifier = watched(environ, WATCHDOG_PID=str(os.getppid()))
        notifier.feed_watchdog()
        assert datagrams(node) == []


@pytest.mark.parametrize("name", ["", "relative", "{}/absent", "vsock:2:1234", "@fer-edge-nobody-listens-{pid}"])
def test_without_a_listener_nothing_fails(tmp_path: Path, name: str) -> None:
    notifier = Notifier(FakeClock(), {"NOTIFY_SOCKET": name.format(tmp_path, pid=os.getpid()), "WATCHDOG_USEC": "1000"})
    notifier.ready("running")
    notifier.feed_watchdog()
    notifier.stopping("done")


def test_a_full_socket_never_blocks_the_loop(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        clock, notifier = watched(environ)
        for _ in range(2000):
            clock.now_ns += 20 * SECOND
            notifier.feed_watchdog()
        assert 1 <= len(datagrams(node)) < 2000


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        clock, notifier = watched(environ)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            clock.now_ns += 20 * SECOND
            notifier.feed_watchdog()
            datagrams(node)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_messages_equal_those_of_systemd_notify(tmp_path: Path) -> None:
    with listener(f"{tmp_path}/notify") as (environ, node):
        Notifier(FakeClock(), environ).ready("running")
        own_lines = {line for text in datagrams(node) for line in text.split("\n")}
        assert own_lines == {"READY=1", "STATUS=running"}
        if tool := shutil.which("systemd-notify"):
            command = [tool, "--no-block", "--ready", "--status=running"]
            subprocess.run(command, env={**os.environ, **environ}, check=True)
            assert own_lines <= {line for text in datagrams(node) for line in text.split("\n")}
