"""The wheel in a payload: built from the checkout, or repacked from the installed package; and the options of a payload."""

from __future__ import annotations

import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from convert.deploy.needs import Needs
from convert.deploy.payload import PayloadOptions
from convert.deploy.wheel import CHECKOUT, build_wheel, contents_hash, repack_wheel, sources
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        wheel = build_wheel()
        before = wheel.stat().st_mtime_ns
        assert build_wheel() == wheel and wheel.stat().st_mtime_ns == before, "built once"
        return wheel


def test_the_wheel_holds_what_a_deploy_needs(built: Path) -> None:
    names = zipfile.ZipFile(built).namelist()
    assert {
        "convert/deploy/on_target/base.sh",
        "convert/deploy/bookworm.txt",
        "fer_edge/models/edge/model.tflite",
    } <= set(names)


def test_a_change_of_any_file_of_the_wheel_makes_another_wheel(built: Path) -> None:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        included = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    from_where = {inside: CHECKOUT / outside for outside, inside in included.items()}
    known = set(sources())
    names = [name for name in zipfile.ZipFile(built).namelist() if ".dist-info/" not in name]
    for name in names:
        inside = next((folder for folder in from_where if name == folder or name.startswith(f"{folder}/")), None)
        source = CHECKOUT / name if inside is None else Path(f"{from_where[inside]}{name.removeprefix(inside)}")
        assert source in known, f"{name} comes from {source}, which the cache of wheels does not look at"
    assert {f"fer_edge/models/{name}/model.tflite" for name in SHIPPED} <= set(names)


def test_an_installed_wheel_is_repacked_without_a_difference(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site")
    (notes,) = (tmp_path / "site").glob("*.dist-info")
    rows = (notes / "RECORD").read_text().splitlines()
    (notes / "INSTALLER").write_text("pip\n")
    installers = ["../../bin/fer-edge,,", f"{notes.name}/INSTALLER,,", "fer_edge/__pycache__/cli.pyc,,"]
    (notes / "RECORD").write_text("\n".join([*rows, *installers]))
    again = repack_wheel(tmp_path, PathDistribution(notes))
    assert again.name == built.name
    old, new = zipfile.ZipFile(built), zipfile.ZipFile(again)
    assert sorted(old.namelist()) == sorted(new.namelist())
    for name in old.namelist():
        if name.endswith("/RECORD"):
            assert sorted(old.read(name).decode().split()) == sorted(new.read(name).decode().split())
        else:
            assert old.read(name) == new.read(name)
    assert contents_hash(again) == contents_hash(built), "the same release, from a checkout or from an installed wheel"


def test_an_editable_installation_cannot_be_repacked(tmp_path: Path) -> None:
    notes = tmp_path / "fer_edge-0.1.0.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.4\nName: fer-edge\nVersion: 0.1.0\n")
    (notes / "RECORD").write_text(f"{notes.name}/METADATA,,\n")
    with pytest.raises(UsageError, match="a link to a checkout"):
        repack_wheel(tmp_path, PathDistribution(notes))


@pytest.mark.parametrize("extra", ["-r", "a b", "../x", "mqtt]; x", ""])
def test_an_extra_that_is_no_name_is_refused(extra: str) -> None:
    with pytest.raises(UsageError, match="is not an extra"):
        PayloadOptions(extras=(extra,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"camera = ", "a line is `name = value`"),
        (b"\xff", "is not UTF-8 text"),
        (None, "cannot be read"),
        (b"fps = " + b"9" * 5000, "cannot be read"),
        (b"fps = " + b"[" * 4000, "cannot be read"),
        (b"#" * 2_000_000, "more than"),
    ],
)
def test_settings_that_cannot_be_read_are_refused(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = tmp_path / "fer-edge.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=said):
        PayloadOptions(settings=path).camera()


def test_settings_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """`run` reads them too; some editors write one."""
    path = tmp_path / "fer-edge.toml"
    path.write_bytes(b'\xef\xbb\xbfcamera = "synthetic"\n')
    assert PayloadOptions(settings=path).camera() == "synthetic"


def test_the_camera_is_read_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "fer-edge.toml").write_text('camera = "csi:0"\n')
    assert PayloadOptions(settings=tmp_path / "fer-edge.toml").camera() == "csi:0" and PayloadOptions().camera() == ""


@pytest.mark.parametrize(
    ("text", "extras", "network"),
    [
        ('camera = "usb:0"', ("plots",), False),
        ('camera = "rtsp://door/1"', ("plots",), True),
        ('mqtt = "mqtts://broker"', ("mqtt", "plots"), True),
        ('metrics = ":9100"\nmetrics_file = "/var/lib/fer-edge/x.prom"', ("metrics", "plots"), True),
        ('metrics_file = "/var/lib/fer-edge/x.prom"', ("metrics", "plots"), False),
        ('live = "0.0.0.0:8780"', ("live", "plots"), True),
    ],
)
def test_settings_decide_extras_and_network(tmp_path: Path, text: str, extras: tuple[str, ...], network: bool) -> None:
    (tmp_path / "fer-edge.toml").write_text(f"{text}\n")
    options = PayloadOptions(settings=tmp_path / "fer-edge.toml", extras=("plots",))
    assert options.needs() == Needs(extras, network)
