"""The wheel as a user gets it: its contents, and that it works from an empty directory in fresh environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.shipped_bundles import IN_CHECKOUT, SHIPPED

ROOT = Path(__file__).parents[1]


def sh(*command: str | Path, cwd: Path, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    # nothing of the environment that the tests run in may leak into the one that is tried
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ran = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=clean | env, check=False)
    assert not check or ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    sh(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def pip(python: Path, *words: str | Path) -> None:
    """Runs the tests' own pip for another environment: to install one in each takes longer than the packages do."""
    own = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", python)
    sh(*own, *words, cwd=python.parent)


def empty_environment(folder: Path) -> Path:
    """The python of a fresh environment without any package."""
    sh(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def environment(folder: Path, *requirements: str | Path) -> Path:
    """The python of a fresh environment with `requirements` installed and checked by pip."""
    python = empty_environment(folder)
    pip(python, "install", "--no-compile", *requirements)
    pip(python, "check")
    return python


@pytest.fixture(scope="session")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment made with `pip install .` and nothing more."""
    return environment(tmp_path_factory.mktemp("base") / "env", wheel)


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    """A picture of noise, 48×48."""
    noise = np.random.default_rng(0).normal(120, 40, (48, 48)).clip(0, 255)
    path = tmp_path / "crop.png"
    cv2.imwrite(str(path), noise.astype(np.uint8))
    return path


def test_the_wheel_holds_the_packages_the_bundles_and_their_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"fer_edge", "convert", "device"} | {"fer_edge"}
    bundle = {n.removeprefix("fer_edge/models/edge/") for n in names if n.startswith("fer_edge/models/edge/")}
    assert {"model.tflite", "bundle.json", "golden.npz", "parity.json", "CARD.md", "float.keras"} <= bundle
    assert "fer_edge/models/nano/model.tflite" in names
    shipped = {n.split("/")[2] for n in names if n.startswith("fer_edge/models/")}
    assert shipped == set(SHIPPED) and not shipped & set(IN_CHECKOUT)
    for beside in (
        "convert/train/history.schema.json",
        "fer_edge/events.schema.json",
        "fer_edge/bundle.schema.json",
        *(f"{room}/py.typed" for room in ("fer_edge", "convert", "device")),
        "convert/parity/margins.toml",
        "convert/report/parity_page.html",
        "convert/tflite/op_versions.json",
        "device/alerts.yml",
        "convert/deploy/ansible/deploy.yml",
        "convert/deploy/ansible/roles/fer_edge/tasks/main.yml",
    ):
        assert beside in names
    page = {p.relative_to(ROOT).as_posix() for p in (ROOT / "device/output/live/page").iterdir()}
    assert len(page) == 9 and page <= set(names)
    review = {p.relative_to(ROOT).as_posix() for p in (ROOT / "device/output/review/page").iterdir()}
    assert len(review) == 3 and review <= set(names)
    assert [n for n in names if n.startswith("tests/") or "/test_" in n or "conftest" in n] == []
    sources = {
        p.relative_to(ROOT).as_posix()
        for room in ("fer_edge", "convert", "device")
        for p in (ROOT / room).rglob("*.py")
    }
    assert sources <= set(names)


def test_base_install_classifies_without_the_host_packages(base: Path, crop: Path, tmp_path: Path) -> None:
    host = ("tensorflow", "keras", "sklearn", "matplotlib")
    script = f"import importlib.util as u; print([m for m in {host} if u.find_spec(m)])"
    assert sh(base, "-c", script, cwd=tmp_path).stdout.strip() == "[]"
    command = base.with_name("fer-edge")
    answer = json.loads(sh(command, "predict", "--crop", "--json", crop, cwd=tmp_path).stdout)
    assert sum(answer["faces"][0]["p"].values()) == pytest.approx(1, abs=1e-3)
    script = (
        "import sys, cv2; from fer_edge import Reader\n"
        "(face,) = Reader().read(cv2.imread(sys.argv[1]), is_crop=True); print(face.best_label, face.label)"
    )
    printed = sh(base, "-c", script, crop, cwd=tmp_path).stdout.split()
    assert printed == [answer["faces"][0]["label"], answer["faces"][0]["reported"]]


def test_the_demo_runs_without_the_host_packages(base: Path, tmp_path: Path) -> None:
    command, state = base.with_name("fer-edge"), str(tmp_path / "state")
    ran = sh(command, "demo", "--duration", "1", cwd=tmp_path, XDG_STATE_HOME=state)
    steps = [line.split()[2] for line in ran.stdout.splitlines() if line.startswith("$ fer-edge ")]
    assert steps == ["verify", "run", "predict", "log"]
    assert "pip install 'fer-edge[host]'" in ran.stderr and "pip install 'fer-edge[live]'" in ran.stderr
    assert "no expression lasted long enough for an episode" in ran.stderr, "1 s is as long as `hold_s`"
    assert "face at" in ran.stdout and list((tmp_path / "demo-out" / "log").glob("*.jsonl"))
    last = [line.strip() for line in ran.stdout.splitlines()][-3:]
    assert last == ["fer-edge run --camera 0", "fer-edge predict me.jpg", "fer-edge log summary demo-out/log"]


@pytest.mark.parametrize("name", ["train", "evaluate", "quantize", "parity", "report"])
def test_a_command_of_the_host_says_which_extra_it_needs(base: Path, name: str, tmp_path: Path) -> None:
    arguments = {
        "train": ("--preset", "nano", "--data", ROOT / "models", "--out", "run"),
        "evaluate": ("--data", ROOT / "models"),
        "report": ("edge",),
    }
    command = base.with_name("fer-edge")
    assert "usage: fer-edge " in sh(command, name, "--help", cwd=tmp_path).stdout
    ran = sh(command, name, *arguments.get(name, ()), cwd=tmp_path, check=False)
    assert ran.returncode in (2, 6) and "Traceback" not in ran.stderr
    if name in ("quantize", "parity", "report"):
        assert "pip install 'fer-edge[host]'" in ran.stderr


def test_the_loop_runs_in_an_installed_environment(base: Path, tmp_path: Path) -> None:
    command = base.with_name("fer-edge")
    state = tmp_path / "state"
    ran = sh(
        command, "run", "--camera", "synthetic", "--duration", "3", "--json", cwd=tmp_path, XDG_STATE_HOME=str(state)
    )
    kinds = [json.loads(line)["kind"] for line in ran.stdout.splitlines()]
    assert kinds[0] == "header" and kinds[-1] == "end" and "reading" in kinds
    assert list((state / "fer-edge").iterdir()), "the journal is where the README says"
    assert [p.name for p in tmp_path.iterdir()] == ["state"], "nothing else was written"


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="this machine has a camera")
def test_a_missing_camera_is_one_message_and_exit_code_4(base: Path, tmp_path: Path) -> None:
    ran = sh(
        base.with_name("fer-edge"), "run", "--camera", "0", cwd=tmp_path, check=False, XDG_STATE_HOME=str(tmp_path)
    )
    assert ran.returncode == 4
    messages = [line for line in ran.stderr.splitlines() if line.startswith("fer-edge:")]
    assert len(messages) == 1 and "camera" in messages[0], ran.stderr
    assert "Traceback" not in ran.stderr


def test_quantize_without_the_host_extra_names_it(base: Path, tmp_path: Path) -> None:
    ran = sh(base, "-m", "convert.quantize", cwd=tmp_path, check=False)
    assert ran.returncode == 2
    assert "pip install 'fer-edge[host]'" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for this Python")
def test_tflite_runtime_extra_classifies(wheel: Path, crop: Path, tmp_path: Path) -> None:
    """With the constraints for Raspberry Pi OS Bookworm, both runtimes in one environment."""
    python = environment(tmp_path / "env", "-c", ROOT / "constraints" / "bookworm.txt", f"{wheel}[tflite-runtime]")
    script = (
        "import sys, cv2; from fer_edge.bundle import Bundle; from fer_edge.classifier import Classifier, find_runtime\n"
        "faces = cv2.imread(sys.argv[1], 0)[None]; model = Bundle.load().model\n"
        "for name in ('tflite-runtime', 'litert'):\n"
        "    c = Classifier(model, find_runtime(name)); print(c.runtime.id, *c.logits(faces)[0])\n"
    )
    ran = sh(python, "-c", script, crop, cwd=tmp_path)
    old, new = (line.split() for line in ran.stdout.splitlines())
    assert old[:2] == ["tflite-runtime", "2.14.0"] and new[0] == "litert"
    a, b = np.array(old[2:], float), np.array(new[2:], float)
    assert np.abs(a - b).max() < 0.5 and np.abs(a).max() > 0


def test_quantize_runs_from_an_empty_directory(wheel: Path, tmp_path: Path) -> None:
    """`pip install '.[host]'`, then `python -m convert.quantize`; TensorFlow comes from the environment of the tests."""
    python = _with_the_tests_host_packages(wheel, tmp_path / "env")
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = sh(python, "-m", "convert.quantize", cwd=empty)
    assert "accuracy not judged" in ran.stdout
    assert [p.name for p in empty.iterdir()] == ["bundle-edge-mixed"]
    # the shipped model quantized again without data is the same network with nearly the same ranges
    spec = json.loads((empty / "bundle-edge-mixed" / "bundle.json").read_text())
    assert spec["provenance"]["calibration"]["kind"] == "synthetic images"
    assert spec["quantization"]["input"] == {"dtype": "int8", "scale": 1.0, "zero_point": -128}


def _with_the_tests_host_packages(wheel: Path, folder: Path) -> Path:
    python = empty_environment(folder)
    pip(python, "install", "--no-deps", "--no-compile", wheel)
    site = Path(
        sh(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).stdout.strip()
    )
    (site / "host.pth").write_text(
        sysconfig.get_paths()["purelib"] + "\n"
    )  # its own .pth files are not read: no checkout
    where = sh(python, "-c", "import fer_edge; print(fer_edge.__file__)", cwd=folder).stdout
    assert str(folder) in where
    return python
