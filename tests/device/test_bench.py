"""The benchmark: its arithmetic, that it times what the loop does, and what it tells and does not. No speed is asserted."""

from __future__ import annotations

import json
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock

from device.bench.benchmark import BenchReport, run_bench
from device.bench.board_estimates import (
    BOARD_MODELS,
    DETECTORS,
    PUBLISHED,
    PUBLISHED_THREADS,
    EstimatedNetwork,
    board_model_name,
    estimate_times,
    published_sources,
    throughput,
)
from device.bench.frame_stages import SCENE_FRAMES, face_scene, open_frame_work, still_scene
from device.bench.network_timing import find_float_model, networks_of
from device.bench.stage_timing import LEAST_FRAMES, memory_usage, time_scene
from device.bench.text import paste_block, report_text
from device.bench.throttling import assess_conditions
from device.bench.timing import WARM_UP, CallTimes, time_in_turns
from device.camera.frame import Frame
from device.clock import SystemClock
from device.config import Settings
from device.system.health import BITS, Sensors
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.cli import main
from fer_edge.detection.registry import find_detector
from fer_edge.errors import UsageError
from fer_edge.hardware import Board
from fer_edge.shipped_bundles import shipped_path

SECRETS = ("hostess", "annabelle", "10000000abcdef12")  # a machine's name, its user's, its serial number
STAGES = ["read", "gate", "detect", "crop", "classify", "smooth", "write"]
PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/device-tree/serial-number": f"{SECRETS[2]}\0",
    "proc/cpuinfo": f"processor\t: 0\nBogoMIPS\t: 108.00\nSerial\t\t: {SECRETS[2]}\nModel\t\t: Raspberry Pi 4\n",
    "proc/meminfo": "MemTotal:        3885012 kB\nMemFree:         2000000 kB\n",
    "proc/self/status": "Name:\tpython\nVmHWM:\t   90000 kB\nVmRSS:\t   80000 kB\n",
    "etc/hostname": f"{SECRETS[0]}\n",
    "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
}
MACHINE = Board("AMD EPYC", False, "x86_64", 4, None, "Linux", None, None)


def system(root: Path, files: dict[str, str] = PI) -> Path:
    """A root with these files."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def answers(*words: str) -> Callable[[], str]:
    """A firmware that gives these answers in order, the last one for ever."""
    left = list(words)
    return lambda: f"throttled={left.pop(0) if len(left) > 1 else left[0]}\n"


@pytest.fixture(scope="module")
def nano() -> Bundle:
    return Bundle.load("nano")


@pytest.fixture(scope="module")
def measured(nano: Bundle, tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    """A whole benchmark, as short as it can be, on a root that says it is a Pi whose processor is slowed down for a while."""
    root = system(tmp_path_factory.mktemp("pi"))
    ask = answers("0x0", "0x0", "0x4", "0x40000")
    return run_bench(nano, SystemClock(), threads=2, seconds=0.1, get_throttled=ask, root=root)


def test_call_times_are_the_statistics_of_the_spans() -> None:
    times = CallTimes.of([n * 1_000_000 for n in range(1, 102)])  # 1 to 101 ms
    assert (times.p50_ms, times.p95_ms, times.mean_ms, times.calls) == (51.0, 96.0, 51.0, 101)


def test_timing_in_turns_excludes_the_warm_up_and_the_first_call_of_each_round() -> None:
    clock, made = FakeClock(), {"quick": 0, "slow": 0}
    order: list[str] = []

    def call(name: str, usual_ms: int) -> None:
        made[name] += 1
        first = not order or order[-1] != name  # the caches hold what was called before
        order.append(name)
        clock.now_ns += (900 if first or made[name] <= WARM_UP else usual_ms) * 1_000_000

    looks: list[int] = []
    times = time_in_turns(
        {"quick": lambda: call("quick", 2), "slow": lambda: call("slow", 50)},
        1.0,
        clock,
        lambda: looks.append(len(order)),
    )
    assert (times["quick"].p50_ms, times["quick"].p95_ms, times["slow"].p95_ms) == (2.0, 2.0, 50.0)
    assert times["quick"].calls == 5 * 50, "a tenth of a second each, in each of five rounds, is fifty times 2 ms"
    assert times["slow"].calls == 5 * 4, "however long it takes, four times a round"
    assert len(looks) == 5 and looks[-1] == len(order)


def test_an_estimate_is_multiply_adds_over_throughput() -> None:
    rows = {
        (row.board, row.threads): row for row in estimate_times((EstimatedNetwork("detector", "float", 1_000_000_000),))
    }
    slowest, fastest = 56e6 / 15e-3, 1.8e9 / 176e-3  # MobileNetV3 small and ResNet-18 on a Pi 4
    assert throughput("Pi 4", "float") == pytest.approx((slowest, fastest))
    four, one = rows["Pi 4", 4], rows["Pi 4", 1]
    assert (four.low_ms, four.high_ms) == pytest.approx((1e12 / fastest, 1e12 / slowest))
    assert (one.low_ms, one.high_ms) == pytest.approx((1.5 * four.low_ms, 4 * four.high_ms))
    assert rows["Pi Zero 2 W", 4].low_ms == pytest.approx(1.4 * rows["Pi 3", 4].low_ms)  # 1.0 GHz for 1.4
    assert rows["Pi Zero 2 W", 4].high_ms == pytest.approx(1.2 * rows["Pi 3", 4].high_ms)  # and for the 1.2 of a 3 B
    assert {row.estimate for row in rows.values()} == {True}


def test_an_int8_rate_is_estimated_when_only_float_was_published() -> None:
    gain = 282 / 166.5  # of ResNet-18, the least on a Pi 3 B+
    assert throughput("Pi 3 B+", "int8") == pytest.approx((56e6 / 22e-3 * gain, 569e6 / 46e-3))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.network} on {row.board}")
def test_each_published_time_lies_within_its_own_estimate(row: Any) -> None:
    board = next(target.name for target in BOARD_MODELS if target.like == row.board and target.clock[1] == 1.0)
    for kind, ms in (("float", row.float_ms), ("int8", row.int8_ms)):
        found = estimate_times((EstimatedNetwork("x", kind, round(row.multiply_adds)),))
        (estimate,) = (e for e in found if (e.board, e.threads) == (board, PUBLISHED_THREADS))
        assert ms is None or (estimate.low_ms <= ms * 1.001 and ms * 0.999 <= estimate.high_ms)
    assert row.source in published_sources()


def test_the_detectors_multiply_adds_are_those_of_their_files(blazeface: object) -> None:
    from convert.tflite.graph import Graph
    from convert.tflite.inspection import multiply_adds
    from fer_edge.detection.download import detector_file
    from fer_edge.detection.registry import _BLAZEFACE

    for name, (file, _) in _BLAZEFACE.items():
        path = detector_file(file)
        assert path is not None and multiply_adds(Graph(path.read_bytes())) == DETECTORS[name]


def test_a_detector_made_of_two_is_measured_as_two(blazeface: object) -> None:
    from fer_edge.detection.two_stage import TwoStageDetector

    detector = find_detector("blazeface-zoomed")
    assert isinstance(detector, TwoStageDetector)
    assert set(networks_of(detector.name)) == {detector.searcher.name, detector.refiner.name}
    assert networks_of("haar") == ("haar",)


@pytest.mark.parametrize(
    ("board", "name"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", "Pi Zero 2 W"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "Pi 3"),
        ("Raspberry Pi 4 Model B Rev 1.4", "Pi 4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "Pi 5"),
        ("Raspberry Pi Zero W Rev 1.1", None),
        ("AMD EPYC", None),
    ],
)
def test_the_estimate_of_this_board_is_found_by_its_name(board: str, name: str | None) -> None:
    assert board_model_name(board) == name


def test_the_board_is_read_from_its_files(tmp_path: Path) -> None:
    board = Board.find(system(tmp_path))
    assert (board.name, board.is_pi, board.governor, board.most_mhz) == (
        "Raspberry Pi 4 Model B Rev 1.4",
        True,
        "ondemand",
        1800,
    )
    assert (board.memory_bytes, board.system) == (3885012 * 1024, "Debian GNU/Linux 12 (bookworm)")
    assert memory_usage(tmp_path) == {"now": 80000 * 1024, "most": 90000 * 1024}
    bare = Board.find(tmp_path / "nothing")
    assert (bare.is_pi, bare.memory_bytes, bare.governor, bare.most_mhz) == (False, None, None, None)
    assert bare.name and bare.system and memory_usage(tmp_path / "nothing") == {}


@pytest.mark.parametrize(
    ("throttled_values", "changes", "slowed", "words"),
    [
        (("0x0",), {}, (), []),
        (("0x50000",), {}, (), []),  # long ago
        (("0x0", "0x4", "0x40000"), {}, ("throttled",), ["slowed down while it was measured (throttled)"]),
        (("0x50000", "0x70000"), {}, ("frequency_capped",), ["frequency capped"]),  # between two looks
        (("0x0", "0x50005"), {}, ("undervoltage", "throttled"), ["undervoltage, throttled"]),
        (("none",), {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"}, ("undervoltage",), ["undervoltage"]),
        (("none",), {}, None, ["it is unknown whether"]),
        (("0x0",), {"sys/class/thermal/thermal_zone0/temp": "81200"}, (), ["81.2 °C"]),
    ],
)
def test_a_slowed_down_run_is_marked(
    throttled_values: tuple[str, ...],
    changes: dict[str, str],
    slowed: tuple[str, ...] | None,
    words: list[str],
    tmp_path: Path,
) -> None:
    sensors = Sensors(tmp_path, FakeClock(), answers(*throttled_values), system(tmp_path))
    looks = [sensors.read()]
    system(tmp_path, changes)
    looks += [sensors.read(), sensors.read()]
    seen = assess_conditions(looks, replace(MACHINE, is_pi=True), load=0.1, cpu_share=1.0)
    assert seen.slowed == slowed
    assert seen.throttled == (None if slowed is None else bool(slowed))
    assert len(seen.marks) == len(words) and all(word in mark for word, mark in zip(words, seen.marks, strict=True))
    assert set(seen.slowed or ()) <= set(BITS)


@pytest.mark.parametrize(("load", "share", "words"), [(0.4, 0.95, []), (2.04, 0.62, ["load 2.0, 4 cores", "62%"])])
def test_a_busy_machine_is_marked_and_only_a_pi_must_report_throttling(
    load: float, share: float, words: list[str], tmp_path: Path
) -> None:
    looks = [Sensors(tmp_path, FakeClock(), answers("none"), tmp_path).read()]
    seen = assess_conditions(looks, MACHINE, load, share)
    assert len(seen.marks) == len(words) and all(word in mark for word, mark in zip(words, seen.marks, strict=True))
    assert (seen.slowed, seen.first_c, seen.most_c) == (None, None, None)


class Counted:
    """A clock that moves a millisecond each time it is looked at: a stage's time is how often it was looked at."""

    def __init__(self) -> None:
        self.real, self.now_ns, self.looks = SystemClock(), 5_000_000_000, 0
        self.boot = self.real.boot

    def mono_ns(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    def awake_ns(self) -> int:
        return self.now_ns

    def stamp(self, mono_ns: int | None = None) -> Any:
        return self.real.stamp(self.now_ns if mono_ns is None else mono_ns)

    def started_ns(self) -> int:
        return 0

    def cpu_ns(self) -> int:
        """Half a second from one look to the next."""
        self.looks += 1
        return self.looks * 500_000_000

    def sleep(self, seconds: float) -> None:  # noqa: ARG002 - as clocks have it
        raise AssertionError("a benchmark waits for nothing")


def test_scene_times_cover_the_stages_and_the_frames(nano: Bundle, tmp_path: Path) -> None:
    found = time_scene("face", face_scene, Pipeline(find_detector("haar"), nano), Counted(), 0.001, tmp_path / "log")
    assert list(found.stages) == STAGES
    assert found.frames == LEAST_FRAMES == found.stages["read"].calls == found.frame.calls
    assert 0 < found.with_face == found.stages["classify"].calls
    assert found.stages["read"].p50_ms == found.stages["gate"].p50_ms == 1.0, "nobody looked at the clock in between"
    assert found.stages["write"].p50_ms > 1.0, "the journal did"
    assert found.frame.p50_ms >= sum(times.p50_ms for times in found.stages.values())
    assert found.frames_per_s == pytest.approx(1e3 / found.frame.mean_ms)
    assert found.cpu_ms == pytest.approx(500 / LEAST_FRAMES) and found.share_at_fps == pytest.approx(0.25)
    assert 0 < found.cpu_share <= 0.5 / (LEAST_FRAMES * 13e-3)


def test_the_timed_stages_give_the_pipelines_readings(nano: Bundle, tmp_path: Path) -> None:
    pipeline, settings = Pipeline(find_detector(), nano), Settings()
    state, direct = SearchState(), []
    with open_frame_work(pipeline, face_scene, settings, FakeClock(), tmp_path / "log") as work:
        for number in range(SCENE_FRAMES + 5):
            frame: Frame = work._read()
            state, expected = pipeline.process(state, frame, settings)
            seen = work.process_next(direct.append)
            assert (frame.seq, work.processed) == (number, number + 1)
            assert frame.mono_ns - work.start_ns == number * 100_000_000
            assert [r.face.xywh for r in seen.readings] == [r.face.xywh for r in expected.readings]
            assert len(seen.readings) == 1
            assert np.array_equal(seen.readings[0].probs, expected.readings[0].probs)
    assert direct == STAGES * (SCENE_FRAMES + 5)


def test_the_still_scene_is_searched_once_and_has_no_face(nano: Bundle, tmp_path: Path) -> None:
    with open_frame_work(
        Pipeline(find_detector(), nano), still_scene, Settings(), FakeClock(), tmp_path / "log"
    ) as work:
        seen = [work.process_next(lambda _: None) for _ in range(30)]
    assert [s.idle for s in seen] == [False] + [True] * 29
    assert not any(s.readings for s in seen)


def test_the_report_has_every_scene_network_and_estimate(measured: BenchReport, nano: Bundle) -> None:
    report_json = json.loads(json.dumps(measured.to_json()))
    assert report_json["board"]["name"] == PI["proc/device-tree/model"].strip("\0")
    assert (report_json["bundle"]["name"], report_json["bundle"]["sha256"]) == ("nano", nano.sha256)
    face, still = report_json["loop"]["scenes"]
    assert list(face["stages"]) == STAGES and list(still["stages"]) == ["read", "gate", "detect", "write"]
    for scene in (face, still):
        assert scene["frames"] >= LEAST_FRAMES and scene["frames_per_s"] > 0 and scene["cpu_ms_per_frame"] > 0
        for times in (*scene["stages"].values(), scene["frame"]):
            assert 0 < times["p50_ms"] <= times["p95_ms"] and times["calls"] > 0
    assert (face["with_face"], still["with_face"]) == (face["frames"], 0)
    assert report_json["loop"]["memory_bytes"] == {"now": 80000 * 1024, "most": 90000 * 1024}
    assert report_json["loop"]["forced_write"]["calls"] == 5 and report_json["loop"]["forced_write"]["bytes"] > 8192
    rows = {(row["network"], row["kind"]): row for row in report_json["networks"]}
    assert set(rows) == {("classifier", "int8")} | {
        (name, "cascade" if name == "haar" else "float") for name in networks_of(measured.detector)
    }
    assert list(rows["classifier", "int8"]["by_threads"]) == ["1", "2"]
    assert {left["what"] for left in report_json["left_out"]} >= {"the classifier in float"}
    assert report_json["multiply_adds"]["classifier"] == nano.spec.cost.multiply_adds
    assert {row["board"] for row in report_json["estimates"]} == {"Pi Zero 2 W", "Pi 3", "Pi 4", "Pi 5"}
    assert all(row["estimate"] and 0 < row["low_ms"] < row["high_ms"] for row in report_json["estimates"])
    assert report_json["estimates_from"]


def test_the_report_of_a_slowed_down_board_is_marked(measured: BenchReport) -> None:
    seen = measured.to_json()["health"]
    assert (seen["throttled"], seen["slowed_by"], seen["power_source"]) == (True, ["throttled"], "hwmon")
    assert seen["looks"] == 1 + 2 + 5 and seen["temperature_c"] == {"first": 48.3, "most": 48.3}
    assert "MARKED: the processor was slowed down" in report_text(measured)
    assert any(
        "slowed down" in mark
        for mark in json.loads(paste_block(measured)[len("```json") : -len("```")])["health"]["marks"]
    )


def test_the_text_separates_measurements_from_estimates(measured: BenchReport) -> None:
    lines = report_text(measured).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("ESTIMATE, not measured"))
    boards = [i for i, line in enumerate(lines) if line.split("  ")[1:2] and line.lstrip().startswith("Pi ")]
    assert len(boards) == 8 and min(boards) > at
    assert sum("(this board)" in line for line in lines) == 2
    for stage in STAGES:
        assert any(line.split()[:1] == [stage] for line in lines[:at])
    assert any(source in lines[-1] for source in published_sources())
    assert "ESTIMATE" not in report_text(replace(measured, multiply_adds={}, estimates=())), "nothing to estimate from"


def test_the_pasted_block_names_no_person_machine_or_own_bundle(
    nano: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, user, _ = SECRETS
    home = tmp_path / "home" / user
    folder = Path(shutil.copytree(nano.path, home / "bundles" / user))
    spec = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**spec, "name": f"{user}s-faces"}))
    for variable, value in {"HOME": str(home), "USER": user, "LOGNAME": user, "HOSTNAME": machine}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))  # without detectors: the cascade
    monkeypatch.delenv("FER_EDGE_DETECTORS", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    own = Bundle.load(folder)
    found = run_bench(
        own, SystemClock(), threads=1, seconds=0.1, get_throttled=answers("0x0"), root=system(tmp_path / "root")
    )
    block = paste_block(found)
    assert block.startswith("```json\n{\n") and block.endswith("\n}\n```")
    pasted = json.loads(block.removeprefix("```json").removesuffix("```"))
    assert pasted["bundle"] == {"name": "own"} and own.sha256 not in block
    assert pasted["detector"] == "haar" and pasted["board"]["name"].startswith("Raspberry Pi 4")
    for secret in (*SECRETS, str(tmp_path), "/home"):
        assert secret not in block
    assert own.name in report_text(found), "at home it may stand"
    assert not any((home / ".local").rglob("*")), "nothing of the benchmark stays"


@pytest.fixture(scope="module")
def float_file(nano: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float network of nano's shape."""
    import keras

    from convert.tflite.keras_export import float_tflite

    given = keras.Input((nano.side, nano.side, 1))
    seen = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(given)
    model = keras.Model(given, keras.layers.Dense(len(nano.labels))(keras.layers.GlobalAveragePooling2D()(seen)))
    path = tmp_path_factory.mktemp("float") / "float.tflite"
    path.write_bytes(float_tflite(model))
    return path


def test_float_is_measured_beside_int8(nano: Bundle, float_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--bundle", "nano", "--seconds", "0.1", "--threads", "1", "--json"]
    assert main([*arguments, "--float", str(float_file)]) == 0
    out, err = capsys.readouterr()
    report_json = json.loads(out)
    kinds = [row["kind"] for row in report_json["networks"] if row["network"] == "classifier"]
    assert kinds[:2] == ["int8", "float"]
    assert "the classifier in float" not in [left["what"] for left in report_json["left_out"]]
    assert all(line.startswith("fer-edge: ") for line in err.splitlines())


def test_a_float_file_in_the_bundle_is_found(nano: Bundle, float_file: Path, tmp_path: Path) -> None:
    assert find_float_model(nano) is None
    folder = Path(shutil.copytree(nano.path, tmp_path / "nano"))
    shutil.copy(float_file, folder / "float.tflite")
    assert find_float_model(Bundle.load(folder)) == folder / "float.tflite"
    with pytest.raises(UsageError, match="has 48 px and 7 classes, bundle nano has 32 px and 7 classes"):
        find_float_model(replace(nano, spec=replace(nano.spec, input=replace(nano.spec.input, side=32))), float_file)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--threads", "0"], 2, "0 threads"),
        (["--threads", "65"], 2, "65 threads cannot be measured; give 1 to 64"),
        (["--seconds", "0"], 2, "0 seconds"),
        (["--seconds", "nan"], 2, "nan seconds"),
        (["--float", "{here}/none.tflite"], 2, "does not exist"),
        (["--float", "{int8}"], 2, "not a float model"),
        (["--float", "{here}/text.tflite"], 5, "not a TFLite model"),
        (["--bundle", "{here}"], 2, "not a bundle"),
    ],
)
def test_an_impossible_measurement_is_an_error(
    arguments: list[str], code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.tflite").write_text("no model")
    names = {"here": tmp_path, "int8": shipped_path("nano") / "model.tflite"}
    assert main(["bench", "--bundle", "nano", *(a.format(**names) for a in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == "" and word in err and err.startswith("fer-edge: ")


def test_json_and_paste_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--json", "--paste"])
    assert ended.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_the_command_prints_a_block_to_share_or_the_whole_report(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for flags in (["--paste"], []):
        assert main(["bench", "--bundle", "nano", "--threads", "1", "--seconds", "0.1", "--quiet", *flags]) == 0
        printed.append(capsys.readouterr().out)
    block, report = printed
    assert block.startswith("```json\n{") and block.endswith("}\n```\n") and block.count("```") == 2
    fields = json.loads(block.removeprefix("```json").removesuffix("```\n"))
    assert fields["bundle"]["name"] == "nano" and "estimates" not in fields
    assert not re.search(rf"\b{re.escape(platform.node())}\b", block)
    assert "```" not in report and "ESTIMATE, not measured" in report
