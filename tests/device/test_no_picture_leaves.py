"""What runs on the device writes no picture and speaks over no network: over its source, every call and import.

Two files may write pictures, because the owner of a recording or a camera asks for them: who may reach them is looked at too.
"""

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
    "paho",
    "tornado",
}
# Who may, and why.
ALLOWED = {
    ("device/service/sd_notify.py", "socket"),  # one datagram to systemd, AF_UNIX
    ("device/camera/camera_url.py", "http"),  # to the camera that --camera names: where it redirects to
    ("device/output/metrics/exporter.py", "socket"),  # the machine's name
    ("device/output/metrics/prometheus_collector.py", "prometheus_client"),  # its names for counts; sends nothing
    ("device/output/metrics/exporter.py", "prometheus_client"),  # counts, by --metrics alone: to who asks its port
    ("fer_edge/commands/demo.py", "imwrite"),  # the drawn face, for `predict`; no camera is open
    ("device/recorded/annotate.py", "VideoWriter"),  # a copy of a recording, by `label --annotate`, faces pixelated
    ("device/output/mqtt/connection.py", "paho"),  # to the broker that --mqtt names; what it is told, messages.py has
    ("device/output/mqtt/connection.py", "socket"),  # paho's, to close it
    ("device/output/mqtt/connection.py", "ssl"),  # whose certificate it verifies
    ("fer_edge/log/timeline.py", "matplotlib"),  # draws sums of a journal; it is given no frame
    # The live page, which answers who asks and calls nobody; its pictures are asked for, small, and over after a while.
    ("device/output/live/__init__.py", "tornado"),  # looks whether it is there
    ("device/output/live/handlers.py", "asyncio"),
    ("device/output/live/handlers.py", "socket"),
    ("device/output/live/handlers.py", "tornado"),
    ("device/output/live/page_handler.py", "tornado"),
    # The port for Prometheus, whose bytes prometheus_client makes of counters
    ("device/output/metrics/server.py", "socket"),
    ("device/output/metrics/server.py", "socketserver"),
    ("device/output/live/server.py", "asyncio"),
    ("device/output/live/server.py", "socket"),
    ("device/output/live/server.py", "tornado"),
    ("device/output/live/sink.py", "socket"),  # the machine's name
    ("device/output/live/viewers.py", "asyncio"),
    (
        "device/output/collected/face_store.py",
        "imencode",
    ),  # crops of faces, by `fer-edge collect` with its consent flag
    # The page on which their owner labels them, on loopback with a token
    ("device/output/review/handlers.py", "tornado"),
    ("device/review.py", "socket"),  # the machine's name
    ("device/output/live/pixelated_picture.py", "imencode"),  # in memory, for a browser that asks while pictures are on
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
    assert not {call for call in names & ENCODERS if (name, call) not in ALLOWED}, "a picture could be written here"
    roots = {module.partition(".")[0] for module in names}
    assert not {module for module in roots & PICTURES if (name, module) not in ALLOWED}
    assert not {module for module in (names | roots) & NETWORK if (name, module) not in ALLOWED}


def test_the_only_socket_is_a_unix_socket() -> None:
    tree = ast.parse((ROOT / "device/service/sd_notify.py").read_text())
    families = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("AF_")}
    assert families == {"AF_UNIX"}


def test_only_the_labeller_writes_pictures_and_only_on_request() -> None:
    """And makes one only where it was asked for: in a branch of `options.annotate`."""
    files = {str(path.relative_to(ROOT)): path for path in ON_DEVICE}
    reaching = {
        name for name, path in files.items() if any(word.startswith("device.recorded.annotate") for word in used(path))
    }
    assert reaching == {"device/recorded/labeller.py"}
    tree = ast.parse(files["device/recorded/labeller.py"].read_text())
    made = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "AnnotatedVideo"
    ]
    requests = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "options.annotate"
    ]
    assert len(made) == 1 and any(
        node is made[0] for branch in requests for line in branch.body for node in ast.walk(line)
    )


def test_only_collect_stores_faces_and_only_on_request() -> None:
    """A store is made by the run alone, which gets a collection from `device.collect` alone, after the command was told to."""
    files = {str(path.relative_to(ROOT)): path for path in ON_DEVICE}
    calls: dict[str, set[str]] = {"FaceStore": set(), "FaceCollection": set(), "collect": set()}
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                calls[ast.unparse(node.func)].add(name)
    command = "fer_edge/commands/collect.py"
    assert calls == {"FaceStore": {"device/run.py"}, "FaceCollection": {command}, "collect": {command}}
    given = [
        (name, ast.unparse(word.value))
        for name, path in files.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run"
        for word in node.keywords
        if word.arg == "collection"
    ]
    assert given == [("device/collect.py", "collection")]
    (function,) = (
        node
        for node in ast.parse(files[command].read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "_collect"
    )
    lines = [ast.unparse(line) for line in function.body]
    refusal = next(
        n for n, line in enumerate(lines) if line.startswith("if not args.consent:") and "raise UsageError" in line
    )
    assert refusal < next(n for n, line in enumerate(lines) if "collect(settings" in line)
