"""Each command that a README named before still has help, and each flag that it had can still be typed."""

from __future__ import annotations

import pytest

from tests.frozen.flags import FLAGS, asked, flags_of
from tests.frozen.normalise import read

STORED = read(FLAGS)


@pytest.mark.parametrize("command", STORED)
def test_the_flags_of_a_command(command: str) -> None:
    """Promised: the flags of the READMEs' examples are in the command's help, and so are all others that were in it."""
    ended = asked(command)
    assert ended.returncode == 0 and f"usage: {command} " in ended.stdout, ended.stderr
    listed = flags_of(ended.stdout)
    gone = {how: sorted(set(flags) - listed) for how, flags in STORED[command].items()}
    assert gone == {"named": [], "listed": []}


def test_the_stored_list_is_no_stub() -> None:
    """Promised: the commands of both sides are in it."""
    assert sum(command.startswith("fer-edge") for command in STORED) >= 29
    assert sum(command.startswith("python -m convert") for command in STORED) > 12
