"""Health is read from files below a root, and only what matters is told: troubles at once, their ends after a while."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock

from device.system.health import BITS, Health, Sensors, changed_fields, health_problems, vcgencmd
from fer_edge.events import Event

WELL = Health(100.0, False, (), (), 50.0, 10_000_000_000, "synced", "hwmon")
LIMITS = (80.0, 200_000_000)


def answers(*texts: str) -> Callable[[], str]:
    """A firmware that gives these answers in order, the last one for ever; an empty one is a failure."""
    left = list(texts)

    def ask() -> str:
        text = left.pop(0) if len(left) > 1 else left[0]
        if not text:
            raise OSError("no such command")
        return text

    return ask


def system(root: Path, files: dict[str, str]) -> Path:
    """A root with these files below /sys/class."""
    for name, text in files.items():
        path = root / "sys/class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(root: Path, *texts: str) -> Health:
    return Sensors(root, FakeClock(), answers(*texts or ("",)), root).read()


PI = {
    "hwmon/hwmon0/name": "cpu_thermal\n",
    "hwmon/hwmon1/name": "rpi_volt\n",
    "hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "thermal/thermal_zone0/type": "cpu-thermal\n",
    "thermal/thermal_zone0/temp": "48312\n",
}


@pytest.mark.parametrize(
    ("files", "vcgencmd_output", "expected"),
    [
        # a Pi, with both the kernel's alarm and the firmware's bits
        (PI, "throttled=0x0\n", (False, (), (), 48.3, "hwmon")),
        (PI, "throttled=0x50000\n", (False, (), ("undervoltage", "throttled"), 48.3, "hwmon")),
        (PI, "throttled=0x8000e\n", (False, BITS[1:], (BITS[3],), 48.3, "hwmon")),
        # the kernel's alarm counts for "now"; without vcgencmd nobody knows of the rest
        ({**PI, "hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, "", (True, None, None, 48.3, "hwmon")),
        ({**PI, "hwmon/hwmon1/in0_lcrit_alarm": "1"}, "throttled=0x0", (True, (), (), 48.3, "hwmon")),
        # no driver, or one that does not answer: the firmware
        ({}, "throttled=0x50005\n", (True, (BITS[0], BITS[2]), (BITS[0], BITS[2]), None, "vcgencmd")),
        ({**PI, "hwmon/hwmon1/in0_lcrit_alarm": "?"}, "throttled=0x10000\n", (False, (), (BITS[0],), 48.3, "vcgencmd")),
        ({}, "VCHI initialization failed\n", (None, None, None, None, "none")),
        ({}, "", (None, None, None, None, "none")),
        # not a Pi: of several zones the hottest of the processor, of zones nobody names the hottest
        (
            {
                "thermal/thermal_zone0/type": "acpitz",
                "thermal/thermal_zone0/temp": "99000",
                "thermal/thermal_zone1/type": "x86_pkg_temp",
                "thermal/thermal_zone1/temp": "61000",
                "thermal/thermal_zone2/type": "cpu1",
                "thermal/thermal_zone2/temp": "62000",
            },
            "",
            (None, None, None, 62.0, "none"),
        ),
        (
            {"thermal/thermal_zone0/type": "acpitz", "thermal/thermal_zone0/temp": "27800"},
            "",
            (None, None, None, 27.8, "none"),
        ),
        (
            {"thermal/thermal_zone0/type": "cpu-thermal", "thermal/thermal_zone0/temp": ""},
            "",
            (None, None, None, None, "none"),
        ),
    ],
)
def test_health_is_read_from_the_kernel_and_the_firmware(
    tmp_path: Path, files: dict[str, str], vcgencmd_output: str, expected: tuple[Any, ...]
) -> None:
    health = read(system(tmp_path, files), vcgencmd_output)
    assert (
        health.undervoltage,
        health.throttled_now,
        health.throttled_since_boot,
        health.temperature_c,
        health.power_source,
    ) == expected
    assert (health.mono_s, health.clock) == (5.0, "unsynced")


def test_sensors_are_read_again_each_time(tmp_path: Path) -> None:
    sensors = Sensors(tmp_path, FakeClock(), answers(""), system(tmp_path, PI))
    assert not sensors.read().undervoltage
    system(tmp_path, {"hwmon/hwmon1/in0_lcrit_alarm": "1", "thermal/thermal_zone0/temp": "81000"})
    assert (sensors.read().undervoltage, sensors.read().temperature_c) == (True, 81.0)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").unlink()
    assert sensors.read().temperature_c is None


def test_free_space_of_a_missing_folder_is_that_of_its_parent(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    for folder in (tmp_path, tmp_path / "removed" / "log"):
        found = Sensors(folder, FakeClock(), answers(""), tmp_path).read().disk_free_bytes
        assert found is not None and abs(found - free) < 2e9, "others write to this disk too"
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).total != shutil.disk_usage(tmp_path).total:
        found = Sensors(memory, FakeClock(), answers(""), tmp_path).read().disk_free_bytes
        assert found is not None and abs(found - shutil.disk_usage(memory).free) < 1e9


def test_a_failing_vcgencmd_is_no_longer_called(tmp_path: Path) -> None:
    calls = []

    def ask() -> str:
        calls.append(1)
        if len(calls) == 3:
            return "throttled=0x4"
        raise OSError("VCHI initialization failed")

    sensors = Sensors(tmp_path, FakeClock(), ask, tmp_path)
    assert [sensors.read().throttled_now for _ in range(8)] == [
        None,
        None,
        ("throttled",),
        None,
        None,
        None,
        None,
        None,
    ]
    assert len(calls) == 6, "three in a row, counted anew after each answer"


def test_vcgencmd_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="vcgencmd"):
        vcgencmd()
    command = tmp_path / "vcgencmd"
    command.write_text(
        f'#!{sys.executable}\nimport sys\nprint("throttled=0x5" if sys.argv[1:] == ["get_throttled"] else "?")\n'
    )
    command.chmod(0o755)
    assert Sensors(tmp_path, FakeClock(), vcgencmd, tmp_path).read().throttled_now == ("undervoltage", "throttled")
    command.write_text(f"#!{sys.executable}\nraise SystemExit(255)\n")
    with pytest.raises(OSError, match="255"):
        vcgencmd()


def test_this_machine_s_health_can_be_read() -> None:
    health = Sensors(Path("/"), FakeClock(), answers("")).read()
    assert health.disk_free_bytes is not None and health.disk_free_bytes > 0
    assert health.temperature_c is None or -40 < health.temperature_c < 150


@pytest.mark.parametrize(
    ("before", "now", "after_s", "expected_changes"),
    [
        ({}, {}, 1000, ()),
        # power: at once when it begins; its end a minute after it was told
        ({}, {"undervoltage": True}, 1, ("undervoltage",)),
        ({"undervoltage": True}, {}, 10, ()),
        ({"undervoltage": True}, {}, 60, ("undervoltage",)),
        ({"undervoltage": None}, {"undervoltage": True}, 1, ("undervoltage",)),
        ({}, {"throttled_now": ("throttled",)}, 1, ("throttled_now",)),
        (
            {"throttled_now": ("throttled",)},
            {"throttled_now": ("throttled", "frequency_capped")},
            1,
            ("throttled_now",),
        ),
        ({"throttled_now": ("throttled",)}, {"throttled_now": ("frequency_capped",)}, 1, ("throttled_now",)),
        ({"throttled_now": ("throttled", "frequency_capped")}, {"throttled_now": ("throttled",)}, 10, ()),
        ({"throttled_now": ("throttled",)}, {}, 60, ("throttled_now",)),
        ({"throttled_now": ("throttled",)}, {"throttled_now": None}, 60, ("throttled_now",)),
        # since boot: each bit once; a driver that clears it is no news
        ({}, {"throttled_since_boot": ("throttled",)}, 1, ("throttled_since_boot",)),
        ({"throttled_since_boot": ("throttled",)}, {"throttled_since_boot": ("throttled",)}, 100, ()),
        ({"throttled_since_boot": ("throttled",)}, {}, 100, ()),
        # temperature: from 80, and again from 75 down
        ({}, {"temperature_c": 79.9}, 100, ()),
        ({}, {"temperature_c": 80.0}, 1, ("temperature_c",)),
        ({"temperature_c": 80.0}, {"temperature_c": 79.0}, 100, ()),
        ({"temperature_c": 80.0}, {"temperature_c": 75.1}, 100, ()),
        ({"temperature_c": 80.0}, {"temperature_c": 75.0}, 1, ("temperature_c",)),
        ({"temperature_c": 80.0}, {"temperature_c": 90.0}, 100, ()),
        ({"temperature_c": None}, {"temperature_c": 85.0}, 1, ("temperature_c",)),
        ({"temperature_c": 85.0}, {"temperature_c": None}, 100, ()),
        # space: below the limit, and again from a quarter above it
        ({}, {"disk_free_bytes": 200_000_000}, 1, ()),
        ({}, {"disk_free_bytes": 199_999_999}, 1, ("disk_free_bytes",)),
        ({"disk_free_bytes": 199_999_999}, {"disk_free_bytes": 249_999_999}, 100, ()),
        ({"disk_free_bytes": 199_999_999}, {"disk_free_bytes": 250_000_000}, 1, ("disk_free_bytes",)),
        ({"disk_free_bytes": 199_999_999}, {"disk_free_bytes": 0}, 100, ()),
        ({"disk_free_bytes": None}, {"disk_free_bytes": 5}, 1, ("disk_free_bytes",)),
        ({"clock": "unsynced"}, {"clock": "synced"}, 1, ("clock",)),
        ({}, {"undervoltage": True, "temperature_c": 81.0}, 1, ("undervoltage", "temperature_c")),
    ],
)
def test_a_change_of_state_is_an_event_with_hysteresis(
    before: dict[str, Any], now: dict[str, Any], after_s: float, expected_changes: tuple[str, ...]
) -> None:
    later = replace(WELL, mono_s=WELL.mono_s + after_s, **now)
    assert changed_fields(replace(WELL, **before), later, *LIMITS) == expected_changes


def test_the_first_health_event_has_all_fields() -> None:
    names = {name for name in Health.__dataclass_fields__ if name != "mono_s"}
    assert set(changed_fields(None, WELL, *LIMITS)) == names
    event = Event("health", 0, "boot", 1.0, "2024-05-01T12:00:00.000Z", WELL.clock, WELL.to_json())
    assert event.body.keys() | {"clock"} == names


def test_a_flickering_alarm_makes_two_events_a_minute_at_most() -> None:
    last_recorded, events = WELL, 0
    for second in range(10, 3610, 10):
        now = replace(WELL, mono_s=100.0 + second, undervoltage=second % 20 == 0)
        if changed_fields(last_recorded, now, *LIMITS):
            last_recorded, events = now, events + 1
    assert 2 <= events <= 120


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"throttled_since_boot": BITS, "clock": "unsynced"}, []),
        ({"undervoltage": True, "throttled_now": ("undervoltage",)}, ["too weak"]),
        ({"throttled_now": ("frequency_capped", "throttled")}, ["slowed down (frequency capped, throttled)"]),
        ({"temperature_c": 80.0}, ["80 °C"]),
        ({"disk_free_bytes": 150_000_000}, ["150 MB"]),
        ({"undervoltage": None, "throttled_now": None, "temperature_c": None, "disk_free_bytes": None}, []),
    ],
)
def test_problems_are_present_ones_only(values: dict[str, Any], words: list[str]) -> None:
    found = health_problems(replace(WELL, **values), *LIMITS)
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence
