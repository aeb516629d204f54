"""The host names under which the live page and metrics are served, and the pages that may request the data."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from device.address import Address

# Domains that home routers append to names; `home.arpa` is of RFC 8375, `local` of multicast DNS.
_DOMAINS = ("local", "lan", "home", "home.arpa", "internal", "fritz.box")


def page_url(address: Address, machine: str) -> str:
    """The page's URL; `machine` is this machine's name, which stands for all of its addresses."""
    all_addresses = _is_ip(address.host) and ip_address(address.host).is_unspecified
    own_name = machine if "." in machine else f"{machine}.local"  # with a domain, it is the name in that domain
    return f"http://{Address(own_name if all_addresses else address.host, address.port)}/"


def is_loopback(host: str) -> bool:
    """Whether this name or number can only be this machine."""
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def is_allowed_host(host_header: str, address: Address, machine: str) -> bool:
    """Whether a request with this Host header is meant for this server, and is no DNS rebinding attack.

    An IP address cannot be rebound. Allowed names are this machine's own, as it is and without its domain, alone or in a domain
    of home networks. The port is ignored: a tunnel may have another.
    """
    try:
        host = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return False
    if is_loopback(address.host):
        return is_loopback(host)
    own_name = machine.lower()
    first_label = own_name.partition(".")[0]
    return _is_ip(host) or host in {
        "localhost",
        address.host.lower(),
        own_name,
        first_label,
        *(f"{first_label}.{domain}" for domain in _DOMAINS),
    }


def is_same_origin(fetch_site: str | None, origin: str | None, host_header: str) -> bool:
    """Whether a request came from our own page, or from no page at all, and not from a page of another site.

    `fetch_site` is the header Sec-Fetch-Site, which browsers send to trustworthy hosts; `origin` is the header Origin.
    """
    if fetch_site not in (None, "same-origin", "none"):
        return False
    return origin is None or _netloc(origin) == host_header


def is_readable_origin(origin: str | None) -> bool:
    """Whether the header Origin is one that a browser could send, or is absent."""
    return origin is None or origin == "null" or bool(_netloc(origin))


def _netloc(origin: str) -> str:
    """The host and port in an origin; empty where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # “http://[”
        return ""


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
