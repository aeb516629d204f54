"""Which journals `fer-edge log` reads: every one in and below a folder that is named, the own one alone where none is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fer_edge.cli import main
from fer_edge.journal.segments import segments
from fer_edge.log.devices import devices
from tests.simulated_device import SimulatedDevice, utc_s

NINE = "2026-03-01T09:10:00"


def write(folder: Path, name: str, label: str = "happy") -> None:
    device = SimulatedDevice(folder, utc_s(NINE), name)
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
