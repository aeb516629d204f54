"""The names by which a browser may ask for the live page, and whose page may ask for its data."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from device.address import Address

# What home routers append to the names that they give out; `home.arpa` is RFC 8375's, `local` multicast DNS's.
_DOMAINS = ("local", "lan", "home", "home.arpa", "internal", "fritz.box")


def page_url(address: Address, machine: str) -> str:
    """What a browser is told; `machine` is this machine's name, which stands for all of its addresses."""
    everywhere = _is_ip(address.host) and ip_address(address.host).is_unspecified
    return f"http://{Address(f'{machine}.local' if everywhere else address.host, address.port)}/"


def is_loopback(host: str) -> bool:
    """Whether this name or number can only be this machine."""
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def is_allowed_host(host_header: str, address: Address, machine: str) -> bool:
    """Whether a request with this Host is for us, and not of a name that somebody else pointed here (DNS rebinding).

    A number cannot be pointed anywhere. Names are this machine's own, alone or in a domain of home networks. The port is
    left out: a tunnel may have another.
    """
    try:
        host = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return False
    if is_loopback(address.host):
        return is_loopback(host)
    own = machine.lower()
    return _is_ip(host) or host in {"localhost", address.host.lower(), own, *(f"{own}.{domain}" for domain in _DOMAINS)}


def is_same_origin(fetch_site: str | None, origin: str | None, host_header: str) -> bool:
    """Whether a request for data was made by our own page, or by no page at all, and not by that of another site.

    `fetch_site` is Sec-Fetch-Site, which browsers send to hosts that they trust; `origin` is Origin.
    """
    if fetch_site not in (None, "same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc == host_header


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
