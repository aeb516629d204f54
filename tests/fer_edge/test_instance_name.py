"""The name of an instance: one default, one rule and one unit for settings, commands, the doctor and a deploy."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.deploy.releases import Instance
from device.config import Settings
from device.service.systemd_units import Unit
from fer_edge.errors import UsageError
from fer_edge.instance_name import DEFAULT, name_option, unit_name


def test_the_default_instance_needs_no_name() -> None:
    assert Settings().name == Instance().name == DEFAULT
    assert (unit_name(DEFAULT), name_option(DEFAULT)) == ("fer-edge.service", "")
    assert (unit_name("door"), name_option("door")) == ("fer-edge@door.service", " --name door")
    assert Instance("door").unit == unit_name("door") and Instance().unit == unit_name(DEFAULT)


@pytest.mark.parametrize("template", [False, True])
def test_the_unit_is_one_of_a_file_that_is_installed(template: bool) -> None:
    name = unit_name("door" if template else DEFAULT)
    assert name.replace("door", "") == Unit(Path("/usr/bin/fer-edge"), template).file_name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "é", "x" * 33, "a\n"])
def test_settings_and_a_deploy_refuse_the_same_names(name: str) -> None:
    for made in (lambda: Settings(name=name), lambda: Instance(name)):
        with pytest.raises(UsageError, match="name must be 1 to 32 letters"):
            made()
