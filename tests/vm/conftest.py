"""The machines of these tests: VM_SUITE names Debian's suite, trixie (default) or bookworm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.image import Image, image
from tests.vm.machine import Machine, new_disk, ship_checkout, started


@pytest.fixture(scope="session")
def vm_image() -> Image:
    """The image, made first where it is not there yet."""
    return image(os.environ.get("VM_SUITE", "trixie"))


@pytest.fixture(scope="session")
def machine(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine with the checkout's packages."""
    folder: Path = tmp_path_factory.mktemp("machine")
    new_disk(vm_image, folder)
    with started(vm_image, folder) as booted:
        ship_checkout(booted)
        yield booted


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark of the tests that CI runs: a boot, a USB camera, a fault, a power cut."""
    config.addinivalue_line("markers", "quick: of the part that takes a few minutes")
