"""The cache of arm64 user spaces: the names of its folders, and that none is incomplete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from tests.arm64 import sysroot
from tests.arm64.sysroot import ROOT, SPACES


def test_the_cache_folder_depends_on_the_packages_and_not_on_the_processor() -> None:
    space = SPACES["trixie"]
    assert space.key == replace(space, cpu="cortex-a72").key
    others = (replace(space, wheels=space.wheels[1:]), replace(space, packages=space.packages[1:]), SPACES["bookworm"])
    assert len({space.key, *(other.key for other in others)}) == 4


def test_bookworm_has_the_versions_of_its_constraints() -> None:
    lines = (ROOT / "constraints" / "bookworm.txt").read_text().splitlines()
    assert {line for line in lines if "==" in line and not line.startswith("#")} <= {*SPACES["bookworm"].wheels}


def test_an_incomplete_folder_is_never_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def broken(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise UsageError("the network went away")

    with pytest.raises(UsageError, match="went away"):
        sysroot.made("x-1", broken)
    assert [*sysroot.cache_folder().iterdir()] == []
    made = sysroot.made("x-1", lambda folder: (folder.mkdir(), (folder / "whole").touch())[0])
    assert sysroot.made("x-1", broken) == made and [p.name for p in made.iterdir()] == ["whole"]


def test_a_relative_cache_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert sysroot.cache_folder() == ROOT / ".cache" / "arm64"


def test_a_missing_or_failing_program_is_an_error() -> None:
    with pytest.raises(UsageError, match="no-such-program is not installed"):
        sysroot.done(["no-such-program"])
    with pytest.raises(UsageError, match=r"ls said “.*no-such-folder"):
        sysroot.done(["ls", "/no-such-folder"])
