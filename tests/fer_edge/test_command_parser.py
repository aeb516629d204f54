"""What is typed wrongly gets an answer in one line, with the nearest name; the same flags mean the same in every command."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.argument_types import file_path
from fer_edge.cli import main, make_parser
from fer_edge.command_parser import CommandParser
from fer_edge.commands import host

ROOT = Path(__file__).parents[2]


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("rnu", ["fer-edge: error: there is no command “rnu”; did you mean run?"]),
        ("log smmary", ["fer-edge log: error: there is no action “smmary”; did you mean summary?"]),
        ("run --fps x", ["fer-edge run: error: --fps: “x” is not a number"]),
        ("bench --threads 1.5", ["fer-edge bench: error: --threads: “1.5” is not a whole number"]),
        ("run --cpu-budget much", ["fer-edge run: error: --cpu-budget: “much” is not a percentage, such as 20 or 20%"]),
        ("run --show-pixels 5x", ["fer-edge run: error: --show-pixels: “5x” is not a time, such as 90s, 5min or 1h"]),
        (
            "run --region 1,x",
            ["fer-edge run: error: --region: “1,x” is not four numbers X,Y,W,H, such as 0.25,0,0.5,1"],
        ),
        (
            "run --flip horizonta",
            [
                "fer-edge run: error: --flip: “horizonta” is none of none, horizontal, vertical, both; did you mean "
                "horizontal?"
            ],
        ),
        (
            "log export all --partition device --out archive",
            ["fer-edge log export all: error: --partition: “device” is none of “device,day”; did you mean device,day?"],
        ),
        (
            "run --camra 0",
            [
                "usage: fer-edge run [options]",
                "fer-edge run: error: there is no option --camra; did you mean --camera?",
            ],
        ),
        (
            "predict --bundel=nano a.png",
            [
                "usage: fer-edge predict [options] IMAGE [IMAGE ...]",
                "fer-edge predict: error: there is no option --bundel; did you mean --bundle?",
            ],
        ),
        (
            "quantize --modle x",
            [
                "usage: fer-edge quantize [options]",
                "fer-edge quantize: error: there is no option --modle; did you mean --model?",
            ],
        ),
        (
            "health now",
            ["usage: fer-edge health [options]", "fer-edge health: error: the argument “now” is one too many"],
        ),
        (
            "label a.mp4",
            [
                "usage: fer-edge label --out DIR [options] PATH [PATH ...]",
                "fer-edge label: error: the following arguments are required: --out",
            ],
        ),
    ],
)
def test_what_is_typed_wrongly_is_answered(typed: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(typed.split(), capsys)
    if typed.startswith("label"):  # the order of the two parts of a usage differs between versions of Python
        found[0] = lines[0] if sorted(found[0].split()) == sorted(lines[0].split()) else found[0]
    assert found == lines


def test_what_is_nothing_like_a_command_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = answer(["xyzzy\x1b[2J"], capsys)
    assert line.startswith("fer-edge: error: there is no command “xyzzy") and "\x1b" not in line
    assert ", predict, label, collect, log, " in line


def parsers(parser: CommandParser) -> Iterator[CommandParser]:
    yield parser
    for action in parser._actions:
        inner = action.choices if isinstance(action.choices, dict) else {}
        for each in inner.values():
            yield from parsers(each)


def test_a_flag_means_the_same_in_every_command() -> None:
    """-v and -q; and of what many commands take, one spelling, one metavar."""
    shorts: dict[str, set[str]] = {}
    metavars: dict[str, set[str | None]] = {}
    for parser in parsers(make_parser()):
        for action in parser._actions:
            for name in action.option_strings:
                shorts.setdefault(name, set()).add(max(action.option_strings, key=len))
                metavars.setdefault(name, set()).add(str(action.metavar))
    assert shorts["-v"] == {"--verbose"} and shorts["-q"] == {"--quiet"}
    for name, metavar in {
        "--bundle": "DIR",
        "--threads": "N",
        "--camera": "C",
        "--config": "FILE",
        "--far": "PX",
    }.items():
        assert metavars[name] == {metavar}, name


def test_every_option_of_run_is_in_a_group_and_says_its_default() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fer_edge", "run", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    titles = re.findall(r"^([A-Za-z]+):$", ran.stdout, re.M)
    assert titles == ["options", "camera", "reading", "journal", "MQTT", "metrics", "page", "privacy"]
    entries = re.split(r"\n  (?=-)", ran.stdout)[1:]
    without = [entry.split()[0] for entry in entries if "default:" not in " ".join(entry.split())]
    assert without == ["-h,", "--once", "--explain-privacy"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--config new.toml", "--config"),
        ("--bundle nano --offline", "--bundle, --offline"),
        ("--extra mqtt", "--extra"),
        ("--network", "--network"),
    ],
)
def test_a_rollback_takes_nothing_to_send(options: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "pi", "--rollback", *options.split()]) == 2
    expected = f"fer-edge: {named}: a rollback restores what was deployed before; leave out with --rollback\n"
    assert capsys.readouterr() == ("", expected)


def every_action(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from every_action(inner)


def test_an_empty_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell makes it of an unset variable, and Path("") is the current folder."""
    (line,) = answer(["log", "purge", "--before", "1d", "--log", ""], capsys)
    assert "--log: the path is empty; name a file or folder" in line
    parsers = [make_parser(), *host.parsers().values()]
    assert len(parsers) == 1 + len(host.COMMANDS)
    paths = [action for parser in parsers for action in every_action(parser) if action.type is file_path]
    assert len(paths) > 40
    assert not [action.dest for parser in parsers for action in every_action(parser) if action.type is Path]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_has_the_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("rollback", "--wait-camera", "--prior", "--estimate-prior", "quantize", "undeploy"):
        assert word in script


def test_bash_completes_with_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "party.mp4").touch()
    typed = """
    source ./script
    complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_fer_edge; echo "${COMPREPLY[@]}"; }
    complete_words fer-edge pre
    complete_words fer-edge run --came
    complete_words fer-edge bundle ro
    complete_words fer-edge label par
    complete_words fer-edge quantize --keep
    complete_words fer-edge evaluate --data par
    """
    ran = subprocess.run(["bash", "-c", typed], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:6] == [
        "predict",
        "--camera",
        "rollback",
        "party.mp4",
        "--keep-float",
        "party.mp4",
    ], ran.stderr


def test_a_missing_package_of_the_host_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    from fer_edge.errors import exit_code_of

    def command() -> int:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.python")

    def bug() -> int:
        raise ModuleNotFoundError("No module named 'ours'", name="ours")

    assert exit_code_of(command) == 2
    assert capsys.readouterr().err == (
        "fer-edge: this command needs the extra `host` (TensorFlow, 2 GB): pip install 'fer-edge[host]', in a checkout "
        "pip install '.[host]' (No module named 'tensorflow')\n"
    )
    with pytest.raises(ModuleNotFoundError):
        exit_code_of(bug)
