"""The walls of the house: who may import whom, and what a base install starts without."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOST_ONLY = {"tensorflow", "keras", "sklearn", "matplotlib", "tqdm", "PIL", "pandas"}
FORBIDDEN = {
    "device": {"convert", *HOST_ONLY},
    "convert": {"device", "picamera2", "libcamera"},
    "fer_edge": {"convert", "device", *HOST_ONLY},
}
# the command line looks the other rooms up, inside a command
EXCEPTIONS = {
    "fer_edge/cli.py": {"convert", "device"},
    "fer_edge/commands/label.py": {"device"},
    "fer_edge/commands/maintenance.py": {"device"},
    "fer_edge/commands/log.py": {"device"},
    "fer_edge/log/timeline.py": {"matplotlib"},  # the extra `plots`, inside the function that draws
    "fer_edge/commands/deployment.py": {"convert"},
}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_import_crosses_a_wall(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert len(files) > 5
    crossed = []
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        banned = FORBIDDEN[room] - EXCEPTIONS.get(name, set())
        crossed += [f"{name}:{line} imports {module}" for line, module in imports(file) if module in banned]
    assert crossed == []


@pytest.mark.parametrize(
    "module", ["fer_edge.cli", "fer_edge.bundle", "fer_edge.classifier", "device.run", "device.label"]
)
def test_starts_without_the_heavy_ones(module: str) -> None:
    script = f"import sys, {module}; print(*({HOST_ONLY | {'cv2', 'numpy', 'ai_edge_litert', 'pyarrow'}!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []


def test_one_table_of_exit_codes() -> None:
    from fer_edge import errors

    table = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.FerEdgeError)
    }
    assert table == {
        "FerEdgeError": 1,
        "UsageError": 2,
        "DataError": 2,
        "ParityFailed": 3,
        "CameraNotOpened": 4,
        "BundleRefused": 5,
        "NotEnoughData": 6,
        "Unhealthy": 7,
        "NotRunning": 8,
        "RestartMe": 75,
    }
    for name, code in table.items():
        assert f"{name} " in (errors.__doc__ or "") and f" {code} " in (errors.__doc__ or "")
