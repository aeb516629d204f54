"""The metrics of a real run, checked by Debian's promtool and read by Debian's node_exporter; the alert rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.loopback import free_port
from tests.processes import start_run, wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "device/alerts.yml"


def tool(name: str, package: str) -> str:
    program = shutil.which(name)
    assert program, f"no {name}; on Debian: apt install --no-install-recommends {package}"
    return program


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [tool("promtool", "prometheus"), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)


def fetched(port: int) -> str:
    """What is served at a port of loopback, or nothing yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_promtool_accepts_the_metrics_of_a_run(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "fer-edge.prom"
    more = ["--metrics", f"127.0.0.1:{port}", "--metrics-file", str(file)]
    process = start_run(tmp_path, "synthetic", *more, duration_s=20.0, metrics_every_s=0.2)
    try:
        wait_until(process, lambda: 'le="+Inf",stage="classify"} 1' in fetched(port))
        served = fetched(port)
        wait_until(process, lambda: 'state="running"} 1.0' in file.read_text())
        written = file.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    for text in (served, written, file.read_text()):
        assert text.count("# TYPE fer_edge_") == text.count("# HELP fer_edge_") == 31
        done = promtool("check", "metrics", given=text)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_reports_wrong_metrics() -> None:
    """What the test before this one rests on."""
    done = promtool("check", "metrics", given="# TYPE lost counter\nlost 1\n")
    assert done.returncode == 3 and "counter metrics should have" in done.stderr


def test_node_exporter_collects_the_files_of_two_cameras(tmp_path: Path) -> None:
    exporter, port = tool("prometheus-node-exporter", "prometheus-node-exporter"), free_port()
    collected = tmp_path / "collected"
    collected.mkdir()
    for name in ("door", "window"):
        (folder := tmp_path / name).mkdir()
        file = folder / "fer-edge.prom"
        process = start_run(folder, "synthetic", "--metrics-file", str(file), "--name", name, duration_s=1.0)
        assert process.wait(60) == 0, process.communicate()
        process.communicate()
        (collected / f"fer-edge-{name}.prom").symlink_to(file)  # as the documentation has it
    command = [
        exporter,
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    command += [f"--collector.textfile.directory={collected}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(process, lambda: bool(fetched(port)))
        lines = set(fetched(port).splitlines())
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert "node_textfile_scrape_error 0" in lines
    assert len([line for line in lines if line.startswith("node_textfile_mtime_seconds{")]) == 2
    for name in ("door", "window"):
        metrics_lines = (tmp_path / name / "fer-edge.prom").read_text().splitlines()
        counts = [line.removesuffix(".0") for line in metrics_lines if line.startswith("fer_edge_frames")]
        assert len(counts) == 9 and set(counts) <= lines


def test_promtool_accepts_the_alert_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0 and "SUCCESS: 10 rules found" in done.stdout, done.stdout + done.stderr


HERE = 'camera="door",instance="pi"'


@pytest.mark.parametrize(
    ("alert", "series", "labels"),
    [
        ("FerEdgeGone", {'up{job="fer-edge",instance="pi"}': "1 0x20"}, {"job": "fer-edge", "camera": ""}),
        ("FerEdgeStopped", {f'fer_edge_camera_state{{{HERE},state="stopped"}}': "1x20"}, {"state": "stopped"}),
        ("FerEdgeBlind", {f'fer_edge_camera_state{{{HERE},state="lost"}}': "1x20"}, {}),
        (
            "FerEdgeStale",
            {
                f"fer_edge_since_last_frame_seconds{{{HERE}}}": "0+60x20",
                f'fer_edge_camera_state{{{HERE},state="running"}}': "1x20",
            },
            {},
        ),
        ("FerEdgeRestarting", {f"fer_edge_uptime_seconds{{{HERE}}}": "9 8 7 6 5x16"}, {}),
        ("FerEdgeLosesLines", {f"fer_edge_journal_lost_lines_total{{{HERE}}}": "0 0 0 7x17"}, {}),
        ("FerEdgeLosesLines", {f"fer_edge_journal_writable{{{HERE}}}": "0x20"}, {}),
        ("FerEdgeOutputFails", {f'fer_edge_output_working{{{HERE},output="mqtt"}}': "0x20"}, {"output": "mqtt"}),
        ("FerEdgeDiskLow", {f"fer_edge_disk_free_bytes{{{HERE}}}": "1000x20"}, {}),
        ("FerEdgeHot", {f"fer_edge_temperature_celsius{{{HERE}}}": "85x20"}, {}),
        ("FerEdgeHot", {f'fer_edge_throttled{{{HERE},by="throttled"}}': "1x20"}, {}),
        ("FerEdgeWeakPower", {f"fer_edge_undervoltage{{{HERE}}}": "1x20"}, {}),
    ],
)
def test_each_alert_rule_fires_on_its_condition(
    tmp_path: Path, alert: str, series: dict[str, str], labels: dict[str, str]
) -> None:
    """Series stand for 20 minutes; no other rule may speak, and none of a device that is well."""
    well = {
        f'fer_edge_camera_state{{{HERE},state="running"}}': "1x20",
        f"fer_edge_since_last_frame_seconds{{{HERE}}}": "0.1x20",
        f"fer_edge_uptime_seconds{{{HERE}}}": "0+60x20",
        f"fer_edge_journal_lost_lines_total{{{HERE}}}": "0x20",
        f"fer_edge_journal_writable{{{HERE}}}": "1x20",
        f'fer_edge_output_working{{{HERE},output="mqtt"}}': "1x20",
        f"fer_edge_disk_free_bytes{{{HERE}}}": "9e9x20",
        f"fer_edge_temperature_celsius{{{HERE}}}": "50x20",
        f'fer_edge_throttled{{{HERE},by="throttled"}}': "0x20",
        f"fer_edge_undervoltage{{{HERE}}}": "0x20",
    }
    labels_of_door = {"camera": "door", "instance": "pi", **labels}
    expected = ", ".join(
        f'{name}="{word}"'
        for name, word in {"alertname": alert, "alertstate": "firing", **labels_of_door}.items()
        if word
    )
    assert _evaluated(tmp_path, {**well, **series}, [{"labels": f"ALERTS{{{expected}}}", "value": 1}]) == ""
    assert _evaluated(tmp_path, well, []) == ""


def _evaluated(folder: Path, series: dict[str, str], fired: list[dict[str, Any]]) -> str:
    """What promtool says where in the fifteenth minute others fire than these; empty where they do."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    alert_test = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "15m", "exp_samples": fired}
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [alert_test]}
    case = folder / "case.yml"  # JSON is YAML
    case.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", str(case))
    return "" if done.returncode == 0 else done.stdout + done.stderr
