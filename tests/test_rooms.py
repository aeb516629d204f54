"""The structure of the code: which package may import which, no import cycle, and what a base install starts without."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
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
# a command imports the other sides inside a function
EXCEPTIONS = {
    **{
        f"fer_edge/commands/{name}.py": {"device"}
        for name in (
            "bench",
            "bundles",
            "collect",
            "config",
            "doctor",
            "instance",
            "label",
            "run",
            "service",
            "vision_arguments",
        )
    },
    "fer_edge/commands/log_check.py": {"device"},
    "fer_edge/commands/log_options.py": {"device"},
    "fer_edge/commands/deploy.py": {"convert"},
    "fer_edge/log/timeline.py": {"matplotlib"},  # the extra `plots`, inside the function that draws
}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_side_imports_what_it_must_not(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert len(files) > 5
    forbidden_imports = []
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        banned = FORBIDDEN[room] - EXCEPTIONS.get(name, set())
        forbidden_imports += [f"{name}:{line} imports {module}" for line, module in imports(file) if module in banned]
    assert forbidden_imports == []


@pytest.mark.parametrize("room", FORBIDDEN)
def test_texts_are_printed_by_the_console_which_cleans_them(room: str) -> None:
    prints = []
    for file in sorted((ROOT / room).rglob("*.py")):
        if file.name == "model_trial.py":  # the program of a child process; its parent cleans what it prints
            continue
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        prints += [
            f"{file.relative_to(ROOT)}:{call.lineno}"
            for call in calls
            if isinstance(call.func, ast.Name) and call.func.id == "print"
        ]
    assert prints == []


# Each package imports only packages that stand before it. Commands (`__main__`, and the modules of convert/ itself) stand
# behind all of them, for they put the others together.
ORDER = {
    "fer_edge": (
        *(
            "text_cleaning",
            "limits",
            "zip_errors",
            "bounded_read",
            "console",
            "errors",
            "folder_files",
            "media_files",
            "atomic_file",
            "instance_name",
            "user_folders",
            "file_owner",
            "json_fields",
            "toml_file",
            "requirements",
            "labels",
            "hardware",
            "stderr_capture",
            "termination",
        ),
        *(
            "argument_types",
            "command_parser",
            "runtime_name",
            "logit_difference",
            "face_crop",
            "synthetic_face",
            "bundle_provenance",
            "thresholds",
            "bundle_spec",
            "bundle_files",
        ),
        *("array_file", "golden_vectors", "classifier", "model_trial", "detection", "quality", "shipped_bundles"),
        *(
            "active_bundle",
            "event_bodies",
            "events",
            "palette",
            "certainty",
            "label_priors",
            "bundle",
            "reader",
            "golden_check",
        ),
        *("record_logits", "journal", "log", "commands", "cli"),
    ),
    "convert": (
        *(
            "argument_types",
            "json_dataclass",
            "progress_bar",
            "data",
            "tflite",
            "train",
            "sources",
            "quantize",
            "evaluate",
        ),
        *("parity", "crops", "report", "bundle", "deploy"),
    ),
    "device": (
        *(
            "address",
            "broker_url",
            "password_file",
            "clock",
            "prior_setting",
            "config",
            "default_folders",
            "service",
            "system",
            "camera",
        ),
        *("config_sources", "vision", "output", "bench", "doctor", "recorded"),
    ),
}


def modules(room: str) -> dict[str, Path]:
    """The files of a room by module name; a package by the name of its folder."""
    found = {}
    for file in sorted((ROOT / room).rglob("*.py")):
        name = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        found[name.removesuffix(".__init__")] = file
    return found


def imported_modules(file: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and name of each module in `known` that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                name = full if full in known else node.module
                if name in known:
                    yield node.lineno, name


@pytest.mark.parametrize("room", ORDER)
def test_no_package_imports_a_later_one(room: str) -> None:
    known, order = modules(room), ORDER[room]
    backwards = []
    for name, file in known.items():
        package = name.split(".")[1] if "." in name else None
        if package is None or file.name == "__main__.py" or (package not in order and file.parent == ROOT / room):
            continue
        for line, target in imported_modules(file, known):
            other = target.split(".")[1] if "." in target else package
            if order.index(other) > order.index(package):
                backwards.append(f"{name}:{line} imports {target}")
    assert backwards == []


@pytest.mark.parametrize("room", FORBIDDEN)
def test_there_is_no_import_cycle(room: str) -> None:
    known = modules(room)
    graph = {name: {target for _, target in imported_modules(file, known)} - {name} for name, file in known.items()}
    circles = []
    for start in graph:
        reached: set[str] = set()
        todo = set(graph[start])
        while todo:
            reached.add(name := todo.pop())
            todo |= graph[name] - reached
        if start in reached:
            circles.append(start)
    assert circles == []


# What a host installs has to be had under public names: private ones change from one release to the next.
PRIVATE_PARTS = {"python", "core", "compiler", "src"}
FRAMEWORKS = ("tensorflow", "keras", "litert_quantizer", "jax", "torch", "sklearn", "scipy")
PRIVATE_ATTRIBUTES = {"_keras_history", "_keras_mask", "_tracker", "_layers", "_inbound_nodes", "_outbound_nodes"}


def private_uses(file: Path) -> list[str]:
    """The private modules and attributes of a framework that a file uses, each with its line."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr in PRIVATE_ATTRIBUTES:
            found.append(f"{file.name}:{node.lineno} reads {node.attr}")
        for name in names:
            first, *parts = name.split(".")
            if first in FRAMEWORKS and any(part in PRIVATE_PARTS or part.startswith("_") for part in parts):
                found.append(f"{file.name}:{node.lineno} imports {name}")
    return found


def test_no_private_module_of_a_framework_is_used() -> None:
    files = [file for room in FORBIDDEN for file in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 100
    assert [use for file in files for use in private_uses(file)] == []


# What a package is called where it is imported, if not as where it is installed.
IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "scikit-learn": "sklearn",
    "tensorflow-cpu": "tensorflow",
    "paho-mqtt": "paho",
    "python-dateutil": "dateutil",
}
# picamera2 and libcamera come from apt; PyTorch is brought by who chooses that backend of Keras.
NOT_FROM_PYPI = {"picamera2", "libcamera", "torch"}
# The extras that each side may import from, beside the base install.
EXTRAS = {
    "fer_edge": ("plots", "parquet", "duckdb", "tflite-runtime", "completion"),
    "device": ("mqtt", "metrics", "live", "parquet", "ray", "remote", "tflite-runtime"),
    "convert": ("host", "jax"),
}


def declared(*extras: str) -> set[str]:
    """The modules that the base install and these extras of pyproject.toml bring, by the names they are imported as."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for name in extras for line in project["optional-dependencies"][name]]
    packages = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in lines]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in packages}


@pytest.mark.parametrize("room", EXTRAS)
def test_every_package_that_is_imported_is_declared(room: str) -> None:
    known = declared(*EXTRAS[room]) | NOT_FROM_PYPI | set(FORBIDDEN) | set(sys.stdlib_module_names)
    undeclared = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for line, module in imports(file)
        if module not in known
    ]
    assert undeclared == []


@pytest.mark.parametrize(
    "module", ["fer_edge.cli", "fer_edge.bundle", "fer_edge.classifier", "device.run", "device.label"]
)
def test_a_start_imports_no_heavy_package(module: str) -> None:
    script = f"import sys, {module}; print(*({HOST_ONLY | {'cv2', 'numpy', 'ai_edge_litert', 'pyarrow'}!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []


def test_each_error_has_its_documented_exit_code() -> None:
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
        "RestartNeeded": 75,
    }
    for name, code in table.items():
        assert f"{name} " in (errors.__doc__ or "") and f" {code} " in (errors.__doc__ or "")


@pytest.mark.parametrize("room", ["fer_edge", "device"])
def test_no_json_is_written_with_nan(room: str) -> None:
    calls = []
    for file in sorted((ROOT / room).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        if name == "fer_edge/json_fields.py":  # an escape of one character
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump"):
                words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                calls.append((name, node.lineno, words.get("allow_nan") == "False"))
    assert len(calls) >= 3
    assert [call for call in calls if not call[2]] == []
