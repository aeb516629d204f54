"""Every line that `fer-edge doctor` can print, made to appear: on real broken environments where these are cheap to make."""

# ruff: noqa: ARG005 - each case is given a folder and a patch, needed or not

from __future__ import annotations

import grp
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeClock

from device.config import Settings
from device.doctor import camera_checks, doctor, service_checks, subprocess_probe, system_checks
from device.doctor.findings import (
    FAIL,
    NOTE,
    OK,
    SKIP,
    CheckContext,
    DoctorReport,
    Finding,
    finding_texts,
    make_finding,
)
from device.service.systemd_units import Unit
from device.system.health import Health
from device.system.mounts import Mount, read_mounts
from device.system.status import StatusFile, read_instance
from device.system.status_record import Status
from fer_edge.active_bundle import IN_USE_FILE
from fer_edge.shipped_bundles import shipped_path

ROOT = Path(__file__).parents[2]
SITE = Path(np.__file__).parents[1]
HEALTH = Health(1.0, False, (), (), 50.0, 10**10, "synced", "hwmon")
ROOT_MOUNT = Mount("/", "179:2", "ext4")

Case = Callable[[Path, pytest.MonkeyPatch], Any]
CASES: dict[str, Case] = {}


def case(*keys: str) -> Callable[[Case], Case]:
    """Enters a function that makes these lines appear: it gives a finding, or several."""

    def enter(function: Case) -> Case:
        CASES.update(dict.fromkeys(keys, function))
        return function

    return enter


def health(**fields: Any) -> Health:
    return Health(**{**{name: getattr(HEALTH, name) for name in Health.__slots__}, **fields})


def context(camera_trial_s: float = 0.0, root: Path = Path("/"), **settings: Any) -> CheckContext:
    return CheckContext(Settings(**{"camera": "synthetic", **settings}), camera_trial_s, root)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- what a run is told, and by whom it is run

CASES["settings.ok"] = lambda path, patch: next(doctor.Doctor({}, environ={}).findings(str))
CASES["settings.wrong"] = lambda path, patch: next(
    doctor.Doctor({}, put(path / "f.toml", "fsp = 3\n"), environ={}).findings(str)
)
GLIBC = ("glibc", "2.36")
CASES["python.ok"] = lambda path, patch: system_checks.python((3, 13, 1), 64, "aarch64", GLIBC)
CASES["python.version"] = lambda path, patch: system_checks.python((3, 9, 2), 64, "aarch64", GLIBC)
CASES["python.bits"] = lambda path, patch: system_checks.python((3, 11, 2), 32, "armv7l", GLIBC)
CASES["python.machine"] = lambda path, patch: system_checks.python((3, 11, 2), 64, "riscv64", GLIBC)
CASES["python.libc"] = lambda path, patch: system_checks.python((3, 11, 2), 64, "aarch64", ("glibc", "2.31"))


# ---- packages: what stands first on sys.path is what the probe's process, and it alone, imports


def probed(patch: pytest.MonkeyPatch, first: Path | None, *steps: str, timeout_s: float = 120.0) -> list[Finding]:
    """What the steps find, in the probe's own process, with the folder `first` before all that is installed."""
    if first is not None:
        patch.syspath_prepend(str(first))
    asker = doctor.Doctor({}, timeout_s=timeout_s)
    return list(doctor._probe_findings(list(steps), Settings(camera="synthetic"), asker, dict(os.environ)))


def without(folder: Path, package: str, *missing: str) -> Path:
    """A folder with the installed `package`, some of its files missing, as after a card lost them."""
    ignore = shutil.ignore_patterns("__pycache__", *missing)
    shutil.copytree(SITE / package, folder / package, copy_function=os.symlink, ignore=ignore)
    return folder


def unpacked(name: str, version: str) -> Path:
    """The folder of an old wheel out of PyPI, fetched once; skips where there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer-edge-tests"
    cached_wheels = cache / f"{name}-{version}-{sys.implementation.cache_tag}"
    if not cached_wheels.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--disable-pip-version-check", "--dest", fresh, f"{name}=={version}"]
            if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0:
                pytest.skip("PyPI has no old wheel for this Python, or cannot be reached")
            (wheel,) = Path(fresh).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(fresh) / "content")
            (Path(fresh) / "content").rename(cached_wheels)
    return cached_wheels


CASES["numpy.ok"] = lambda path, patch: subprocess_probe.numpy(context())
CASES["opencv.ok"] = lambda path, patch: subprocess_probe.opencv(context())
CASES["runtime.ok"] = lambda path, patch: probed(patch, None, "numpy", "runtime")
CASES["numpy.broken"] = lambda path, patch: probed(patch, without(path, "numpy", "_multiarray_umath*"), "numpy")
CASES["opencv.broken"] = lambda path, patch: probed(patch, without(path, "cv2", "*.so"), "numpy", "opencv")
CASES["runtime.broken"] = lambda path, patch: probed(patch, without(path, "ai_edge_litert", "*.so"), "runtime")


@case("runtime.numpy")
def tflite_runtime_beside_numpy_2(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """The real wheel of tflite-runtime and the real numpy 2; LiteRT is hidden."""
    put(path / "ai_edge_litert/__init__.py", "raise ImportError('hidden')")
    patch.syspath_prepend(str(unpacked("tflite-runtime", "2.14.0")))
    findings = probed(patch, path, "numpy", "runtime")
    assert "tflite-runtime 2.14.0 is installed but does not work with numpy 2." in findings[-1].filled("what")
    return findings


@case("numpy.missing", "opencv.missing", "runtime.missing", "step.untried", "versions.unknown")
def an_empty_environment(path: Path, patch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """A real environment with nothing in it, then one with numpy alone; the findings are those of `doctor --json`."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(path / "env")]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = (path / "env/lib").glob("python*/site-packages")
    found_there = []
    for more in ((), ("numpy", "numpy.libs")):
        for name in more:
            (site / name).symlink_to(SITE / name)
        environ = {"PATH": os.environ["PATH"], "HOME": str(path), "PYTHONPATH": str(ROOT), "USER": "tester"}
        command = [str(path / "env/bin/python"), "-m", "fer_edge", "doctor", "--json", "--camera", "synthetic"]
        done = subprocess.run(command, env=environ, cwd=path, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        report = json.loads(done.stdout)
        check, name = ("opencv", "OpenCV") if more else ("numpy", "numpy")
        assert done.stderr.endswith(f"begin with {check}\n"), "its sentence is on stdout, once"
        first = next(finding for finding in report["findings"] if finding["state"] == "fail")
        assert first["check"] == check and first["what"].startswith(f"{name} is not installed")
        assert (report["healthy"], report["exit_code"]) == (False, 2)
        found_there += report["findings"]
    return found_there


@case("step.crashed")
def a_wheel_for_another_processor(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """Stands in for one: the process ends by the signal that the kernel gives for it. What comes after is still asked."""
    put(path / "cv2/__init__.py", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    findings = probed(patch, path, "numpy", "opencv", "camera", "bundle")
    assert [one.key for one in findings] == ["numpy.ok", "step.crashed", "step.untried", "bundle.ok"]
    assert findings[1].check == "opencv" and "SIGILL" in findings[1].filled("what")
    return findings[1:2]


@case("step.slow")
def an_import_that_hangs(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    put(path / "numpy/__init__.py", "import time; time.sleep(600)")
    return probed(patch, path, "numpy", timeout_s=0.5)


# ---- what is run with them


def bundle(folder: Path, name: str = "nano", **changes: Any) -> Path:
    target = Path(shutil.copytree(shipped_path(name), folder / "bundle"))
    spec = json.loads((target / "bundle.json").read_text())
    put(target / "bundle.json", json.dumps({**spec, **changes}))
    return target


def torn(folder: Path) -> Path:
    target = bundle(folder)
    os.truncate(target / "model.tflite", 5000)
    return target


CASES["bundle.ok"] = lambda path, patch: subprocess_probe.bundle(context())
CASES["bundle.named"] = lambda path, patch: subprocess_probe.bundle(context(bundle=torn(path)))


@case("bundle.chosen")
def a_chosen_bundle_that_is_gone(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    patch.setenv("FER_EDGE_BUNDLES", str(path))
    put(path / IN_USE_FILE, "mine-0123456789ab\n")
    return subprocess_probe.bundle(context())


@case("bundle.shipped")
def a_package_that_lost_bytes(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    shutil.copytree(ROOT / "fer_edge", path / "fer_edge", ignore=shutil.ignore_patterns("__pycache__", "models"))
    for name in ("edge", "nano"):
        shutil.move(torn(path), path / "fer_edge/models" / name)
    patch.setenv("FER_EDGE_BUNDLES", str(path / "none"))
    return probed(patch, path, "bundle")


CASES["verify.ok"] = lambda path, patch: subprocess_probe.verify(context(bundle=shipped_path("nano")))
CASES["verify.refused"] = lambda path, patch: subprocess_probe.verify(
    context(bundle=bundle(path, labels=list("abcdefg")))
)
CASES["verify.near"] = lambda path, patch: subprocess_probe.verify(
    context(
        bundle=bundle(
            path,
            runtimes=[{"runtime": "other", "version": "1", "kernels": "default", "machine": "a", "verdict": "pass"}],
        )
    )
)
CASES["detectors.ok"] = lambda path, patch: subprocess_probe.detectors(context(detector="haar"))


@case("detectors.haar")
def no_detector_files(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    patch.setenv("FER_EDGE_DETECTORS", str(path))
    return subprocess_probe.detectors(context())


@case("detectors.none")
def no_detector_files_and_one_is_asked_for(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    patch.setenv("FER_EDGE_DETECTORS", str(path))
    return subprocess_probe.detectors(context(detector="blazeface-back"))


def test_opencv_5_without_detector_files_fails(tmp_path: Path) -> None:
    """The real wheel, which has no Haar cascades: everything works, and no face would ever be found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_EDGE_DETECTORS", str(tmp_path))
        steps = ("numpy", "opencv", "runtime", "bundle", "verify", "detectors")
        *well, last = probed(patch, unpacked("opencv-python-headless", "5.0.0.93"), *steps)
    assert [one.text.state for one in well] == [OK] * 5 and well[1].facts["version"].startswith("5.")
    assert last.key == "detectors.none" and "has no Haar cascades" in last.filled("what")


@case("detectors.damaged")
def a_detector_file_that_lost_bytes(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    patch.setenv("FER_EDGE_DETECTORS", str(path))
    put(path / "face_detection_short_range.tflite", "short")
    return subprocess_probe.detectors(context(detector="blazeface-short-range"))


@case("detectors.blind")
def an_opencv_that_finds_nothing(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """The real OpenCV, but for one function, which a broken build has wrong."""
    blind = (
        "c = CascadeClassifier\nclass CascadeClassifier(c):\n def detectMultiScale3(self, *a, **k): return (), (), ()\n"
    )
    shutil.copytree(SITE / "cv2", path / "cv2", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for library in (SITE / "cv2").glob("*.so"):
        (path / "cv2" / library.name).symlink_to(library)
    (path / "opencv_python_headless.libs").symlink_to(SITE / "opencv_python_headless.libs")
    with (path / "cv2/__init__.py").open("a") as module:
        module.write(blind)
    patch.setenv("FER_EDGE_DETECTORS", str(path / "none"))
    patch.syspath_prepend(str(path))
    asker = doctor.Doctor({})
    settings = Settings(camera="synthetic", detector="haar")
    steps = ["numpy", "opencv", "runtime", "bundle", "verify", "detectors"]
    return list(doctor._probe_findings(steps, settings, asker, dict(os.environ)))


# ---- cameras

CASES["picamera2.unneeded"] = lambda path, patch: subprocess_probe.picamera2(context(camera="usb:0"))
CASES["picamera2.missing"] = lambda path, patch: subprocess_probe.picamera2(context(camera="csi:0"))


@case("picamera2.hidden")
def an_environment_without_system_packages(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    put(path / "usr/lib/python3/dist-packages/picamera2/__init__.py", "")
    return subprocess_probe.picamera2(context(camera="0", root=path))


@case("picamera2.ok")
def a_picamera2_that_lists_one_camera(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    put(path / "picamera2/__init__.py", "class Picamera2:\n global_camera_info = staticmethod(lambda: [{'Num': 0}])\n")
    return probed(patch, path, "numpy", "picamera2")


@case("picamera2.numpy")
def apts_simplejpeg_beside_numpy_2(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """A real simplejpeg that was built for numpy 1, as Bookworm's is, imported by the fake picamera2."""
    put(path / "picamera2/__init__.py", "import simplejpeg")
    patch.syspath_prepend(str(unpacked("simplejpeg", "1.6.6")))
    return probed(patch, path, "numpy", "picamera2")


@case("picamera2.broken")
def a_picamera2_without_its_libcamera(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    put(path / "picamera2/__init__.py", "import libcamera")
    return probed(patch, path, "numpy", "picamera2")


def pictures(folder: Path, gray: int, n: int = 3) -> str:
    for i in range(n):
        assert cv2.imwrite(str(folder / f"{i}.png"), np.full((48, 64), gray, np.uint8))
    return str(folder)


CASES["camera.ok"] = lambda path, patch: subprocess_probe.camera(context(camera=pictures(path, 90)))
CASES["camera.dark"] = lambda path, patch: subprocess_probe.camera(context(camera=pictures(path, 1)))
CASES["camera.face"] = lambda path, patch: subprocess_probe.camera(context(camera_trial_s=0.5, detector="haar"))
CASES["camera.nobody"] = lambda path, patch: subprocess_probe.camera(
    context(camera_trial_s=0.5, camera=pictures(path, 90), detector="haar")
)
CASES["camera.none"] = lambda path, patch: subprocess_probe.camera(context(camera="usb:987"))
CASES["camera.wrong"] = lambda path, patch: subprocess_probe.camera(context(camera="nonsense"))


@case("camera.silent")
def a_camera_without_a_picture(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    put(path / "0.png", "no picture")
    return subprocess_probe.camera(context(camera=str(path), open_s=0.2))


@case("camera.used", "instance.ok")
def another_instance_has_the_camera(path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """The whole of `doctor`, while an instance (this very process) says that it runs."""
    with running(path / "run"):
        environ = {**os.environ, "RUNTIME_DIRECTORY": str(path / "run"), "STATE_DIRECTORY": str(path)}
        report = doctor.run_doctor({"camera": None}, environ=environ)
    checks = [one.check for one in report.findings]
    assert checks.count("camera") == 1 and len(set(checks)) == len(checks)
    return list(report.findings)


def test_doctor_reports_while_a_later_version_runs(tmp_path: Path) -> None:
    """`fer-edge deploy` asks it before it goes back to an earlier release."""
    with running(tmp_path / "run"):
        (file,) = (tmp_path / "run").glob("*.status.json")
        file.write_text(json.dumps({**json.loads(file.read_text()), "status": 2, "outputs": 3}))
        environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run"), "STATE_DIRECTORY": str(tmp_path)}
        report = doctor.run_doctor({"camera": None}, environ=environ)
    (found,) = [one for one in report.findings if one.check == "instance"]
    what = found.to_json()["what"]
    assert found.key == "instance.unhealthy" and "camera: running" in what and "of a later version of fer-edge" in what


CASES["devices.none"] = lambda path, patch: system_checks.devices("me", path)


@case("devices.ok", "devices.refused")
def camera_devices(path: Path, patch: pytest.MonkeyPatch) -> Iterator[Finding]:
    """As a user who is not root, for whom everything is open."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        node = put(Path(folder) / "dev/video0", "")
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            node_open = node.stat().st_mode & 0o002
            assert not node_open
            refused = system_checks.devices("me", Path(folder)) if user == 0 else None
        finally:
            os.seteuid(user)
        if user != 0:
            node.chmod(0)
            refused = system_checks.devices("me", Path(folder))
            node.chmod(0o600)
        yield system_checks.devices("me", Path(folder))
        assert refused is not None
        yield refused


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for other users")
def test_a_camera_whose_group_has_no_name_is_opened_to_the_group_video() -> None:
    named = {entry.gr_gid for entry in grp.getgrall()}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        node = put(Path(folder) / "dev/video0", "")
        node.chmod(0o600)
        os.chown(node, 0, next(gid for gid in range(20_000, 30_000) if gid not in named))
        os.seteuid(65534)
        try:
            refused = system_checks.devices("me", Path(folder))
        finally:
            os.seteuid(0)
    assert refused.filled("fix") == "sudo usermod -aG video me"


# ---- folders

CASES["folder.ok"] = lambda path, patch: system_checks.folder(path / "not/yet/there", "journal", "me", [])
CASES["folder.refused"] = lambda path, patch: system_checks.folder(Path("/sys/kernel"), "journal", "me", [])
CASES["folder.broken"] = lambda path, patch: system_checks.folder(Path("/proc/self"), "status", "me", [])


@contextmanager
def folder_of_root() -> Iterator[Path]:
    """A folder of root that any user may enter."""
    if os.geteuid() != 0:
        pytest.skip("only root acts for other users")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def owned(folder: Path, uid: int = 12345) -> Path:
    folder.mkdir()
    os.chown(folder, uid, uid)
    return folder


@case("folder.link")
def a_link_of_the_user_of_the_service(path: Path, patch: pytest.MonkeyPatch) -> Iterator[Finding]:
    with folder_of_root() as folder:
        victim = owned(folder / "victim", 0)
        before_ns = victim.stat().st_mtime_ns
        link = owned(folder / "state") / "door"
        link.symlink_to(victim)
        os.chown(link, 12345, 12345, follow_symlinks=False)
        for below in (link, link / "journal"):
            found = system_checks.folder(below, "journal", "root", [])
            assert f"{link} is a link of the user 12345" in found.filled("what")
            yield found
        assert victim.stat().st_mtime_ns == before_ns, "root has not written there"


def test_root_tries_a_folder_with_the_rights_of_the_user_who_will_write(shared_path: Path) -> None:
    """Of the folder's owner; and of the service's user, who cannot write where only root can."""
    nobody = pwd.getpwnam("nobody")
    closed, given = owned(shared_path / "closed", 12345), owned(shared_path / "given", nobody.pw_uid)
    closed.chmod(0o555)
    refused = system_checks.folder(closed / "log", "journal", "root", [])
    assert refused.key == "folder.refused" and "cannot be written by 12345 (" in refused.filled("what")
    assert system_checks.folder(given / "log", "journal", "root", []).key == "folder.ok"
    assert system_checks.folder(shared_path / "log", "journal", "root", []).key == "folder.ok", "a run of root"
    of_service = system_checks.folder(shared_path / "log", "journal", "root", [], nobody)
    assert of_service.key == "folder.refused" and "cannot be written by nobody (" in of_service.filled("what")
    assert system_checks.folder(given / "log", "journal", "root", [], nobody).key == "folder.ok"
    (shared_path / "moved").symlink_to(given)  # by root, who may
    assert system_checks.folder(shared_path / "moved/log", "journal", "root", [], nobody).key == "folder.ok"
    (shared_path / "turn").symlink_to("turn")
    assert system_checks.folder(shared_path / "turn/log", "journal", "root", []).key == "folder.broken"
    assert os.geteuid() == 0 and list(given.iterdir()) == []


def test_what_systemd_makes_for_the_service_need_not_be_there() -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/x", "RUNTIME_DIRECTORY": "/run/x:/run/y"}
    for path, expected in (("/var/lib/x/door", None), ("/run/y", None), ("/var/lib/xy", "nobody"), ("/srv", "nobody")):
        user = system_checks.service_user(Path(path), environ, "nobody")
        assert (user and user.pw_name) == expected, path
    assert system_checks.service_user(Path("/srv"), environ, "no-such-user") is None


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@case("folder.readonly")
def a_read_only_card(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    with mounted(path / "card", "ro") as card:
        return system_checks.folder(card / "log", "journal", "me", read_mounts(Path("/")))


@case("folder.full")
def a_full_card(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    with mounted(path / "card", "size=16k") as card:
        (card / "ballast").write_bytes(b"x" * (16 << 10))
        return system_checks.folder(card / "log", "journal", "me", [])


# ---- the machine

CASES["power.ok"] = lambda path, patch: system_checks.power(HEALTH)
CASES["power.low"] = lambda path, patch: system_checks.power(health(undervoltage=True))
CASES["power.was"] = lambda path, patch: system_checks.power(health(throttled_since_boot=("undervoltage",)))
CASES["power.unknown"] = lambda path, patch: system_checks.power(health(undervoltage=None))
CASES["heat.ok"] = lambda path, patch: system_checks.heat(HEALTH, 80.0)
CASES["heat.hot"] = lambda path, patch: system_checks.heat(health(temperature_c=81.5), 80.0)
CASES["heat.slowed"] = lambda path, patch: system_checks.heat(health(throttled_now=("frequency_capped",)), 80.0)
CASES["heat.unknown"] = lambda path, patch: system_checks.heat(health(temperature_c=None), 80.0)
CASES["clock.ok"] = lambda path, patch: system_checks.clock("synced", "2026-01-01T00:00:00Z")
CASES["clock.unset"] = lambda path, patch: system_checks.clock("unsynced", "2026-01-01T00:00:00Z")
CASES["clock.unknown"] = lambda path, patch: system_checks.clock("unknown", "2026-01-01T00:00:00Z")
CASES["clock.past"] = lambda path, patch: system_checks.clock("unsynced", "1970-01-01T00:00:09Z")
CASES["disk.ok"] = lambda path, patch: system_checks.disk(path, HEALTH, Settings(), [ROOT_MOUNT])
CASES["disk.low"] = lambda path, patch: system_checks.disk(path, health(disk_free_bytes=9**7), Settings(), [ROOT_MOUNT])
CASES["disk.memory"] = lambda path, patch: system_checks.disk(
    Path("/run/log"), HEALTH, Settings(), [ROOT_MOUNT, Mount("/run", "0:22", "tmpfs")]
)
CASES["disk.unknown"] = lambda path, patch: system_checks.disk(path, HEALTH, Settings(), [])


def card(root: Path, errors: int = 0, life: str = "") -> Finding:
    """What is found of a card whose files the kernel shows as these."""
    put(root / "proc/self/mountinfo", "25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n")
    put(root / "sys/dev/block/179:2/uevent", "MAJOR=179\nDEVNAME=mmcblk0p2\nDEVTYPE=partition\n")
    put(root / "sys/fs/ext4/mmcblk0p2/errors_count", f"{errors}\n")
    put(root / "sys/fs/ext4/mmcblk0p2/lifetime_write_kbytes", "12345678\n")
    put(root / "sys/block/mmcblk0/mmcblk0p2/partition", "2\n")
    if life:
        put(root / "sys/block/mmcblk0/device/life_time", f"{life}\n")
    return system_checks.wear(Path("/var/lib/fer-edge"), read_mounts(root), root)


CASES["wear.ok"] = lambda path, patch: card(path, life="0x01 0x02")
CASES["wear.errors"] = lambda path, patch: card(path, errors=3)
CASES["wear.worn"] = lambda path, patch: card(path, life="0x02 0x0a")
CASES["wear.unknown"] = lambda path, patch: system_checks.wear(path, [], path)


# ---- the service and its instance


@contextmanager
def running(folder: Path, **fields: Any) -> Iterator[FakeClock]:
    from device.clock import SystemClock

    clock = SystemClock()
    with StatusFile(folder, "camera", clock, 10.0, 5.0) as file:
        file.write(Status("running", "0", "/nowhere", frame_mono_s=clock.mono_ns() / 1e9, **fields))
        yield clock  # type: ignore[misc]


@case("instance.unhealthy")
def an_instance_that_is_not_well(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    with running(path / "run", problems=("the processor is at 85 °C",)) as clock:
        return service_checks.instance(read_instance("camera", [path / "run"], clock))


CASES["instance.none"] = lambda path, patch: service_checks.instance(read_instance("camera", [path], FakeClock()))
CASES["service.nosystemd"] = lambda path, patch: list(service_checks.service("camera", False, path, {}))


def unit(path: Path, first_run: bool = False, text: str | None = None, **told: str) -> list[Finding]:
    """The findings for this output of systemctl about the unit. A fake is used, because the real one needs a booted machine."""
    (path / "run/systemd/system").mkdir(parents=True)
    file = put(
        path / "fer-edge.service", Unit(Path("/opt/fer-edge/current/bin/fer-edge")).text() if text is None else text
    )
    shown = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "Result": "success",
        "NRestarts": "0",
        "UnitFileState": "enabled",
        "FragmentPath": str(file),
        **told,
    }
    replies = "\n".join(f"{name}={value}" for name, value in shown.items())
    put(path / "bin/systemctl", f"#!/bin/sh\ncat <<'END'\n{replies}\nEND\n").chmod(0o755)
    log = "fer-edge: camera 0\nfer-edge: the bundle is damaged\n"
    put(path / "bin/journalctl", f"#!/bin/sh\ncat <<'END'\n{log}END\n").chmod(0o755)
    environ = {"PATH": f"{path / 'bin'}:/usr/bin:/bin"}
    return list(service_checks.service("camera", first_run, path, environ))


CASES["service.ok"] = lambda path, patch: unit(path, NRestarts="2")
CASES["service.disabled"] = lambda path, patch: unit(path, UnitFileState="disabled")
CASES["service.stopped"] = lambda path, patch: unit(path, ActiveState="inactive", SubState="dead")
CASES["service.failed"] = lambda path, patch: unit(path, ActiveState="failed", Result="exit-code")
CASES["service.other"] = lambda path, patch: unit(path, text="[Service]\nExecStart=/usr/bin/fer-edge run\n")
CASES["service.missing"] = lambda path, patch: unit(path, LoadState="not-found")
CASES["service.unneeded"] = lambda path, patch: unit(path, first_run=True, LoadState="not-found")


def broker(path: Path, network: bool, **settings: Any) -> list[Finding]:
    """What is found of a broker where a unit for several cameras is installed."""
    unit = Unit(Path("/opt/fer-edge/current/bin/fer-edge"), template=True, network=network)
    put(path / "etc/systemd/system" / unit.file_name, unit.text())
    return list(service_checks.broker(Settings(mqtt="mqtt://broker.lan", name="door", **settings), path))


CASES["mqtt.ok"] = lambda path, patch: broker(path, network=True)
CASES["mqtt.closed"] = lambda path, patch: broker(path, network=False)
CASES["mqtt.wrong"] = lambda path, patch: broker(path, network=True, mqtt_ca=Path("/etc/hosts"))
CASES["versions.ok"] = lambda path, patch: service_checks.versions(os.environ)


@case("versions.conflict")
def a_package_that_pip_forced(path: Path, patch: pytest.MonkeyPatch) -> Finding:
    """Real pip, which sees this package installed and asking for another numpy."""
    text = "Metadata-Version: 2.1\nName: fer-edge\nVersion: 9\nRequires-Dist: numpy<1\n"
    put(path / "fer_edge-9.dist-info/METADATA", text)
    return service_checks.versions({**os.environ, "PYTHONPATH": str(path)})


# ---- the table

_made: dict[Case, list[Mapping[str, Any]]] = {}


def made(function: Case, path: Path) -> list[Mapping[str, Any]]:
    """What a case found, as `doctor --json` has it; several lines may have one case, which is then run once."""
    if function not in _made:
        with pytest.MonkeyPatch.context() as patch:
            given = function(path, patch)
            findings = [given] if isinstance(given, Finding) else list(given)
            asker = doctor.Doctor({"camera": "usb:0"})
            _made[function] = [
                one if isinstance(one, Mapping) else doctor._with_command_facts(one, asker).to_json()
                for one in findings
            ]
    return _made[function]


def test_every_finding_text_has_a_test_case() -> None:
    assert set(CASES) == set(finding_texts())


@pytest.mark.parametrize("key", sorted(CASES))
def test_each_finding_appears_in_its_case(key: str, tmp_path: Path) -> None:
    findings = [one for one in made(CASES[key], tmp_path) if one["key"] == key]
    assert findings, f"not {key} but {[one['key'] for one in made(CASES[key], tmp_path)]}"
    finding = findings[0]
    line = finding_texts()[key]
    assert finding["what"] and "{" not in finding["what"]
    assert line.state in (OK, NOTE, FAIL, SKIP)
    if line.state in (NOTE, FAIL):
        assert finding["why"] and bool(finding["fix"]) != bool(finding["do"]), "why, and one thing to do"
    assert (line.exit_code > 0) == (line.state == FAIL)


@pytest.mark.parametrize("key", [key for key, line in finding_texts().items() if "{program}" in line.fix + line.do])
def test_every_command_of_ours_that_doctor_names_exists(key: str, tmp_path: Path) -> None:
    from fer_edge.cli import make_parser

    line = finding_texts()[key]
    for command in (part for text in (line.fix, line.do) for part in text.split("`" if "`" in text else " && ")):
        if "{program}" in command:
            words = command.format(program="fer-edge", flags=" --user", name="camera").partition("fer-edge ")[2]
            make_parser().parse_args(shlex.split(words))


@pytest.mark.parametrize(
    ("camera", "advice"),
    [
        ("usb:987", 'plug in a camera, or set `camera = "csi:0"` for one on the ribbon cable'),
        ("987", 'plug in a camera, or set `camera = "csi:0"` for one on the ribbon cable'),
        ("csi:0", "check the ribbon cable, and see whether `rpicam-hello --list-cameras` lists the camera"),
        ("http://me:secret@cam.local/video", "see whether the camera answers: `ping -c 3 cam.local`"),
        ("/dev/v4l/by-id/none", "see whether it is there: `ls -ld /dev/v4l/by-id/none`"),
    ],
)
def test_the_advice_about_a_camera_fits_its_kind(camera: str, advice: str) -> None:
    assert camera_checks._camera_advice(camera) == advice


def test_the_first_failure_gives_the_exit_code() -> None:
    def code(*keys: str) -> int:
        facts = dict.fromkeys(("error", "camera", "numpy", "degrees", "limit", "seconds", "version"), 1)
        return DoctorReport(tuple(make_finding(key, **facts) for key in keys)).exit_code

    assert code() == code("numpy.ok", "detectors.haar", "service.nosystemd") == 0
    assert code("numpy.ok", "camera.none", "numpy.missing") == 4
    assert code("detectors.damaged", "camera.none") == 5
    assert code("heat.hot", "service.stopped") == 7
    assert code("service.stopped") == 8


def test_a_finding_is_printed_with_reason_and_advice(tmp_path: Path) -> None:
    text = make_finding("heat.hot", degrees=85.0, limit=80.0).lines()
    assert text.splitlines() == [
        "FAIL  heat       the processor is at 85 °C",
        "                 why: it slows down from 80 °C",
        "                 do: improve the cooling",
    ]


def test_a_user_without_an_entry_and_a_home_is_examined(tmp_path: Path) -> None:
    """As in a container that runs with a number for a user."""
    mapped = ["unshare", "--user", "--map-user=54321"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*mapped, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no user may be mapped here")
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOME", "USER", "LOGNAME", "XDG_"))
    }
    environ |= {"STATE_DIRECTORY": str(tmp_path / "log"), "FER_EDGE_RUNTIME": str(tmp_path / "run")}
    words = [*mapped, sys.executable, "-m", "fer_edge", "doctor", "--first-run", "--camera", "synthetic", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr and done.returncode in (0, 2, 5, 7), done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert {finding["check"] for finding in findings} >= {"settings", "journal", "devices"}
