"""What a broker would be told, and what of its settings is refused; with a real one: tests/system/test_mqtt.py."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from builders import event, reading
from fakes import FakeClock

from device.camera.frame import Frame
from device.config import SETTING_FIELDS, Settings
from device.config_sources import settings_digest
from device.output import presence
from device.output.mqtt import messages
from device.output.mqtt.broker import Broker, broker_from_settings
from device.output.mqtt.discovery import EXPIRE_S, discovery_message
from device.output.mqtt.outbox import MqttMessage, Outbox
from device.output.mqtt.publisher import QUEUE_LIMITS_BYTES, MqttPublisher
from device.output.mqtt.topics import Topics, instance_id
from device.output.presence import Presence
from device.privacy import explain_run
from device.system.health import Health
from device.system.status_record import STATES, Status
from device.vision.readings import FrameResult
from fer_edge.errors import UsageError

ROOT = Path(__file__).parents[2]
TOPICS = Topics("fer-edge", "door-12345678", "homeassistant")
CLOCK = FakeClock()
LABELS = ("happy", "sad", "neutral")
TALLY: dict[str, Any] = {
    "from_mono_s": 1.0, "seconds": 60.0, "observed_s": 58.0, "unavailable_s": 2.0, "paused_s": 0.0, "face_s": 40.0,
    "labels_s": {"happy": 30.0, "unsure": 10.0}, "unsure_s": {"confidence": 10.0}, "faces_max": 1, "faces_skipped": 0,
    "frames": {"read": 600, "processed": 590}, "frames_idle": 10, "drops": {"busy": 10},
}  # fmt: skip
HEADER: dict[str, Any] = {
    "schema": 1, "software": "fer-edge 0.1.0", "bundle": {"name": "edge", "sha256": "ab" * 32}, "labels": list(LABELS),
    "runtime": "litert 2.3.0", "detector": "haar", "settings": "0123456789ab", "camera": {"name": "rtsp://cam/1"},
}  # fmt: skip


def body(message: MqttMessage) -> Any:
    return json.loads(message.encode())


# ---- settings


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "user", "shown"),
    [
        ("mqtt://broker.lan", "broker.lan", 1883, False, "", "mqtt://broker.lan:1883"),
        ("MQTTS://Broker.lan/", "broker.lan", 8883, True, "", "mqtts://broker.lan:8883"),
        ("mqtt://pi@10.0.0.2:1999", "10.0.0.2", 1999, False, "pi", "mqtt://10.0.0.2:1999"),
        ("mqtts://a%40b@[fd00::1]:8884", "fd00::1", 8884, True, "a@b", "mqtts://[fd00::1]:8884"),
    ],
)
def test_an_address_names_a_broker(url: str, host: str, port: int, tls: bool, user: str, shown: str) -> None:
    broker = broker_from_settings(Settings(mqtt=url))
    assert (broker.host, broker.port, broker.tls, broker.user, str(broker)) == (host, port, tls, user, shown)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"mqtt": "mqtt://pi:geheim@broker.lan"}, "has a password, which anybody can see.*mqtt_password_file"),
        ({"mqtt": "mqtt://pi:@broker.lan"}, "has a password"),
        ({"mqtt": "broker.lan"}, "mqtt must be mqtt://HOST or mqtts://HOST"),
        ({"mqtt": "http://broker.lan"}, "mqtt must be mqtt://HOST"),
        ({"mqtt": "mqtt://"}, "mqtt must be mqtt://HOST"),
        ({"mqtt": "mqtt://broker.lan:99999"}, "is not a valid URL"),
        ({"mqtt": "mqtt://broker.lan/topic"}, "more than a host.*topics begin with mqtt_topic"),
        ({"mqtt_topic": "a/+/b"}, "mqtt_topic must be letters"),
        ({"mqtt_topic": ""}, "mqtt_topic must be letters"),
        ({"mqtt_topic": "/a"}, "mqtt_topic must be letters"),
        ({"mqtt_discovery": "home assistant"}, "mqtt_discovery must be letters"),
    ],
)
def test_an_invalid_mqtt_setting_is_rejected(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        Settings(**values)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"mqtt": "mqtt://b", "mqtt_password_file": Path("/x")}, "needs a user: name one, mqtt://USER@b"),
        ({"mqtt": "mqtt://b", "mqtt_ca": Path("/x")}, "mqtts:// in place of mqtt://"),
        ({"mqtt": "mqtts://b", "mqtt_key": Path("/x")}, "name it with mqtt_cert"),
        ({"mqtt": "mqtts://b", "mqtt_ca": Path("/nowhere/ca.crt")}, "/nowhere/ca.crt cannot be used .no such file"),
        ({"mqtt": "mqtts://b", "mqtt_ca": Path(__file__)}, "test_mqtt.py cannot be used .*PEM"),
        ({"mqtt": "mqtt://u@b", "mqtt_password_file": Path("/nowhere/pw")}, "/nowhere/pw cannot be read .No such file"),
    ],
)
def test_contradictory_mqtt_settings_are_rejected(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        MqttPublisher(Settings(**values), CLOCK, pytest.fail).check()


@pytest.mark.parametrize(
    ("content", "mode", "owner", "word"),
    [
        (b"secret\n", 0o600, 1000, ""),
        (b"secret", 0o400, 1000, ""),
        (b"s\xc3\xa9cr et\r\n", 0o640, 0, ""),  # root's, for the group of the service
        (b"secret\n", 0o640, 1000, "can be read by others .mode 640.; `chmod 600"),
        (b"secret\n", 0o644, 0, "can be read by others"),
        (b"", 0o600, 1000, "must be one line"),
        (b"one\ntwo\n", 0o600, 1000, "must be one line"),
        (b"\xff\xfe", 0o600, 1000, "is not UTF-8"),
        (b"x" * 70_000, 0o600, 1000, "must be one line"),
    ],
)
def test_a_password_file_holds_one_line_and_is_private(
    content: bytes, mode: int, owner: int, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, owner, -1)
    elif owner == 0:
        return  # nobody but root can make such a file
    broker = Broker("b", 1883, False, "pi", path)
    if word:
        with pytest.raises(UsageError, match=word) as caught:
            broker.password()
        assert "secret" not in str(caught.value)
    else:
        assert broker.password() == content.decode().rstrip()
    assert Broker("b", 1883, False).password() is None


def test_the_settings_digest_is_independent_of_the_broker() -> None:
    settings = Settings(mqtt="mqtts://b", mqtt_ca=Path("/x"), mqtt_readings=True)
    assert settings_digest(settings) == settings_digest(Settings())


def test_a_missing_mqtt_extra_is_named(tmp_path: Path) -> None:
    script = "import sys; sys.modules['paho'] = None; from fer_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "run", "--camera", "synthetic", "--duration", "1", "--log", str(tmp_path)]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run"), "XDG_CONFIG_HOME": "/nonexistent"}
    ran = subprocess.run(
        [*command, "--mqtt", "mqtt://127.0.0.1"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2 and "pip install 'fer-edge[mqtt]'" in ran.stderr


@pytest.mark.parametrize(
    ("values", "words", "absent"),
    [
        (
            {"mqtt": "mqtt://pi@b.lan"},
            ["to the broker at mqtt://b.lan:1883, not encrypted", "tally: a minute", "nothing else"],
            ["reading: one", "no network"],
        ),
        ({"mqtt": "mqtts://b.lan"}, ["mqtts://b.lan:8883, encrypted:"], ["not encrypted"]),
        ({"mqtt": "mqtt://b", "mqtt_readings": True}, ["each face of each frame: reading: one face"], []),
        ({"mqtt": "mqtt://b", "camera": "rtsp://cam/1"}, ["to the camera at rtsp://cam/…", "to the broker at"], []),
    ],
)
def test_explain_privacy_lists_what_is_sent(values: dict[str, Any], words: list[str], absent: list[str]) -> None:
    text = " ".join(explain_run(Settings(**values), {"STATE_DIRECTORY": "/var/lib/fer-edge"}).split())
    sent = text.partition(" Sent ")[2].partition(" Never stored")[0]
    assert [word for word in words if word not in sent] == []
    assert [word for word in absent if word in sent] == []


# ---- the outbox


def message(kind: str = "tally", number: int = 0, size: int = 100) -> MqttMessage:
    text = json.dumps({"n": number, "pad": ""}, separators=(",", ":"))
    return MqttMessage(kind, f"t/{kind}", text.replace('""', f'"{"x" * (size - len(text))}"').encode())


def test_every_tally_is_sent_and_of_a_state_the_newest() -> None:
    box = Outbox({"tally": 10_000})
    for number in range(3):
        box.put(message("tally", number))
        box.put(message("state", number))
    unsent = [box.next_unsent() for _ in range(5)]
    assert [(m.kind, body(m)["n"]) for _, m in filter(None, unsent)] == [
        ("state", 2),
        *(("tally", n) for n in range(3)),
    ]
    assert box.unacknowledged_counts() == {"state": 1, "tally": 3}, "until the broker has them"
    for number, _ in filter(None, unsent):
        box.acknowledge(number)
    assert not box.unacknowledged_counts() and box.next_unsent() is None


def test_unacknowledged_messages_are_sent_first_after_a_loss() -> None:
    box = Outbox({"tally": 10_000})
    box.put(message("state"))
    for number in range(4):
        box.put(message("tally", number))
    _, first, second, _ = (box.next_unsent() for _ in range(4))
    assert first and second
    box.acknowledge(first[0])
    box.requeue_unacknowledged()
    box.acknowledge(second[0])  # of the connection before: nothing is known by that number now
    again = [m for _, m in iter(box.next_unsent, None)]
    assert [(m.kind, body(m)["n"]) for m in again] == [("state", 0), *(("tally", n) for n in (1, 2, 3))]


def test_the_oldest_messages_are_dropped_counted_and_reported_once() -> None:
    box = Outbox({"tally": 5 * 356, "reading": 2 * 356})
    for number in range(8):
        box.put(message("tally", number))
        box.put(message("reading", number))
    assert box.lost == {"tally": 3, "reading": 6}
    unsent = [m for _, m in iter(box.next_unsent, None)]
    assert [body(m)["n"] for m in unsent] == [3, 4, 5, 6, 7, 6, 7]
    assert [body(m).get("dropped") for m in unsent] == [{"tally": 3, "reading": 6}] + [None] * 6
    box.requeue_unacknowledged()  # the one that told was not acknowledged, and is dropped itself before it could be
    for number in range(8, 10):
        box.put(message("tally", number))
    unsent = [m for _, m in iter(box.next_unsent, None)]
    assert body(unsent[0]) == {
        **body(unsent[0]),
        "n": 5,
        "dropped": {"tally": 5, "reading": 6},
    }
    assert box.lost == {"tally": 5, "reading": 6}


def test_put_is_fast_and_memory_is_bounded() -> None:
    box = Outbox(QUEUE_LIMITS_BYTES)
    began = time.perf_counter()
    for number in range(20_000):
        box.put(message("tally", number, 700))
    assert time.perf_counter() - began < 5, "0.25 ms each, on any machine"
    assert (
        1000 < box.unacknowledged_counts()["tally"] <= QUEUE_LIMITS_BYTES["tally"] // 956
        and box.lost["tally"] == 20_000 - box.unacknowledged_counts()["tally"]
    )


# ---- what is told


@pytest.mark.parametrize(
    ("labels_s", "observed_s", "majority", "unsure"),
    [
        ({"happy": 30.0, "unsure": 10.0}, 58.0, "happy", 25.0),
        ({"happy": 1.0, "unsure": 9.0}, 58.0, "unsure", 90.0),
        ({"sad": 2.0}, 58.0, "sad", 0.0),
        ({}, 58.0, "none", None),
        ({}, 0.0, None, None),
    ],
)
def test_derived_values_of_a_tally(
    labels_s: dict[str, float], observed_s: float, majority: str | None, unsure: float | None
) -> None:
    tally = body(messages.tally(TOPICS, event("tally", 3, **{**TALLY, "labels_s": labels_s, "observed_s": observed_s})))
    assert (tally["majority"], tally["unsure_percent"]) == (majority, unsure)
    assert tally["kind"] == "tally" and tally["seq"] == 3 and tally["unavailable_s"] == 2.0 and tally["wall"]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("s", "s"),  # the first is taken at once
        ("shhh", "sssh"),  # a second one once it held for a second, which are three frames
        ("shshhh", "sssssh"),  # not by a frame now and then
        ("ss-sss", "ssssss"),  # a face that was missed in a frame is still there
        ("ss---s--", "ssss----"),
    ],
)
def test_a_new_expression_must_hold_before_it_is_sent(seen: str, expected: str) -> None:
    words = {"s": "sad", "h": "happy", "-": "none"}
    now, found = Presence(), []
    for number, letter in enumerate(seen):
        readings = [] if letter == "-" else [reading(words[letter])]
        now = presence.update_presence(now, readings, number * 500_000_000, hold_s=1.0)
        found.append((now.expression.value, now.faces.value))
    assert found == [(words[letter], int(letter != "-")) for letter in expected]


def test_the_expression_is_that_of_the_largest_face() -> None:
    now = presence.update_presence(Presence(), [reading("sad", 1, side=50), reading("happy", 2, side=80)], 0, 1.0)
    assert (now.expression.value, now.faces.value) == ("happy", 2)


@pytest.mark.parametrize("state", [state for state in STATES if state != "running"])
def test_presence_is_null_while_the_camera_is_not_read(state: str) -> None:
    shown = presence.update_presence(Presence(), [], 0, 1.0)
    away = body(messages.state(TOPICS, state, shown, CLOCK.stamp()))
    assert (away["state"], away["expression"], away["presence"], away["faces"]) == (state, None, None, None)
    observed = body(messages.state(TOPICS, "running", shown, CLOCK.stamp()))
    assert (observed["expression"], observed["presence"], observed["faces"]) == ("none", False, 0)


def test_a_problem_that_is_no_text_is_sent_all_the_same() -> None:
    sent = messages.health(TOPICS, replace(RUNNING, problems=("m\udce9 is full",)), CLOCK.stamp())
    assert body(sent)["problems"] == ["m\udce9 is full"], "escaped, as JSON may be"


def test_about_names_the_bundle_and_not_the_camera() -> None:
    about = body(messages.about(TOPICS, event("header", 0, **HEADER)))
    assert set(about) == {"software", "bundle", "runtime", "detector", "labels", "settings"}


def sink(clock: FakeClock, **settings: Any) -> MqttPublisher:
    return MqttPublisher(Settings(name="door", mqtt="mqtt://127.0.0.1", **settings), clock, pytest.fail)


def acknowledged_messages(one: MqttPublisher) -> list[tuple[str, Any]]:
    """The unsent messages by the last level of their topics; each is acknowledged at once."""
    found = []
    for number, told in iter(one.outbox.next_unsent, None):
        one.outbox.acknowledge(number)
        payload = told.encode()
        found.append((told.topic.rpartition("/")[2], json.loads(payload) if payload[:1] == b"{" else payload.decode()))
    return found


@pytest.mark.parametrize("readings", [False, True])
def test_the_broker_gets_tallies_and_readings_on_request(readings: bool) -> None:
    one = sink(FakeClock(), mqtt_readings=readings)
    one.append(event("header", 0, **HEADER))
    assert [what for what, _ in acknowledged_messages(one)] == ["config", "availability", "about"]
    for number, kind in enumerate(("camera", "reading", "episode", "tally", "health", "clock", "pause", "end"), 1):
        one.append(event(kind, number, **(TALLY if kind == "tally" else {})))
    assert [what for what, _ in acknowledged_messages(one)] == ["tally"] + ["reading"] * readings


def test_without_a_discovery_prefix_nothing_is_sent_to_home_assistant() -> None:
    one = sink(FakeClock(), mqtt_discovery="", mqtt_topic="house/cellar")
    one.append(event("header", 0, **HEADER))
    assert [what for what, _ in acknowledged_messages(one)] == ["availability", "about"]
    assert one.topics.topic("tally") == f"house/cellar/{instance_id('door')}/tally"


def test_the_state_is_sent_on_change_and_once_a_minute() -> None:
    clock = FakeClock()
    one, messages_sent = sink(clock), []

    def turn(*labels: str, state: str = "running", problems: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
        if state == "running":
            seen = FrameResult(tuple(reading(label) for label in labels))
            one.on_frame(Frame(0, clock.now_ns, np.zeros((4, 4), np.uint8)), seen, {}, None)
        one.on_turn(Status(state, "0", "/log", problems=problems))
        clock.now_ns += 1_000_000_000
        return acknowledged_messages(one)

    assert [what for what, _ in turn("happy")] == ["state", "health", "availability"]
    for second in range(1, 60):
        messages_sent += turn("happy", problems=("the processor is hot",) * (second >= 30))
    assert [(what, t["problems"]) for what, t in messages_sent] == [("health", ["the processor is hot"])]
    assert [what for what, _ in turn("happy")] == ["state", "health", "availability"], "a minute is over"
    turn()
    assert [(what, t["expression"], t["presence"]) for what, t in turn()] == [("state", "none", False)]
    assert [(what, t["state"], t["expression"]) for what, t in turn(state="paused")] == [("state", "paused", None)]
    assert turn(state="paused") == []
    assert [(what, t["state"], t["expression"]) for what, t in turn("sad")] == [("state", "running", "sad")]


def test_an_expression_is_not_present_once_no_frame_was_processed_for_10_s() -> None:
    """Frames may arrive and be dropped, all of them."""
    clock = FakeClock()
    one, told = sink(clock), []
    one.on_frame(Frame(0, clock.now_ns, np.zeros((4, 4), np.uint8)), FrameResult((reading("happy"),)), {}, None)
    for _ in range(13):
        one.on_turn(Status("running", "0", "/log"))
        told += [body["expression"] for what, body in acknowledged_messages(one) if what == "state"]
        clock.now_ns += 1_000_000_000
    assert told == ["happy", None]
    told.clear()
    for second in range(100):  # one in 20 s, as of a processor that is hot
        if second % 20 == 0:
            one.on_frame(Frame(0, clock.now_ns, np.zeros((4, 4), np.uint8)), FrameResult((reading("sad"),)), {}, None)
        one.on_turn(Status("running", "0", "/log"))
        told += [body["expression"] for what, body in acknowledged_messages(one) if what == "state"]
        clock.now_ns += 1_000_000_000
    assert told[0] == "sad" and None not in told, "a person who did not leave"


def test_a_reload_changes_how_long_an_expression_must_hold() -> None:
    clock = FakeClock()
    one, expressions = sink(clock), list[str]()
    one.append(event("header", 0, **HEADER))
    acknowledged_messages(one)
    one.on_settings(Settings(hold_s=3.0, mqtt_readings=True))
    sent = dict(acknowledged_messages(one))
    assert sent["about"]["settings"] == settings_digest(Settings(hold_s=3.0, mqtt_readings=True)) != HEADER["settings"]
    for label in ("happy", *["sad"] * 4):
        one.on_frame(Frame(0, clock.now_ns, np.zeros((4, 4), np.uint8)), FrameResult((reading(label),)), {}, None)
        one.on_turn(Status("running", "0", "/log"))
        expressions += [told["expression"] for what, told in acknowledged_messages(one) if what == "state"]
        clock.now_ns += 1_000_000_000
    assert expressions == ["happy", "sad"] and clock.now_ns == 10_000_000_000
    one.append(event("reading", 1))
    assert acknowledged_messages(one) == [], "mqtt_readings changes at the next start"


def test_the_documented_topics_are_complete() -> None:
    from fer_edge.cli import make_parser

    section = (ROOT / "device/README.md").read_text().partition("## MQTT and Home Assistant")[2].partition("\n## ")[0]
    commands = re.findall(r"^fer-edge (.+)|`(?:sudo )?fer-edge ([a-z].+?)`", section, re.M)
    assert len(commands) >= 4
    for typed in ("".join(pair) for pair in commands):
        make_parser().parse_args(shlex.split(typed))
    rows = re.findall(r"^\| (`.+?) \|", section, re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {name for name in SETTING_FIELDS if name.startswith("mqtt")} | {"availability", *MESSAGES}
    one = sink(FakeClock())
    assert (
        f"{QUEUE_LIMITS_BYTES['tally'] >> 20} MiB of tallies" in section
        and f"{QUEUE_LIMITS_BYTES['reading'] >> 10} KiB" in section
    )
    assert one.topics.prefix == SETTING_FIELDS["mqtt_topic"].default and "`fer-edge`" in section


# ---- Home Assistant

# By homeassistant/components/mqtt of its release 2025.4: abbreviations left out, what others than ours may have too.
ALLOWED = {
    "sensor": {
        *("platform", "name", "unique_id", "state_topic", "value_template", "expire_after", "device_class"),
        *("options", "state_class", "unit_of_measurement", "entity_category"),
    },
    "binary_sensor": {
        *("platform", "name", "unique_id", "state_topic", "value_template", "expire_after", "device_class"),
        *("entity_category", "json_attributes_topic", "json_attributes_template"),
    },
}
MESSAGES = ("about", "state", "health", "tally", "reading")
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version"}


def found() -> dict[str, Any]:
    return body(discovery_message(TOPICS, "door", LABELS, "edge"))  # type: ignore[no-any-return]


def test_discovery_is_one_retained_message() -> None:
    discovery = discovery_message(TOPICS, "door", LABELS, "edge")
    assert discovery.retain and discovery.topic == "homeassistant/device/door-12345678/config"
    device = body(discovery)
    assert device["origin"]["name"] == "fer-edge" and set(device["device"]) == DEVICE
    parts = device["components"]
    assert set(parts) >= {
        "expression",
        "presence",
        "faces",
        "unsure",
        "unavailable",
        "problem",
        "temperature",
        "software",
    }
    assert len({part["unique_id"] for part in parts.values()}) == len(parts)
    for part in parts.values():
        assert set(part) <= ALLOWED[part["platform"]]
        if part.get("device_class") == "enum":
            assert part["options"] and not {"state_class", "unit_of_measurement"} & set(part)
        assert part["state_topic"].rpartition("/")[2] == "about" or part["expire_after"] == EXPIRE_S
    assert parts["expression"]["options"] == [*LABELS, "unsure", "none"]


def rendered(template: str, value: str) -> str:
    """What Home Assistant makes of a value: its templates are Jinja's, with the value and its JSON in them."""
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(template)
        .render(value=value, value_json=parsed)
    )


SHOWN = presence.update_presence(Presence(), [reading("happy")], 0, 1.0)
HEALTH = Health(1.0, False, (), (), 51.2, 10**10, "synced", "hwmon")
RUNNING = Status("running", "0", "/log", health=HEALTH, problems=("the processor is hot",))
TOLD = {
    "all": [
        messages.about(TOPICS, event("header", 0, **HEADER)),
        messages.state(TOPICS, RUNNING.state, SHOWN, CLOCK.stamp()),
        messages.health(TOPICS, RUNNING, CLOCK.stamp()),
        messages.tally(TOPICS, event("tally", 1, **TALLY)),
    ],
    "nothing": [
        messages.about(TOPICS, event("header", 0, **HEADER)),
        messages.state(TOPICS, "lost", Presence(), CLOCK.stamp()),
        messages.health(TOPICS, Status("lost", "0", "/log", health=replace(HEALTH, temperature_c=None)), CLOCK.stamp()),
        messages.tally(
            TOPICS, event("tally", 1, **{**TALLY, "labels_s": {}, "observed_s": 0.0, "unavailable_s": 60.0})
        ),
    ],
}
VALUES = {
    "all": {
        "expression": "happy", "expression_minute": "happy", "presence": "ON", "faces": "1", "unsure": "25.0",
        "unavailable": "2.0", "state": "running", "problem": "ON", "temperature": "51.2",
        "software": "fer-edge 0.1.0", "bundle": "edge",
    },
    "nothing": {
        "expression": "None", "expression_minute": "None", "presence": "None", "faces": "None", "unsure": "None",
        "unavailable": "60.0", "state": "lost", "problem": "OFF", "temperature": "None",
        "software": "fer-edge 0.1.0", "bundle": "edge",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_every_sensor_reads_its_message(case: str) -> None:
    """None, the word, is what Home Assistant takes for unknown, of an enum and of a number."""
    by_topic = {message.topic: message.encode().decode() for message in TOLD[case]}
    values = {}
    for key, part in found()["components"].items():
        values[key] = rendered(part["value_template"], by_topic[part["state_topic"]])
        assert values[key] in (*part.get("options", [values[key]]), "None")
    assert values == VALUES[case]
    problem = found()["components"]["problem"]
    attributes = json.loads(rendered(problem["json_attributes_template"], by_topic[problem["json_attributes_topic"]]))
    assert attributes == {"problems": ["the processor is hot"] if case == "all" else []}


@pytest.mark.parametrize(("word", "is_there"), [("online", True), ("offline", False), ("stopped", False)])
def test_only_online_means_available(word: str, is_there: bool) -> None:
    availability = messages.availability(TOPICS, word)
    device = found()
    assert availability.retain and availability.topic == device["availability_topic"]
    assert rendered(device["availability_template"], availability.encode().decode()) == (
        "online" if is_there else "offline"
    )


def test_instance_ids_differ_by_machine_and_camera(tmp_path: Path) -> None:
    ids = set()
    for machine in ("a", "b"):
        (tmp_path / machine / "etc").mkdir(parents=True)
        (tmp_path / machine / "etc/machine-id").write_text(machine * 32 + "\n")
        ids |= {instance_id(name, tmp_path / machine) for name in ("door", "hall")}
        assert machine * 8 not in instance_id("door", tmp_path / machine), "nor is the machine's own id shown"
    assert len(ids) == 4 and instance_id("door", tmp_path / "a") in ids
    assert instance_id("door", tmp_path).startswith("door-"), "a machine without one has a name"
