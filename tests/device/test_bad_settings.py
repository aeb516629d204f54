"""Settings files that no person would write: each is a sentence at the start, and changes nothing in a running instance."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from builders import journal_events
from processes import run_state, start_run, wait_until

from device.config import SETTING_FIELDS, Settings, setting_kind, validation_error
from device.config_sources import load_settings, read_settings_file
from fer_edge.errors import UsageError

BAD = {
    "a number of 400 digits": b"fps = 1" + b"0" * 400,
    "a number of 5,000 digits": b"threads = 1" + b"0" * 5000,
    "a hexadecimal number of 6,000 digits": b"threads = 0x1" + b"0" * 6000,
    "deep nesting": b"region = " + b"[" * 5000 + b"]" * 5000,
    "1e308": b"hold_s = 1e308",
    "a number that divides to infinity": b"fps = 5e-324",
    "the largest integer": b"threads = 9223372036854775807",
    "nan": b"sync_s = nan",
    "a huge share": b"region = [1" + b"0" * 400 + b", 0.5, 0.5, 0.5]",
    "a NUL": b'camera = "a\\u0000b"',
    "a raw NUL": b'camera = "a\x00b"',
    "a NUL in a path": b'log = "/tmp/a\\u0000b"',
    "an escape": b'name = "\\u001b[2J"',
    "a long host": b'mqtt = "mqtt://' + b"a" * 300 + b'"',
    "a long address": b'metrics = "' + b"a" * 300 + b':9464"',
    "a long path": b'log = "/' + b"a" * 5000 + b'"',
    "not UTF-8": b'name = "\xff"',
    "a large file": b"# " + b"x" * 100_000,
    "many pixels": b"width_px = 16384\nheight_px = 16384",
    "a prior without a share": b'prior = "often"',
    "a prior with an escape": b'prior = "\\u001b[2J=0.5x"',
    "a date": b"duration_s = 1979-05-27",
    "a long name": b"a" * 3000 + b" = 1",
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_a_sentence(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.toml").write_bytes(BAD[what])
    with pytest.raises(UsageError) as refused:
        load_settings({}, tmp_path / "bad.toml", {})
    sentence = str(refused.value)
    assert len(sentence) < 500 and sentence.isprintable()


def test_a_running_instance_survives_every_bad_file(tmp_path: Path) -> None:
    process = start_run(tmp_path, "synthetic", "--bundle", "nano", hold_s=0.5)
    assert process.stderr is not None
    wait_until(process, lambda: run_state(tmp_path) == "running")
    for content in (*BAD.values(), b'prior = "calm=0.5"'):  # the last: valid, of a label that the bundle lacks
        (tmp_path / "settings.toml").write_bytes(content)
        process.send_signal(signal.SIGHUP)
        line = next(line for line in process.stderr if "nothing was changed" in line)
        assert "Traceback" not in line
    (tmp_path / "settings.toml").write_bytes(b'hold_s = 0.25\nprior = "neutral=0.5"\n')
    process.send_signal(signal.SIGHUP)
    assert next(line for line in process.stderr if "settings read again" in line)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert journal_events(tmp_path / "log")[-1].kind == "end"


@pytest.mark.parametrize(
    "name", [name for name, spec in SETTING_FIELDS.items() if setting_kind(name) in ("int", "float")]
)
def test_every_number_is_bounded(name: str) -> None:
    whole = setting_kind(name) == "int"
    for value in (2**63 - 1, 10**400, *(() if whole else (1e308, float("inf"), float("nan")))):
        assert name in validation_error(name, value)
    assert validation_error(name, SETTING_FIELDS[name].default) == ""
    if "above" in SETTING_FIELDS[name].metadata and not whole:
        assert validation_error(name, 5e-324) == f"{name} must be 1e-06 or more, not 4.940656458e-324"


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b'\xef\xbb\xbffps = 5\r\nname = "door"\r\n')
    values, origins = read_settings_file(path)
    assert values == {"fps": 5.0, "name": "door"} and origins["fps"] == f"{path}:1"


def test_a_long_list_does_not_take_long(tmp_path: Path) -> None:
    """The place of each setting is found without parsing every line of a list of 20,000 lines again."""
    path = tmp_path / "long.toml"
    path.write_text("fps = 5\nregion = [" + "1,\n" * 20_000 + "]\n")
    before_s = time.process_time()  # of this process: other work on the machine does not count
    with pytest.raises(UsageError, match="region must be four numbers"):
        read_settings_file(path)
    assert time.process_time() - before_s < 5


def test_a_value_in_the_range_stays() -> None:
    assert Settings(fps=0.1, threads=4, duration_s=1e8, width_px=4096, height_px=4096).fps == 0.1
