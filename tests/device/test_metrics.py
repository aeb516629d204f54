"""What Prometheus reads of a run is what its journal holds; it is there while the run goes on, and costs no run its life."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from builders import event, journal_events, write_image, write_video
from fakes import FakeClock, ScriptedSource
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.parser import text_string_to_metric_families as parsed

from device.address import Address
from device.camera.frame import Frame
from device.camera.source import EndOfStream, SourceDescription, SourceLost
from device.camera.synthetic import SyntheticCamera
from device.clock import CLOCK_STATES, SystemClock
from device.config import Settings
from device.output.journal.journal import Journal
from device.output.metrics.exporter import MetricsExporter
from device.output.metrics.prometheus_collector import PrometheusCollector
from device.output.metrics.run_metrics import (
    BUCKET_BOUNDS_S,
    CAMERA_STATES,
    DROPS,
    STAGES,
    Histogram,
    RunMetrics,
)
from device.output.metrics.server import CONNECTIONS, CONNECTIONS_PER_ADDRESS
from device.run import run
from device.system.health import BITS, Health
from device.system.status_record import Status
from device.vision.readings import FrameResult
from fer_edge.cli import main
from fer_edge.events import SCHEMA, TIME_KINDS, Event
from fer_edge.quality import QUALITY_REASONS
from fer_edge.synthetic_face import face_frame

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0  # for what takes a second or two on a quiet machine
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
HEADER = {
    "schema": SCHEMA,
    "software": "fer-edge 9",
    "bundle": {"name": "edge", "sha256": "ab"},
    "labels": ["happy", "sad"],
    "runtime": "litert 2",
    "detector": "haar",
}


def series(text: str) -> Series:
    """Every series of an exposition, without the label `camera`, which all have."""
    found: Series = {}
    for family in parsed(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("camera"), sample
            found[sample.name.removeprefix("fer_edge_"), frozenset(labels.items())] = sample.value
    return found


def value(found: Series, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def by(found: Series, name: str) -> dict[str, float]:
    """The series of a family with one label, by its value; those at 0 left out."""
    return {next(iter(labels))[1]: v for (n, labels), v in found.items() if n == name and v}


def compared(found: Series, events: list[Event], folder: Path) -> dict[str, Any]:
    """The body of the journal's `end` line, after every figure of `found` was compared with the journal, which has readings."""
    header, end = events[0].body, events[-1].body
    ((_, about),) = [key for key in found if key[0] == "info"]
    assert dict(about) == {
        "version": header["software"].split()[1],
        "bundle": header["bundle"]["name"],
        "bundle_sha256": header["bundle"]["sha256"],
        "runtime": header["runtime"],
        "detector": header["detector"],
    }
    frames = {name: value(found, f"frames_{name}_total") for name in ("read", "processed", "with_face")}
    assert frames == end["frames"]
    assert value(found, "frames_idle_total") == end["frames_idle"]
    assert by(found, "frames_dropped_total") == end["drops"]
    assert frames["read"] == frames["processed"] + sum(end["drops"].values())
    assert value(found, "faces_skipped_total") == end["faces_skipped"]
    readings, of = (
        [e.body for e in events if e.kind == "reading"],
        lambda kind: [e.body for e in events if e.kind == kind],
    )
    assert len(readings) == end["readings"] == sum(by(found, "readings_total").values())
    assert by(found, "readings_total") == Counter(body["label"] for body in readings)
    assert by(found, "steady_readings_total") == Counter(body["steady"] for body in readings)
    assert by(found, "unsure_readings_total") == Counter(body["why"] for body in readings if "why" in body)
    assert by(found, "episodes_total") == Counter(body["label"] for body in of("episode"))
    seconds_by_state = {
        name: sum(body[f"{name}_s"] for body in of("tally")) for name in ("observed", "unavailable", "paused")
    }
    assert by(found, "run_seconds_total") == pytest.approx({name: s for name, s in seconds_by_state.items() if s})
    labels_s: Counter[str] = Counter()
    for body in of("tally"):
        labels_s.update(body["labels_s"])
    assert by(found, "expression_seconds_total") == pytest.approx({name: s for name, s in labels_s.items() if s})
    cameras = of("camera")
    assert value(found, "camera_losses_total") == sum(body["state"] == "lost" for body in cameras)
    gaps_s = sum(body["gap_s"] for body in cameras if body["state"] == "back")
    assert value(found, "camera_gap_seconds_total") == pytest.approx(gaps_s)
    assert value(found, "journal_written_bytes_total") == sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    assert value(found, "journal_lost_lines_total") == 0 and value(found, "journal_writable") == 1
    for stage in ("gate", "detect", "write"):
        assert value(found, "stage_duration_seconds_count", stage=stage) == frames["processed"]
    for stage in ("crop", "classify", "smooth"):
        assert value(found, "stage_duration_seconds_count", stage=stage) == frames["with_face"]
    worked_s = sum(value(found, "stage_duration_seconds_sum", stage=stage) for stage in STAGES)
    assert worked_s < end["seconds"] and (worked_s > 0) == (frames["processed"] > 0)
    assert value(found, "frame_age_seconds_count") == (frames["processed"] if header["camera"]["live"] else 0)
    assert by(found, "camera_state") == {"stopped": 1} and value(found, "faces") == 0
    return end


class StopWhen:
    """A watcher that ends the run, as SIGTERM does, once `holds` is true; a test then depends on no speed of the machine."""

    def __init__(self, holds: Callable[[Status], bool]) -> None:
        self._holds, self._stopped = holds, False

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        pass

    def on_turn(self, status: Status) -> None:
        if not self._stopped and self._holds(status):
            self._stopped = True
            signal.raise_signal(signal.SIGTERM)


def told_of(settings: dict[str, Any], tmp_path: Path, bundle_path: Path, **given: Any) -> tuple[Series, list[Event]]:
    """The last metrics of a run that ended well, and its journal."""
    file = tmp_path / "fer-edge.prom"
    made = {"bundle": bundle_path, "log": tmp_path / "log", "runtime": tmp_path / "run", "per_frame": True, **settings}
    assert run(Settings(**made, metrics_file=file), **given) == 0
    return series(file.read_text()), journal_events(tmp_path / "log")


def test_the_metrics_of_a_recording_equal_the_journal(tmp_path: Path, bundle_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(60)))
    found, events = told_of({"camera": str(clip), "hold_s": 0.3}, tmp_path, bundle_path)
    end = compared(found, events, tmp_path / "log")
    assert end["readings"] >= 50 and len(by(found, "readings_total")) >= 2 and by(found, "episodes_total")
    assert "unsure" in by(found, "steady_readings_total")


def test_idle_frames_skipped_faces_and_unreadable_pictures_are_counted(tmp_path: Path, bundle_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    wall, two = np.full((480, 1280), 120, np.uint8), np.hstack([face_frame(0.0)] * 2)
    for number, picture in enumerate([wall] * 6 + [two] * 6):
        write_image(folder / f"{number:02d}.png", picture)
    (folder / "torn.png").write_bytes((folder / "00.png").read_bytes()[:100])
    found, events = told_of({"camera": str(folder), "max_faces": 1}, tmp_path, bundle_path)
    end = compared(found, events, tmp_path / "log")
    assert end["frames_idle"] >= 4 and end["faces_skipped"] >= 5 and end["drops"] == {"unreadable": 1}


def test_losses_and_busy_drops_are_counted(tmp_path: Path, bundle_path: Path) -> None:
    class Burst(ScriptedSource):
        """Gives the frames behind a loss faster than they can be processed."""

        def describe(self) -> SourceDescription:
            return replace(super().describe(), kind="burst")

    frames = [face_frame(n / 10) for n in range(40)]
    source = Burst([frames[0], SourceLost("unplugged"), *frames], live=True, clock=SystemClock())
    settings = {"camera": "synthetic", "duration_s": LIMIT_S, "same_s": 0.0}
    dropped = StopWhen(
        lambda status: status.state == "running" and status.drops.get("busy", 0) > 0 and source.opens == 2
    )
    found, events = told_of(settings, tmp_path, bundle_path, source=source, observers=[dropped])
    end = compared(found, events, tmp_path / "log")
    assert end["drops"].get("busy", 0) > 0 and value(found, "camera_losses_total") == 1
    assert value(found, "camera_gap_seconds_total") > 0.1


def test_budget_drops_and_paused_time_are_counted(tmp_path: Path, bundle_path: Path) -> None:
    settings = {"camera": "synthetic", "duration_s": LIMIT_S, "fps": 30.0, "cpu_budget": 1.0}
    spared = StopWhen(lambda status: status.drops.get("budget", 0) > 10)
    found, events = told_of(settings, tmp_path, bundle_path, observers=[spared])
    assert compared(found, events, tmp_path / "log")["drops"]["budget"] > 10
    (tmp_path / "again").mkdir()
    found, events = told_of({"camera": "synthetic", "duration_s": 0.5, "paused": True}, tmp_path / "again", bundle_path)
    compared(found, events, tmp_path / "again" / "log")
    assert value(found, "run_seconds_total", state="paused") > 0.3


def fetched(url: str, **headers: str) -> tuple[str, str]:
    """What is served, and as what."""
    with urlopen(Request(url, headers=headers), timeout=LIMIT_S) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def until(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"not in {limit_s:g} s"
        time.sleep(0.005)


@contextmanager
def running(**settings: Any) -> Iterator[threading.Thread]:
    """The thread of a run that looks at a synthetic face; the camera ends with the block, and the run with it, well."""
    ended, codes = threading.Event(), list[int]()

    class Source(SyntheticCamera):
        def read(self) -> Frame | None:
            if ended.is_set():
                raise EndOfStream
            return super().read()

    chosen = Settings("synthetic", **settings)
    thread = threading.Thread(target=lambda: codes.append(run(chosen, source=Source(chosen, SystemClock()))))
    thread.start()
    try:
        yield thread
    finally:
        ended.set()
        thread.join(LIMIT_S)
    assert codes == [0]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_live_run_is_read_over_http(
    tmp_path: Path, bundle_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"bundle": bundle_path, "log": tmp_path / "log", "runtime": tmp_path / "run"}
    with running(**folders, metrics=str(Address(host, 0)), name="door"):
        printed = ""

        def address() -> str:
            nonlocal printed
            printed += capsys.readouterr().err
            found = re.search(r"metrics at (http://\S+)\n", printed)
            return found[1] if found else ""

        until(lambda: address() != "")
        url = address()

        def read() -> Series:
            text, kind = fetched(url, Accept="text/plain; version=0.0.4")
            assert kind.startswith("text/plain; version=0.0.4") and 'camera="door"' in text
            return series(text)

        until(lambda: value(read(), "frames_processed_total") >= 5)
        before = read()
        until(lambda: value(read(), "frames_processed_total") > value(before, "frames_processed_total") + 3)
        after = read()
        assert by(after, "camera_state") == {"running": 1} and value(after, "faces") == 1
        until(lambda: 0 <= value(read(), "since_last_frame_seconds") < 2)
        assert value(after, "uptime_seconds") > value(before, "uptime_seconds") > 0
        counters = {key for key in after if key[0].endswith(("_total", "_count", "_bucket"))}
        assert len(counters) > 100 and [key for key in counters if after[key] < before[key]] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(url.removesuffix("/metrics").rpartition(":")[2]))).close()


def test_the_metrics_file_is_replaced_as_a_whole(tmp_path: Path, bundle_path: Path) -> None:
    file = tmp_path / "out" / "fer-edge.prom"
    file.parent.mkdir()
    folders = {"bundle": bundle_path, "log": tmp_path / "log", "runtime": tmp_path / "run"}
    times, states = set[int](), set[str]()
    with running(**folders, metrics_file=file, metrics_every_s=0.01):

        def replaced_again_and_again() -> bool:
            times.add(file.stat().st_mtime_ns)
            text = file.read_text()
            assert text.startswith("# HELP fer_edge_info") and text.endswith("\n") and 'state="unknown"} ' in text[-60:]
            states.update(by(series(text), "camera_state"))
            return len(times) > 10 and "running" in states

        until(file.exists)
        until(replaced_again_and_again)
    assert by(series(file.read_text()), "camera_state") == {"stopped": 1}
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o044 == 0o044, "node_exporter is another user"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--metrics", "127.0.0.1:{taken}"],
            r"metrics cannot be served at 127\.0\.0\.1:\d+ \(Address already in use\)",
        ),
        (
            ["--metrics", "203.0.113.1:9100"],
            r"cannot be served at 203\.0\.113\.1:9100 \(Cannot assign requested address\)",
        ),
        (["--metrics", "nowhere"], "must be HOST:PORT"),
        (["--metrics-file", "{folder}/absent/a.prom"], r"a\.prom cannot be written \(No such file or directory\)"),
        (["--metrics-file", "{folder}/taken.prom"], r"taken\.prom cannot be written \(Is a directory\)"),
        (["--metrics-file", "{folder}/a.txt"], r"must end in \.prom"),
    ],
)
def test_impossible_metrics_settings_are_rejected_at_the_start(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], words: str
) -> None:
    (tmp_path / "taken.prom").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        facts = {"taken": occupied.getsockname()[1], "folder": tmp_path}
        command = ["run", "--camera", "synthetic", "--bundle", str(bundle_path), "--log", str(tmp_path / "log")]
        assert main([*command, *(word.format(**facts) for word in given)]) == 2
    captured = capsys.readouterr()
    assert re.search(words, captured.err) and captured.out == "" and "Traceback" not in captured.err
    assert list((tmp_path / "log").glob("*.jsonl")) == []


def test_a_missing_metrics_extra_is_named(tmp_path: Path) -> None:
    script = "import sys; sys.modules['prometheus_client'] = None; from fer_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "run", "--camera", "synthetic", "--log", str(tmp_path), "--metrics", ":0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install 'fer-edge[metrics]'" in done.stderr and "Traceback" not in done.stderr


def test_a_run_without_metrics_imports_no_metrics_code(tmp_path: Path) -> None:
    script = (
        "import sys; from fer_edge.cli import main; assert main(sys.argv[1:]) == 0\n"
        "assert not {'prometheus_client', 'device.output.metrics.run_metrics', 'http.server'} & set(sys.modules)"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "run",
        "--camera",
        "synthetic",
        "--duration",
        "0.3",
        "--log",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_metrics_file_on_a_disk_is_warned_about(
    tmp_path: Path, memory_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path, memory_path):
        told_of({"camera": "synthetic", "duration_s": 0.3}, place, bundle_path)
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(place)], capture_output=True, text=True, check=True).stdout
        is_warned = "is not in memory" in capsys.readouterr().err
        assert is_warned != (kind.strip() in ("tmpfs", "ramfs", "overlayfs")), kind


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[Journal]:
    with Journal(tmp_path / "log", clock) as journal:
        yield journal


def counted(clock: FakeClock, journal: Journal, health: Health | None = None) -> RunMetrics:
    metrics = RunMetrics("camera", clock, journal, lambda: health)
    metrics.append(event("header", **HEADER))
    return metrics


@pytest.mark.parametrize(
    ("host", "code"), [("127.0.0.1:9464", 200), ("localhost", 200), ("attacker.example", 421), ("192.168.1.5", 421)]
)
def test_a_page_of_another_name_reads_no_metrics(host: str, code: int, tmp_path: Path) -> None:
    """A name that somebody pointed to 127.0.0.1, so that a browser takes the metrics for its own."""
    clock, address = FakeClock(), Address("127.0.0.1", 0)
    with (
        Journal(tmp_path, clock) as journal,
        MetricsExporter(counted(clock, journal), None, address, 15.0, [].append, LIMIT_S) as exposed,
    ):
        exposed.start()
        url = f"http://127.0.0.1:{exposed.port}/metrics"
        if code == 200:
            assert "fer_edge_info" in fetched(url, Host=host)[0]
            return
        with pytest.raises(HTTPError) as caught:
            fetched(url, Host=host)
        assert caught.value.code == code and b"fer_edge" not in caught.value.read()


@pytest.mark.parametrize(
    "accept", ["text/plain; version=x.y", "application/openmetrics-text; version=abc", ";=,version"]
)
def test_a_header_that_cannot_be_read_prints_no_traceback(
    accept: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clock, address = FakeClock(), Address("127.0.0.1", 0)
    with (
        Journal(tmp_path, clock) as journal,
        MetricsExporter(counted(clock, journal), None, address, 15.0, [].append, LIMIT_S) as exposed,
    ):
        exposed.start()
        try:
            assert "fer_edge_info" in fetched(f"http://127.0.0.1:{exposed.port}/metrics", Accept=accept)[0]
        except HTTPError as error:
            assert error.code == 400 and b"the header Accept" in error.read()
    assert capfd.readouterr().err == ""


def read_back(metrics: RunMetrics) -> Series:
    return series(generate_latest(PrometheusCollector(metrics).registry()).decode())


def test_a_second_run_changes_nothing_of_the_first(tmp_path: Path, bundle_path: Path, journal: Journal) -> None:
    file = tmp_path / "fer-edge.prom"
    file.write_text("of the first run")
    command = ["run", "--camera", "synthetic", "--bundle", str(bundle_path), "--log", str(journal.folder)]
    assert main([*command, "--metrics-file", str(file)]) == 2
    assert file.read_text() == "of the first run"


def test_a_later_write_failure_is_logged_once_and_retried(tmp_path: Path, clock: FakeClock, journal: Journal) -> None:
    messages: list[str] = []
    file = tmp_path / "out" / "a.prom"
    file.parent.mkdir()
    with MetricsExporter(counted(clock, journal), file, None, 0.01, messages.append) as exposed:
        exposed.start()
        shutil.rmtree(file.parent)
        until(lambda: bool(messages))
        file.parent.mkdir()
        until(file.exists)
        shutil.rmtree(file.parent)
        until(lambda: len(messages) == 2)
        file.parent.mkdir()
        until(file.exists)
    assert len(messages) == 2 and all(
        "cannot be written (No such file or directory); it is tried again" in s for s in messages
    )
    assert series(file.read_text())


def test_a_path_that_is_no_text_is_reported_as_text(tmp_path: Path, clock: FakeClock, journal: Journal) -> None:
    """Other outputs send the sentence as UTF-8."""
    file = tmp_path / os.fsdecode(b"m\xe9") / "a.prom"
    file.parent.mkdir()
    with MetricsExporter(counted(clock, journal), file, None, 0.01, [].append) as exposed:
        exposed.start()
        shutil.rmtree(file.parent)
        until(lambda: exposed.trouble is not None)
        assert exposed.trouble is not None and "m\\udce9" in exposed.trouble and exposed.trouble.isprintable()
        file.parent.mkdir()


def test_a_silent_client_delays_neither_other_clients_nor_the_end(clock: FakeClock, journal: Journal) -> None:
    threads = threading.active_count()
    with ExitStack() as silent:
        with MetricsExporter(
            counted(clock, journal), None, Address("127.0.0.1", 0), 15.0, [].append, LIMIT_S
        ) as exposed:
            exposed.start()
            assert exposed.port is not None
            crowd = [silent.enter_context(socket.create_connection(("127.0.0.1", exposed.port))) for _ in range(5)]
            assert "fer_edge_info" in fetched(f"http://127.0.0.1:{exposed.port}/")[0]
        for client in crowd:  # the server has not closed them: nothing above lasted until its patience ended
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
    until(lambda: threading.active_count() == threads)


def test_the_connections_of_one_address_and_of_all_are_limited(clock: FakeClock, journal: Journal) -> None:
    threads = threading.active_count()
    with (
        ExitStack() as crowd,
        MetricsExporter(counted(clock, journal), None, Address("0.0.0.0", 0), 15.0, [].append, 600.0) as exposed,
    ):
        exposed.start()
        assert exposed.port is not None
        url = f"http://127.0.0.1:{exposed.port}/"

        def connected(source: str) -> socket.socket:
            return crowd.enter_context(
                socket.create_connection(("127.0.0.1", exposed.port), source_address=(source, 0))
            )

        first = [connected("127.0.0.2") for _ in range(CONNECTIONS_PER_ADDRESS + 3)]
        until(lambda: sum(map(_is_closed, first)) == 3)
        assert not any(map(_is_closed, first[:CONNECTIONS_PER_ADDRESS])), "those above the limit are the later ones"
        assert _is_answering(url), "another address is served"

        left = CONNECTIONS - CONNECTIONS_PER_ADDRESS
        second = [connected("127.0.0.3") for _ in range(left + 2)]
        until(lambda: sum(map(_is_closed, second)) >= 2)
        assert not _is_answering(url), "none is left"
        crowd.close()
        until(lambda: _is_answering(url))
    until(lambda: threading.active_count() == threads)


def test_a_slow_client_has_one_time_for_its_whole_request(clock: FakeClock, journal: Journal) -> None:
    """A byte now and then kept the connection open for as long as the client wished."""
    limit_s = 0.5
    with MetricsExporter(counted(clock, journal), None, Address("127.0.0.1", 0), 15.0, [].append, limit_s) as exposed:
        exposed.start()
        assert exposed.port is not None
        with socket.create_connection(("127.0.0.1", exposed.port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\nX: ")
            begun_s, sent = time.monotonic(), 0
            while not _is_closed(client) and sent < 600:
                time.sleep(limit_s / 10)
                with suppress(ConnectionError):
                    client.sendall(b"a")
                sent += 1
            assert sent < 600 and time.monotonic() - begun_s >= limit_s / 2


def _is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _is_answering(url: str) -> bool:
    try:
        return "fer_edge_info" in fetched(url)[0]
    except OSError:
        return False


def test_lines_that_a_journal_lost_are_counted(tmp_path: Path, clock: FakeClock) -> None:
    with Journal(tmp_path / "log", clock, sync_s=0.0, ring_bytes=2048) as journal:
        metrics = counted(clock, journal)
        journal.append(event("header", **HEADER))
        assert value(read_back(metrics), "journal_writable") == 1
        shutil.rmtree(tmp_path / "log")
        (tmp_path / "log").write_text("no folder any more")
        for seq in range(1, 101):
            clock.now_ns += 1_000_000_000
            journal.append(event("tally", seq, note="x" * 50))
        found = read_back(metrics)
        assert value(found, "journal_writable") == 0
        assert value(found, "journal_lost_lines_total") == journal.lost.total() > 50
        written = value(found, "journal_written_bytes_total")
    assert written == value(read_back(metrics), "journal_written_bytes_total") > 0


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (None, {}),
        (Health(0.0, None, None, None, None, None, "unknown", "none"), {"clock_state": {"unknown": 1.0}}),
        (
            Health(0.0, True, (BITS[0], BITS[2]), BITS, 81.5, 12345, "synced", "hwmon"),
            {
                "undervoltage": 1.0,
                "throttled": {BITS[0]: 1.0, BITS[2]: 1.0},
                "throttled_since_boot": dict.fromkeys(BITS, 1.0),
                "temperature_celsius": 81.5,
                "disk_free_bytes": 12345.0,
                "clock_state": {"synced": 1.0},
            },
        ),
    ],
)
def test_unknown_health_values_have_no_series(
    clock: FakeClock, journal: Journal, health: Health | None, expected: dict[str, Any]
) -> None:
    found = read_back(counted(clock, journal, health))
    names = (
        "undervoltage",
        "throttled",
        "throttled_since_boot",
        "temperature_celsius",
        "disk_free_bytes",
        "clock_state",
    )
    for name in names:
        samples = {labels: v for (n, labels), v in found.items() if n == name}
        if name not in expected:
            assert samples == {}, "an unknown value is not exported as a number"
        elif isinstance(expected[name], dict):
            assert by(found, name) == expected[name] and len(samples) in (3, 4)
        else:
            assert samples == {frozenset(): expected[name]}


def test_the_time_since_the_last_frame_grows_without_the_loop(clock: FakeClock, journal: Journal) -> None:
    metrics = counted(clock, journal)
    assert ("since_last_frame_seconds", frozenset()) not in read_back(metrics)
    metrics.on_frame(
        Frame(0, clock.mono_ns(), np.zeros((2, 2), np.uint8)), FrameResult(), {"gate": 0.001, "write": 7.0}, 0.02
    )
    clock.now_ns += 90_000_000_000
    found = read_back(metrics)
    assert value(found, "since_last_frame_seconds") == 90.0
    assert value(found, "stage_duration_seconds_bucket", stage="gate", le="0.001") == 1, "a bound belongs to its bucket"
    assert value(found, "stage_duration_seconds_bucket", stage="write", le="5.0") == 0


@pytest.mark.parametrize("state", [state for state in CAMERA_STATES if state != "stopped"])
def test_faces_are_zero_while_the_camera_is_not_read(clock: FakeClock, journal: Journal, state: str) -> None:
    metrics = counted(clock, journal)
    metrics.faces = 3
    metrics.on_turn(Status(state, "c", "j", frames={"read": 4}, drops={"busy": 2}))
    found = read_back(metrics)
    assert by(found, "camera_state") == {state: 1} and value(found, "faces") == (3 if state == "running" else 0)
    assert value(found, "frames_read_total") == 4 and by(found, "frames_dropped_total") == {"busy": 2}


def test_histograms_equal_those_of_the_library() -> None:
    rng, histogram = random.Random(0), Histogram()
    registry = CollectorRegistry()
    reference = TheirHistogram("theirs", "by prometheus-client", buckets=BUCKET_BOUNDS_S, registry=registry)
    values = [*BUCKET_BOUNDS_S, *(10 ** rng.uniform(-4, 1) for _ in range(500))]
    for seconds in values:
        histogram.add(seconds)
        reference.observe(seconds)
    total, cumulated = 0, []
    for count in histogram.counts:
        total += count
        cumulated.append(float(total))
    (family,) = registry.collect()
    assert cumulated == [s.value for s in family.samples if s.name == "theirs_bucket"]
    assert histogram.sum_s == pytest.approx(registry.get_sample_value("theirs_sum"))


def test_the_number_of_series_is_bounded(clock: FakeClock, journal: Journal) -> None:
    """However many faces come and go, and whatever a camera is called."""
    health = Health(0.0, False, (), (), 50.0, 1, "synced", "hwmon")
    metrics = counted(clock, journal, health)
    before = set(read_back(metrics))
    for track in range(500):
        body = {"label": "sad", "steady": "unsure", "why": "confidence", "track": track, "xywh": [track, 0, 1, 1]}
        metrics.append(event("reading", **body))
        metrics.append(event("episode", label="happy", track=track, dwell_s=1.0))
        metrics.append(
            event("camera", state="lost", reason=f"a reason {track}", gap_s=1.0, camera={"name": f"c{track}"})
        )
    metrics.on_turn(Status("running", "c", "j", frames={"read": 1}, drops=dict.fromkeys(DROPS, 1)))
    assert set(read_back(metrics)) == before and len(before) < 200


def test_the_documented_metrics_are_complete(clock: FakeClock, journal: Journal) -> None:
    section = (ROOT / "device/README.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(fer_edge_\w+)` \| (\w+) \| ([^|]*)\|", section, re.M)
    served = []
    health = Health(0.0, False, (), (), 50.0, 1, "synced", "hwmon")
    metrics = counted(clock, journal, health)
    metrics.working = {"mqtt": True}
    for family in PrometheusCollector(metrics).registry().collect():
        name = family.name + "_total" * (family.type == "counter")
        labels = [] if not family.samples else [k for k in family.samples[0].labels if k not in ("camera", "le")]
        served.append((name, family.type, set(labels)))
    assert [(name, kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows] == served
    for words in (STAGES, DROPS, CAMERA_STATES, TIME_KINDS, BITS, CLOCK_STATES, (*QUALITY_REASONS, "confidence")):
        assert [word for word in words if word not in section] == []
    assert len(rows) == 31


def test_explain_privacy_lists_the_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "--camera", "synthetic", "--explain-privacy", "--log", str(tmp_path)]
    assert main(command) == 0
    assert "no network socket" in capsys.readouterr().out
    assert main([*command, "--metrics", "[::]:9100", "--metrics-file", "/run/a.prom"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "to every client of [::]:9100" in output and "in /run/a.prom, every 15 s" in output
    assert "no network socket" not in output and "nothing else" in output


def test_a_settings_file_can_name_port_and_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a.toml"
    config.write_text('metrics = ":9100"\nmetrics_file = "/run/fer-edge/a.prom"\nmetrics_every_s = 5\n')
    assert main(["config", "show", "--json", "--config", str(config)]) == 0
    settings_json = json.loads(capsys.readouterr().out)["settings"]
    assert [settings_json[name]["value"] for name in ("metrics", "metrics_file", "metrics_every_s")] == [
        *(":9100", "/run/fer-edge/a.prom", 5.0)
    ]


def test_the_documented_commands_run(tmp_path: Path, bundle_path: Path) -> None:
    """Both at once, with what is in memory of the machine kept out of it."""
    section = (ROOT / "device/README.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    lines = re.findall(r"^fer-edge (run .*?)(?:  +#.*)?$", section, re.M)
    assert len(lines) == 2
    with ExitStack() as stack:
        processes = []
        for number, line in enumerate(lines):
            environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / str(number)), "RUNTIME_DIRECTORY": str(tmp_path)}
            words = [word.replace("/dev/shm", str(tmp_path)).replace(":9464", ":0") for word in line.split()]
            command = [sys.executable, "-m", "fer_edge", *words]
            streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            processes.append(stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=environ, **streams)))
            stack.callback(processes[-1].kill)
        printed = [process.communicate(timeout=4 * LIMIT_S)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert series((tmp_path / "fer-edge.prom").read_text())
    assert re.search(r"metrics at http://127\.0\.0\.1:\d+/metrics", printed[1])
    assert any(":9464" in line for line in lines)
