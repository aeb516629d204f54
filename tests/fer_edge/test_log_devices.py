"""Which journals `fer-edge log` reads: every one in and below a folder that is named, the own one alone where none is."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from builders import event

from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.journal.segments import segment_name, segments
from fer_edge.log.devices import devices
from tests.simulated_device import SimulatedDevice, header_body, utc_s

NINE = "2026-03-01T09:10:00"


def write(folder: Path, name: str, label: str = "happy", seed: int = 0) -> None:
    device = SimulatedDevice(folder, utc_s(NINE), name, seed=seed)
    device.start()
    device.watch(60, label)
    device.watch(60, "neutral")
    device.end()


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The journal folder of a Pi with three instances, as `run` writes it and `fetch` copies it."""
    for name in ("camera", "door", "yard"):
        write(tmp_path / "pi" / ("" if name == "camera" else name), name)
    (tmp_path / "pi/notes").mkdir()
    return tmp_path / "pi"


def damage(folder: Path) -> None:
    (segment,) = segments(folder)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2] + lines[3:]))


def test_every_instance_of_a_pi_is_read(pi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = [("camera", pi), ("door", pi / "door"), ("yard", pi / "yard")]
    assert [(device.name, device.folder) for device in devices([pi])] == expected
    assert devices([pi, pi / "door"]) == devices([pi]), "each is read once"
    for arguments in (["summary"], ["query", "episodes"], ["tail", "-n", "100"]):
        assert main(["log", *arguments, "--json", str(pi)]) == 0
        told = [json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()]
        assert set(told) == {"camera", "door", "yard"}
        assert main(["log", *arguments, "--json", "--device", "door", str(pi)]) == 0
        assert {json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()} == {"door"}
    assert main(["log", "export", "all", "--partition", "device,day", "--out", str(pi / "archive"), str(pi)]) == 0
    assert len(devices([pi])) == 3
    assert main(["log", "query", "tallies", "--json", str(pi / "archive")]) == 0
    assert {json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()} == {"camera", "door", "yard"}


def test_damage_in_a_subfolder_makes_the_check_fail(pi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "check", str(pi)]) == 0
    damage(pi / "door")
    assert main(["log", "check", str(pi)]) == 7
    assert "door is not whole" in capsys.readouterr().err


def test_a_folder_of_pis_with_several_instances_is_read(pi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(pi.with_name("hall"), "camera")
    write(pi.with_name("hall") / "door", "door")
    house = pi.parent
    found = {device.name: device.folder for device in devices([house])}
    assert found == {
        "hall": house / "hall",
        "hall/door": house / "hall/door",
        "pi": pi,
        "pi/door": pi / "door",
        "yard": pi / "yard",
    }
    damage(house / "hall/door")
    assert main(["log", "check", str(house)]) == 7


def test_a_fleet_is_named_by_its_hosts_however_the_folders_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the playbook `collect` writes them: every header has the same name, and every folder too."""
    hosts = ("door", "hall", "yard")
    for host in hosts:
        write(tmp_path / "fleet/collected" / host / "journal", "camera")
    write(tmp_path / "fleet/collected/yard/journal/front", "front")
    monkeypatch.chdir(tmp_path)
    typed = [Path("fleet/collected") / host / "journal" for host in hosts]
    (tmp_path / "link").symlink_to("fleet")
    linked = [tmp_path / "link/collected" / host / "journal" for host in hosts]
    for folders in (typed, [folder.absolute() for folder in typed], linked):
        assert [device.name for device in devices(folders)] == ["door", "hall", "yard", "front"]
    assert len(devices([*typed, *linked, Path("fleet/collected/door")])) == 4, "each is read once"


def test_a_host_without_the_instance_camera_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `fetch --out house/kitchen` copies it: the folder of the host has no segments itself."""
    house = tmp_path / "house"
    write(house / "kitchen/kitchen", "kitchen")
    assert [device.name for device in devices([house])] == ["kitchen"]
    write(house / "hall", "camera")
    write(house / "yard/journal/front", "front")
    write(house / "a/b/c/d/too-deep", "deep")
    assert main(["log", "summary", "--json", str(house)]) == 0
    told = [json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["camera", "kitchen", "front"]


def test_hosts_with_the_same_instances_have_names_of_both(tmp_path: Path) -> None:
    house = tmp_path / "house"
    for seed, place in enumerate(("kitchen/door", "kitchen/back", "hall/door", "hall/back")):
        write(house / place, place.partition("/")[2], seed=seed)
    expected = ["kitchen/back", "kitchen/door", "hall/back", "hall/door"]
    assert [device.name for device in devices([house / "kitchen", house / "hall"])] == expected
    assert [device.folder for device in devices([house], "kitchen/door")] == [house / "kitchen/door"]
    archive = tmp_path / "archive"
    assert main(["log", "export", "tallies", "--partition", "device,day", "--out", str(archive), str(house)]) == 0
    assert {unquote(folder.name) for folder in archive.glob("*/*")} == {f"device={name}" for name in expected}


def test_an_instance_that_is_called_as_its_host_has_another_name_than_it(tmp_path: Path) -> None:
    for place, name in (("kitchen", "camera"), ("hall", "camera"), ("kitchen/kitchen", "kitchen")):
        write(tmp_path / place, name)
    assert [device.name for device in devices([tmp_path])] == ["hall", "kitchen", "kitchen/kitchen"]


def test_no_two_journals_have_the_same_name(tmp_path: Path) -> None:
    """Trees of few names, so that those of headers, folders and hosts are often the same."""
    chance = random.Random(5)
    header = event("header", 0, **header_body("camera"))
    for number in range(300):
        root = tmp_path / str(number)
        for _ in range(8):
            folder = root.joinpath(*chance.choices("abc", k=chance.randint(1, 3)))
            folder.mkdir(parents=True, exist_ok=True)
            name = chance.choice(["a", "b", "c", "camera", "a/b", str(root / "a")])
            line = replace(header, body=header.body | {"name": name}).line()
            (folder / segment_name(1)).write_text(f"{line}\n")
        names = [device.name for device in devices([root])]
        assert len(set(names)) == len(names) > 0, sorted(str(path) for path in root.rglob("*.jsonl"))


def test_the_own_journal_is_read_alone(
    pi: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(pi))
    damage(pi / "door")
    assert main(["log", "check"]) == 0
    assert main(["log", "check", "--name", "door"]) == 7
    capsys.readouterr()
    assert main(["log", "summary", "--json", "--name", "yard"]) == 0
    assert [json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()] == ["yard"]


def test_a_purge_names_the_journals_that_it_leaves(pi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = segments(pi / "door")[0].read_bytes()
    assert main(["log", "purge", "--before", "2026-03-02", "--log", str(pi)]) == 0
    assert f"not purged, name each with --log: {pi / 'door'}, {pi / 'yard'}" in capsys.readouterr().err
    assert segments(pi) == [] and segments(pi / "door")[0].read_bytes() == before
    assert main(["log", "purge", "--before", "2026-03-02", "--log", str(pi / "door")]) == 0
    assert "not purged" not in capsys.readouterr().err


def test_the_folder_of_a_disk_for_lost_files_is_no_journal(pi: Path) -> None:
    write(pi / "lost+found", "lost")
    assert [device.name for device in devices([pi])] == ["camera", "door", "yard"]


def test_the_collected_journals_of_a_fleet_are_found_from_its_folder(tmp_path: Path) -> None:
    for host in ("hall", "attic"):
        write(tmp_path / "fleet" / "collected" / host / "journal" / "door", "door")
    found = devices([tmp_path / "fleet"])
    assert [(device.name, device.folder.parts[-3]) for device in found] == [("attic", "attic"), ("hall", "hall")]
    with pytest.raises(UsageError, match="there is no journal"):
        devices([tmp_path])  # a fifth level
