"""Settings refuse what makes no sense, folders are where the system wants them, and only the live ones change in a run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.config import SETTING_FIELDS, Settings, merge_reloaded
from device.config_sources import load_settings
from device.default_folders import default_config_file, default_journal_folder, default_runtime_folder, runtime_folders
from device.selected_instance import journal_folder_of, searched_runtime_folders, selected_name
from fer_edge.errors import UsageError


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/fer-edge"}, "/var/lib/fer-edge"),
        ({"STATE_DIRECTORY": "/var/lib/fer-edge:/var/lib/other"}, "/var/lib/fer-edge"),
        ({"STATE_DIRECTORY": "/var/lib/a", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x/state"}, "/x/state/fer-edge"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/fer-edge"),
        ({"STATE_DIRECTORY": ""}, "~/.local/state/fer-edge"),
        ({}, "~/.local/state/fer-edge"),
    ],
)
def test_default_journal_folder(environ: dict[str, str], folder: str) -> None:
    assert default_journal_folder(environ) == Path(folder).expanduser()
    assert default_journal_folder(environ, "front") == Path(folder).expanduser() / "front", (
        "two cameras never share a journal"
    )


def test_default_runtime_folder_belongs_to_the_user(tmp_path: Path) -> None:
    named = {"RUNTIME_DIRECTORY": "/run/fer-edge:/run/b", "XDG_RUNTIME_DIR": str(tmp_path)}
    shared = default_runtime_folder({})
    assert default_runtime_folder(named) == Path("/run/fer-edge")
    assert default_runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "fer-edge"
    assert shared.name == f"fer-edge-{os.geteuid()}" and shared.parent in (Path("/dev/shm"), Path("/tmp"))
    assert default_runtime_folder({"XDG_RUNTIME_DIR": "relative"}) == shared
    assert default_runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path / "absent")}) == shared
    somebody = next((p for p in Path("/proc").glob("[0-9]*") if p.stat().st_uid != os.geteuid()), None)
    if somebody is not None:  # sudo keeps the variable of the user who called it
        assert default_runtime_folder({"XDG_RUNTIME_DIR": str(somebody)}) == shared
    assert runtime_folders({"XDG_RUNTIME_DIR": str(tmp_path)}) == (tmp_path / "fer-edge", Path("/run/fer-edge"), shared)
    assert runtime_folders({"RUNTIME_DIRECTORY": "/run/fer-edge"}) == (Path("/run/fer-edge"), shared)


def test_a_private_runtime_folder_is_the_only_one_that_is_searched(tmp_path: Path) -> None:
    private = {"FER_EDGE_RUNTIME": str(tmp_path / "a"), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert default_runtime_folder(private) == tmp_path / "a"
    assert runtime_folders(private) == (tmp_path / "a",)
    service = {**private, "RUNTIME_DIRECTORY": str(tmp_path / "b")}
    assert runtime_folders(service) == (tmp_path / "b", tmp_path / "a")
    assert default_runtime_folder({"FER_EDGE_RUNTIME": "relative"}) == default_runtime_folder({})


def test_commands_find_the_journal_and_the_instance_that_the_settings_file_names(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    default = default_journal_folder(environ)
    assert journal_folder_of("camera", environ) == default
    assert searched_runtime_folders(environ) == runtime_folders(environ)
    (tmp_path / "fer-edge").mkdir()
    file = tmp_path / "fer-edge/config.toml"
    file.write_text('log = "/media/stick/log"\nruntime = "/media/ram"\n')
    assert journal_folder_of("camera", environ) == Path("/media/stick/log")
    assert journal_folder_of("door", environ) == default / "door", "the file is about another instance"
    assert searched_runtime_folders(environ) == (Path("/media/ram"), *runtime_folders(environ))
    assert selected_name(None, environ) == "camera" and selected_name("door", environ) == "door"
    file.write_text('log = "/media/stick/log"\nname = "hall"\n')
    assert selected_name(None, environ) == "hall" and selected_name("camera", environ) == "camera"
    assert journal_folder_of(None, environ) == journal_folder_of("hall", environ) == Path("/media/stick/log")
    assert journal_folder_of("camera", environ) == default
    file.write_text('name = "hall"\n')
    assert journal_folder_of(None, environ) == default / "hall", "where `run` writes with these settings"
    file.write_text("log = 3")
    assert selected_name(None, environ) == "camera"
    with pytest.raises(UsageError, match=r"config\.toml:1: log must be a path"):
        journal_folder_of("camera", environ)
    assert searched_runtime_folders(environ) == runtime_folders(environ), "a running instance can still be paused"


@pytest.mark.parametrize("name", ["log", "runtime", "bundle", "metrics_file", "live_token_file", "mqtt_ca"])
def test_an_empty_path_is_not_the_current_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f'{name} = ""\n')
    with pytest.raises(UsageError, match=f"own.toml:1: {name} must be "):
        load_settings({}, tmp_path / "own.toml", {})


def test_config_file_is_the_services_else_the_users(tmp_path: Path) -> None:
    service, home = tmp_path / "etc", tmp_path / "home"
    environ = {"CONFIGURATION_DIRECTORY": f"{service}:/etc/other", "XDG_CONFIG_HOME": str(home)}
    assert default_config_file(environ) is None
    (home / "fer-edge").mkdir(parents=True)
    (home / "fer-edge/config.toml").touch()
    assert default_config_file(environ) == home / "fer-edge/config.toml", (
        "systemd makes the folder, nobody put a file there"
    )
    service.mkdir()
    (service / "fer-edge.toml").touch()
    assert default_config_file(environ) == service / "fer-edge.toml"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"camera": "  "}, "no name"),
        ({"camera": None}, "camera has no value"),
        ({"name": "a/b"}, "name must be"),
        ({"name": ""}, "name must be"),
        ({"name": "-a"}, "name must be"),
        ({"name": "a" * 33}, "1 to 32"),
        ({"duration_s": 0.0}, "duration_s must be more than 0, not 0"),
        ({"duration_s": -1.0}, "duration"),
        ({"duration_s": float("nan")}, "duration"),
        ({"fps": float("inf")}, "not inf"),
        ({"fps": float("nan")}, "not nan"),
        ({"duration_s": float("inf")}, "duration"),
        ({"width_px": 0}, "width"),
        ({"width_px": 640.0}, "width_px must be a whole number, not 640"),
        ({"height_px": -5}, "height"),
        ({"fps": 0.0}, "fps"),
        ({"fps": True}, "fps must be a number, not true"),
        ({"threads": 0}, "threads"),
        ({"stall_s": -0.1}, "stall_s must be 0 or more"),
        ({"rotate_deg": 45}, "one of 0, 90, 180, 270, not 45"),
        ({"flip": "sideways"}, "one of none, horizontal, vertical, both, not “sideways”"),
        ({"region": (0, 0, 0.5)}, "four numbers"),
        ({"region": (0, 0, "a", 1)}, "four numbers"),
        ({"region": (0.6, 0, 0.5, 1)}, "must lie in the picture"),
        ({"region": (0, 0, 0, 1)}, "must lie in the picture"),
        ({"region": (0, 0, float("nan"), 1)}, "must lie in the picture"),
        ({"region": (0, 0, 640, 480)}, "in shares of it from 0 to 1, not \\[0, 0, 640, 480\\]"),
        ({"min_score": 1.5}, "min_score must be 1 or less"),
        ({"keep_days": 0.0}, "keep_days must be more than 0"),
        ({"budget_bytes": 1_000_000}, "budget_bytes must be 1048576 or more, not 1000000"),
        ({"log": "text"}, "log must be a path"),
    ],
)
def test_an_invalid_setting_is_rejected(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Settings(**values)


@pytest.mark.parametrize(
    "values",
    [{"region": (0.7, 0, 0.3, 1)}, {"region": (0, 0, 1, 1)}, {"fps": 5}, {"name": "front_door-2"}, {"open_s": 0}],
)
def test_a_value_at_a_limit_is_accepted(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert {name: getattr(settings, name) for name in values} == values


def test_only_live_settings_change_during_a_run() -> None:
    old = Settings(camera="usb:0", log=Path("/a"), hold_s=1.0)
    new = Settings(
        camera="usb:1", log=Path("/b"), hold_s=3.0, per_frame=True, budget_bytes=2_000_000, sync_s=5.0, fps=3.0
    )
    merged, restart_names = merge_reloaded(old, new)
    assert restart_names == ("camera", "log", "fps")
    assert merged == replace(old, hold_s=3.0, per_frame=True, budget_bytes=2_000_000, sync_s=5.0)
    assert merge_reloaded(merged, merged) == (merged, ())


def test_the_live_settings() -> None:
    assert {name for name, spec in SETTING_FIELDS.items() if spec.metadata.get("live")} == {
        *(
            "per_frame",
            "hold_s",
            "min_score",
            "begin_score",
            "far_px",
            "unsure_below",
            "sync_s",
            "budget_bytes",
            "keep_days",
        ),
        *("health_s", "hot_c", "disk_low_bytes", "cpu_budget"),
        *("prior", "min_quality", "smooth_s", "min_dwell_s", "max_faces", "search_s", "sweep_s"),
    }


def test_every_setting_has_a_description() -> None:
    assert [name for name, spec in SETTING_FIELDS.items() if len(spec.metadata["description"]) < 10] == []
