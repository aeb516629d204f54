"""Who may see the live page: its address, its token, and what of that is ever said; with runs as processes of their own."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from builders import journal_events
from fakes import FakeClock
from processes import ROOT, start_run, wait_until
from small_disk import mounted

from device.address import Address
from device.config import Settings
from device.output.allowed_hosts import is_allowed_host, is_loopback, is_same_origin, page_url
from device.output.live import live_page
from device.output.live.server import bind_address
from device.output.live.sink import page_options
from device.output.live.token import is_in_system_log, matches, new_token, read_or_create_token
from fer_edge.errors import UsageError

SECRET = "a-token-of-this-test-0123456789"


def status_of(port: int, path: str = "/state", method: str = "GET", **headers: str) -> int:
    """What the page at that port answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


@pytest.mark.parametrize(
    ("host", "loopback", "shown"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8780/"),
        ("localhost", True, "http://localhost:8780/"),
        ("::1", True, "http://[::1]:8780/"),
        ("0.0.0.0", False, "http://pi.local:8780/"),
        ("::", False, "http://pi.local:8780/"),
        ("192.168.1.5", False, "http://192.168.1.5:8780/"),
        ("127.0.0.1.example", False, "http://127.0.0.1.example:8780/"),
    ],
)
def test_loopback_addresses(host: str, loopback: bool, shown: str) -> None:
    assert is_loopback(host) is loopback and page_url(Address(host, 8780), "pi") == shown


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.168.1.5:8780", True),
        ("[fe80::1]:8780", True),
        ("pi.local:8780", True),
        ("pi", True),
        ("PI.fritz.box", True),
        ("localhost:8780", True),
        ("pi.attacker.example", False),
        ("attacker.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_a_network_page_is_served_by_ip_address_and_own_name(host: str, expected: bool) -> None:
    assert is_allowed_host(host, Address("0.0.0.0", 8780), "Pi") is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("pi.example.org", True),
        ("pi", True),
        ("pi.local:8780", True),
        ("example.org", False),
        ("pi.attacker.example", False),
        ("pi.example.org.attacker.example", False),
    ],
)
def test_a_name_with_a_domain_is_served_as_it_is_and_without_the_domain(host: str, expected: bool) -> None:
    assert is_allowed_host(host, Address("0.0.0.0", 8780), "Pi.example.org") is expected
    assert page_url(Address("0.0.0.0", 8780), "Pi.example.org") == "http://Pi.example.org:8780/"


def test_all_addresses_of_ipv6_are_those_of_ipv4_too() -> None:
    """As for the metrics: a telephone may find the IPv4 address first."""
    sockets = bind_address(Address("::", 0))
    try:
        assert {one.family for one in sockets} == {socket.AF_INET, socket.AF_INET6}
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()


def test_a_request_without_an_origin_is_allowed() -> None:
    assert (
        is_same_origin(None, None, "h")
        and not is_same_origin("cross-site", None, "h")
        and not is_same_origin(None, "http://i", "h")
    )


@pytest.mark.parametrize("text", ["", "localhost", "a:b", "a:99999", "::1:80", "http://a:1", "a b:1"])
def test_an_invalid_live_address_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="live must be HOST:PORT"):
        Settings(live=text)


def test_a_token_file_is_created_for_its_owner_alone_and_reused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    first = read_or_create_token(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(first) == 32
    assert read_or_create_token(path) == first != new_token()
    assert matches(first, first) and not matches("", first) and not matches("ü", first)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (SECRET, 0o644, "can be read by others"),
        (SECRET, 0o640, "can be read by others"),
        ("short", 0o600, "holds no token"),
        ("two words that are long enough", 0o600, "holds no token"),
        ("", 0o600, "holds no token"),
    ],
)
def test_an_invalid_token_file_is_rejected(content: str, mode: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(UsageError, match=words):
        read_or_create_token(path)
    with pytest.raises(UsageError, match="cannot be written to"):
        read_or_create_token(tmp_path / "no/token")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="cannot be read"):
        read_or_create_token(path)


def test_a_full_disk_leaves_no_token_file_and_a_later_start_has_one(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "64k") as disk:
        (disk / "ballast").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        with pytest.raises(UsageError, match=r"cannot be written to .* \(No space left on device\)"):
            read_or_create_token(disk / "token")
        assert [file.name for file in disk.iterdir()] == ["ballast"]
        (disk / "ballast").unlink()
        assert read_or_create_token(disk / "token") == read_or_create_token(disk / "token")


def test_a_logged_service_gets_no_printed_token(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        found = os.fstat(log.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        assert (
            is_in_system_log(log, stream)
            and not is_in_system_log(log, "")
            and not is_in_system_log(io.StringIO(), stream)
        )
        settings, file = Settings(live="0.0.0.0:0"), tmp_path / "token"
        with redirect_stderr(log):
            with pytest.raises(UsageError, match="live_token_file"):
                page_options(settings, {"JOURNAL_STREAM": stream})
            for other in (replace(settings, live="127.0.0.1:0"), replace(settings, live_token_file=file)):
                page_options(other, {"JOURNAL_STREAM": stream})
        page_options(settings, {})


@pytest.mark.parametrize("values", [{"live_token_file": Path("t")}, {"show_pixels_s": 60.0}])
def test_settings_of_the_page_need_live(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="add --live"):
        live_page(Settings(**values), FakeClock(), print)


def test_a_missing_live_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tornado", None)
    with pytest.raises(UsageError, match=r"pip install 'fer-edge\[live\]'"):
        live_page(Settings(live="127.0.0.1:0"), FakeClock(), print)


def test_an_occupied_port_ends_a_run_before_its_camera_opens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        run = start_run(tmp_path, "synthetic", "--live", f"127.0.0.1:{occupied.getsockname()[1]}")
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 2 and stderr.count("\n") == 1 and "another run may use it" in stderr


def test_the_token_is_printed_once_and_stored_nowhere(tmp_path: Path) -> None:
    run = start_run(tmp_path, "synthetic", "--live", "0.0.0.0:0", "--json", sync_s=0.2)
    try:
        assert run.stderr is not None
        line = run.stderr.readline()
        url, token = line.split("the live page is ")[1].split(" ")[0].split("#token=")
        port = int(url.rstrip("/").rpartition(":")[2])
        assert status_of(port) == 401
        assert status_of(port, "/session", "POST", Authorization=f"Bearer {token}") == 204
        assert status_of(port, f"/state?token={token}") == 401, "and no address of a request is logged"
        assert status_of(port, Authorization=f"Bearer {token}") == 200
        wait_until(
            run,
            lambda: bool(list((tmp_path / "log").glob("*.jsonl"))) and (tmp_path / "run/camera.status.json").exists(),
        )
        shown_by_kernel = [Path(f"/proc/{run.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        status = (tmp_path / "run/camera.status.json").read_text()
    finally:
        run.terminate()
        out, stderr = run.communicate(timeout=60)
    assert run.returncode == 0 and len(token) == 32 and journal_events(tmp_path / "log")[-1].kind == "end"
    contents = [
        path.read_text() for folder in ("log", "run") for path in (tmp_path / folder).iterdir() if path.is_file()
    ]
    for text in [out, stderr, status, *contents, *(raw.decode() for raw in shown_by_kernel)]:
        assert token not in text


def test_show_pixels_takes_a_duration() -> None:
    command = [sys.executable, "-m", "fer_edge", "run", "--live", "--explain-privacy", "--show-pixels"]
    for given, words in (
        (["5min"], "for 5 minutes after"),
        (["90s"], "for 1.5 minutes"),
        ([], "for 10 minutes"),
        (["1h"], "for 60 min"),
    ):
        ran = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=True)
        assert words in " ".join(ran.stdout.split())
    for wrong in ("2h", "5 apples", "0"):
        assert subprocess.run([*command, wrong], cwd=ROOT, capture_output=True, check=False).returncode == 2


def test_the_documented_live_commands_run() -> None:
    import re

    section = (ROOT / "device/README.md").read_text().split("## The live page")[1].split("\n## ")[0]
    helped = "".join(
        subprocess.run(
            [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for command in (
            ("fer_edge", "run"),
            ("fer_edge", "service", "install"),
            ("tests.browser.picture",),
            ("tests.bench.live_viewers",),
        )
    )
    flags = set(re.findall(r"--[a-z][a-z-]+", section))
    assert {"--live", "--live-token-file", "--show-pixels", "--network", "--explain-privacy"} <= flags
    assert {flag for flag in flags if flag not in helped} == set()
