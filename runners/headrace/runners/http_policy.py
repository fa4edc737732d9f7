"""Which addresses HTTP tasks may reach: public ones, and what is allowed by name or network.

Checked on the address that is then connected to, for every connection: a name that resolves to something else a
moment later, a redirect, or an odd way to write an address (`2130706433`, `0x7f.1`) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NEVER_PUBLIC = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "100.64.0.0/10",  # carriers' networks, one cloud's metadata service among them
            "168.63.129.16/32",  # a cloud's host agent, on a public address
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)
_TRANSLATED = ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """The policy does not let a task connect there."""


class HttpPolicy:
    """Args:
    allow: host names (`intranet.example`, `*.corp.example`), addresses and networks (`10.1.0.0/16`) that may be
        reached although they are not public.
    allow_loopback: this machine may be reached (embedded runs).
    told: called once, when that leave is first used.

    Raises:
        ValueError: an entry is neither a host name nor a network.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        allow_loopback: bool = False,
        told: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._tell: Callable[[str], object] | None = told
        self._networks = []
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        for entry in allow:
            text = entry.strip().lower()
            if not text:
                continue
            try:
                self._networks.append(ip_network(text.strip("[]"), strict=False))
                continue
            except ValueError:
                pass
            if "/" in text or ":" in text or " " in text:
                raise ValueError(f'HEADRACE_HTTP_ALLOW: "{entry}" is neither a host name nor a network.')
            if text.startswith(("*.", ".")):
                self._suffixes.append("." + text.lstrip("*."))
            else:
                self._names.add(text.rstrip("."))

    def check(self, host: str, address: str) -> None:
        """Raises AddressRefused unless a task may connect to `address`, found under the name `host`."""
        found = ip_address(address.partition("%")[0])
        if self._named(host.lower().rstrip(".")) or self._listed(found):
            return
        if self._allow_loopback and _innermost(found).is_loopback:
            if self._tell is not None:
                tell, self._tell = self._tell, None
                tell(
                    f"An http task calls this machine ({host}). Runs in this process may; a worker elsewhere refuses "
                    "it unless HEADRACE_HTTP_ALLOW names the address."
                )
            return
        if not is_public(found):
            shown = host if host == address else f"{host} ({address})"
            raise AddressRefused(
                f"{shown} is not a public address. HEADRACE_HTTP_ALLOW lists hosts and networks that may be reached."
            )

    def _named(self, host: str) -> bool:
        return host in self._names or any(host.endswith(suffix) for suffix in self._suffixes)

    def _listed(self, address: Address) -> bool:
        forms = (address, *inner_addresses(address))
        return any(form in network for form in forms for network in self._networks)


def _innermost(address: Address) -> Address:
    return (address, *inner_addresses(address))[-1]


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach it; so must be every address packed into it."""
    if not address.is_global or address.is_multicast or any(address in network for network in _NEVER_PUBLIC):
        return False
    return all(is_public(inner) for inner in inner_addresses(address))


def inner_addresses(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 one stands for: mapped, translated (NAT64), 6to4, Teredo."""
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _TRANSLATED or int(address) >> 32 == 0:
        return [IPv4Address(int(address) & 0xFFFFFFFF)] if int(address) > 1 else []
    if address.sixtofour is not None:
        return [address.sixtofour]
    return list(address.teredo or ())
