"""`fer-edge fetch` from a real OpenSSH server: the journals of a device with two cameras, before and after a new card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.sshd import Target, possible, target

from fer_edge.cli import main
from fer_edge.journal.segments import segment_name, segments
from tests.simulated_device import SimulatedDevice, utc_s

STATE = "/var/lib/fer-edge"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    if not possible():
        pytest.skip("no file system may be mounted here")
    with target(tmp_path_factory.mktemp("fetch")) as found:
        yield found


class Card:
    """The state folder of a device, made here and put onto the target."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.devices = [
            SimulatedDevice(folder / ("" if name == "camera" else name), utc_s("2026-03-01T21:10:00"), name, seed=seed)
            for name in ("camera", "door")
        ]

    def runs(self) -> None:
        for device in self.devices:
            device.start()
            device.watch(130, "happy", "sad")
            device.end()

    def insert(self, up: Target) -> None:
        shutil.rmtree(up.share / "card", ignore_errors=True)
        shutil.copytree(self.folder, up.share / "card")
        up.sh(f"rm -rf {STATE}; cp -a /mnt/share/card {STATE}")


@pytest.fixture
def card(up: Target, tmp_path: Path) -> Card:
    card = Card(tmp_path / "card", seed=1)
    card.runs()
    card.insert(up)
    return card


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_what_is_new_is_copied(up: Target, card: Card, tmp_path: Path) -> None:
    out = tmp_path / "kitchen"
    first = json.loads(up.deploy("fetch", "pi", "--out", out, "--json").stdout)
    assert first["files"] == 2 and contents(out) == contents(card.folder)
    assert json.loads(up.deploy("fetch", "pi", "--out", out, "--json").stdout)["files"] == 0
    card.runs()
    card.insert(up)
    assert json.loads(up.deploy("fetch", "pi", "--out", out, "--json").stdout)["files"] == 2
    assert contents(out) == contents(card.folder)
    assert {path.name for path in out.iterdir()} == {segment_name(1), segment_name(2), "door"}
    assert {path.stat().st_mode & 0o777 for path in out.rglob("*.jsonl")} == {0o600}


@pytest.mark.parametrize("runs", [1, 3])
def test_the_journal_of_a_new_card_is_not_mixed_with_that_of_the_old_one(
    up: Target, card: Card, tmp_path: Path, runs: int
) -> None:
    out = tmp_path / "kitchen"
    card.runs()
    card.insert(up)
    up.deploy("fetch", "pi", "--out", out)
    before = contents(out)
    new = Card(tmp_path / "new", seed=2)
    for _ in range(runs):
        new.runs()
    new.insert(up)
    refused = up.deploy("fetch", "pi", "--out", out, check=False)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    for part in (f"pi:{STATE}/{segment_name(1)} (boot ", f"{out / segment_name(1)} (boot ", "its own: --out DIR"):
        assert part in refused.stderr
    assert contents(out) == before
    up.deploy("fetch", "pi", "--out", tmp_path / "kitchen-2")
    assert contents(tmp_path / "kitchen-2") == contents(new.folder)


def test_lower_numbers_than_the_copys_are_another_journal(up: Target, card: Card, tmp_path: Path) -> None:
    out = tmp_path / "kitchen"
    up.deploy("fetch", "pi", "--out", out)
    for path in segments(out / "door"):
        path.rename(path.with_name(segment_name(40)))
    before = contents(out)
    refused = up.deploy("fetch", "pi", "--out", out, check=False)
    assert refused.returncode == 2 and f"{STATE}/door has the number 1, below that of" in refused.stderr
    assert contents(out) == before


def test_a_purge_on_the_target_takes_nothing_from_the_copy(up: Target, card: Card, tmp_path: Path) -> None:
    out = tmp_path / "kitchen"
    up.deploy("fetch", "pi", "--out", out)
    before = contents(out)
    for before_s in ("2026-03-01T21:11:30Z", "2027-01-01"):
        assert main(["log", "purge", "--log", str(card.folder), "--before", before_s]) == 0
        card.insert(up)
        up.deploy("fetch", "pi", "--out", out)
        assert contents(out) == before
    card.runs()
    card.insert(up)
    up.deploy("fetch", "pi", "--out", out)
    assert len(segments(out)) == 2 and main(["log", "check", str(out)]) == 0


def test_a_folder_that_is_being_written_is_left_alone(up: Target, card: Card, tmp_path: Path) -> None:
    device = SimulatedDevice(tmp_path / "own", utc_s("2026-03-01T21:10:00"))
    device.start()
    refused = up.deploy("fetch", "pi", "--out", tmp_path / "own", check=False)
    device.end()
    assert refused.returncode == 2 and "another fer-edge writes to" in refused.stderr
