"""Where a request came from, which hosts are this machine, and which sites may call it. No Litestar here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
MOST_HOPS = 32
"""Addresses of X-Forwarded-For that are looked at, from its end."""


def networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as settings name them. Raises ValueError."""
    return tuple(ip_network(word, strict=False) for word in words)


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The nearest address that no trusted proxy has: everything before it in X-Forwarded-For is hearsay.

    Args:
        peer: the other end of the connection; None for a socket of this machine.
        forwarded: the values of X-Forwarded-For, in order.
        trusted: our proxies.
    """
    here = _address(peer)
    if here is None or not _in(here, trusted):
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops[-MOST_HOPS:]):
        address = _address(hop)
        if address is None:
            break  # what a proxy of ours never writes: whoever wrote it is behind the last one we know
        here = address
        if not _in(address, trusted):
            break
    return str(here)


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without a port, is this machine and nothing else."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _address(host.removeprefix("[").removesuffix("]"))
    return address is not None and address.is_loopback


def host_of(header: str) -> str | None:
    """The host in a Host header, without its port; None when it is none."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None or "\\" in header:
        return None
    return parts.hostname


def same_site(origin: str, host: str) -> bool:
    """Whether a page at `origin` may call the API at `host` (a Host header): it came from there."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _in(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted if network.version == address.version)
