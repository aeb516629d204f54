"""A run told to a real Mosquitto: what others hear, and that no broker, however bad, makes a loop wait or loses a minute."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders import event, journal_events
from fakes import silent_listener

from device.clock import SystemClock
from device.config import Settings
from device.output.mqtt.connection import RetryDelays
from device.output.mqtt.publisher import MqttPublisher
from device.system.status_record import Status
from tests.loopback import free_port
from tests.processes import run_state, start_run
from tests.processes import wait_until as until_process
from tests.system.brokers import (
    Listener,
    Mosquitto,
    certificates,
    listening,
    slow_proxy,
    until,
    with_password,
)
from tests.system.fleet import run_fleet
from tests.system.many_devices import TALLY, many

QUICK = RetryDelays(retry_s=0.2, longest_retry_s=0.4, refused_s=1.0, longest_refused_s=1.0)
CLOCK = SystemClock()


@pytest.fixture
def broker(memory_path: Path) -> Iterator[Mosquitto]:
    memory_path.chmod(0o777)  # Mosquitto leaves root and keeps its files here
    with Mosquitto(memory_path) as mosquitto:
        yield mosquitto


def sink(messages: list[str], url: str, **settings: Any) -> MqttPublisher:
    return MqttPublisher(Settings(mqtt=url, **settings), CLOCK, messages.append, QUICK)


def header() -> dict[str, Any]:
    bundle = {"name": "edge", "sha256": "0" * 64}
    return {
        "software": "fer-edge 1",
        "bundle": bundle,
        "runtime": "r",
        "detector": "d",
        "labels": ["a"],
        "settings": "s",
    }


def availability_words(listener: Listener) -> list[str]:
    """What was said of availability; `online` is said each minute too."""
    return list(dict.fromkeys(listener.of("availability")))


def test_a_run_publishes_every_topic(broker: Mosquitto, tmp_path: Path) -> None:
    with listening(broker.port) as listener:
        run = start_run(tmp_path, "synthetic", fps=10.0, mqtt=f"mqtt://127.0.0.1:{broker.port}", mqtt_readings=True)
        until_process(run, lambda: "reading" in {t.rpartition("/")[2] for t, _, _ in listener.heard})
        until_process(run, lambda: run_state(tmp_path) == "running")
        run.send_signal(signal.SIGTERM)
        _, stderr = run.communicate(timeout=20)
        assert run.returncode == 0 and "is connected" in stderr
        until(lambda: availability_words(listener) == ["online", "stopped"])
        device = json.loads(next(payload for topic, payload, _ in listener.heard if topic.endswith("/config")))
        (about,) = listener.of("about")
        assert device["components"]["expression"]["options"] == [*about["labels"], "unsure", "none"]
        (tally,) = listener.of("tally")
        (line,) = [json.loads(e.line()) for e in journal_events(tmp_path / "log") if e.kind == "tally"]
        assert line.items() <= tally.items() and tally["majority"] in {*about["labels"], "unsure"}
        *states, last = listener.of("state")
        assert states[-1]["presence"] is True and states[-1]["state"] == "running"
        assert (last["state"], last["expression"], last["presence"], last["faces"]) == ("stopping", None, None, None)
        assert listener.of("reading")[0]["xywh"] and listener.of("health")[0]["problems"] == []

        # Who comes later finds what the broker keeps, and neither minutes nor readings.
        with listening(broker.port, name="late") as late:
            until(lambda: len(late.heard) == 5)
            retained_topics = {topic.rpartition("/")[2] for topic, _, retained in late.heard if retained}
        assert retained_topics == {"config", "availability", "about", "state", "health"}


def test_a_killed_run_becomes_offline(broker: Mosquitto, tmp_path: Path) -> None:
    with listening(broker.port) as listener:
        run = start_run(tmp_path, "synthetic", fps=5.0, mqtt=f"mqtt://127.0.0.1:{broker.port}")
        until_process(run, lambda: bool(listener.of("state")))
        run.kill()
        until(lambda: availability_words(listener) == ["online", "offline"])
        run.communicate()


def ages(folder: Path, url: str | None, **settings: Any) -> tuple[list[float], str]:
    """The ages in ms of the readings of a run of 2 s, and what it said; it must end in order, and in time."""
    folder.mkdir()
    given = settings if url is None else {"mqtt": url, "mqtt_readings": True, **settings}
    began = time.monotonic()
    run = start_run(folder, "synthetic", "--json", "--duration", "2", fps=10.0, **given)
    out, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert time.monotonic() - began < 2 + 2.5 + 10, "a clean stop waits for 2 s at most, a start takes some"
    lines = [json.loads(line) for line in out.splitlines()]
    (end,) = [line for line in lines if line["kind"] == "end"]
    assert end["seconds"] < 2.5
    return [line["age_ms"] for line in lines if line["kind"] == "reading"], stderr


@pytest.fixture(scope="module")
def ages_without_mqtt(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The ages of a run that tells nobody."""
    return ages(tmp_path_factory.mktemp("plain") / "run", None)[0]


@contextmanager
def bad_broker(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of a broker that is not there, never answers, is slow, or wants another password; and settings."""
    if kind == "away":
        yield f"mqtt://127.0.0.1:{free_port()}", {}
    elif kind == "mute":
        with silent_listener() as port:
            yield f"mqtt://127.0.0.1:{port}", {}
    elif kind == "slow":
        with Mosquitto(folder) as broker, slow_proxy(broker.port, 300) as port:
            yield f"mqtt://127.0.0.1:{port}", {}
    else:
        with Mosquitto(folder, *with_password(folder, "pi", "right")) as broker:
            yield f"mqtt://pi@127.0.0.1:{broker.port}", {"mqtt_password_file": str(secret(folder, "wrong-one"))}


def secret(folder: Path, word: str) -> Path:
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(f"{word}\n")
    return path


BAD = {
    "away": "is not connected (connection refused)",
    "mute": "did not receive everything",
    "slow": "did not receive everything",
    "refusing": "is not connected (not authorized)",
}


@pytest.mark.parametrize("kind", BAD)
def test_no_broker_delays_the_loop(
    kind: str, ages_without_mqtt: list[float], memory_path: Path, tmp_path: Path
) -> None:
    """Frames are as fresh as in a run that tells nobody; tried again, because other work on a machine delays them too."""
    memory_path.chmod(0o777)
    figures = []
    with bad_broker(kind, memory_path) as (url, settings):
        for attempt in range(4):
            ages_ms, stderr = ages(tmp_path / str(attempt), url, **settings)
            assert BAD[kind] in stderr and "wrong-one" not in stderr, stderr
            assert stderr.count("is not connected") <= 1, "the same thing is said once"
            figures.append((len(ages_ms), statistics.median(ages_ms), max(ages_ms)))
            if (
                len(ages_ms) >= 0.9 * len(ages_without_mqtt)
                and figures[-1][1] <= statistics.median(ages_without_mqtt) + 20
            ):
                break
        else:
            raise AssertionError(
                (len(ages_without_mqtt), statistics.median(ages_without_mqtt), max(ages_without_mqtt), figures)
            )
    print(kind, (len(ages_without_mqtt), statistics.median(ages_without_mqtt), max(ages_without_mqtt)), figures)
    assert len(ages_without_mqtt) >= 15


@pytest.mark.parametrize("kind", ["away", "mute"])
def test_no_call_blocks_and_memory_is_bounded(kind: str) -> None:
    """What would wait for these brokers would wait for seconds; so long no other work keeps a thread from running."""
    messages: list[str] = []
    with silent_listener() as mute:
        url = f"mqtt://127.0.0.1:{mute if kind == 'mute' else free_port()}"
        one, took_s = sink(messages, url, mqtt_readings=True), []
        with one:
            for seq in range(6000):
                before = time.perf_counter()
                one.append(event("tally" if seq % 2 else "reading", seq, **TALLY))
                one.on_turn(Status("running", "0", "/log"))
                took_s.append(time.perf_counter() - before)
            began = time.monotonic()
        assert time.monotonic() - began < 3.5, "2 s at most, and what other work takes"
    left = one.outbox.unacknowledged_counts()
    assert max(took_s) < 1.5 and statistics.median(took_s) < 0.002
    assert left["tally"] + one.outbox.lost["tally"] == left["reading"] + one.outbox.lost["reading"] == 3000
    assert 500 < left["tally"] < 2000 and 50 < left["reading"] < 300 and one.outbox.lost["tally"] > 0


def test_a_restarted_broker_receives_every_minute(broker: Mosquitto) -> None:
    """Minutes come all the time; what it had not acknowledged when it died, and what came while it was away, it hears."""
    messages: list[str] = []
    with listening(broker.port) as listener:
        with sink(messages, f"mqtt://127.0.0.1:{broker.port}") as one:
            one.append(event("header", 0, **header()))
            for seq in range(1, 401):
                one.append(event("tally", seq, **TALLY))
                if seq == 100:
                    broker.stop(kill=True)
                if seq == 300:
                    broker.start()
                time.sleep(0.01)
            until(lambda: not one.outbox.unacknowledged_counts())
        until(lambda: {tally["seq"] for tally in listener.of("tally")} == set(range(1, 401)))
        until(lambda: listener.of("availability")[-1] == "stopped")
        order = list(dict.fromkeys(tally["seq"] for tally in listener.of("tally")))
        assert order == sorted(order), "in order, where one came twice by its first time"
    assert not one.outbox.lost
    availability_words = (
        "is connected",
        "was lost",
        "is not connected (connection refused)",
        "is connected again; waiting: ",
    )
    assert [word in sentence for word, sentence in zip(availability_words, messages, strict=True)] == [True] * 4, (
        messages
    )


def test_the_next_message_has_the_number_of_dropped_ones(broker: Mosquitto) -> None:
    messages: list[str] = []
    with listening(broker.port) as listener:
        broker.stop()
        with sink(messages, f"mqtt://127.0.0.1:{broker.port}") as one:
            for seq in range(3000):
                one.append(event("tally", seq, **TALLY))
            dropped = one.outbox.lost["tally"]
            broker.start()
            until(lambda: not one.outbox.unacknowledged_counts())
        until(lambda: bool(listener.of("tally")) and listener.of("tally")[-1]["seq"] == 2999)
        tallies = listener.of("tally")
    assert dropped > 1000 and f"dropped so far: {dropped} tally" in messages[-1]
    assert [tally["seq"] for tally in tallies] == list(range(dropped, 3000))
    assert [tally.get("dropped") for tally in tallies] == [{"tally": dropped}] + [None] * (2999 - dropped)


def test_a_corrected_password_is_used(memory_path: Path) -> None:
    memory_path.chmod(0o777)
    messages: list[str] = []
    strict = Mosquitto(memory_path, *with_password(memory_path, "pi", "right"))
    url = f"mqtt://pi@127.0.0.1:{strict.port}"
    with strict, sink(messages, url, mqtt_password_file=secret(memory_path, "wrong")) as one:
        one.append(event("tally", 1, **TALLY))
        until(lambda: strict.log().count("not authorised") >= 3)
        assert len(messages) == 1 and "is not connected (not authorized)" in messages[0]
        secret(memory_path, "right")
        until(lambda: not one.outbox.unacknowledged_counts())
    assert len(messages) == 2 and "is connected again; waiting: 1 tally" in messages[1]


# paho-mqtt leaves the socket of a handshake that failed to the collector, which closes it.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_an_encrypted_broker_is_used_only_with_a_valid_certificate(memory_path: Path) -> None:
    memory_path.chmod(0o777)
    certificate_files = certificates(memory_path, "localhost", "elsewhere", "device")
    ca = f"cafile {certificate_files['ca']}"

    def connect_to(url: str, host: str, *config: str, **settings: Any) -> tuple[list[str], bool]:
        messages: list[str] = []
        lines = (
            "allow_anonymous true",
            ca,
            f"certfile {certificate_files[host]}",
            f"keyfile {certificate_files[f'{host}.key']}",
            *config,
        )
        with Mosquitto(memory_path, *lines) as broker, sink(messages, f"{url}:{broker.port}", **settings) as one:
            one.append(event("tally", 1, **TALLY))
            until(lambda: bool(messages))
            if "is connected" in messages[0]:
                until(lambda: not one.outbox.unacknowledged_counts())
        return messages, not one.outbox.unacknowledged_counts()["tally"]

    messages, acknowledged = connect_to("mqtts://localhost", "localhost", mqtt_ca=certificate_files["ca"])
    assert acknowledged and "is connected" in messages[0]
    messages, acknowledged = connect_to(
        "mqtts://localhost", "localhost"
    )  # nobody whom this system trusts has vouched for it
    assert not acknowledged and "its certificate: " in messages[0]
    messages, acknowledged = connect_to("mqtts://localhost", "elsewhere", mqtt_ca=certificate_files["ca"])
    assert not acknowledged and "not valid for 'localhost'" in messages[0]
    own = {"mqtt_cert": certificate_files["device"], "mqtt_key": certificate_files["device.key"]}
    messages, acknowledged = connect_to(
        "mqtts://localhost", "localhost", "require_certificate true", mqtt_ca=certificate_files["ca"], **own
    )
    assert acknowledged and "is connected" in messages[0]
    messages, acknowledged = connect_to(
        "mqtts://localhost", "localhost", "require_certificate true", mqtt_ca=certificate_files["ca"]
    )
    assert not acknowledged and "it may require encryption, or a certificate" in messages[0]


def test_with_twenty_devices_no_acknowledged_message_is_lost(memory_path: Path) -> None:
    memory_path.chmod(0o777)
    found = many(memory_path, devices=20, seconds=6.0)
    assert found["wrong"] == [] and found["acknowledged"] == found["sent"] >= 20 * 6, found
    assert found["connections"] >= 40, "each came back"


def test_a_killed_broker_loses_no_acknowledged_minute_of_many_devices(memory_path: Path) -> None:
    """A small version of `python -m tests.system.many_devices --devices 1000`."""
    memory_path.chmod(0o777)
    found = run_fleet(memory_path, devices=60, seconds=9.0, pace_s=1.5, processes=2)
    assert found["wrong"] == [] and found["connected_again"] == 60, found
    assert found["heard"] >= found["minutes"] >= 60 * 5 and found["missing"] == 0
    assert found["device_kb"] > 0 and found["broker_mb"] > 0


def test_two_runs_with_one_id_are_told_the_cause_once(broker: Mosquitto) -> None:
    """The broker disconnects each for the other."""
    said: tuple[list[str], list[str]] = ([], [])
    with (
        sink(said[0], f"mqtt://127.0.0.1:{broker.port}") as one,
        sink(said[1], f"mqtt://127.0.0.1:{broker.port}") as other,
    ):
        for publisher in (one, other):
            publisher.append(event("header", 0, **header()))
        until(lambda: all(any("has the same id" in line for line in lines) for lines in said), 30.0)
        number = [len(lines) for lines in said]
        client_id = f"fer-edge-{one.topics.id}"
        until(lambda: broker.log().count(f"Client {client_id} already connected") >= 12, 30.0)
        assert [len(lines) for lines in said] == number, "it is reported once"
    assert all(
        f"{client_id}: deploy each with another `--name`" in line
        for lines in said
        for line in lines
        if "same id" in line
    )


def mqtt_trouble(folder: Path) -> str | None:
    """What the status file of the run in that folder has about its broker; empty while there is no such file."""
    try:
        trouble: str | None = json.loads((folder / "run" / "camera.status.json").read_text())["outputs"].get("mqtt")
    except (OSError, ValueError):
        return ""
    return trouble


def health(folder: Path, *form: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_edge", "health", *form]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("refusing", "is not connected (not authorized)"),
        ("hanging", "does not answer"),
        ("stopped", "is not connected ("),
    ],
)
def test_health_reports_a_broker_that_gets_nothing(memory_path: Path, kind: str, words: str) -> None:
    memory_path.chmod(0o777)
    (folder := memory_path / "device").mkdir()
    wrong = with_password(memory_path, "pi", "right") if kind == "refusing" else ()
    with Mosquitto(memory_path, *wrong) as broker:
        settings: dict[str, Any] = {"mqtt": f"mqtt://127.0.0.1:{broker.port}", "health_s": 1.0}
        if kind == "refusing":
            settings["mqtt"] = f"mqtt://pi@127.0.0.1:{broker.port}"
            settings["mqtt_password_file"] = str(secret(memory_path, "wrong-one"))
        if kind == "hanging":
            broker.freeze()
        run = start_run(folder, "synthetic", fps=5.0, **settings)
        try:
            if kind == "stopped":
                until_process(run, lambda: run_state(folder) == "running" and mqtt_trouble(folder) is None)
                assert health(folder).returncode == 0
                broker.stop()
            until_process(run, lambda: words in (mqtt_trouble(folder) or ""))
            found, text = health(folder, "--json"), health(folder).stdout
            status = json.loads(found.stdout)
            assert found.returncode == 7 and not status["healthy"] and status["running"]
            assert status["outputs"]["stdout"] is None
            (problem,) = [each for each in status["problems"] if words in each]
            assert problem.startswith(f"the broker mqtt://127.0.0.1:{broker.port} ") and problem in found.stderr
            assert "camera: unhealthy" in text and words in text
            if kind != "refusing":
                broker.thaw() if kind == "hanging" else broker.start()
                until_process(run, lambda: mqtt_trouble(folder) is None)
                assert health(folder).returncode == 0
        finally:
            run.terminate()
            run.communicate(timeout=60)
    assert run.returncode == 0
