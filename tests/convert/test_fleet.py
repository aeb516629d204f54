"""The hosts of an inventory, refusals of what is no host, and the table of all hosts."""

from __future__ import annotations

from typing import Any

import pytest

from convert.deploy.fleet import FleetStatus, HostReport
from convert.deploy.inventory import InventoryHost, listed_hosts
from convert.deploy.operations import TargetStatus
from convert.deploy.releases import Instance
from convert.deploy.ssh import ScriptOutput
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import UsageError


def listed(name: str, **variables: object) -> dict[str, Any]:
    """What `ansible-inventory --list` prints for one host."""
    return {"_meta": {"hostvars": {name: variables}}, "all": {"children": ["shops"]}, "shops": {"hosts": [name]}}


def test_a_host_in_several_groups_is_listed_once() -> None:
    answer = listed("door", ansible_port="2201", ansible_user="pi", ansible_host="10.0.0.7", fer_edge_name="left")
    answer["offices"] = {"hosts": ["door", "attic"]}
    assert listed_hosts(answer, "hosts.yml", Instance()) == (
        InventoryHost("attic", SshAddress("attic"), Instance()),
        InventoryHost("door", SshAddress("pi@10.0.0.7", 2201), Instance("left")),
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (listed("-oProxyCommand=touch x"), "hosts.yml: host “-oProxyCommand=touch x”: .* is not a host"),
        (listed("a/../b"), "is not a host"),
        (listed("a", ansible_host="-oProxyCommand=x"), "host “a”: “-oProxyCommand=x” is not a host"),
        (listed("a", ansible_host="b\n-oProxyCommand=x"), "ansible_host is .*, not a text"),
        (listed("a", ansible_host="{{ 1 }}.local"), "is not a host"),
        (listed("a", ansible_host=7), "ansible_host is 7, not a text"),
        (listed("a", ansible_user="-l"), "host “a”: “-l@a” is not a host"),
        (listed("a", ansible_port="ssh"), "host “a”: .*ansible_port is 'ssh', not a port"),
        (listed("a", ansible_port=True), "ansible_port is True, not a port"),
        (listed("a", ansible_port=65536), "--port must be 1 to 65535, not 65536"),
        (listed("a", fer_edge_name="../x"), "--name must be"),
        (listed("a\x1b[2J"), "with names of at most 4096 characters that can be printed"),
        ({"_meta": {"hostvars": {}}, "all": {"hosts": ["a\x1b[2J"]}}, r"host “a\\x1b\[2J”"),
        ({"_meta": {"hostvars": {}}, "all": {"hosts": "a"}}, "a list of texts"),
        ([], "not a JSON object"),
    ],
)
def test_what_is_no_host_is_refused(answer: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        listed_hosts(answer, "hosts.yml", Instance())


def report(name: str, code: int, problem: str = "", current: str = "") -> HostReport:
    host = InventoryHost(name, SshAddress(name), Instance())
    output = ScriptOutput({"current": (current,), "service.ActiveState": ("active",), "free_kb": ("2048",)}, (), "")
    return HostReport(host, TargetStatus.read(name, output) if current else None, code, problem)


def test_the_table_has_a_row_for_each_host_and_the_largest_exit_code() -> None:
    fleet = FleetStatus(
        (
            report("attic", 75, "attic cannot be reached\x1b[2J"),
            report("door", 0, current="0.1.0-a"),
            report("hall", 7, "hot", "0.1.0-a"),
        )
    )
    assert fleet.text().splitlines() == [
        "host   release  bundle          service  journal kB  free MB  state",
        r"attic  –        –               –                 –        –  attic cannot be reached\x1b[2J",
        "door   0.1.0-a  of the release  active            0        2  healthy",
        "hall   0.1.0-a  of the release  active            0        2  hot",
    ]
    assert fleet.exit_code() == fleet.to_json()["exit_code"] == 75
    assert fleet.summary() == "3 hosts: 1 healthy, 1 unhealthy, 1 no answer; releases: 0.1.0-a on 2"
    assert FleetStatus(fleet.reports[1:]).exit_code() == 7
    assert [host["status"] is None for host in fleet.to_json()["hosts"]] == [True, False, False]
