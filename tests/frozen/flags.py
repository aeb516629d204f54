"""The commands that the READMEs name, and their flags: `python -m tests.frozen.flags` stores those of this commit.

Of each command `named` are the flags that stand in a README's examples, `listed` all that its `--help` lists.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.frozen.commands import FIXTURES, ROOT, ran
from tests.frozen.normalise import write

FLAGS = FIXTURES / "flags.json"
READMES = (
    *("README.md", "convert/README.md", "device/README.md", "models/README.md", "Makefile"),
    *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs/pages").glob("*.md")),
)
# `fer-edge log check`, `fer-edge log query blind`: so many words say what is done
LENGTHS = {"config": 3, "bundle": 3, "service": 3, "detectors": 3, "log": 3, "log query": 4, "log export": 4}


def flags_of(text: str) -> set[str]:
    """Whatever looks like a flag: `-n`, `--per-frame`."""
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text.replace("python -m ", "")))


def asked(command: str) -> subprocess.CompletedProcess[str]:
    """A command's help."""
    with tempfile.TemporaryDirectory() as folder:
        return ran([*command.split(), "--help"], Path(folder))


def named() -> dict[str, set[str]]:
    """What looks like a command in a README, wherever it stands, and the flags of the examples of it."""
    found: dict[str, set[str]] = {"fer-edge": set()}
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        for typed in re.findall(r"\bfer-edge((?: [a-z]+)+)", text):
            found.setdefault(" ".join(_command(["fer-edge", *typed.split()])), set())
        for module in re.findall(r"\bconvert\.([a-z_]+)\b", text):
            found.setdefault(f"python -m convert.{module}", set())
        for part in _typed(text):
            words = _words(part)
            command = _command(words)
            if " ".join(command) in found:
                found[" ".join(command)] |= flags_of(" ".join(words[len(command) :]))
    return found


def _command(words: list[str]) -> list[str]:
    """Those words of a command line that say what is done."""
    if words[:1] == ["python"]:
        return words[:3]
    return words[: LENGTHS.get(" ".join(words[1:3])) or LENGTHS.get(" ".join(words[1:2])) or 2]


def _typed(text: str) -> list[str]:
    """The lines of blocks of code, fenced or indented, without comments, and what stands between backticks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line.split(" #")[0] for block in fenced for line in block.splitlines()]
    lines += [line.split(" #")[0] for line in re.findall(r"^    (\S.*)$", prose, re.M)]
    lines += re.findall(r"`([^`\n]+)`", text)
    return [part for line in lines for part in re.split(r"&&|;|\|", line)]


def _words(typed: str) -> list[str]:
    try:
        words = shlex.split(typed)
    except ValueError:  # a quotation mark of a sentence
        words = typed.split()
    while words and words[0] != "fer-edge" and words[:2] != ["python", "-m"]:
        words = words[1:]  # sudo, a variable, a path
    return words


def main() -> int:
    """Stores them; what has no help is no command."""
    stored = {}
    for command, flags in sorted(named().items()):
        ended = asked(command)
        if ended.returncode == 0 and "usage: " in ended.stdout:
            listed = flags_of(ended.stdout)
            stored[command] = {"named": sorted(flags & listed), "listed": sorted(listed)}
            if flags - listed:
                print(f"{command}: {sorted(flags - listed)} are not in its help")
        else:
            print(f"no command: {command}")
    write(FLAGS, stored)
    print(f"{len(stored)} commands")
    return 0


if __name__ == "__main__":
    sys.exit(main())
