"""The documents and the code agree: every command is documented and has help, every example parses, every link exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTED = README + "".join((ROOT / room / "README.md").read_text() for room in ("convert", "device"))
COMMANDS = [
    "run",
    "label",
    "predict",
    "collect",
    "collect review",
    "verify",
    "bench",
    "health",
    "pause",
    "resume",
    "reload",
    "config show",
    "log tail",
    "log query",
    "log summary",
    "log plot",
    "log export",
    "log check",
    "log purge",
    "doctor",
    "bundle install",
    "bundle list",
    "bundle use",
    "bundle rollback",
    "service show",
    "service install",
    "detectors install",
    "deploy",
    "status",
    "fetch",
    "undeploy",
]
MODULES = [
    "data",
    "train",
    "evaluate",
    "calibration",
    "quantize",
    "parity",
    "mapping",
    "crops",
    "report",
    "layers",
    "readme",
    "floats",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_has_help(command: str) -> None:
    assert f"fer-edge {command}" in DOCUMENTED
    ran = subprocess.run(
        [sys.executable, "-m", "fer_edge", *command.split(), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0 and "usage: fer-edge" in ran.stdout


def test_the_list_of_commands_is_complete() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fer_edge", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = re.findall(r"^    (\w+)", ran.stdout, re.M)
    assert found == list(dict.fromkeys(c.split()[0] for c in COMMANDS))


@pytest.mark.parametrize("module", MODULES)
def test_every_host_command_is_documented_and_has_help(module: str) -> None:
    assert f"convert.{module}" in DOCUMENTED
    ran = subprocess.run(
        [sys.executable, "-m", f"convert.{module}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0 and f"python -m convert.{module}" in ran.stdout


def test_the_readme_is_short_and_its_links_exist() -> None:
    assert len(README.splitlines()) < 150
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if not t.startswith("http")]
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


@pytest.mark.parametrize(
    "page",
    ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "convert/README.md", "device/README.md", "models/README.md"],
)
def test_the_links_of_a_page_exist(page: str) -> None:
    file = ROOT / page
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", file.read_text()) if not t.startswith("http")]
    assert [t for t in targets if not (file.parent / t).exists()] == []


def test_the_readmes_map_has_every_package_in_25_lines() -> None:
    (block,) = re.findall(r"^```\n(fer_edge/ .*?)^```", README, re.M | re.S)
    lines = block.splitlines()
    side, mapped = "", set()
    for line in lines:
        names = re.findall(r"(?:^ *|, )([a-z_]+)/", line)
        side = "" if not line.startswith(" ") else side
        mapped |= {f"{side}{name}" for name in names}
        side = side or f"{names[0]}/"
    packages = {
        folder.relative_to(ROOT).as_posix()
        for room in ("fer_edge", "convert", "device")
        for folder in (ROOT / room, *(ROOT / room).iterdir())
        if (folder / "__init__.py").exists()
    }
    assert len(lines) <= 25 and mapped == packages | {"models", "tests"}


def test_the_contributors_page_lists_every_target_of_make() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    targets = re.findall(r"^(test[a-z0-9-]*|check|soak|release):", (ROOT / "Makefile").read_text(), re.M)
    assert len(targets) > 8
    assert [name for name in targets if f"`make {name}`" not in page] == []


def test_the_version_is_in_the_changelog() -> None:
    import fer_edge

    assert f"## {fer_edge.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readmes_figures_are_those_of_the_reports() -> None:
    from convert.report.readme_table import block, with_block

    assert with_block(README, block(ROOT / "models")) == README, "run `python -m convert.readme`"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "models").glob("*/bundle.json")))
def test_the_card_is_that_of_the_reports(name: str) -> None:

    from convert.parity.parity_report import read_parity
    from convert.report.model_card import bundle_card
    from convert.train.history import TrainingHistory
    from fer_edge.bundle import Bundle

    folder = ROOT / "models" / name
    spec, parity = Bundle.load(folder).spec, read_parity(folder)
    history = TrainingHistory.read(folder / "history.json")
    assert bundle_card(spec, parity, history) == (folder / "CARD.md").read_text()


class Parsed(BaseException):
    """A command line was parsed; the command does not run."""


def examples(text: str) -> list[list[str]]:
    """Every `fer-edge …` and `python -m convert.…` of the code blocks, in words, without the shell's operators."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
            lexer.whitespace_split = True
            try:
                words = list(lexer)  # a comment ends it
            except ValueError:  # of another language
                continue
            commands: list[list[str]] = [[]]
            for word in words:
                if word in ("|", "&&", ";", ">", "<"):
                    commands.append([])
                else:
                    commands[-1].append(word)
            found += [c for c in commands if c[:1] == ["fer-edge"] or c[:2] == ["python", "-m"]]
    return found


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=" ".join(words)) for words in examples(DOCUMENTED)],
)
def test_every_example_is_parsed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the parser of its command. Examples of device/README.md are also run, in the tests of each subject."""
    import argparse
    import importlib

    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, argv: list[str] | None = None, *more: object) -> None:
        parse(self, argv, *more)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    module, argv = ("fer_edge.cli", words[1:]) if words[0] == "fer-edge" else (words[2], words[3:])
    if (ROOT / module.replace(".", "/")).is_dir():
        module += ".__main__"  # what `python -m` runs of a package
    with pytest.raises(Parsed):
        importlib.import_module(module).main(argv)


def test_every_command_has_an_example() -> None:
    typed = [words for words in examples(DOCUMENTED) if words[0] == "fer-edge"]
    assert len(typed) > 40 and len({words[1] for words in typed}) == len({c.split()[0] for c in COMMANDS})


def test_the_devices_figures_are_those_of_the_results() -> None:
    from convert.report.readme_table import with_block
    from tests.bench.figures import BEGIN, block

    page = (ROOT / "device/README.md").read_text()
    assert with_block(page, block(), BEGIN) == page, "run `make figures`"


def test_the_sentence_above_the_virtual_machines_table_comes_with_it() -> None:
    from convert.report.readme_table import with_block
    from tests.vm.results import BEGIN, block

    page = (ROOT / "device/README.md").read_text()
    row = {"test": "test_a_reboot", "outcome": "passed"}
    result = {"tests": [row], "versions": {"kernel": "6.12"}, "date": "2026-11-23", "commit": "1", "suite": "trixie"}
    written = with_block(page, block(result), BEGIN)
    assert f"{BEGIN}\nThe results of a whole run:\n\n| test | result |" in written
    assert written.count("The results of a whole run") == 1 and "| a reboot | passed |  |" in written
