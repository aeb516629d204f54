"""Bundles on a device: what is taken over, what is refused, and that no cut leaves a device without a working one."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device.system.bundles import BundleStore
from fer_edge.active_bundle import active_bundle_path, bundles_folder, selected_names
from fer_edge.bundle import REQUIRED_FILES, Bundle
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.shipped_bundles import default_path, shipped_path

ROOT = Path(__file__).parents[2]
DEFAULT = default_path().name


def named(source: str, name: str, folder: Path) -> Path:
    """A copy of a shipped bundle that calls itself `name`."""
    target = Path(shutil.copytree(shipped_path(source), folder / f"source-{len(name)}"))
    spec = json.loads((target / "bundle.json").read_text())
    (target / "bundle.json").write_text(json.dumps({**spec, "name": name}))
    return target


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return named("nano", "mine", tmp_path_factory.mktemp("source"))


def used(folder: Path) -> str:
    """What a run would take."""
    return active_bundle_path({"FER_EDGE_BUNDLES": str(folder)}).name


def test_without_a_choice_the_shipped_bundle_is_in_use(tmp_path: Path) -> None:
    assert active_bundle_path({"FER_EDGE_BUNDLES": str(tmp_path)}) == default_path()
    entries = BundleStore(tmp_path / "none").entries()
    assert [(entry.release, entry.in_use, entry.shipped, entry.problem) for entry in entries] == [
        ("edge-mixed", True, True, ""),
        ("edge", False, True, ""),
        ("nano", False, True, ""),
    ]
    assert not (tmp_path / "none").exists()


def test_install_use_and_rollback_change_the_bundle_in_use(tmp_path: Path, mine: Path) -> None:
    bundles = BundleStore(tmp_path / "b")
    installed = bundles.install(mine)
    assert installed.release == f"mine-{Bundle.load(mine).sha256[:12]}"
    assert {file.name for file in installed.path.iterdir()} == {*REQUIRED_FILES, "bundle.json"}, (
        "what the host needs stays there"
    )
    assert used(bundles.folder) == DEFAULT, "installing is not using"
    assert bundles.install(mine).release == installed.release
    assert bundles.use("mine").verified.bundle == "mine"
    assert used(bundles.folder) == installed.release
    assert [entry.in_use for entry in bundles.entries()] == [False, False, False, True]
    bundles.use("nano")
    assert bundles.rollback().release == installed.release == used(bundles.folder)
    assert bundles.rollback().release == DEFAULT == used(bundles.folder)
    with pytest.raises(UsageError, match="there is no earlier one to return to"):
        bundles.rollback()


def test_a_run_loads_the_bundle_in_use(tmp_path: Path, mine: Path) -> None:
    """In a process of its own, as the service has it, with no flag and no setting."""
    bundles = BundleStore(tmp_path / "b")
    bundles.install(mine)
    bundles.use("mine")
    environ = {**os.environ, "FER_EDGE_BUNDLES": str(bundles.folder), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "fer_edge", "verify", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == "mine"


def test_every_user_may_read_what_root_installed(tmp_path: Path, mine: Path) -> None:
    umask = os.umask(0o077)
    try:
        bundles = BundleStore(tmp_path / "opt" / "b")
        bundles.use(bundles.install(mine).release)
    finally:
        os.umask(umask)
    for path in (tmp_path / "opt", *(tmp_path / "opt").rglob("*")):
        mode = 0o755 if path.is_dir() else 0o600 if path.name == ".lock" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


def test_using_a_bundle_twice_keeps_the_one_to_roll_back_to(tmp_path: Path, mine: Path) -> None:
    bundles = BundleStore(tmp_path / "b")
    bundles.install(mine)
    bundles.use("nano")
    bundles.use("mine")
    bundles.use("mine")
    assert bundles.rollback().release == "nano"


@pytest.mark.parametrize("name", ["../../etc/passwd", ""])
def test_a_name_with_a_path_is_rejected(tmp_path: Path, name: str) -> None:
    bundles = BundleStore(tmp_path / "b")
    with pytest.raises(BundleRefused, match="not a name that a file can have"):
        bundles.install(named("nano", name, tmp_path))
    assert not bundles.folder.exists()


@pytest.mark.parametrize("name", ["a b;c'\"", "-rf", "…"])
def test_any_other_name_is_installed_in_the_folder_of_releases(tmp_path: Path, name: str) -> None:
    bundles = BundleStore(tmp_path / "b")
    installed = bundles.install(named("nano", name, tmp_path))
    assert installed.path.parent == bundles.releases and installed.path.is_dir()
    assert bundles.use(installed.release).release == used(bundles.folder)


@pytest.mark.parametrize("name", ["other", "", "m", "releases", "..", "in-use", "mine-"])
def test_a_name_that_matches_no_or_two_bundles_is_rejected(tmp_path: Path, mine: Path, name: str) -> None:
    bundles = BundleStore(tmp_path / "b")
    bundles.install(mine)
    spec = json.loads((mine / "bundle.json").read_text())
    second = Path(shutil.copytree(mine, tmp_path / "second"))
    (second / "bundle.json").write_text(json.dumps({**spec, "note": "another"}))
    bundles.install(second)
    with pytest.raises(UsageError, match="`fer-edge bundle list` lists them"):
        bundles.use(name)
    assert used(bundles.folder) == DEFAULT


def test_the_installed_folder_and_the_own_name_stand_for_the_release(
    tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be called otherwise than its bundle, and a bundle's own name may have what no folder here has."""
    monkeypatch.chdir(tmp_path)
    Path(shutil.copytree(mine, "my-bundle"))
    Path(shutil.copytree(named("nano", "face 2", tmp_path), "other"))
    bundles = BundleStore(tmp_path / "b")
    with pytest.raises(UsageError, match=r"in my-bundle is not installed; `fer-edge bundle install my-bundle`"):
        bundles.use("my-bundle")
    release, other = bundles.install(Path("my-bundle")).release, bundles.install(Path("other")).release
    assert release.startswith("mine-") and other.startswith("face-2-")
    for name in ("my-bundle", str(tmp_path / "my-bundle"), "./my-bundle/", "mine"):
        assert bundles.use("nano").release == "nano"
        assert bundles.use(name).release == release == used(bundles.folder)
    assert bundles.use("face 2").release == bundles.use("other").release == other
    assert bundles.use(str(shipped_path("nano"))).release == "nano"


def damaged_model(folder: Path) -> None:
    model = bytearray((folder / "model.tflite").read_bytes())
    model[-100] ^= 1
    (folder / "model.tflite").write_bytes(bytes(model))


def other_labels(folder: Path) -> None:
    """Whole by its hashes, and yet not what was proved: only running it tells."""
    spec = json.loads((folder / "bundle.json").read_text())
    spec["labels"] = spec["labels"][::-1]
    (folder / "bundle.json").write_text(json.dumps(spec))


@pytest.mark.parametrize("spoil", [damaged_model, other_labels])
def test_a_bundle_that_fails_its_check_is_not_installed(tmp_path: Path, mine: Path, spoil: Any) -> None:
    bundles = BundleStore(tmp_path / "b")
    bad = Path(shutil.copytree(mine, tmp_path / "bad"))
    spoil(bad)
    with pytest.raises(BundleRefused):
        bundles.install(bad)
    assert not bundles.releases.exists() or not any(bundles.releases.iterdir())
    release = bundles.install(mine).release
    spoil(bundles.releases / release)
    for change in (lambda: bundles.use(release), lambda: bundles.use("mine")):
        with pytest.raises(BundleRefused):
            change()
    assert used(bundles.folder) == DEFAULT


def test_a_damaged_release_is_listed_rejected_and_repaired_by_installing_it_again(tmp_path: Path, mine: Path) -> None:
    bundles = BundleStore(tmp_path / "b")
    release = bundles.install(mine).release
    bundles.use("nano")
    bundles.use(release)
    bundles.use(DEFAULT)
    damaged_model(bundles.releases / release)
    assert "hash differs" in bundles.entries()[3].problem
    with pytest.raises(BundleRefused):
        bundles.rollback()
    assert used(bundles.folder) == DEFAULT
    bundles.install(mine)
    assert [entry.problem for entry in bundles.entries()] == ["", "", "", ""]
    assert bundles.rollback().release == release


def test_a_missing_or_damaged_choice_is_an_error(tmp_path: Path, mine: Path) -> None:
    bundles = BundleStore(tmp_path / "b")
    release = bundles.install(mine).release
    bundles.use(release)
    shutil.rmtree(bundles.releases / release)
    with pytest.raises(BundleRefused, match="is missing; `fer-edge bundle rollback`"):
        used(bundles.folder)
    bundles.rollback()
    assert used(bundles.folder) == DEFAULT
    for damage in (b"nano", b"\xff\n", b"../../etc\n", b"\n", b"a b\n"):
        (bundles.folder / "in-use").write_bytes(damage)
        with pytest.raises(BundleRefused, match="`fer-edge bundle use NAME` writes it"):
            used(bundles.folder)
    bundles.use("nano")
    assert selected_names(bundles.folder) == ("nano",)


@pytest.mark.parametrize("how", ["release", "beginning", "own name", "folder"])
def test_a_damaged_choice_is_listed_and_written_again(
    tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    from fer_edge.cli import main

    bundles = BundleStore(tmp_path / "b")
    release = bundles.install(mine).release
    (bundles.folder / "in-use").write_bytes(b"\xff\n")
    assert main(["bundle", "list", "--bundles", str(bundles.folder)]) == 0
    out, messages = capsys.readouterr()
    assert f"  {release}  installed" in out.splitlines() and "*" not in out
    assert "none can be used" in messages and "`fer-edge bundle use NAME` writes it" in messages
    name = {"release": release, "beginning": release[:-3], "own name": "mine", "folder": str(mine)}[how]
    assert bundles.use(name).release == release == used(bundles.folder)
    assert selected_names(bundles.folder) == (release,)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "b").write_text("a file in its place")
    with pytest.raises(UsageError, match=r"cannot be changed .*; the one in use is unchanged"):
        BundleStore(tmp_path / "b").install(mine)


def test_the_bundles_folder_follows_the_environment(tmp_path: Path) -> None:
    assert bundles_folder({"FER_EDGE_BUNDLES": str(tmp_path)}) == tmp_path
    own = bundles_folder({"XDG_DATA_HOME": str(tmp_path)})
    assert own == (Path("/opt/fer-edge/bundles") if os.geteuid() == 0 else tmp_path / "fer-edge/bundles")


def test_the_bundle_commands_print_and_change_the_bundle_in_use(
    tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """stdout is the release's name, or the list; what was found and what to do next is said."""
    from fer_edge.cli import main

    monkeypatch.setenv("FER_EDGE_BUNDLES", str(tmp_path / "b"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    release = f"mine-{Bundle.load(mine).sha256[:12]}"

    def typed(*words: str) -> tuple[int, str, str]:
        code = main(["bundle", *words])
        return code, *capsys.readouterr()

    code, out, messages = typed("install", str(mine))
    assert (code, out) == (0, f"{release}\n") and f"`fer-edge bundle use {release}` selects it" in messages
    code, out, messages = typed("use", "mine")
    assert (
        (code, out) == (0, f"{release}\n") and "from the next start on" in messages and "systemctl restart" in messages
    )
    code, out, messages = typed("list")
    assert out.splitlines() == [
        "  edge-mixed  came with the package",
        "  edge  came with the package",
        "  nano  came with the package",
        f"* {release}  installed",
    ]
    listed = json.loads(typed("list", "--json")[1])
    shipped = [("edge-mixed", False), ("edge", False), ("nano", False)]
    assert [(one["release"], one["in_use"]) for one in listed] == [*shipped, (release, True)]
    assert typed("rollback")[:2] == (0, "edge-mixed\n")
    (tmp_path / "fer-edge").mkdir()
    (tmp_path / "fer-edge/config.toml").write_text('bundle = "elsewhere"\n')
    code, out, messages = typed("install", "--use", str(mine))
    assert (code, out) == (0, f"{release}\n") and "but the settings select another bundle" in messages
    code, out, messages = typed("use", "nothing")
    assert (code, out) == (2, "") and "there is no bundle “nothing”" in messages
    assert used(tmp_path / "b") == release


@pytest.mark.parametrize("how", ["killed", "failing"])
@pytest.mark.parametrize("what", ["install", "install again", "use", "rollback"])
def test_after_a_power_cut_at_any_step_a_complete_bundle_is_in_use(
    tmp_path: Path, mine: Path, what: str, how: str
) -> None:
    start = tmp_path / "start"
    bundles = BundleStore(start / "bundles")
    bundles.use("nano")
    release = f"mine-{Bundle.load(mine).sha256[:12]}"
    if what != "install":
        bundles.install(mine)
    if what == "install again":
        damaged_model(bundles.releases / release)
    if what == "rollback":
        bundles.use(release)
    argument = {"use": release, "rollback": "nano"}.get(what, str(mine))
    command = [sys.executable, str(ROOT / "tests/interrupted_steps.py"), str(start), what.split()[0], how, argument]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *cuts, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(cuts) > 3, "the steps were seen"
    assert last["ended"] == 0
    assert {found["ended"] for found in cuts} == {"killed" if how == "killed" else 2}
    old, new = {"use": ("nano", release), "rollback": (release, "nano")}.get(what, ("nano", "nano"))
    names = [found["in_use"] for found in cuts]
    switched = names.index(new) if new in names and new != old else len(names)
    assert names == [old] * switched + [new] * (len(names) - switched), (
        "first the old one, then the new one, never neither"
    )
    assert {found["again"] for found in (*cuts, last)} == {new}
    assert [found["left"] for found in (*cuts, last) if found["left"]] == []
