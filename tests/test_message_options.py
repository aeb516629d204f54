"""A message names only options that the command has which prints it; those of another command stand behind its name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
FEWEST_WORDS = 3  # of a message beside its options; fewer are arguments of another program
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*\w")
NAMED = re.compile(r"(?:fer-edge|convert)[ .]((?:[a-z]+ )+)")

DEPLOY = ["deploy", "status", "fetch", "undeploy"]
RUNS = ["run", "collect"]
SELECTED_BY_TIME = ["log tail", "log query episodes", "log summary", "log plot", "log export episodes"]

# By file, or by file and option where they differ: the commands that print its messages. A command's own file names its own
# options. `quantize` and other commands of the host are also commands of `fer-edge`, with the same options.
PRINTED_BY = {
    "convert/bundle/from_float.py": ["convert.quantize"],
    "convert/bundle/from_tflite.py": ["convert.quantize"],
    "convert/data/class_selection.py --classes": ["convert.data", "convert.train"],
    "convert/data/class_selection.py --labels": ["convert.quantize", "convert.evaluate"],
    "convert/data/face_cropping.py": ["convert.data"],
    "convert/data/ferplus.py": [
        *("convert.data", "convert.train", "convert.evaluate", "convert.quantize", "convert.parity"),
        *("convert.thresholds", "convert.layers", "convert.crops", "convert.interpolate"),
    ],
    "convert/deploy/fleet.py": ["status"],
    "convert/deploy/journal_copy.py": ["fetch"],
    "convert/deploy/operations.py --out": ["fetch"],
    "convert/deploy/operations.py": ["undeploy"],
    "convert/deploy/plan.py": ["deploy"],
    "convert/deploy/releases.py": ["deploy", "status"],
    "convert/deploy/rollout.py": ["deploy"],
    "convert/deploy/ssh_address.py": DEPLOY,
    "convert/evaluate/evaluator.py": ["convert.evaluate"],
    "convert/evaluate/plausibility.py --input-range": ["convert.quantize", "convert.evaluate"],
    "convert/evaluate/plausibility.py --labels": ["convert.quantize", "convert.evaluate"],
    "convert/evaluate/plausibility.py --float-range": ["convert.quantize"],
    "convert/evaluate/prior_argument.py": ["convert.quantize", "convert.parity", "convert.thresholds"],
    "convert/parity/comparison.py": ["convert.quantize", "convert.parity"],
    "convert/quantize/layer_report.py": ["convert.layers"],
    "convert/quantize/synthetic_images.py": ["convert.quantize", "convert.synthesize"],
    "convert/quantize/synthetic_images.py --data": ["convert.quantize"],  # where images are made for a bundle
    "convert/report/parity_page.py": ["convert.parity"],
    "convert/report/preset_table.py": ["convert.train"],
    "convert/sources/checks.py --data": ["convert.quantize"],
    "convert/sources/checks.py --input-range": ["convert.quantize"],
    "convert/sources/checks.py --keep-float": ["convert.quantize"],
    "convert/sources/checks.py": ["convert.quantize", "convert.evaluate"],
    "convert/sources/model_source.py": ["convert.quantize", "convert.evaluate"],
    "convert/sources/model_source.py --name": ["convert.quantize"],
    "convert/sources/opened_model.py": ["convert.quantize", "convert.evaluate"],
    "convert/sources/saved_model_check.py": ["convert.quantize", "convert.evaluate"],
    "convert/tflite/io_signature.py": ["convert.quantize", "convert.evaluate"],
    "convert/tflite/op_versions.py": ["convert.quantize"],
    "convert/train/checkpoints.py": ["convert.train"],
    "convert/train/distillation.py": ["convert.quantize"],  # what makes a bundle of such a teacher
    "convert/train/hardware.py": ["convert.train"],
    "convert/train/run_folder.py": ["convert.train"],
    "convert/train/trainer.py": ["convert.train"],
    "convert/train/weight_interpolation.py": ["convert.interpolate"],
    "fer_edge/bundle_files.py": ["convert.quantize"],
    "fer_edge/cli.py": ["run"],
    "fer_edge/commands/collect.py": ["collect"],
    "fer_edge/commands/collect.py --port": ["collect review"],
    "fer_edge/commands/demo.py": ["run"],  # what to type next
    "fer_edge/commands/demo.py --duration": ["demo"],
    "fer_edge/commands/demo.py --out": ["demo"],
    "fer_edge/commands/deploy.py --from": ["deploy"],
    "fer_edge/commands/deploy.py --rollback": ["deploy"],
    "fer_edge/commands/deploy.py": ["status"],
    "fer_edge/commands/label.py": ["label"],
    "fer_edge/commands/log_check.py": ["log purge"],
    "fer_edge/commands/log_options.py": ["log export episodes"],
    "fer_edge/commands/log_rows.py": ["log export episodes"],
    "fer_edge/commands/predict.py": ["predict"],
    "fer_edge/commands/service.py": ["service install"],
    "fer_edge/commands/vision_arguments.py": RUNS,
    "fer_edge/detection/registry.py": [*RUNS, "label", "predict", "bench", "convert.crops"],
    "fer_edge/log/aggregation.py": ["log summary", "log plot"],
    "fer_edge/log/archive_origin.py": ["log export episodes"],
    "fer_edge/log/audit.py": ["log check"],
    "fer_edge/log/time_window.py": SELECTED_BY_TIME,
    "fer_edge/log/timeline.py": ["log plot"],
    "device/bench/network_timing.py": ["bench"],
    "device/camera/replay.py": [*RUNS, "label"],
    "device/camera/usb.py": [*RUNS, "doctor"],
    "device/label.py": ["label"],
    "device/output/collected/face_folder.py": ["collect"],
    "device/output/journal/journal.py": RUNS,
    "device/output/live/__init__.py": RUNS,
    "device/output/live/handlers.py": RUNS,
    "device/output/metrics/exporter.py": RUNS,
    "device/privacy.py": RUNS,
    "device/recorded/annotate.py": ["label"],
    "device/recorded/files.py": ["label"],
    "device/recorded/index.py": ["label"],
    "device/output/mqtt/connection.py": ["deploy", "run"],
    "device/recorded/labeller.py": ["label"],
    "device/recorded/ray_engine.py": ["label"],
    "device/recorded/rows.py": ["label"],
    "device/recorded/shards.py": ["label"],
    "device/run.py": ["run"],
    "device/service/systemd_units.py --now": [],  # of systemctl
    "device/service/systemd_units.py": ["service install", "service show"],
    "device/system/control.py": ["pause", "resume"],
}


def messages(path: Path) -> Iterator[str]:
    """The sentences in a module that are neither docstrings nor helps of options; {} stands for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr):
            left_out.add(node.body[0].value)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "").startswith("add_"):
            left_out |= set(ast.walk(node))
        elif isinstance(node, ast.JoinedStr):
            left_out |= set(node.values)
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
        if node not in left_out and isinstance(node, ast.JoinedStr | ast.Constant) and OPTION.search(text):
            yield text


def options_of(text: str) -> Iterator[tuple[str, str]]:
    """The options in a message, each with the command before it, "" for the one that prints it; none of other programs."""
    for option in OPTION.finditer(text):
        before = text[: option.start()]
        is_typed = before.count("`") % 2 == 1
        clause = before.rpartition("`")[2] if is_typed else re.split(r"[;,(]|\. ", before)[-1]
        command = NAMED.search(clause) or (is_typed and re.match(r"((?:[a-z]+ )+)", clause))
        if command:
            yield f"{'convert.' * ('convert.' in clause)}{command[1].strip()}", option[0]
        elif not is_typed or not clause:
            yield "", option[0]


def advised() -> Iterator[tuple[str, str, str]]:
    """A file, a command and an option that a message in the file tells the user of that command to give."""
    for root in ("convert", "fer_edge", "device"):
        for path in sorted((ROOT / root).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            is_command = (
                path.name == "__main__.py" or path.parent.name == "convert"
            ) and "CommandParser" in path.read_text()
            for text in messages(path):
                is_message = len(re.findall("[A-Za-z]{2,}", OPTION.sub("", text))) >= FEWEST_WORDS
                for named, option in options_of(text):
                    own = [f"convert.{name.split('/')[1].removesuffix('.py')}"] if is_command else None
                    printed_by = PRINTED_BY.get(f"{name} {option}")
                    if printed_by is None and is_message:
                        printed_by = own or PRINTED_BY.get(name, [""])
                    if option != "--help":
                        yield from ((name, command, option) for command in ([named] if named else printed_by or []))


def help_of(command: str) -> str:
    words = [command] if command.startswith("convert.") else ["fer_edge", *command.split()]
    ran = subprocess.run(
        [sys.executable, "-m", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return ran.stdout


def test_every_option_that_a_message_names_is_one_of_the_commands_that_print_it() -> None:
    found = sorted(set(advised()))
    assert [row for row in found if not row[1]] == [], "add the file to PRINTED_BY, with the commands that print it"
    commands = sorted({command for _, command, _ in found})
    with ThreadPoolExecutor(4) as pool:
        helps = {
            command: set(OPTION.findall(text))
            for command, text in zip(commands, pool.map(help_of, commands), strict=True)
        }
    assert [row for row in found if row[2] not in helps[row[1]]] == []


def test_the_table_names_no_file_without_such_a_message() -> None:
    found = {name for name, _, _ in advised()}
    assert sorted({key.split(" ")[0] for key in PRINTED_BY} - found) == []


def test_a_command_before_an_option_is_recognised() -> None:
    text = (
        "use --aa; `convert.quantize --bb X` or `label --cc`, `rpicam-hello --dd`, `--ee 1` or fer-edge log query --ff"
    )
    assert list(options_of(text)) == [
        ("", "--aa"),
        ("convert.quantize", "--bb"),
        ("label", "--cc"),
        ("", "--ee"),
        ("log query", "--ff"),
    ]
