"""How often somebody may ask. Buckets of tokens in the cache, which processes share; while the cache is away, each process
counts for itself. No Litestar here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address

from headrace.api.problems import Problem
from headrace.engine.ports.cache import Cache

BURST_SECONDS = 5.0
"""Who has been silent may ask as much at once as this time allows."""
MOST_AT_ONCE, HELD_SECONDS, MOST_HELD = 20, 1.0, 10_000
"""Tokens of one asker that a process takes at once, at most a twentieth of what a second allows; how long it may spend them; for how
many askers it holds some."""


class Rates:
    """Args:
    cache: where the buckets are.
    asker: requests a second for each user and token; 0: no limit.
    address: for each address, of requests that do not come with a login or token that is known already; 0: no limit.
    clock: seconds that only grow.
    """

    def __init__(
        self,
        cache: Cache,
        asker: float = 0.0,
        address: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache, self._asker, self._address, self._clock = cache, asker, address, clock
        self._held: dict[
            str, tuple[int, float]
        ] = {}  # tokens taken and not yet spent, and until when they are good

    async def of_asker(self, whose: str) -> None:
        """`whose`: a name that nobody else has, whatever project is asked about. Several tokens are taken at once, so that not every request waits for the cache. Raises Problem (429)."""
        if not self._asker:
            return
        name, now = f"asker:{_short(whose)}", self._clock()
        left, until = self._held.get(name, (0, 0.0))
        if left and now < until:
            self._held[name] = (left - 1, until)
            return
        bunch = int(min(MOST_AT_ONCE, max(1.0, self._asker / 20)))
        burst = self._asker * BURST_SECONDS
        if bunch > 1 and await self._cache.take(f"api:{name}", self._asker, burst, bunch) == 0:
            if len(self._held) >= MOST_HELD:
                self._held.clear()  # they are in nobody's bucket then, which is soon made up for
            self._held[name] = (bunch - 1, now + HELD_SECONDS)
            return
        await self._take(name, self._asker, burst)

    async def of_address(self, address: str | None) -> None:
        """Raises Problem (429)."""
        await self._take(f"address:{_place(address)}", self._address, self._address * BURST_SECONDS)

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
        wait = await self._cache.take(f"api:{name}", rate, max(burst, 1.0))
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
