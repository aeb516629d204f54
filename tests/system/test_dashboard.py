"""The Grafana dashboard: each expression is evaluated by a Prometheus that scrapes a real run; its schema; its provisioning.

Grafana itself is in no package registry; its own Python library (grafana-foundation-sdk) knows the fields of a dashboard.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from device.address import Address
from device.clock import SystemClock
from device.output.journal.journal import Journal
from device.output.metrics.exporter import MetricsExporter
from device.output.metrics.run_metrics import RunMetrics
from device.system.health import Sensors
from tests.loopback import free_port
from tests.processes import start_run, wait_until
from tests.system.test_metrics import tool

FOLDER = Path(__file__).parents[2] / "device/grafana"
DASHBOARD = json.loads((FOLDER / "dashboards/fer-edge.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}


def evaluated(port: int, expression: str) -> list[dict[str, Any]]:
    """The samples of an instant query; none while Prometheus does not answer. Raises HTTPError for a wrong expression."""
    for variable, value in (("$__rate_interval", "15s"), ("$camera", ".*")):
        expression = expression.replace(variable, value)
    assert "$" not in expression
    with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': expression})}", timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


def sensors_of_a_pi(root: Path, clock: SystemClock) -> Sensors:
    """The sensors of a Pi, which this machine may not have, by the files that its kernel shows."""
    for name, text in (
        ("class/thermal/thermal_zone0/type", "cpu-thermal"),
        ("class/thermal/thermal_zone0/temp", "61300"),
        ("class/hwmon/hwmon0/name", "rpi_volt"),
        ("class/hwmon/hwmon0/in0_lcrit_alarm", "0"),
    ):
        (file := root / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Sensors(root, clock, lambda: "throttled=0x4", root)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that has scraped a run for more than a minute, and the sensors of a Pi."""
    folder, clock = tmp_path_factory.mktemp("prometheus"), SystemClock()
    ports = [free_port(), free_port()]
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: fer-edge, static_configs: [{{targets: [{targets}]}}]}}]\n"
        f"rule_files: [{FOLDER.parent / 'alerts.yml'}]\n"
    )
    own = free_port()
    command = [tool("prometheus", "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    (run_folder := folder / "run").mkdir()
    with Journal(folder / "pi", clock) as journal:
        sensors = sensors_of_a_pi(folder / "root", clock)
        metrics = RunMetrics("pi", clock, journal, sensors.read)
        with MetricsExporter(metrics, None, Address("127.0.0.1", ports[1]), 15.0, print) as exporter:
            exporter.start()
            run = start_run(run_folder, "synthetic", "--metrics", f"127.0.0.1:{ports[0]}", fps=5.0)
            with (folder / "log").open("wb") as log:
                server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{own}"], stdout=log, stderr=log)
            try:
                minute = 'fer_edge_run_seconds_total{state="observed"} offset 3s > 30'
                wait_until(run, lambda: _answers(own), 60.0)
                wait_until(run, lambda: bool(evaluated(own, minute)), 150.0)  # the first tally
                yield own
            finally:
                server.terminate()
                run.terminate()
                server.wait(60)
                run.communicate(timeout=60)


def _answers(port: int) -> bool:
    try:
        return bool(evaluated(port, "up"))
    except OSError:
        return False


@pytest.mark.parametrize("panel", EXPRESSIONS)
def test_each_panel_has_data_of_a_real_run(prometheus: int, panel: str) -> None:
    samples = evaluated(prometheus, EXPRESSIONS[panel])
    values = [(sample["metric"].get("camera"), float(sample["value"][1])) for sample in samples]
    # a percentile of the second device, which has no frames, is none
    assert [value for camera, value in values if not (camera == "pi" and math.isnan(value))], samples
    assert all(math.isfinite(value) or (camera == "pi" and "percentile" in panel) for camera, value in values), samples


def test_the_panels_show_what_is_there(prometheus: int) -> None:
    def value(title: str, **labels: str) -> float:
        found = evaluated(prometheus, EXPRESSIONS[f"{title} A"])
        (sample,) = [one for one in found if labels.items() <= one["metric"].items()]
        return float(sample["value"][1])

    assert value("Devices") == 2 and value("Running") == 1 and value("Outputs that fail") == 0
    assert value("Without a camera") == 1, "the second one never starts"
    assert value("Temperature", camera="pi") == 61.3
    assert value("Power and throttling", camera="pi", by="throttled") == 1
    assert value("Power and throttling", camera="pi", by="undervoltage") == 0
    assert 0 <= value("Blind time", camera="camera") < 0.5
    assert 0 <= value("Unsure", camera="camera") <= 1
    assert value("Frames processed", camera="camera") > 0
    (versions,) = evaluated(prometheus, EXPRESSIONS["Versions A"])
    shown = {"camera", "instance", "version", "bundle", "bundle_sha256", "runtime", "detector"}
    assert set(versions["metric"]) == shown
    (table,) = [panel for panel in PANELS if panel["title"] == "Versions"]
    assert set(table["transformations"][0]["options"]["renameByName"]) == shown


def test_the_variables_and_legends_name_existing_labels(prometheus: int) -> None:
    (camera,) = [one for one in DASHBOARD["templating"]["list"] if one["name"] == "camera"]
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", camera["query"])
    assert match and {sample["metric"][match[2]] for sample in evaluated(prometheus, match[1])} == {"camera", "pi"}
    for panel in PANELS:
        for target in panel["targets"]:
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            for sample in evaluated(prometheus, target["expr"]):
                assert labels <= sample["metric"].keys(), panel["title"]


def test_a_wrong_expression_is_no_data(prometheus: int) -> None:
    """What the tests before this one rest on."""
    assert evaluated(prometheus, "fer_edge_nothing") == []
    with pytest.raises(OSError, match="400"):
        evaluated(prometheus, "rate(fer_edge_uptime_seconds)")


def test_the_dashboard_has_no_field_that_grafana_does_not_know() -> None:
    """A field that Grafana's library does not know, or a wrong place of one, is lost when it reads and writes the file."""
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins", reason="no grafana-foundation-sdk")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()

    def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, each in items:
            yield from leaves(each, f"{path}/{name}")
        if not isinstance(value, dict | list) and value is not None:
            yield path, value

    written = dict(leaves(json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))))
    assert [leaf for leaf in leaves(DASHBOARD) if written.get(leaf[0]) != leaf[1]] == []
    misspelt = json.loads(json.dumps(DASHBOARD).replace('"legendFormat"', '"legend"'))
    assert "legend" not in json.dumps(
        json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))["panels"][1]["targets"]
    )


def test_panels_do_not_overlap_and_all_use_the_variable() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        box = panel["gridPos"]
        cells = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["description"] and panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_the_provisioning_files_name_what_is_there() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/fer-edge.yml").read_text())
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/fer-edge.yml").read_text())
    assert source["apiVersion"] == provider["apiVersion"] == 1
    assert source["datasources"][0]["type"] == "prometheus" == PANELS[0]["datasource"]["type"]
    assert provider["providers"][0]["type"] == "file" and provider["providers"][0]["options"]["path"].startswith("/")
