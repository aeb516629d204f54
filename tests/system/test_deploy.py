"""Deploys to a real OpenSSH server: fresh, repeated, interrupted, with a full disk, rejected, rolled back, removed.

The tests run in the order of this file, because each changes the target. The service runs until the last tests remove it.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from system.sshd import ROOT, Target, later_checkout, possible, target

from convert.deploy.ssh import SshConnection
from convert.deploy.ssh_address import HostUnreachable, SshAddress
from fer_edge.errors import FerEdgeError, UsageError
from tests.loopback import free_port

SECRET = "s3cret-of-the-broker"
SETTINGS = f"""# password: {SECRET}
camera = "synthetic"
fps = 4.0
width_px = 320
height_px = 240
sync_s = 0.0
"""
STEPS = [
    "connect",
    "inspect",
    "pack",
    "transfer",
    "environment",
    "install",
    "bundle",
    "doctor",
    "switch",
    "start",
    "log",
    "others",
    "finish",
]
EVERYTHING = (
    "find /opt /etc /var/lib /root /home /run /tmp -maxdepth 3 ! -name 'sort*' ! -path '/run/s[tu][ad]*' | sort"
)
PID = "cat /run/stand-in/fer-edge.service.pid"


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    if not possible():
        pytest.skip("no file system may be mounted here")
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "settings.toml").write_text(SETTINGS)
    with target(folder) as up:
        yield up


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of a later version: another wheel, another release."""
    return later_checkout(tmp_path_factory.mktemp("later"))


def deploy_json(pi: Target, *words: str | Path, root: Path = ROOT) -> dict[str, Any]:
    """The JSON result of a deploy of everything."""
    ran = pi.deploy("deploy", "pi", "--offline", "--json", *words, root=root)
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def status(pi: Target) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(pi.deploy("status", "pi", "--json").stdout)
    return answer


def is_serving(pi: Target) -> str:
    """The id and the command line of the service's process. Fails when there is none."""
    return pi.sh(f"pid=$({PID}); kill -0 $pid && echo $pid && tr '\\0' ' ' </proc/$pid/cmdline")


def bundle_in_use(pi: Target) -> str:
    """The name of the bundle with which the service of the camera began its newest segment."""
    line = pi.sh("""cat "$(ls /var/lib/fer-edge/journal-*.jsonl | tail -n 1)" | grep '"kind":"header"' | tail -n 1""")
    return str(json.loads(line)["bundle"]["name"])


def settings(pi: Target) -> Path:
    return pi.folder / "settings.toml"


@pytest.mark.parametrize(
    ("command", "host", "message"),
    [
        ("deploy", "stranger", "does not know the key of stranger, and none was accepted"),
        ("deploy", "changed", "has another key than the one"),
        ("status", "wrong-key", "does not let wrong-key in"),
        ("deploy", "forced", "gives this login no shell: it printed “welcome"),
        ("undeploy", "someone@pi", "may not become root"),
        ("fetch", "-oProxyCommand=touch /tmp/owned", "is not a host"),
    ],
)
def test_a_rejected_connection_changes_nothing(pi: Target, command: str, host: str, message: str) -> None:
    before = pi.sh(EVERYTHING)
    ran = pi.deploy(command, "--", host, check=False)
    assert ran.returncode == 2 and message in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
    assert pi.sh(EVERYTHING) == before
    assert not (pi.share.parent / "client" / "known_by_nobody").exists()
    assert not Path("/tmp/owned").exists()


@pytest.mark.parametrize(("answer", "code"), [("no", 2), ("yes", 8)])
def test_a_person_at_a_terminal_is_asked_about_an_unknown_key(pi: Target, answer: str, code: int) -> None:
    known = pi.share.parent / "client" / "known_by_nobody"
    command = [
        "script",
        "--quiet",
        "--return",
        "--command",
        f"{sys.executable} -m fer_edge status stranger",
        "/dev/null",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env=pi.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        output = b""
        while b"continue connecting" not in output:
            more = process.stdout.read(1000)
            assert more, output
            output += more
        process.stdin.write(f"{answer}\n".encode())
        output += process.stdout.read()
    assert process.returncode == code, output
    assert known.exists() == (answer == "yes")
    known.unlink(missing_ok=True)


def test_an_unreachable_port_is_a_sentence(pi: Target) -> None:
    ran = pi.deploy("status", "pi", "--port", "1", check=False)
    assert ran.returncode == 75 and "cannot be reached" in ran.stderr


def test_a_slow_login_is_no_missing_shell(pi: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", pi.environ["PATH"])
    pi.sh("echo 'echo welcome; sleep 600' >/home/someone/.bashrc")
    expected = "pi accepted the login and started no shell within 5 s; it printed “welcome”"
    with pytest.raises(HostUnreachable, match=expected), SshConnection(SshAddress("someone@pi"), login_s=5.0):
        pass
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(1) as pool,
        pytest.raises(HostUnreachable, match=r"pi did not finish the login within 1 s; .*`ssh pi` waits for"),
    ):
        greeting = pool.submit(greet, server)
        with SshConnection(SshAddress("pi", server.getsockname()[1]), login_s=1.0):
            pass
    assert greeting.result().startswith(b"SSH-2.0"), "the client had connected"


def greet(server: socket.socket) -> bytes:
    """Greets one client as an SSH server, and returns what it sends until it goes away."""
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"SSH-2.0-slow\r\n")
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(
    ("redirection", "rsync_error"),
    [("", "protocol version mismatch"), (" >&2", "top printed more than 1,048,576 bytes during “copying”")],
)
def test_a_target_that_prints_without_end_is_stopped(
    pi: Target, redirection: str, rsync_error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", pi.environ["PATH"])
    rsync = pi.share / "bin" / "rsync"
    rsync.write_text(f"#!/bin/sh\nexec yes{redirection}\n")
    rsync.chmod(0o755)
    try:
        with SshConnection(SshAddress("top")) as connection:
            with pytest.raises(UsageError, match="top printed more than 1,048,576 bytes during “chatter”"):
                connection.run(f"chatter() {{ yes{redirection}; }}", ["chatter"])
            assert connection.run("name() { echo name=value; }", ["name"]).first("name") == "value"
            with pytest.raises(FerEdgeError, match=rsync_error):
                connection.fetch("/etc", tmp_path, ["*"])
    finally:
        rsync.unlink()


def test_a_dry_run_changes_nothing(pi: Target) -> None:
    before = pi.sh(EVERYTHING)
    answer = deploy_json(pi, "--dry-run", "--config", settings(pi))
    assert pi.sh(EVERYTHING) == before
    assert [step["step"] for step in answer["steps"]] == STEPS[:3]
    assert answer["changed"] and f"switch from nothing to {answer['release']}" in answer["planned"]


def test_a_fresh_target_ends_with_a_service(pi: Target) -> None:
    seen: set[bytes] = set()
    over = threading.Event()
    watcher = threading.Thread(target=watch_processes, args=(seen, over))
    watcher.start()
    ran = pi.deploy("deploy", "pi", "--offline", "--json", "--config", settings(pi))
    over.set()
    watcher.join()
    answer = json.loads(ran.stdout)
    assert [step["step"] for step in answer["steps"]] == STEPS
    assert answer["done"] and answer["first_line"]["kind"] == "header" and answer["service"] == "started"
    assert answer["changed"] and not answer["planned"]
    assert sum(step["seconds"] for step in answer["steps"][:-1]) == pytest.approx(answer["first_line_s"], abs=0.5)
    assert [name for name in STEPS if f"fer-edge: {name} " not in ran.stderr] == []
    target_status = status(pi)
    assert (
        target_status["current"] == answer["release"]
        and target_status["health"]["healthy"]
        and target_status["service"]["ActiveState"] == "active"
    )
    assert pi.sh("ls /run/stand-in") == "calls\nfer-edge.service.enabled\nfer-edge.service.log\nfer-edge.service.pid"
    assert len(seen) > 20 and not [words for words in seen if SECRET.encode() in words]
    assert SECRET not in ran.stdout + ran.stderr
    (pi.folder / "seconds.json").write_text(json.dumps(answer["steps"]))


def watch_processes(seen: set[bytes], over: threading.Event) -> None:
    while not over.wait(0.02):
        for at in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(at.read_bytes())
            except OSError:
                continue


def test_owners_and_modes_of_files(pi: Target) -> None:
    release = status(pi)["current"]
    files = (
        "/etc/fer-edge/fer-edge.toml /etc/systemd/system/fer-edge.service /var/lib/fer-edge /var/lib/fer-edge/*-000001*"
    )
    stat_command = (
        f"cd /opt/fer-edge; stat -c '%n %U:%G %a' {files} . .deploy releases releases/{release} detectors bundles"
    )
    owners = dict(line.split(" ", 1) for line in pi.sh(stat_command).splitlines())
    assert owners == {
        "/etc/fer-edge/fer-edge.toml": "root:fer-edge 640",
        "/etc/systemd/system/fer-edge.service": "root:root 644",
        ".": "root:root 755",
        ".deploy": "root:root 700",
        "releases": "root:root 755",
        f"releases/{release}": "root:root 755",
        "detectors": "root:root 755",
        "bundles": "root:root 755",
        "/var/lib/fer-edge": "fer-edge:fer-edge 750",
        "/var/lib/fer-edge/journal-000001.jsonl": "fer-edge:fer-edge 600",
    }
    find_command = (
        "find /opt/fer-edge ! -type l \\( ! -user root -o -perm /022 -o ! -perm -044 \\) ! -path '*/.deploy*' | head -5"
    )
    assert pi.sh(find_command) == "", "only root can write, everybody can read"
    reads = "setpriv --reuid someone --regid someone --clear-groups"
    assert pi.sh(f"{reads} grep -rIl {SECRET} /opt /etc /run /tmp /var/lib/fer-edge 2>/dev/null || :") == ""
    assert pi.sh("ls -A /opt/fer-edge/.deploy") == "settings\nstep\ntoken"


def test_a_repeated_deploy_changes_nothing(pi: Target) -> None:
    before = is_serving(pi)
    planned = deploy_json(pi, "--config", settings(pi), "--dry-run")
    assert (planned["changed"], planned["planned"]) == (False, [])
    answer = deploy_json(pi, "--config", settings(pi))
    assert answer["service"] == "kept" and is_serving(pi) == before and not answer["changed"]
    steps = {step["step"]: step for step in answer["steps"]}
    assert steps["install"]["result"] == steps["environment"]["result"] == "exists already"
    assert float(steps["transfer"]["result"].split()[0]) < 3.0, "no package is sent again"
    assert "log" not in steps


def test_a_full_disk_leaves_the_old_release_serving(pi: Target, later: Path) -> None:
    before = is_serving(pi)
    filled = "f=$(df -Pk /opt/fer-edge | awk 'NR == 2 { print $4 }'); fallocate -l $((f - %d))k /opt/fer-edge/filler"
    pi.sh(filled % 300_000)
    ran = pi.deploy("deploy", "pi", "--offline", root=later, check=False)
    assert ran.returncode == 2 and "MB free, and a release needs 700; make room there" in ran.stderr, ran.stderr
    pi.sh("rm /opt/fer-edge/filler")
    with pi.begin("deploy", "pi", "--offline", root=later) as process:
        read_until_step(process, "environment")
        pi.sh(filled % 20_000)  # meanwhile another process fills the disk
        messages = remaining_messages(process)
    assert process.returncode == 2 and "No space left on device" in messages and "Traceback" not in messages, messages
    assert "is the disk there full?" in messages
    pi.sh("rm /opt/fer-edge/filler")
    assert is_serving(pi) == before and status(pi)["health"]["healthy"]


def remaining_messages(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


def read_until_step(process: subprocess.Popen[str], step: str) -> str:
    assert process.stderr is not None
    messages = ""
    for line in process.stderr:
        messages += line
        if line.startswith(f"fer-edge: {step} "):
            return messages
    raise AssertionError(f"the step {step} was not reached: {messages}")


def test_killed_after_every_step(pi: Target, later: Path) -> None:
    """Alternately the host's process is killed and the connection cut; a complete release serves each time."""
    old = status(pi)["current"]
    before = is_serving(pi)
    new = ""
    stale = "/opt/fer-edge/.deploy/payload/fer_edge-0.0.9-py3-none-any.whl"  # of a deploy of another version, cut off
    pi.sh(f"mkdir -p $(dirname {stale}); touch {stale}")
    for number, step in enumerate(STEPS[:-1]):
        with pi.begin("deploy", "pi", "--offline", "--bundle", later / "models" / "nano", root=later) as process:
            messages = read_until_step(process, step)
            if number % 2:
                process.kill()
            else:
                pi.cut()
                messages += remaining_messages(process)
        if not number % 2:
            assert process.returncode == 75 and "the same command resumes" in messages, messages
        serving = is_serving(pi)
        if STEPS.index(step) < STEPS.index("doctor"):
            assert serving == before, f"after {step} the old release does not serve"
        new = pi.sh("cd /opt/fer-edge/current && ls -d .complete >/dev/null && basename $(pwd -P)")
        assert new == old or STEPS.index(step) >= STEPS.index("doctor")
    answer = deploy_json(pi, "--bundle", later / "models" / "nano", root=later)
    assert answer["done"] and answer["release"] == new != old
    target_status = status(pi)
    assert (
        target_status["current"] == new
        and target_status["previous"] == old
        and target_status["health"]["healthy"]
        and not target_status["unconfirmed"]
    )
    assert target_status["bundle"].startswith("nano-")
    assert [row["complete"] for row in target_status["releases"]] == [True, True]
    assert pi.sh("ls -A /opt/fer-edge/.deploy /opt/fer-edge") == LEFT


LEFT = """/opt/fer-edge:
.deploy
bundles
current
detectors
releases

/opt/fer-edge/.deploy:
settings
step
token"""


def test_a_release_that_does_not_start_is_rolled_back(pi: Target) -> None:
    """A bundle that root can read and the service cannot: the doctor lets it pass, the service does not."""
    before = status(pi)
    pi.sh("mkdir -m 700 /root/of-root; cp -r /opt/fer-edge/bundles/releases/nano-* /root/of-root/nano")
    pi.sh("echo of an older one >>/opt/fer-edge/detectors/NOTICE")
    broken = pi.folder / "broken.toml"
    broken.write_text(f'{SETTINGS}bundle = "/root/of-root/nano"\n')
    ran = pi.deploy("deploy", "pi", "--offline", "--config", broken, check=False)
    assert ran.returncode == 8 and f"release {before['current']} runs again" in ran.stderr, ran.stderr
    assert "/root/of-root/nano" in ran.stderr, "the reason is shown"
    after = status(pi)
    assert (after["current"], after["bundle"]) == (before["current"], before["bundle"]) and after["health"]["healthy"]
    assert "of-root" not in pi.sh("cat /etc/fer-edge/fer-edge.toml")
    assert not after["unconfirmed"]
    assert pi.sh("tail -n 1 /opt/fer-edge/detectors/NOTICE") == "of an older one", "the detectors are restored too"


def test_a_damaged_bundle_is_not_sent(pi: Target, tmp_path: Path) -> None:
    before = is_serving(pi)
    bundle = Path(shutil.copytree(ROOT / "models" / "nano", tmp_path / "nano"))
    (bundle / "model.tflite").write_bytes(b"x" * 92_656)
    ran = pi.deploy("deploy", "pi", "--offline", "--bundle", bundle, "--json", check=False)
    answer = json.loads(ran.stdout)
    assert ran.returncode == 5 and not answer["done"] and "model.tflite" in answer["error"]
    assert [step["step"] for step in answer["steps"] if step["failed"]] == ["pack"]
    assert is_serving(pi) == before


def test_wrong_settings_are_not_switched_to(pi: Target) -> None:
    before = is_serving(pi)
    wrong = pi.folder / "wrong.toml"
    wrong.write_text('camera = "synthetic"\nfsp = 3\n')
    ran = pi.deploy("deploy", "pi", "--offline", "--config", wrong, check=False)
    assert ran.returncode == 7 and "there is no setting" in ran.stderr and "was not switched to" in ran.stderr, (
        ran.stderr
    )
    assert is_serving(pi) == before


def test_rollback_and_keep(pi: Target, later: Path) -> None:
    now = status(pi)
    answer = json.loads(pi.deploy("deploy", "pi", "--rollback", "--json").stdout)
    back = status(pi)
    assert back["current"] == now["previous"] == answer["release"] and back["health"]["healthy"]
    assert back["bundle"] is None, "the bundle is restored too"
    again = pi.deploy("deploy", "pi", "--rollback", check=False)
    assert again.returncode == 2 and "no release before" in again.stderr
    pi.sh("cd /opt/fer-edge/releases; for n in 1 2 3; do mkdir 0.0.$n-x; touch -d 2020-01-0$n 0.0.$n-x/.complete; done")
    answer = deploy_json(pi, "--keep", "2", root=later)
    assert sorted(answer["removed"]) == ["0.0.1-x", "0.0.2-x", "0.0.3-x"]
    assert {row["release"] for row in status(pi)["releases"]} == {now["current"], now["previous"]}


def test_an_interrupted_fetch_resumes(pi: Target, tmp_path: Path) -> None:
    pi.sh(
        "cd /var/lib/fer-edge; head -c 200000000 /dev/urandom >journal-000000.jsonl; ln -s /etc/shadow journal-000099.jsonl"
    )
    out = tmp_path / "journal"
    with pi.begin("fetch", "pi", "--out", out) as process:
        until(lambda: any(path.stat().st_size > 20_000_000 for path in out.rglob(".journal-000000*")))
        pi.cut()
        messages = remaining_messages(process)
    assert process.returncode == 75, messages
    answer = json.loads(pi.deploy("fetch", "pi", "--out", out, "--json").stdout)
    assert answer["received_bytes"] < 185_000_000 < answer["bytes"], "what was copied before is not sent again"
    assert (out / "journal-000000.jsonl").stat().st_size == 200_000_000
    assert not (out / "journal-000099.jsonl").exists(), "links are not copied"
    assert json.loads((out / "journal-000001.jsonl").read_text().splitlines()[0])["kind"] == "header"
    assert {path.stat().st_mode & 0o777 for path in out.glob("*")} == {0o600}
    pi.sh("rm /var/lib/fer-edge/journal-000000.jsonl /var/lib/fer-edge/journal-000099.jsonl")


def test_a_folder_with_a_colon_is_no_host(pi: Target, tmp_path: Path) -> None:
    pi.deploy("fetch", "pi", "--out", "hall-12:30", root=tmp_path)
    assert (tmp_path / "hall-12:30" / "journal-000001.jsonl").is_file()


def until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_target_without_systemd_gets_the_release(pi: Target) -> None:
    pi.sh("mv /run/systemd /run/systemd-away")
    ran = pi.deploy("deploy", "pi", "--offline", "--json")
    pi.sh("mv /run/systemd-away /run/systemd")
    answer = json.loads(ran.stdout)
    assert answer["service"] == "none" and "no service was started; the release is installed and checked" in ran.stderr
    command = ran.stderr.split("run it with `sudo ")[1].split("`")[0]
    assert '"kind":"header"' in pi.sh(f"{command} --name by-hand --duration 1 --json").replace(" ", "")


def test_of_two_deploys_the_later_one_continues(pi: Target) -> None:
    before = is_serving(pi)
    with pi.begin("deploy", "pi", "--offline") as first:
        read_until_step(first, "install")
        first.send_signal(signal.SIGSTOP)  # else it may be done before the later one has begun
        assert deploy_json(pi)["done"]
        first.send_signal(signal.SIGCONT)
        messages = remaining_messages(first)
    assert first.returncode == 2 and "another deploy has begun since; this one was stopped" in messages, messages
    assert is_serving(pi) == before


def test_a_second_camera_is_a_separate_instance(pi: Target) -> None:
    before = is_serving(pi)
    absent = pi.folder / "absent.toml"
    absent.write_text(SETTINGS.replace("synthetic", "usb:97"))
    answer = deploy_json(pi, "--name", "door", "--config", absent)
    assert answer["service"] == "waiting" and answer["first_line"]["waiting"] == "/dev/video97"
    assert answer["doctor_failed"][0]["check"] == "camera", "a camera may be plugged in later"
    ran = pi.deploy("status", "pi", "--name", "door", check=False)
    assert ran.returncode == 7 and "it waits for its camera" in ran.stderr
    answer = deploy_json(pi, "--name", "door", "--config", settings(pi))
    assert answer["service"] == "started" and answer["first_line"]["segment"].startswith("/var/lib/fer-edge/door/")
    assert "--name %i --config /etc/fer-edge/%i.toml" in pi.sh("cat /etc/systemd/system/fer-edge@.service")
    assert pi.deploy("status", "pi", "--name", "door").stdout.count("health   healthy") == 1
    assert is_serving(pi) == before, "the first service is not restarted: its release did not change"
    ran = pi.deploy("deploy", "pi", "--name", "camera", "--rollback", check=False)
    assert ran.returncode == 2 and "was of door, not of camera" in ran.stderr, "another one's state is not touched"
    answer = json.loads(pi.deploy("deploy", "pi", "--rollback", "--json").stdout)
    assert answer["service"] == "waiting", "the settings before these"
    answer = json.loads(pi.deploy("deploy", "pi", "--name", "door", "--rollback", "--json").stdout)
    assert answer["service"] == "stopped", "it did not exist before those"
    assert is_serving(pi) == before
    assert pi.sh("ls /etc/fer-edge; ls /etc/systemd/system | grep fer-edge") == "fer-edge.toml\nfer-edge.service"


def test_a_second_camera_keeps_what_the_first_one_needs(pi: Target) -> None:
    served = f"{SETTINGS}live = '127.0.0.1:{free_port()}'\n"
    (pi.folder / "live.toml").write_text(served)
    first = deploy_json(pi, "--config", pi.folder / "live.toml")
    before = is_serving(pi)
    same = deploy_json(pi, "--dry-run")
    assert (same["release"], same["planned"]) == (first["release"], []), "its settings on the Pi count without --config"
    planned = deploy_json(pi, "--name", "door", "--config", settings(pi), "--dry-run")
    assert planned["release"] == first["release"]
    assert planned["steps"][2]["result"] == f"release {first['release']}; extras live; no network"
    answer = deploy_json(pi, "--name", "door", "--config", settings(pi))
    assert answer["release"] == first["release"] and is_serving(pi) == before
    assert "PrivateNetwork=yes" in pi.sh("cat /etc/systemd/system/fer-edge@.service")
    assert "PrivateNetwork=yes" not in pi.sh("cat /etc/systemd/system/fer-edge.service")


def test_a_bundle_is_that_of_all_cameras(pi: Target) -> None:
    before = is_serving(pi)
    answer = deploy_json(pi, "--name", "door", "--bundle", ROOT / "models/nano")
    assert {step["step"]: step["result"] for step in answer["steps"]}["others"] == "fer-edge.service restarted"
    assert is_serving(pi) != before and bundle_in_use(pi) == "nano"
    (pi.folder / "own.toml").write_text(f'{SETTINGS}bundle = "edge"\n')
    deploy_json(pi, "--config", pi.folder / "own.toml")
    assert bundle_in_use(pi) == "edge" and "edge, by the settings" in pi.deploy("status", "pi").stdout
    for words in (["--config", str(pi.folder / "own.toml")], []):
        ran = pi.deploy("deploy", "pi", "--bundle", str(ROOT / "models/nano"), *words, check=False)
        assert ran.returncode == 2 and "--bundle would have no effect" in ran.stderr
    for expected in ("nano", "edge-mixed"):
        json.loads(pi.deploy("deploy", "pi", "--rollback", "--json").stdout)
        assert bundle_in_use(pi) == expected


def test_a_state_that_cannot_be_restored_completely_is_restored_later(pi: Target) -> None:
    before = status(pi)["current"], pi.sh("cat /etc/fer-edge/fer-edge.toml")
    (pi.folder / "slower.toml").write_text(SETTINGS.replace("4.0", "3.0"))
    pi.sh("mkdir -p /etc/fer-edge/fer-edge.toml.new/in-the-way")
    ran = pi.deploy("deploy", "pi", "--offline", "--config", pi.folder / "slower.toml", check=False)
    assert ran.returncode == 8 and "could not be switched to" in ran.stderr, ran.stderr
    assert "could not be restored completely" in ran.stderr and "`fer-edge deploy --rollback` restores it" in ran.stderr
    pi.sh("rm -r /etc/fer-edge/fer-edge.toml.new")
    assert json.loads(pi.deploy("deploy", "pi", "--rollback", "--json").stdout)["service"] == "started"
    assert (status(pi)["current"], pi.sh("cat /etc/fer-edge/fer-edge.toml")) == before


def test_a_release_with_which_another_camera_does_not_start_is_rolled_back(
    pi: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, release = is_serving(pi), status(pi)["current"]
    broken = later_checkout(tmp_path_factory.mktemp("broken"))
    with (broken / "device" / "__init__.py").open("a") as file:
        file.write("import sys\nif 'run' in sys.argv and '--name' not in sys.argv: sys.exit('not the first camera')\n")
    ran = pi.deploy("deploy", "pi", "--offline", "--name", "door", root=broken, check=False)
    assert ran.returncode == 8 and f"release {release} runs again" in ran.stderr, ran.stderr
    assert "fer-edge.service, which ran before, is failed after 0 restarts / not the first camera" in ran.stderr
    assert status(pi)["current"] == release and status(pi)["health"]["healthy"]
    assert is_serving(pi) != before, "it was restarted"
    assert pi.deploy("status", "pi", "--name", "door").returncode == 0


def test_an_interrupted_deploy_of_one_camera_is_not_undone_by_another(pi: Target) -> None:
    before = is_serving(pi)
    door, of_door = "/etc/fer-edge/door.toml", pi.sh("cat /etc/fer-edge/door.toml")
    (pi.folder / "slower.toml").write_text(SETTINGS.replace("4.0", "3.0"))
    with pi.begin("deploy", "pi", "--offline", "--name", "door", "--config", pi.folder / "slower.toml") as process:
        read_until_step(process, "switch")
        process.kill()
    for words in (["--dry-run"], ["--config", str(settings(pi))]):
        ran = pi.deploy("deploy", "pi", "--offline", *words, check=False)
        assert ran.returncode == 2 and "a deploy of the instance door was interrupted" in ran.stderr, ran.stderr
        assert "--name door" in ran.stderr and is_serving(pi) == before
    answer = json.loads(pi.deploy("deploy", "pi", "--rollback", "--json").stdout)
    assert answer["service"] == "started" and pi.sh(f"cat {door}") == of_door
    assert pi.deploy("status", "pi", "--name", "door").returncode == 0 and is_serving(pi) == before
    assert deploy_json(pi, "--dry-run")["planned"] == []


def test_undeploy_keeps_the_journal_without_journal_too(pi: Target) -> None:
    ran = pi.deploy("undeploy", "pi")
    assert "the journal stays" in ran.stderr
    removed_paths = "/opt/fer-edge/* /opt/fer-edge/.deploy /etc/fer-edge /etc/systemd/system/fer-edge* /run/fer-edge"
    removed_paths += " /etc/sysusers.d/f*"
    assert pi.sh(f"ls -d {removed_paths} 2>/dev/null || :") == "" and pi.sh("ls /var/lib/fer-edge/*.jsonl") != ""
    pi.deploy("undeploy", "pi", "--journal-too")
    assert pi.sh("ls -d /var/lib/fer-edge 2>/dev/null; id fer-edge 2>/dev/null || :") == ""
    assert pi.deploy("status", "pi", check=False).returncode == 8
    assert not [process for process in Path("/proc").glob("[0-9]*") if is_left(process, pi)]


def test_a_named_device_that_does_not_come_up_leaves_no_settings(
    pi: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = later_checkout(tmp_path_factory.mktemp("broken"))
    with (broken / "device" / "__init__.py").open("a") as file:
        file.write("import sys\nif 'run' in sys.argv: sys.exit('it read ' + open(sys.argv[-1]).name)\n")
    ran = pi.deploy("deploy", "pi", "--offline", "--name", "kitchen", root=broken, check=False)
    assert ran.returncode == 8 and "nothing runs now" in ran.stderr, ran.stderr
    assert "it read /etc/fer-edge/kitchen.toml" in ran.stderr, "the file was there"
    assert pi.sh("ls -A /etc/fer-edge") == ""


def test_a_named_device_needs_no_settings(pi: Target) -> None:
    planned = deploy_json(pi, "--name", "kitchen", "--dry-run")["planned"]
    assert planned and not [line for line in planned if "None" in line]
    answer = deploy_json(pi, "--name", "kitchen")
    assert answer["done"] and answer["first_line"]["segment"].startswith("/var/lib/fer-edge/kitchen/")
    assert pi.sh("stat -c '%U:%G %a %s' /etc/fer-edge/kitchen.toml") == "root:fer-edge 640 0"
    assert deploy_json(pi, "--name", "kitchen", "--dry-run")["planned"] == []
    pi.sh("rm /etc/fer-edge/kitchen.toml")
    planned = deploy_json(pi, "--name", "kitchen", "--dry-run")["planned"]
    assert planned == ["write an empty /etc/fer-edge/kitchen.toml", "restart fer-edge@kitchen.service"]
    assert deploy_json(pi, "--name", "kitchen")["changed"]


def test_settings_on_the_target_with_another_name_are_refused(pi: Target) -> None:
    pi.sh("echo 'name = \"kitchen\"' >/etc/fer-edge/fer-edge.toml")
    before = pi.sh(EVERYTHING)
    ran = pi.deploy("deploy", "pi", "--offline", check=False)
    expected = (
        '/etc/fer-edge/fer-edge.toml on pi has `name = "kitchen"`, but this deploys camera: leave it out, and give '
    )
    expected += "--name kitchen"
    assert ran.returncode == 2 and expected in ran.stderr, ran.stderr
    assert pi.sh(EVERYTHING) == before
    assert deploy_json(pi, "--name", "kitchen", "--dry-run")["planned"] == [], "it is of another instance"
    (pi.folder / "unnamed.toml").write_text(SETTINGS)
    assert deploy_json(pi, "--config", pi.folder / "unnamed.toml", "--dry-run")["changed"], "it is replaced"
    pi.sh("rm /etc/fer-edge/fer-edge.toml")
    pi.deploy("undeploy", "pi", "--journal-too")
    assert pi.sh("ls -d /etc/fer-edge /var/lib/fer-edge 2>/dev/null || :") == "", "with the empty settings"


def is_left(process: Path, pi: Target) -> bool:
    """Whether it is an open connection of the host, or a loop on the target."""
    try:
        words = (process / "cmdline").read_bytes()
        in_target_root = (process / "root/mnt/share/sshd_config").exists()
    except OSError:
        return False
    return str(pi.share.parent / "client" / "config").encode() in words or (
        in_target_root and b"/opt/fer-edge/current" in words
    )
