"""Where settings come from: one file, flags over it, and for each value the place that it was given."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from device.config import SETTING_FIELDS, Settings, setting_kind
from device.config_sources import (
    LoadedSettings,
    flag_name,
    load_settings,
    parse_region,
    settings_digest,
    settings_report,
    settings_text,
)
from device.default_folders import default_journal_folder
from fer_edge.cli import make_parser
from fer_edge.errors import UsageError

NOWHERE = {"XDG_CONFIG_HOME": "/nonexistent"}  # so that no file of the user who runs the tests is read


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fer-edge.toml"
    path.write_text(text)
    return path


def loaded(tmp_path: Path, text: str, **flags: Any) -> LoadedSettings:
    return load_settings(flags, toml(tmp_path, text), NOWHERE)


def test_flags_override_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    configured = loaded(
        tmp_path,
        'camera = "usb:0"\n\n# fps = 1\nfps = 5\nhold_s = 2.5\n',
        camera="synthetic",
        duration_s=None,
        command="run",  # what a parser gives besides
    )
    assert configured.settings == Settings(camera="synthetic", fps=5.0, hold_s=2.5)
    assert type(configured.settings.fps) is float
    origins = configured.origins
    assert origins["camera"] == "flag --camera"
    assert origins["fps"] == f"{configured.file}:4"
    assert origins["hold_s"] == f"{configured.file}:5"
    assert origins["duration_s"] == "default"
    assert list(origins) == list(SETTING_FIELDS)


def test_a_file_can_contain_every_setting(tmp_path: Path) -> None:
    text = """
camera = '/dev/video2'
log = "~/journal"
region = [0, 0.25,  # three
          1, 0.5]
wait_camera = true
budget_bytes = 2_000_000
"""
    configured = loaded(tmp_path, text)
    assert configured.settings == Settings(
        camera="/dev/video2",
        log=Path.home() / "journal",
        region=(0, 0.25, 1, 0.5),
        wait_camera=True,
        budget_bytes=2_000_000,
    )
    assert configured.origins["region"].endswith(":4")
    assert configured.origins["wait_camera"].endswith(":6")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("fps = 5\nrotation = 90\n", 2, "“rotation”; did you mean rotate_deg?"),
        ("rotate = 90", 1, "did you mean rotate_deg?"),
        ("wait-camera = true", 1, "did you mean wait_camera?"),
        ("\n\nhold = 2", 3, "did you mean hold_s?"),
        ("widht_px = 2", 1, "did you mean width_px?"),
        ("colour = 'red'", 1, "“colour”; `fer-edge config show` lists them all"),
        ("fps = 5\n[journal]\nsync_s = 1\n", 2, "the file has no tables"),
        ("fps = 5\n[camera]\nfps = 1\n", 2, "camera must be text, not a table"),
        ("\nfps = 'ten'", 2, "fps must be a number, not “ten”"),
        ("fps = 0", 1, "fps must be more than 0, not 0"),
        ("threads = 1.5", 1, "threads must be a whole number, not 1.5"),
        ("per_frame = 1", 1, "per_frame must be true or false, not 1"),
        ("rotate_deg = 45", 1, "one of 0, 90, 180, 270"),
        ("log = 5", 1, "log must be a path, not 5"),
        ("region = [0, 0, 640, 480]", 1, "in shares of it"),
        ("region = 'left'", 1, "four numbers"),
        ("# a\nfps = \n", 2, "Invalid value"),
        ("fps = 5\nfps = 6\n", 2, "Cannot overwrite"),
        # what looks like a setting within a text or an array is none
        ('camera = """\nfpss = 1\n"""\nfpss = 1', 4, "did you mean fps?"),
        ("region = [\n0, 0, # fpss = 1\n1, 1]\r\nfpss = 1", 4, "did you mean fps?"),
    ],
)
def test_an_error_in_a_file_names_its_line(tmp_path: Path, text: str, line: int, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'fer-edge.toml'}:{line}: ")
    assert word in message


def test_a_wrong_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--fps: fps must be more than 0"):
        loaded(tmp_path, "fps = 5", fps=-1.0)
    with pytest.raises(UsageError, match=r"^--rotate: rotate_deg must be one of"):
        loaded(tmp_path, "", rotate_deg=7)


def test_a_missing_or_undecodable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml cannot be read: No such file"):
        load_settings({}, tmp_path / "absent.toml", NOWHERE)
    (tmp_path / "latin.toml").write_bytes('camera = "Küche"'.encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings({}, tmp_path / "latin.toml", NOWHERE)


def test_a_file_is_found_where_the_environment_says(tmp_path: Path) -> None:
    toml(tmp_path, "fps = 3")
    environ = {"CONFIGURATION_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/fer-edge"}
    configured = load_settings({}, environ=environ)
    assert (configured.settings.fps, configured.file) == (3.0, tmp_path / "fer-edge.toml")
    assert configured.origins["log"] == "environment: STATE_DIRECTORY"
    assert load_settings({}, environ=NOWHERE).origins["log"] == "default"
    assert load_settings({}, environ=NOWHERE).file is None


def test_config_show_prints_a_file_with_the_same_settings(tmp_path: Path) -> None:
    before = loaded(
        tmp_path, 'camera = "a \\"quoted\\" \\u007f name"\nregion = [0, 0, 0.5, 1]\nfps = 0.00001', paused=True
    )
    environ = {**NOWHERE, "STATE_DIRECTORY": str(tmp_path)}
    for commented in (False, True):
        text = settings_text(before, commented, environ)
        assert f'log = "{tmp_path}"' in text, "shown as what it comes to"
        after = load_settings({}, toml(tmp_path, text), environ).settings
        assert (after.log or default_journal_folder(environ)) == tmp_path
        assert set(tomllib.loads(text)) == (
            {"camera", "region", "fps", "paused"}
            if commented
            else {name for name in SETTING_FIELDS if settings_report(before, environ).settings[name].value is not None}
        ), "a default in a file to start from would stay when a later version has another one"
        values = {name: getattr(after, name) for name in SETTING_FIELDS if name not in ("log", "runtime")}
        assert values == {name: getattr(before.settings, name) for name in values}
    assert "fps = 1e-05" in text and "fer-edge.toml:3" in text
    assert [name for name, spec in SETTING_FIELDS.items() if f"# {spec.metadata['description']}\n" not in text] == []


def test_a_settings_file_to_start_from_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    """`config show --commented` is copied to devices: what the environment gives here is a comment, what the file gives not."""
    environ = {**NOWHERE, "XDG_STATE_HOME": "/home/ann/.state", "RUNTIME_DIRECTORY": "/run/user/7"}
    text = settings_text(load_settings({}, toml(tmp_path, "fps = 3"), environ), True, environ)
    assert tomllib.loads(text) == {"fps": 3.0}
    assert '# log = "/home/ann/.state/fer-edge"' in text and "# environment: XDG_STATE_HOME" in text
    assert tomllib.loads(settings_text(load_settings({}, None, environ), False, environ))["runtime"] == "/run/user/7"


def test_config_show_prints_json(tmp_path: Path) -> None:
    environ = {**NOWHERE, "STATE_DIRECTORY": "/var/lib/fer-edge"}
    origins = json.loads(
        json.dumps(
            settings_report(load_settings({"name": "front"}, toml(tmp_path, "hold_s = 2"), environ), environ).to_json()
        )
    )
    assert origins["file"] == str(tmp_path / "fer-edge.toml")
    assert list(origins["settings"]) == list(SETTING_FIELDS)
    assert origins["settings"]["hold_s"] == {
        "value": 2.0,
        "from": f"{tmp_path / 'fer-edge.toml'}:1",
        "live": True,
        "description": SETTING_FIELDS["hold_s"].metadata["description"],
    }
    assert origins["settings"]["log"]["value"] == "/var/lib/fer-edge/front"
    assert origins["settings"]["log"]["from"] == "environment: STATE_DIRECTORY"
    assert origins["settings"]["name"]["from"] == "flag --name"
    assert origins["settings"]["keep_days"]["value"] is None


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    configured = loaded(tmp_path, 'camera = "rtsp://me:secret@cam.local/1?key=hidden"')
    text = settings_text(configured, True, NOWHERE) + json.dumps(settings_report(configured, NOWHERE).to_json())
    assert "secret" not in text and "hidden" not in text and "me:" not in text
    assert '# camera = "rtsp://cam.local/…"' in text
    assert "camera" not in tomllib.loads(settings_text(configured, False, NOWHERE)), "what is not whole is no setting"


def test_a_password_in_a_mistyped_address_is_not_shown(tmp_path: Path) -> None:
    configured = loaded(tmp_path, 'camera = "rtsp:/me:secret@cam.local/1"')
    text = settings_text(configured, True, NOWHERE) + json.dumps(settings_report(configured, NOWHERE).to_json())
    assert "secret" not in text and "me:" not in text and '# camera = "…"' in text


def test_flags_are_names_without_units() -> None:
    flags = {name: flag_name(name) for name in SETTING_FIELDS}
    assert len(set(flags.values())) == len(SETTING_FIELDS)
    assert [flags[name] for name in ("duration_s", "rotate_deg", "budget_bytes", "wait_camera", "once_s")] == [
        *("--duration", "--rotate", "--budget", "--wait-camera", "--once-s")
    ]


def test_a_region_is_parsed_from_the_command_line() -> None:
    assert Settings(region=parse_region("0.25,0,.5,1")).region == (0.25, 0.0, 0.5, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="could not convert"):
        parse_region("left")


def test_the_digest_covers_the_settings_that_affect_the_journal() -> None:
    default_digest = settings_digest(Settings())
    assert default_digest == settings_digest(
        Settings(camera="rtsp://me:secret@cam/1", log=Path("/elsewhere"), name="front", duration_s=3)
    )
    assert default_digest != settings_digest(Settings(hold_s=2.0))
    assert len(default_digest) == 12 and int(default_digest, 16) >= 0


OTHERS = {
    **{"camera": "rtsp://u@cam/1", "name": "front", "detector": "haar", "flip": "both", "prior": "estimate"},
    **{"detail": "frames"},
    **{"metrics": ":9464", "live": ":8080", "mqtt": "mqtts://b", "mqtt_topic": "faces", "mqtt_discovery": ""},
    **{"rotate_deg": 90, "far_px": 40, "region": (0.0, 0.25, 1.0, 0.5)},
}
UNDIGESTED = {
    *("camera", "name", "json", "detail", "once", "duration_s", "metrics", "metrics_every_s", "live", "show_pixels_s"),
    *("camera_password_file", "bundle", "log", "runtime", "metrics_file", "live_token_file"),
    *("mqtt", "mqtt_password_file", "mqtt_ca", "mqtt_cert", "mqtt_key"),
    *("mqtt_topic", "mqtt_discovery", "mqtt_readings"),
}


def other_value(name: str) -> Any:
    """A valid value of the setting that is not its default."""
    default = SETTING_FIELDS[name].default
    match setting_kind(name):
        case _ if name in OTHERS:
            return OTHERS[name]
        case "Path":
            return Path("/elsewhere/a.prom")
        case "bool":
            return not default
        case "int":
            return 2 * default
        case _:
            return (default or 1.0) / 2


def test_every_setting_but_paths_camera_and_outputs_is_digested() -> None:
    other = {name: other_value(name) for name in SETTING_FIELDS}
    assert [name for name, value in other.items() if value == SETTING_FIELDS[name].default] == []
    digests = {name: settings_digest(Settings(**{name: value})) for name, value in other.items()}
    default_digest = settings_digest(Settings())
    assert {name for name, digest in digests.items() if digest == default_digest} == UNDIGESTED
    assert settings_digest(Settings(**other)) not in {default_digest, *digests.values()}


# the options of each command that are no settings
NO_SETTINGS = {
    "run": {"--help", "--config", "--explain-privacy"},
    "label": {
        "--help", "--config", "--explain-privacy", "--quiet", "--out", "--format", "--jobs", "--shard", "--engine",
        "--annotate", "--show-faces", "--json",
    },
    "collect": {
        "--help", "--config", "--explain-privacy", "--faces", "--store-pictures-of-faces", "--every", "--expire-days",
        "--max-pictures", "--max-size",
    },
}  # fmt: skip
REQUIRED = {"run": [], "label": ["--out", "tables", "video.mp4"], "collect": []}
CONSTANTS = {
    "--estimate-prior": "estimate",
    "--verbose": "frames",
    "--quiet": "none",
}  # what a flag without a value says
TYPED = {
    "camera": "synthetic", "name": "front", "detector": "haar", "prior": "neutral=0.3", "region": (0.1, 0.2, 0.5, 0.25),
    "rotate_deg": 270, "flip": "both", "far_px": 40, "metrics": "127.0.0.1:9101", "metrics_file": Path("/run/x/fer.prom"),
    "live": "127.0.0.1:8099", "mqtt": "mqtt://broker", "mqtt_topic": "cameras", "mqtt_discovery": "discovered",
}  # fmt: skip


def typed_value(name: str) -> Any:
    """A value of the setting that is not its default."""
    default, kind = SETTING_FIELDS[name].default, setting_kind(name)
    others = {"bool": not default, "Path": Path(f"/typed/{name}")}
    if kind == "int":
        others[kind] = (default or 0) + 1
    if kind == "float":
        others[kind] = (default or 0.0) + 0.5
    return TYPED[name] if name in TYPED else others[kind]


@pytest.mark.parametrize("command", NO_SETTINGS)
def test_each_flag_sets_the_setting_of_its_name(command: str) -> None:
    """Of a real command line: no flag is without effect, and none sets another setting than it names."""
    parser = make_parser()
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    by_flag = {
        next(f for f in action.option_strings if f.startswith("--") and not f.startswith("--no-")): action.dest
        for action in commands.choices[command]._actions
        if action.option_strings
    }
    assert {flag for flag, dest in by_flag.items() if dest not in SETTING_FIELDS} == NO_SETTINGS[command]
    for flag, dest in by_flag.items():
        if flag in NO_SETTINGS[command]:
            continue
        assert flag in flag_name(dest).split(" or ")
        value = CONSTANTS.get(flag) or typed_value(dest)
        words = [flag]
        if flag not in CONSTANTS and value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, tuple) else str(value))
        found = load_settings(vars(parser.parse_args([command, *words, *REQUIRED[command]])), None, NOWHERE)
        assert getattr(found.settings, dest) == value != SETTING_FIELDS[dest].default, flag
        assert {name: origin for name, origin in found.origins.items() if origin.startswith("flag ")} == {
            dest: f"flag {flag_name(dest)}"
        }
