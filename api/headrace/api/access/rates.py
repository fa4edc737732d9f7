"""How often somebody may ask. Buckets of tokens in the cache, which processes share; while the cache is away, each process
counts for itself. No Litestar here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from headrace.api.problems import Problem
from headrace.engine.ports.cache import Cache

BURST_SECONDS = 5.0
"""Who has been silent may ask as much at once as this time allows."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Args:
    cache: where the buckets are.
    asker: requests a second for each user and token; 0: no limit.
    address: for each address, of requests that do not come with a login or token that is known already; 0: no limit.
    """

    cache: Cache
    asker: float = 0.0
    address: float = 0.0

    async def of_asker(self, project: str, actor: str) -> None:
        """Raises Problem (429)."""
        await self._take(f"asker:{_short(f'{project}/{actor}')}", self.asker, self.asker * BURST_SECONDS)

    async def of_address(self, address: str | None) -> None:
        """Raises Problem (429)."""
        await self._take(f"address:{_place(address)}", self.address, self.address * BURST_SECONDS)

    async def of_login(self, user: str, address: str | None) -> None:
        """Ten tries at once, then one in six seconds, from one place at one user; a hundred and one in half a second from one
        place, or at one user from everywhere. Raises Problem (429)."""
        place, who = _place(address), _short(user)
        await self._take(f"login:{place}:{who}", 1 / 6, 10.0)
        await self._take(f"login-from:{place}", 2.0, 100.0)
        await self._take(f"login-as:{who}", 2.0, 100.0)

    async def _take(self, name: str, rate: float, burst: float) -> None:
        if not rate:
            return
        wait = await self.cache.take(f"api:{name}", rate, max(burst, 1.0))
        if wait > 0:
            raise Problem(
                429,
                "too_many_requests",
                "Too many requests. Retry-After says when the next one is answered.",
                headers={"Retry-After": str(max(1, math.ceil(wait)))},
            )


def _short(name: str) -> str:
    """What people chose, as a key of fixed length that cannot be mistaken for another's."""
    return sha256(name.encode(errors="replace")).hexdigest()[:32]


def _place(address: str | None) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: whoever has one of those has them all."""
    if address is None:
        return "local"
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None or parsed.version == 4:
        return str(mapped or parsed)
    return parsed.exploded[:19]
