"""What `fer-edge run` prints: episodes and states, with -v each face of each frame too, with -q trouble only."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from device.config import Settings
from device.config_sources import load_settings, parse_size
from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_frame


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02}.png"), face_frame(8.0))
    return folder


def printed(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> tuple[list[str], list[str]]:
    command = ["run", "--camera", str(pictures), "--hold", "0.3", "--log", str(tmp_path / "log"), *flags]
    assert main(command) == 0
    told = capsys.readouterr()
    return told.out.splitlines(), told.err.splitlines()


def test_what_a_run_prints(
    blazeface: object, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states, messages = printed(pictures, tmp_path, capsys)
    assert "opened" in states[0] and [line for line in states if "until the end of the run" in line]
    assert not [line for line in states if " px at " in line]
    assert len(messages) == 2 and "detector blazeface-zoomed" in messages[0] and "20 frames" in messages[1]

    frames, _ = printed(pictures, tmp_path, capsys, "-v")
    assert len([line for line in frames if " px at " in line]) == 20
    assert [line for line in frames if " px at " not in line] == states

    assert printed(pictures, tmp_path, capsys, "-q") == ([], [])
    (reading,), _ = printed(pictures, tmp_path, capsys, "-q", "--once")
    assert " px at " in reading, "--once asks for it"
    quiet, messages = printed(pictures, tmp_path, capsys, "-q", "--json")
    assert '"kind":"header"' in quiet[0] and '"kind":"end"' in quiet[-1] and messages == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256000000", 256_000_000),
        ("500MB", 500_000_000),
        ("1GB", 10**9),
        ("1 gb", 10**9),
        ("1.5GiB", 3 << 29),
        ("2G", 2 * 10**9),
        ("64Mi", 64 << 20),
        ("1048576B", 1 << 20),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "1iB", "nan", "1e9", "0x10", "1 G B", "٣GB", "9" * 400])
def test_a_text_that_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size, such as"):
        parse_size(text)


def test_settings_take_sizes_and_a_number_of_a_camera(tmp_path: Path) -> None:
    file = tmp_path / "fer-edge.toml"
    file.write_text('camera = 0\nbudget_bytes = "1GB"\ndisk_low_bytes = 5000\n')
    settings = load_settings({}, file, {}).settings
    assert (settings.camera, settings.budget_bytes, settings.disk_low_bytes) == ("0", 10**9, 5000)
    for line in ('budget_bytes = "much"', 'fps = "1GB"', "camera = true", "camera = 0.5", "name = 1"):
        file.write_text(line)
        with pytest.raises(UsageError, match=r"fer-edge\.toml:1"):
            load_settings({}, file, {})


def test_a_size_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["run", "--camera", "synthetic", "--log", str(tmp_path), "--budget", "1GB", "--explain-privacy"]
    assert main(command) == 0
    assert "larger than 1000 MB" in capsys.readouterr().out


def test_what_is_printed_is_said_before(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for flags, words in (
        ([], "on stdout: a line for each episode and each change of state"),
        (["-v"], "on stdout: a line for each face of each frame"),
        (["--json"], "on stdout: a line for everything that is logged"),
    ):
        assert main(["run", "--camera", "synthetic", "--log", str(tmp_path), "--explain-privacy", *flags]) == 0
        assert words in " ".join(capsys.readouterr().out.split())
    assert main(["run", "--camera", "synthetic", "--log", str(tmp_path), "--explain-privacy", "-q"]) == 0
    assert "on stdout" not in capsys.readouterr().out
    assert Settings().detail == "states"
