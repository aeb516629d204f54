"""Addresses of targets, names of instances, and explanations of ssh's errors."""

from __future__ import annotations

import pytest

from convert.deploy.releases import Instance
from convert.deploy.ssh_address import SshAddress, connection_error
from fer_edge.errors import UsageError


@pytest.mark.parametrize(
    "text", ["raspberrypi.local", "pi@raspberrypi", "pi@192.168.1.7", "pi@fe80::1%eth0", "door_1", "a.b@d"]
)
def test_addresses_for_ssh_are_accepted(text: str) -> None:
    assert SshAddress(text, 2222).host == text.rpartition("@")[2]


@pytest.mark.parametrize(
    "text",
    ["", "@", "pi@", "@host", "-oProxyCommand=x", "pi@-oProxyCommand=x", "-l@host", "a b", "a;b", "a'b", 'a"b', "$(a)", "`a`",
     "a\nb", "a|b", "a&b", "a/b", "ssh://a", "../a", "a\\b", "a@b@c", "ä", "a\0", "~a", "a*", "!a", "#a", "x" * 300],
)  # fmt: skip
def test_a_text_that_ssh_could_misread_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a host"):
        SshAddress(text)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_invalid_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="--port"):
        SshAddress("pi", port)


@pytest.mark.parametrize("name", ["", "-x", "a b", "../a", "a;b", "x" * 33])
def test_an_instance_needs_a_name_that_is_safe_for_files(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        Instance(name)


def test_units_and_settings_are_named_after_the_instance() -> None:
    assert (Instance().unit, Instance().settings) == ("fer-edge.service", "/etc/fer-edge/fer-edge.toml")
    assert (Instance("door").unit, Instance("door").settings) == ("fer-edge@door.service", "/etc/fer-edge/door.toml")


@pytest.mark.parametrize(
    ("errors", "explanation"),
    [
        ("ssh: Could not resolve hostname pi: Name or service not known", "cannot be reached: Could not resolve"),
        ("", "ssh printed nothing"),
        ("pi@pi: Permission denied (publickey).", "`ssh-copy-id -p 22 pi@pi`"),
        ("Host key verification failed.", "`ssh -p 22 pi@pi` shows it once"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "`ssh-keygen -R pi`"),
        ("kex: \x1b[31mred\x07", "kex: \\x1b[31mred\\x07"),
        ("\x1b]0;owned\x07: Permission denied", "let pi@pi in (\\x1b]0;owned"),
    ],
)
def test_an_error_of_ssh_is_explained(errors: str, explanation: str) -> None:
    sentence = str(connection_error(SshAddress("pi@pi", 22), errors))
    assert explanation in sentence and sentence.isprintable()


@pytest.mark.parametrize(
    ("errors", "command"),
    [
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED!",
            "`ssh-keygen -R '[pi]:2222'`",
        ),  # `-R pi` is of another server there
        ("Host key verification failed.", "`ssh -p 2222 me@pi`"),
        ("me@pi: Permission denied (publickey).", "`ssh-copy-id -p 2222 me@pi`"),
        ("ssh: connect to host pi port 2222: Connection refused", "`ssh -p 2222 me@pi`"),
    ],
)
def test_advice_names_the_port(errors: str, command: str) -> None:
    assert command in str(connection_error(SshAddress("me@pi", 2222), errors))


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ("ssh: connect to host pi port 22: Connection refused", 75),
        ("ssh: connect to host pi port 22: No route to host", 75),
        ("ssh: connect to host pi port 22: Connection timed out", 75),
        ("ssh: Could not resolve hostname pi.local: Name or service not known", 75),
        ("pi@pi: Permission denied (publickey).", 2),
        ("Host key verification failed.", 2),
    ],
)
def test_a_host_that_does_not_answer_may_be_tried_again(errors: str, code: int) -> None:
    assert connection_error(SshAddress("pi@pi"), errors).exit_code == code
