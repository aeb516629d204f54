"""The public interface of `fer_edge` is what `__all__` lists: each name is importable and documented, and imported lazily."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fer_edge
from fer_edge import errors

ROOT = Path(__file__).parents[2]


def documented_names() -> list[str]:
    """The names in the table of the package's docstring."""
    return re.findall(r"^    (\w+) {2,}", fer_edge.__doc__ or "", flags=re.M)


def test_every_public_name_is_documented_and_nothing_else_is() -> None:
    assert sorted(documented_names()) == sorted(fer_edge.__all__)


@pytest.mark.parametrize("name", fer_edge.__all__)
def test_a_public_name_can_be_imported_and_has_a_docstring(name: str) -> None:
    value = getattr(fer_edge, name)
    assert name in dir(fer_edge)
    assert name == "LABELS" or (value.__doc__ and value.__name__ == name)


def test_every_error_is_public() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert kinds <= set(fer_edge.__all__)


def test_a_name_that_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Bundles'"):
        _ = fer_edge.Bundles


def test_importing_the_package_loads_none_of_its_modules() -> None:
    script = "import sys, fer_edge; print(*(name for name in sys.modules if name.startswith('fer_edge.')))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_opencv_has_the_limit_of_pictures() -> None:
    script = (
        "import os, fer_edge, fer_edge.limits as l; print(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'], l.PICTURE_PIXELS)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_IO_MAX_IMAGE_PIXELS"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    assert len(set(done.stdout.split())) == 1


@pytest.mark.parametrize("package", ["fer_edge", "convert", "device"])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
