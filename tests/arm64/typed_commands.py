"""Command lines from a document, and the results of typing them one after the other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.arm64.sysroot import ROOT
from tests.arm64.userspace import HOME, USER_ID, UserSpace

CHECKOUT = HOME / "fer-edge"


@dataclass(frozen=True, slots=True)
class Step:
    """A line that was typed, and what came of it."""

    line: str
    code: int
    seconds: float
    output: str  # both streams


def blocks(document: str, section: str) -> list[tuple[str, list[str]]]:
    """The code blocks of a section of a Markdown text: the sentences before each, and its lines without their comments."""
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", document, re.M | re.S)
    assert found, f"there is no section “{section}”"
    parts = found[1].split("\n```")  # text, block, text, block, … each block with the rest of its opening line
    return [
        (parts[i].strip(), [line.split("  #")[0].rstrip() for line in parts[i + 1].splitlines()[1:]])
        for i in range(0, len(parts) - 1, 2)
    ]


def ship_checkout(space: UserSpace) -> None:
    """Puts this checkout's files, those that git knows or would, into the user's home folder there."""
    target = space.root / CHECKOUT.relative_to("/")
    target.mkdir()
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
    owner = [f"--owner={USER_ID}", f"--group={USER_ID}"]
    pack = ["tar", "--create", "--null", "--ignore-failed-read", "--files-from=-", *owner]
    packed = subprocess.run(pack, cwd=ROOT, input=names, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", target], input=packed, check=True)
    subprocess.run(["chown", f"{USER_ID}:{USER_ID}", target], check=True)


def typed(
    space: UserSpace, lines: Sequence[str], codes: Mapping[str, int], left_out: Collection[str] = ()
) -> list[Step]:
    """What came of `lines`, typed into one shell in the checkout's folder but for those `left_out`.

    The first that ends with another exit code than the one in `codes`, else 0, is the last.
    """
    commands = [line for line in lines if line not in left_out]
    script = [f"cd {CHECKOUT}", "exec 3>~/steps"]
    for i, line in enumerate(commands):
        script += ["began=$EPOCHREALTIME", "{", line, f"}} >~/said-{i} 2>&1 </dev/null"]
        script += ['code=$?; echo "$code $began $EPOCHREALTIME" >&3', f"[ $code = {codes.get(line, 0)} ] || exit"]
    ran = space.run("bash", "-c", "\n".join(script))
    home = space.root / HOME.relative_to("/")
    steps = []
    for i, step_line in enumerate((home / "steps").read_text().splitlines()):
        code, began, ended = step_line.split()
        output = (home / f"said-{i}").read_text(errors="replace")
        steps.append(Step(commands[i], int(code), float(ended) - float(began), output))
    assert ran.stderr == "", ran.stderr
    return steps
