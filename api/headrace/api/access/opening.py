"""Opening the gate: who may listen without authentication, with which keys logins are signed, and the audit's upkeep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from headrace.api.access.addresses import is_loopback, networks
from headrace.api.access.chaining import chaining
from headrace.api.access.guarding import Gate
from headrace.api.access.identity import Doors, Identity, Unguarded
from headrace.api.access.rates import Rates
from headrace.api.access.signing import Signer, WeakKey
from headrace.api.office import Office

ANY = ("", "*", "::", "0.0.0.0")


class Unsafe(ValueError):
    """What would leave the API open is not started: what, why and what to do, in one message (exit status 2)."""


@asynccontextmanager
async def open_gate(
    office: Office,
    *,
    host: str,
    keys: Sequence[str] = (),
    authenticate: bool = True,
    proxies: Sequence[str] = (),
    asker_rate: float = 0.0,
    address_rate: float = 0.0,
) -> AsyncIterator[Gate]:
    """The gate of a process that listens on `host`, and meanwhile its share of chaining the audit.

    Args:
        keys: what logins are signed with, the newest first (HEADRACE_SECRET, HEADRACE_SECRET_PREVIOUS).
        authenticate: False lets whoever is on this machine do everything.
        proxies: addresses and networks whose X-Forwarded-For is believed.
        asker_rate, address_rate: requests a second, see `Rates`.

    Raises Unsafe.
    """
    gate = make_gate(
        office,
        host=host,
        keys=keys,
        authenticate=authenticate,
        proxies=proxies,
        asker_rate=asker_rate,
        address_rate=address_rate,
    )
    async with chaining(office.store):
        yield gate


def make_gate(
    office: Office,
    *,
    host: str,
    keys: Sequence[str] = (),
    authenticate: bool = True,
    proxies: Sequence[str] = (),
    asker_rate: float = 0.0,
    address_rate: float = 0.0,
) -> Gate:
    """The gate alone. Raises Unsafe."""
    check(host, keys, authenticate=authenticate)
    try:
        trusted = networks(proxies)
    except ValueError as error:
        raise Unsafe(f"HEADRACE_TRUSTED_PROXIES: {error}.") from None
    if not authenticate:
        doors = Doors(office, None, Rates(office.cache))
        return Gate(Unguarded(doors), doors)
    signer = Signer(keys)
    doors = Doors(office, signer, Rates(office.cache, asker_rate, address_rate), trusted)
    return Gate(Identity(doors, signer), doors)


def check(host: str, keys: Sequence[str], *, authenticate: bool) -> None:
    """Before anything is opened. Raises Unsafe."""
    if not authenticate:
        if host in ANY or not is_loopback(host):
            raise Unsafe(
                f"without authentication the API listens on this machine alone, and {host or 'every address'} is more. "
                "Turn authentication on, or listen on 127.0.0.1."
            )
        return
    if not keys:
        raise Unsafe(
            "logins have to be signed, and HEADRACE_SECRET is not set. Set it, or HEADRACE_SECRET_FILE, to what "
            "this prints: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    for name, key in zip(("HEADRACE_SECRET", "HEADRACE_SECRET_PREVIOUS"), keys, strict=False):
        try:
            Signer([key])
        except WeakKey as weak:
            raise Unsafe(
                f"{name}: {weak}. Set it to what this prints: "
                "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
            ) from None
