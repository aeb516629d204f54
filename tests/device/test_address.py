"""Where a run listens, as it is typed."""

from __future__ import annotations

import pytest

from device.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:9100", "127.0.0.1", 9100, "127.0.0.1:9100"),
        (":9100", "127.0.0.1", 9100, "127.0.0.1:9100"),
        ("9100", "127.0.0.1", 9100, "127.0.0.1:9100"),
        (" 0.0.0.0:0 ", "0.0.0.0", 0, "0.0.0.0:0"),
        ("pi.local:65535", "pi.local", 65535, "pi.local:65535"),
        ("[::1]:9100", "::1", 9100, "[::1]:9100"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80, "[fe80::1%eth0]:80"),
    ],
)
def test_valid_addresses(text: str, host: str, port: int, shown: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)
    assert Address.parse(shown) == address
    assert Address.validation_error("metrics", text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nowhere",
        "host:",
        ":",
        "host:http",
        ":65536",
        ":-1",
        ":٣",
        "::1:9100",
        "[::1]",
        "[host]:1",
        "a b:1",
        "u@h:1",
        "a..b:80",
        "a" * 64 + ":80",
    ],
)
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (port|host)"):
        Address.parse(text)
    assert f"not “{text}”" in Address.validation_error("metrics", text)
