"""Fixtures of all tests: the data set, the shipped bundle, the detector files. Private folders; skips must be on a list."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from convert.data.samples import Samples

HERE = Path(__file__).parent
ALLOWED_SKIPS = {
    line.strip()
    for line in (HERE / "allowed_skips.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
}
# A shell starts what it puts in the background with Ctrl-C ignored, and so would be every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
_skipped: list[tuple[str, str]] = []
_unmet: list[tuple[str, str]] = []


# Folders that commands read or write where none is named; every pytest process has its own, and so has what it starts.
PRIVATE_FOLDERS = {
    "FER_EDGE_RUNTIME": "run",
    "FER_EDGE_BUNDLES": "bundles",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_RUNTIME_DIR": "run",
    "XDG_STATE_HOME": "state",
}
# What systemd sets for a service, and where a user's detector files lie: a test sets them itself.
UNSET = ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CONFIGURATION_DIRECTORY", "NOTIFY_SOCKET", "FER_EDGE_DETECTORS")


def pytest_configure(config: pytest.Config) -> None:
    """Separates the tests from every instance, setting and bundle of this machine, before the first test file is imported.

    Only the face detector's files are those that `fer-edge detectors install` put in the user's data folder.
    """
    from fer_edge.detection.download import detectors_folder

    detectors = detectors_folder()
    before = dict(os.environ)
    folder = Path(tempfile.mkdtemp(prefix="fer-edge-tests-"))
    for variable, name in PRIVATE_FOLDERS.items():
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        os.environ[variable] = str(folder / name)
    for variable in UNSET:
        os.environ.pop(variable, None)
    os.environ["FER_EDGE_OFFLINE"] = "1"  # a test without detector files is about the cascade
    (folder / "data" / "fer-edge").mkdir()
    (folder / "data" / "fer-edge" / "detectors").symlink_to(detectors)

    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(restore)


@pytest.fixture(scope="session")
def fer2013() -> Path:
    """The real data set: $FER2013, else the one beside the checkout. Skips, loudly, where there is none."""
    given = os.environ.get("FER2013")
    path = Path(given) if given else HERE.parents[1] / "shared" / "data" / "fer2013.zip"
    if not path.exists():
        assert not given, f"FER2013 names {given}, which does not exist"
        pytest.skip("no FER2013")
    return path


@pytest.fixture(scope="session")
def fer2013_samples(fer2013: Path) -> Samples:
    """The samples of the real data set, read once for all tests of a process: its arrays are read-only."""
    from convert.data.loader import load

    samples = load(fer2013)
    for array in (samples.x, samples.y, samples.split):
        array.flags.writeable = False
    return samples


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    """The folder of the shipped default bundle."""
    from fer_edge.shipped_bundles import default_path

    return default_path()


@pytest.fixture(scope="session")
def blazeface() -> object:
    """The short-range BlazeFace detector; `make test` installs its files. Skips where they are not."""
    from fer_edge.detection.registry import find_detector
    from fer_edge.errors import UsageError

    try:
        return find_detector("blazeface-short-range")
    except UsageError:
        pytest.skip("no detector files")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder in memory, for tests that force thousands of files; on the disk where that cannot be."""
    shm = Path("/dev/shm")
    if not (shm.is_mount() and os.access(shm, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder)


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """A folder of root that any user may enter, for tests that act for other users; skips for who is not root."""
    if os.geteuid():
        pytest.skip("only root acts for other users")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and hasattr(report, "wasxfail"):
        _unmet.append((report.nodeid, report.wasxfail))
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append((report.nodeid, reason.removeprefix("Skipped: ")))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == 0 and any(reason not in ALLOWED_SKIPS for _, reason in _skipped):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unmet:
        terminalreporter.section("required and not reached yet, and why")
        for nodeid, reason in _unmet:
            terminalreporter.line(f"{nodeid}: {reason}")
    if not _skipped:
        return
    terminalreporter.section("skipped, and why")
    for nodeid, reason in _skipped:
        verdict = "" if reason in ALLOWED_SKIPS else "   NOT ON tests/allowed_skips.txt: this run fails"
        terminalreporter.line(f"{nodeid}: {reason}{verdict}")
