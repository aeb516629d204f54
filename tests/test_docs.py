"""The documents and the code agree: commands are documented, examples parse, blocks of the pages run, links exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTED = README + "".join((ROOT / room / "README.md").read_text() for room in ("convert", "device"))
COMMANDS = [  # in the order of `fer-edge --help`
    "demo",
    "run",
    "health",
    "pause",
    "resume",
    "reload",
    "predict",
    "label",
    "collect",
    "collect review",
    "log tail",
    "log query",
    "log summary",
    "log plot",
    "log export",
    "log check",
    "log purge",
    "bundle install",
    "bundle list",
    "bundle use",
    "bundle rollback",
    "verify",
    "detectors install",
    "train",
    "evaluate",
    "quantize",
    "parity",
    "report",
    "doctor",
    "bench",
    "config show",
    "service show",
    "service install",
    "completion",
    "deploy",
    "status",
    "fetch",
    "undeploy",
]
TOP_FOLDERS = ("fer_edge", "convert", "device", "models", "docs", "tests")
MODULES = [
    "data",
    "train",
    "evaluate",
    "synthesize",
    "quantize",
    "parity",
    "mapping",
    "crops",
    "report",
    "layers",
    "readme",
    "export_float",
]
SHELL = ("", "sh", "bash")  # languages of blocks of commands
PAGES = sorted((ROOT / "docs/pages").glob("*.md"))
DOCUMENTED += "".join(page.read_text() for page in PAGES)


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
    targets = [t for t in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README) if not t.startswith("http")]
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


def test_the_readmes_map_has_every_top_level_package() -> None:
    (block,) = re.findall(r"^```\n(fer_edge/ .*?)^```", README, re.M | re.S)
    mapped = re.findall(r"^([a-z_]+)/", block, re.M)
    assert len(block.splitlines()) <= 12
    assert sorted(mapped) == sorted(folder.name for folder in ROOT.iterdir() if folder.name in TOP_FOLDERS)


def test_the_contributors_map_has_every_package_in_25_lines() -> None:
    (block,) = re.findall(r"^```\n(fer_edge/ .*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
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
    assert len(lines) <= 25 and mapped == packages | {"docs", "models", "tests"}


def test_the_contributors_page_lists_every_target_of_make() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    targets = re.findall(r"^(test[a-z0-9-]*|check|soak|release):", (ROOT / "Makefile").read_text(), re.M)
    assert len(targets) > 8
    assert [name for name in targets if f"`make {name}`" not in page] == []


def test_the_version_is_in_the_changelog() -> None:
    import fer_edge

    assert f"## {fer_edge.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readmes_figures_are_those_of_the_reports() -> None:
    from convert.report.readme_table import with_block
    from convert.report.summary_table import BEGIN, block, default_accuracy

    assert with_block(README, block(ROOT / "models"), BEGIN) == README, "run `python -m convert.readme`"
    privacy = (ROOT / "docs/pages/privacy.md").read_text()
    assert with_block(privacy, default_accuracy(ROOT / "models"), BEGIN) == privacy, "run `python -m convert.readme`"


def test_the_models_figures_are_those_of_the_reports() -> None:
    from convert.report.readme_table import block, with_block

    page = (ROOT / "models/README.md").read_text()
    assert with_block(page, block(ROOT / "models")) == page, "run `python -m convert.readme`"


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
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines() if language in SHELL else ():
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


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, text, and why it is not run; empty where it is."""

    language: str
    text: str
    not_run: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = re.findall(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)
    return [Block(language, text, reason) for reason, language, text in found]


RUN = {page: [block for block in blocks(page) if not block.not_run] for page in PAGES}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: `me.jpg`, the commands on the path, and a journal of this day as that of `fer-edge run`."""
    import cv2

    from fer_edge.synthetic_face import face_frame

    folder = tmp_path_factory.mktemp("reader")
    (folder / "bin").mkdir()
    for name, module in (("fer-edge", "-m fer_edge "), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        (folder / "bin" / name).chmod(0o755)
    (folder / "work").mkdir()
    cv2.imwrite(str(folder / "work" / "me.jpg"), face_frame(0.0))
    typed(folder, "fer-edge run --camera synthetic --duration 2")
    return folder


def typed(folder: Path, lines: str) -> None:
    """Types lines into a shell in the reader's folder. Fails at the first command that does."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    ran = subprocess.run(
        ["bash", "-ec", lines], cwd=folder / "work", env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{lines}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"


@pytest.mark.parametrize("page", [page for page in PAGES if RUN[page]], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page: Path, workplace: Path, tmp_path: Path) -> None:
    """Each as a reader types it, in the page's order; a block of settings is read as settings."""
    folder = tmp_path / "reader"
    shutil.copytree(workplace, folder)
    for block in RUN[page]:
        if block.language in SHELL:
            typed(folder, block.text)
        elif block.language == "python":
            (folder / "work" / "example.py").write_text(block.text)
            typed(folder, "python example.py")
        elif block.language == "toml":
            (folder / "work" / "example.toml").write_text(block.text)
            typed(folder, "fer-edge config show --config example.toml")
        else:
            assert block.language in ("text", "yaml"), (
                f"{page.name} has a block of {block.language}, which is not checked"
            )


def test_a_block_that_is_not_run_has_a_reason() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    assert len(every) > 25 and all(len(block.not_run) > 10 for block in every if block.not_run)
    assert sum(not block.not_run for block in every) >= 10


def test_the_messages_of_troubleshooting_are_in_the_code() -> None:
    """The ten headings are parts of messages, which stand in one piece in the code."""
    headings = re.findall(r"^### (.+)$", (ROOT / "docs/pages/troubleshooting.md").read_text(), re.M)
    code = "\n".join(
        file.read_text() for room in ("fer_edge", "device", "convert") for file in (ROOT / room).rglob("*.py")
    )
    assert len(headings) == 10
    assert [heading for heading in headings if heading not in code] == []


def test_the_exit_codes_of_troubleshooting_are_those_of_the_code() -> None:
    from fer_edge.errors import EXIT_CODES

    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "docs/pages/troubleshooting.md").read_text(), re.M)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_page_on_the_proof_has_the_margins_of_the_code() -> None:
    from convert.evaluate.label_thresholds import CONFIDENCE, DEFAULT_PRIOR, TARGET
    from convert.parity.paired_tests import DRAWS, LEVEL
    from convert.parity.tolerances import Margins

    page = " ".join((ROOT / "docs/pages/proof.md").read_text().split())
    margins = Margins.load()
    assert TARGET == 0.8, "the page says “four in five”"
    phrases = [
        f"with {CONFIDENCE * 100:g} % confidence, at least 80 % of the reported faces are right",
        f"at the {LEVEL * 100:g} % level",
        f"{margins.accuracy_overall_pp:g} percentage point of accuracy, {margins.auc_macro:g} of macro AUC",
        f"its recall (margin {margins.accuracy_class_pp:g} points",
        f"one-against-rest AUC (margin {margins.auc_class:g})",
        f"logits on float's (1 ± {margins.logits_slope:g})",
        f"error ({margins.logits_rms:g} standard deviations of float's logits)",
        f"the same label ({margins.labels_agreement * 100:g} %)",
        f"more than {margins.logits_rms:g} standard deviations above its second ({margins.labels_clear_agreement * 100:g} %)",
        f"paired bootstrap over images ({DRAWS:,} draws)",
        f"{DEFAULT_PRIOR.share * 100:g} % of the faces are {DEFAULT_PRIOR.label}",
    ]
    assert [phrase for phrase in phrases if phrase not in page] == []


def test_the_command_reference_has_every_command() -> None:
    ran = subprocess.run(
        [sys.executable, "docs/command_reference.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    headings = re.findall(r"^## (.+)$", ran.stdout, re.M)
    assert {f"fer-edge {command}" for command in COMMANDS} | {f"python -m convert.{m}" for m in MODULES} <= set(
        headings
    )
    assert ran.stdout.count("usage: ") == len(headings)


def test_what_the_pages_include_is_there() -> None:
    included = [
        found for page in PAGES for found in re.findall(r"^<!-- include (\S+): (.+) -->$", page.read_text(), re.M)
    ]
    assert len(included) > 10
    assert [(f, title) for f, title in included if f"\n## {title}\n" not in (ROOT / f).read_text()] == []


def test_a_page_links_to_each_section_that_only_the_site_includes() -> None:
    for page in PAGES:
        for file, title, below in re.findall(r"^<!-- include (\S+): (.+) -->\n(.*)$", page.read_text(), re.M):
            anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            assert below == f"This section is in [{file}](../../{file}#{anchor}).", page.name


def test_every_command_has_an_example() -> None:
    typed = [words for words in examples(DOCUMENTED) if words[0] == "fer-edge"]
    assert len(typed) > 40 and len({words[1] for words in typed}) == len({c.split()[0] for c in COMMANDS})


def test_the_devices_figures_are_those_of_the_results() -> None:
    from convert.report.readme_table import with_block
    from tests.bench.figures import BEGIN, block

    page = (ROOT / "device/README.md").read_text()
    assert with_block(page, block(), BEGIN) == page, "run `make figures`"


def test_the_archives_figures_are_those_of_the_result() -> None:
    from convert.report.readme_table import with_block
    from tests.bench.figures import BEGIN, archives_block

    page = (ROOT / "docs/pages/archives.md").read_text()
    assert with_block(page, archives_block(), BEGIN) == page, "run `make figures`"


def test_the_virtual_machines_table_is_that_of_the_newest_whole_run() -> None:
    from convert.report.readme_table import with_block
    from tests.vm.results import BEGIN, block

    result = json.loads(max((ROOT / "tests/system/results").glob("vm-trixie-*.json")).read_text())
    page = (ROOT / "tests/vm/README.md").read_text()
    assert {row["outcome"] for row in result["tests"]} == {"passed"} and "runs" not in result
    assert with_block(page, block(result), BEGIN) == page


def test_the_sentence_above_the_virtual_machines_table_comes_with_it() -> None:
    from convert.report.readme_table import with_block
    from tests.vm.results import BEGIN, block

    page = (ROOT / "tests/vm/README.md").read_text()
    row = {"test": "test_a_reboot", "outcome": "passed"}
    result = {"tests": [row], "versions": {"kernel": "6.12"}, "date": "2026-11-23", "commit": "1", "suite": "trixie"}
    written = with_block(page, block(result), BEGIN)
    assert f"{BEGIN}\nThe results of a whole run:\n\n| test | result |" in written
    assert written.count("The results of a whole run") == 1 and "| a reboot | passed |  |" in written
