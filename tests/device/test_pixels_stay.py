"""No line of what runs on the device can write a picture or speak over a network: over its source, every call and import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ON_DEVICE = sorted([*(ROOT / "device").rglob("*.py"), *(ROOT / "fer_edge").rglob("*.py")])
ENCODERS = {
    "imwrite",
    "imwritemulti",
    "imencode",
    "imencodemulti",
    "VideoWriter",
    "imshow",
    "tofile",
    "dump",
    "savetxt",
}
PICTURES = {"PIL", "imageio", "skimage", "matplotlib", "torchvision"}
NETWORK = {
    "socket",
    "http",
    "urllib.request",
    "requests",
    "ftplib",
    "smtplib",
    "asyncio",
    "socketserver",
    "xmlrpc",
    "ssl",
    "prometheus_client",
}
# Who may, and why.
ALLOWED = {
    ("device/system/notify.py", "socket"),  # one datagram to systemd, AF_UNIX
    ("device/output/families.py", "prometheus_client"),  # its names for counts; sends nothing
    ("device/output/exposed.py", "prometheus_client"),  # counts, by --metrics alone: to who asks its port
}


def used(path: Path) -> set[str]:
    """Every module that a file imports and every name it calls."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call):
            named = node.func
            found.add(named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", ""))
    return found


@pytest.mark.parametrize("path", ON_DEVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_picture_is_written_and_nothing_is_sent(path: Path) -> None:
    name, names = str(path.relative_to(ROOT)), used(path)
    assert not names & ENCODERS, "a picture could be written here"
    roots = {module.partition(".")[0] for module in names}
    assert not roots & PICTURES
    assert not {module for module in (names | roots) & NETWORK if (name, module) not in ALLOWED}


def test_the_one_socket_is_no_network_socket() -> None:
    tree = ast.parse((ROOT / "device/system/notify.py").read_text())
    families = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("AF_")}
    assert families == {"AF_UNIX"}
